import json
from pathlib import Path

import pytest

from szqa.corpus import load_corpus
from szqa.datatypes import Block, Document
from szqa.errors import EvaluationError
from szqa.goldset import GOLD_TYPES, Place, read_evaluation_set, validate_gold

ROOT = Path(__file__).parent.parent
TEXT = "苏州有33家企业。苏州有5家博物馆。\n苏州有33家企业。"
DOCUMENT = Document("d1", "报告", TEXT, "a.txt", (Block("prose", 0, len(TEXT)),))


def _line(**changes: object) -> str:
    row: dict[str, object] = {
        "id": "q1",
        "question": "几家博物馆",
        "type": "number",
        "answers": ["5家"],
        "evidence": [{"source": "a.txt", "quote": "苏州有5家博物馆"}],
        "split": "dev",
    }
    return json.dumps({key: value for key, value in (row | changes).items() if value is not ...}, ensure_ascii=False)


def _write(folder: Path, *lines: str) -> Path:
    path = folder / "gold.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(EvaluationError) as caught:
        read_evaluation_set(path, documents=[DOCUMENT])
    return caught.value.problems


def test_reads_json_lines(tmp_path: Path) -> None:
    nothing = _line(id="q2", question="几家\u2028医院", type="unanswerable", answers=[], evidence=[], split="test")
    path = _write(tmp_path, "\ufeff" + _line(), "", nothing)
    evaluation_set = read_evaluation_set(path, documents=[DOCUMENT])
    first, second = evaluation_set.questions
    assert (evaluation_set.name, evaluation_set.documents) == ("gold.jsonl", ())
    assert (first.id, first.text, first.type, first.answers, first.split) == (
        "q1",
        "几家博物馆",
        "number",
        ("5家",),
        "dev",
    )
    assert first.evidence[0].places == (Place("d1", 9, 17),)
    assert TEXT[9:17] == first.evidence[0].quote
    assert not second.answerable and second.document_id is None


def test_a_quote_counts_wherever_it_stands(tmp_path: Path) -> None:
    evidence = [{"source": "a.txt", "quote": "苏州有33家企业"}]
    path = _write(tmp_path, _line(answers=["33家"], evidence=evidence))
    [question] = read_evaluation_set(path, documents=[DOCUMENT]).questions
    assert question.evidence[0].places == (Place("d1", 0, 8), Place("d1", 19, 27))
    assert question.evidence[0].supports(Place("d1", 19, 28))
    assert not question.evidence[0].supports(Place("d1", 4, 12))
    assert not question.evidence[0].supports(Place("d2", 0, 28))
    assert validate_gold(path, [DOCUMENT]) == ["q1: '苏州有33家企业' 在原文中出现 2 次 (times)"]


def test_without_documents_nothing_is_looked_up(tmp_path: Path) -> None:
    path = _write(tmp_path, _line(evidence=[{"source": "elsewhere.txt", "quote": "无"}]))
    [question] = read_evaluation_set(path).questions
    assert question.evidence[0].places == ()


def test_lists_every_malformed_line_with_its_number(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        _line(),
        "{",
        "[]",
        _line(id="q4", question=" "),
        _line(id="q5", split="train"),
        _line(id="q6", answers="5家"),
        _line(id="q7", answers=[""]),
        _line(id="q8", answers=[]),
        _line(id="q9", type="unanswerable"),
        _line(id="q10", evidence=[]),
        _line(id="q11", answers=["六家"]),
        _line(id="q12", evidence=[{"source": "b.txt", "quote": "苏州"}]),
        _line(id="q13", evidence=[{"source": "a.txt", "quote": "无锡"}]),
        _line(),
        _line(id="q15", evidence=...),
        _line(id="q16", evidence=["苏州"]),
        _line(id=17),
    )
    reasons = (
        *("not JSON", "must be an object", "question", "dev or test", "answers", "answers", "unanswerable"),
        *("unanswerable", "without evidence", "六家", "b.txt", "无锡", "line 1)", "evidence", "evidence", "id"),
    )
    problems = _problems(path)
    assert len(problems) == len(reasons) == 16
    for number, (problem, reason) in enumerate(zip(problems, reasons, strict=True), start=2):
        assert problem.startswith(f"第 {number} 行 (line {number}): ")
        assert reason in problem


