"""The questions written by hand over reports: the file keeps its promises, and faults in one are named."""

import json
import lzma
from collections import Counter
from pathlib import Path

import pytest

from szqa.errors import ConfigurationError
from szqa.goldset import GOLD_TYPES, UNANSWERABLE
from szqa.text import Segmenter
from szqa.training.ranker_cases import open_cases
from szqa.training.report_questions import Part, read_report_questions

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "eval" / "reports.jsonl"
DATA = ROOT.parent / "shared" / "data"
PARTS: tuple[Part, ...] = ("train", "calibrate", "recalibrate")


def test_the_file_keeps_its_promises() -> None:
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    assert len(rows) == 9600
    assert max(Counter((row["text"], row["question"]) for row in rows).values()) == 1
    assert set(Counter(row["text"] for row in rows).values()) == {40}
    for row in rows:
        assert row["type"] in GOLD_TYPES
        assert row["question"] == row["question"].strip()
        answers = row.get("answers", [])
        assert (not answers) == (row["type"] == UNANSWERABLE) == ("quote" not in row)
        assert answers == sorted(dict.fromkeys(answers), key=len), row
        assert all(answer in row["quote"] for answer in answers), row
    assert sum(row["type"] == UNANSWERABLE for row in rows) == 3840


def test_no_question_is_asked_of_the_corpus_too() -> None:
    gold = {json.loads(line)["question"] for line in (ROOT / "eval" / "gold.jsonl").read_text("utf-8").splitlines()}
    assert not gold & {json.loads(line)["question"] for line in QUESTIONS.read_text("utf-8").splitlines()}


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_every_text_and_answer_is_in_the_data_folder() -> None:
    parts = {part: read_report_questions(QUESTIONS, DATA, part) for part in PARTS}
    assert {part: len(collections) for part, collections in parts.items()} == {
        "train": 144,
        "calibrate": 48,
        "recalibrate": 48,
    }
    answered = 0
    for collection in (collection for some in parts.values() for collection in some):
        for asked in collection.asked:
            text = collection.passages[asked.passage].text
            assert all(0 <= start < end <= len(text) for start, end in asked.answers)
            answered += bool(asked.answers)
    assert answered == 5760


def write(folder: Path, rows: list[dict[str, object]]) -> tuple[Path, Path]:
    (folder / "text").mkdir()
    with lzma.open(folder / "text" / "news.txt.xz", "wt", encoding="utf-8") as file:
        file.write("甲市新增企业33家。\n乙市新增学校7所。\n\n丙市全年产值5万亿元，同比增长9%。\n")
    questions = folder / "questions.jsonl"
    questions.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", "utf-8")
    return questions, folder


def row(text: str, question: str, *answers: str, quote: str = "") -> dict[str, object]:
    said: dict[str, object] = {"answers": list(answers), "quote": quote} if answers else {}
    return {"text": text, "question": question, "type": "number"} | said


def test_a_text_is_searched_by_itself(tmp_path: Path, segmenter: Segmenter) -> None:
    questions, data = write(
        tmp_path,
        [
            row("news/1/0-1", "丙市涨了多少", "9%", "增长9%", quote="同比增长9%"),
            row("news/0/1-2+news/1/0-1", "乙市建了几所学校", "7所", quote="新增学校7所"),
            row("news/0/0-2", "甲市多少家企业", "33家", quote="新增企业33家"),
            row("news/0/0-2", "甲市多少所学校"),
        ],
    )
    (first,), (second,), (third,) = (
        read_report_questions(questions, data, part) for part in ("recalibrate", "calibrate", "train")
    )
    assert [passage.text for passage in first.passages] == ["丙市全年产值5万亿元，同比增长9%。"]
    text, (asked,) = first.passages[0].text, first.asked
    assert [text[start:end] for start, end in asked.answers] == ["9%", "增长9%"]
    assert "".join(passage.text for passage in second.passages) == "乙市新增学校7所。丙市全年产值5万亿元，同比增长9%。"
    answered, unanswered = open_cases([third], segmenter, seed=0)
    assert answered.hits[answered.gold].passage.text[slice(*answered.answers[0])] == "33家"
    assert (unanswered.gold, unanswered.answers) == (-1, ())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("news/7/0-1", "什么"), "没有 news/7/0-1 这段文字"),
        (row("other/0/0-1", "什么"), "没有 other/0/0-1 这段文字"),
        (row("news/0", "什么"), "没有 news/0 这段文字"),
        (row("news/0/0-2", "几家", "33家", quote="新增企业34家"), "文字里没有“新增企业34家”"),
        (row("news/0/0-2", "几家", "34家", quote="新增企业33家"), "“新增企业33家”里没有“34家”"),
    ],
)
def test_faults_are_named(tmp_path: Path, bad: dict[str, object], message: str) -> None:
    questions, data = write(tmp_path, [bad])
    with pytest.raises(ConfigurationError, match=message):
        read_report_questions(questions, data, "recalibrate")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"没有 .*none\.jsonl，请用 --questions"):
        read_report_questions(tmp_path / "none.jsonl", tmp_path, "train")
