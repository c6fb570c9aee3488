"""Training of the embedder: pairs, vocabulary, quantisation, and a run on a handful of texts."""

from __future__ import annotations

import json
import lzma
import math
import random
from pathlib import Path

import numpy as np
import pytest

from szqa.embedder import StaticEmbedder
from szqa.errors import ConfigurationError
from szqa.text import Segmenter, split_sentences
from szqa.training import pairs as pairs_module
from szqa.training.embedder import EmbedderSettings, choose_vocabulary, train_embedder
from szqa.training.pairs import TextPair, read_pairs, read_paragraphs

PLACES = ("苏州", "无锡", "常州", "南通", "扬州", "镇江", "泰州", "徐州", "盐城", "淮安")
TINY = EmbedderSettings(dimension=8, vocabulary=300, epochs=2, batch_size=8)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with every file the training reads, each of a few made-up lines."""
    folder = tmp_path / "data"
    for kind in ("mrc", "pairs", "text"):
        (folder / kind).mkdir(parents=True)
    rows = [
        {"query": f"{place}在哪个省？", "positive": f"{place}是江苏省的一个城市，有很多工业企业。"} for place in PLACES
    ]
    answered = [
        {
            "question": f"{place}有多少家企业？",
            "context": f"{place}是一座城市。它有300家企业。",
            "title": place,
            "answers": [{"text": "300家", "start": 10}],
        }
        for place in PLACES
    ]
    with lzma.open(folder / "mrc" / "cmrc2018_train.jsonl.xz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in answered)
    for name in pairs_module._PAIR_ROWS:
        with lzma.open(folder / "pairs" / f"{name}.jsonl.xz", "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
    for name in pairs_module._TEXT_PARAGRAPHS:
        with lzma.open(folder / "text" / f"{name}.txt.xz", "wt", encoding="utf-8") as lines:
            for place in PLACES:
                lines.write(f"{place}的工业企业超过300家，产值增长5.2%。这里从2015年起建设智能工厂，成效十分显著。")
                lines.write("全市还将继续推动数字化转型，培育更多专精特新企业，服务地方经济。\n\n")
    return folder


def test_pairs_are_the_same_for_the_same_seed(data_dir: Path) -> None:
    pairs = read_pairs(data_dir, seed=3)
    assert pairs == read_pairs(data_dir, seed=3)
    assert pairs != read_pairs(data_dir, seed=4)
    passage = "苏州是江苏省的一个城市，有很多工业企业。"
    assert TextPair("苏州在哪个省？", passage, "csl_title2abstract") in pairs
    assert len(read_pairs(data_dir, seed=3, limit=2)) < len(pairs)


def test_a_sentence_is_paired_with_the_rest_of_its_paragraph(data_dir: Path) -> None:
    paragraphs = {
        paragraph: [paragraph[start:end] for start, end in split_sentences(paragraph)]
        for paragraph in read_paragraphs(data_dir / "text" / "fuyao_news.txt.xz")
    }
    pairs = [pair for pair in read_pairs(data_dir, seed=0) if pair.source == "fuyao_news"]
    assert pairs
    for pair in pairs:
        assert any(
            pair.query in sentences and pair.passage == paragraph.replace(pair.query, "")
            for paragraph, sentences in paragraphs.items()
        )


def test_a_made_question_is_paired_with_its_sentence_and_its_paragraph(data_dir: Path) -> None:
    paragraphs = read_paragraphs(data_dir / "text" / "fuyao_news.txt.xz")
    pairs = [pair for pair in read_pairs(data_dir, seed=0) if pair.source == "fuyao_news question"]
    assert pairs
    for sentence, paragraph in zip(pairs[::2], pairs[1::2], strict=True):
        assert sentence.query == paragraph.query
        assert sentence.query.endswith("？")
        assert sentence.passage in paragraph.passage
        assert paragraph.passage in paragraphs


def test_a_question_is_paired_with_its_paragraph_and_the_sentence_that_answers_it(data_dir: Path) -> None:
    found = [pair for pair in read_pairs(data_dir, seed=0) if pair.query == "苏州有多少家企业？"]
    assert [pair.passage for pair in found] == ["苏州\n苏州是一座城市。它有300家企业。", "它有300家企业。"]


def test_a_missing_file_is_named(data_dir: Path) -> None:
    (data_dir / "text" / "laws.txt.xz").unlink()
    with pytest.raises(ConfigurationError, match=r"laws\.txt\.xz"):
        read_pairs(data_dir, seed=0)


def test_questions_keep_their_place() -> None:
    rng = random.Random(0)  # noqa: S311
    questions = {pairs_module._question(rng, "去年，苏州的产值增长5.2%，企业更多。") for _ in range(50)}
    assert "苏州的产值增长百分之多少？" in questions
    assert pairs_module._question(rng, "没有可以替换的内容。") is None


def test_vocabulary_takes_the_most_frequent_with_their_idf() -> None:
    bags = [["甲", "乙"], ["甲", "乙"], ["甲", "乙"], ["甲", "丙"]]
    assert choose_vocabulary(bags, 9) == {"甲": 0.0, "乙": math.log(4 / 3)}
    assert list(choose_vocabulary(bags, 1)) == ["甲"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_training_writes_a_model_that_can_be_made_again(data_dir: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    first = train_embedder(data_dir, tmp_path / "first", report=messages.append, settings=TINY)
    second = train_embedder(data_dir, tmp_path / "second", report=messages.append, settings=TINY)
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert not list(first.glob("checkpoints*"))
    record = json.loads((first / "training.json").read_text(encoding="utf-8"))
    assert record["seed"] == 0
    assert record["settings"]["dimension"] == 8
    assert record["data_sha256"].keys() >= {"text/laws.txt.xz", "mrc/cmrc2018_train.jsonl.xz"}
    assert any("损失" in message for message in messages)
    embedder = StaticEmbedder(Segmenter(), first)
    passages = embedder.embed_passages([f"{place}是江苏省的一个城市，有很多工业企业。" for place in PLACES])
    found = np.argmax(passages @ embedder.embed_query("无锡在哪个省？"))
    assert PLACES[found] == "无锡"