@pytest.mark.parametrize(("content", "reason"), [(b"", "no questions"), (b"\xff\xfe", "not UTF-8")])
def test_refuses_files_with_no_questions(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_bytes(content)
    [problem] = _problems(path)
    assert reason in problem
    [missing] = _problems(tmp_path / "missing.jsonl")
    assert "no such file" in missing


def test_validate_gold_lists_what_reading_allows(tmp_path: Path) -> None:
    long_first = _line(id="q2", question="别的", answers=["5家博物馆", "5家"])
    outside = _line(id="q3", question="又一个", answers=["33家"])
    faults = validate_gold(_write(tmp_path, _line(), _line(id="q4"), long_first, outside), [DOCUMENT])
    assert [fault.split(":")[0] for fault in faults] == ["q4", "q2", "q3"]
    assert validate_gold(_write(tmp_path, "{"), [DOCUMENT])[0].startswith("第 1 行")


CONTEXT = "长城很长。它有6259公里。"


def _squad(entries: object, folder: Path) -> Path:
    path = folder / "dev.json"
    path.write_text(json.dumps({"version": "1", "data": entries}, ensure_ascii=False), "utf-8")
    return path


def test_reads_squad(tmp_path: Path) -> None:
    answers = [
        {"text": "6259公里", "answer_start": 7},
        {"text": "6259公里", "answer_start": 7},
        {"text": "很长", "answer_start": 2},
    ]
    questions = [
        {"id": "1", "question": "多长？", "answers": answers},
        {"id": "2", "question": "", "answers": [{"text": "很长", "answer_start": 2}], "is_impossible": False},
        {
            "id": "3",
            "question": "多高？",
            "answers": [],
            "plausible_answers": [{"text": "很长"}],
            "is_impossible": True,
        },
    ]
    paragraphs = [{"context": CONTEXT, "qas": questions[:2]}, {"context": "另一段。", "qas": []}]
    again = {"title": "", "paragraphs": [{"context": CONTEXT, "qas": questions[2:]}]}
    evaluation_set = read_evaluation_set(_squad([{"title": "长城", "paragraphs": paragraphs}, again], tmp_path))
    first, second, third = evaluation_set.questions
    documents = evaluation_set.documents
    assert [(d.title, d.text, d.source) for d in documents] == [
        ("长城", CONTEXT, "dev.json#context-1"),
        ("长城", "另一段。", "dev.json#context-2"),
    ]
    assert documents[0].blocks == (Block("prose", 0, len(CONTEXT)),)
    assert first.answers == ("6259公里", "很长")
    assert first.evidence[0].quote == "它有6259公里。"
    assert first.evidence[0].places == (Place(documents[0].id, 0, len(CONTEXT)),)
    assert (second.text, second.answerable) == ("", True)
    assert (third.answerable, third.type, third.evidence) == (False, "unanswerable", ())
    assert {question.document_id for question in evaluation_set.questions} == {documents[0].id}


def test_reads_cmrc_layout(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    qas = [{"query_id": "1", "query_text": "多长？", "answers": ["6259公里", "6259公里"]}]
    entry = {"context_id": "c", "context_text": CONTEXT, "title": "长城", "qas": qas}
    path.write_text(json.dumps([entry], ensure_ascii=False), "utf-8")
    evaluation_set = read_evaluation_set(path)
    assert [(q.id, q.text, q.answers) for q in evaluation_set.questions] == [("1", "多长？", ("6259公里",))]
    assert [(d.title, d.text) for d in evaluation_set.documents] == [("长城", CONTEXT)]


def test_lists_every_fault_of_a_squad_file(tmp_path: Path) -> None:
    good = {"id": "1", "question": "多长？", "answers": [{"text": "很长"}]}
    qas = [good, good, {"id": "2", "question": "多高？", "answers": []}, {"id": "3", "answers": [{"text": "很长"}]}]
    entries = ["?", {"paragraphs": [{"context": CONTEXT, "qas": qas}, {"qas": []}]}, {"paragraphs": {}}]
    assert [problem.split(": ")[0] for problem in _problems(_squad(entries, tmp_path))] == [
        "data[0]",
        "data[1].paragraphs[0].qas[1]",
        "data[1].paragraphs[0].qas[2]",
        "data[1].paragraphs[0].qas[3]",
        "data[1].paragraphs[1]",
        "data[2]",
    ]
    assert "data" in _problems(_squad({}, tmp_path))[0]


def test_says_where_json_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text('{"data": [', "utf-8")
    assert "not JSON" in _problems(path)[0]


def test_the_gold_set_stands_in_its_source() -> None:
    gold = ROOT / "eval" / "gold.jsonl"
    documents = load_corpus(ROOT / "corpus")
    assert validate_gold(gold, documents) == []
    questions = read_evaluation_set(gold, documents=documents).questions
    assert {question.type for question in questions} == set(GOLD_TYPES)
    answerable = [question for question in questions if question.answerable]
    assert len(answerable) >= 150
    assert len(questions) - len(answerable) >= 50
    for kind in GOLD_TYPES:
        splits = [question.split for question in questions if question.type == kind]
        assert abs(splits.count("dev") - splits.count("test")) <= 1


def test_the_gold_set_covers_every_paragraph() -> None:
    [document] = [item for item in load_corpus(ROOT / "corpus") if item.source.startswith("苏州")]
    questions = read_evaluation_set(ROOT / "eval" / "gold.jsonl", documents=[document]).questions
    places = [place for question in questions for evidence in question.evidence for place in evidence.places]
    bare = [
        document.text[block.start : block.end]
        for block in document.blocks
        if block.kind in ("prose", "note") and not any(block.start <= place.start < block.end for place in places)
    ]
    assert bare == []
