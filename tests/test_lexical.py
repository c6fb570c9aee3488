"""BM25 against a hand-written formula, fields, and what is saved."""

import math
from pathlib import Path

import numpy as np
import pytest

from szqa.datatypes import Passage
from szqa.errors import IndexFormatError
from szqa.lexical import TITLE_WEIGHT, LexicalBuilder, LexicalIndex, index_terms, passage_terms
from szqa.text import Segmenter


def _passage(text: str, number: int, *, title: str = "题", headings: tuple[str, ...] = ()) -> Passage:
    return Passage(f"d:{number}", "d", title, headings, text, 0, len(text))


@pytest.fixture
def passages() -> list[Passage]:
    return [
        _passage("苏州有33家智能工厂", 0, title="江苏"),
        _passage("无锡有湖", 1, title="江苏"),
        _passage("失业率为5.1%", 2, title="海南", headings=("就业",)),
        _passage("！！！", 3, title="江苏"),
    ]


def test_terms_are_words_and_marked_bigrams(segmenter: Segmenter) -> None:
    assert index_terms(segmenter, "苏州33家") == ["苏州", "33", "家", "#苏州", "#州3", "#33", "#3家"]


def test_scores_are_bm25(passages: list[Passage], segmenter: Segmenter) -> None:
    index = LexicalIndex.build(passages, segmenter)
    lengths = [max(1, len(index_terms(segmenter, p.text))) for p in passages]
    idf = math.log(1 + (4 - 1 + 0.5) / (1 + 0.5))  # each term of 无锡 stands in one of four passages
    tf = 1 / (1 + 0.6 * (1 - 0.4 + 0.4 * lengths[1] / (sum(lengths) / 4)))
    scores = index.scores("无锡")
    assert scores[1] == pytest.approx(2 * idf * tf, rel=1e-5)  # the word and its bigram
    assert np.count_nonzero(scores) == 1


def test_title_and_headings_count(passages: list[Passage], segmenter: Segmenter) -> None:
    index = LexicalIndex.build(passages, segmenter)
    scores = index.scores("海南")
    assert scores.argmax() == 2
    assert scores[2] > 0
    assert TITLE_WEIGHT > 0
    assert index.scores("就业").argmax() == 2


def test_traditional_and_wide_forms_match(passages: list[Passage], segmenter: Segmenter) -> None:
    index = LexicalIndex.build(passages, segmenter)
    np.testing.assert_allclose(index.scores("無錫"), index.scores("无锡"))
    np.testing.assert_allclose(index.scores("３３家"), index.scores("33家"))


@pytest.mark.parametrize("question", ["", "🙂🙂", "？？？", "zzz qqq"])
def test_nothing_known_scores_zero(passages: list[Passage], segmenter: Segmenter, question: str) -> None:
    scores = LexicalIndex.build(passages, segmenter).scores(question)
    assert scores.shape == (4,)
    assert not scores.any()


def test_written_in_parts_it_scores_alike(passages: list[Passage], segmenter: Segmenter, tmp_path: Path) -> None:
    index = LexicalIndex.build(passages, segmenter)
    builder = LexicalBuilder(tmp_path, tmp_path, segmenter)
    builder.add(passage_terms(passages[:3], segmenter))
    builder.add(passage_terms(passages[3:], segmenter))
    builder.finish()
    loaded = LexicalIndex.load(tmp_path, segmenter, size=4)
    np.testing.assert_array_equal(loaded.scores("苏州智能工厂"), index.scores("苏州智能工厂"))
    with pytest.raises(IndexFormatError, match="5"):
        LexicalIndex.load(tmp_path, segmenter, size=5)


def test_terms_read_back_are_those_that_were_added(
    passages: list[Passage], segmenter: Segmenter, tmp_path: Path
) -> None:
    added = passage_terms(passages, segmenter)
    read = LexicalIndex.build(passages, segmenter).read_terms(added.titles, tmp_path)
    for rows, expected in ((read.body, added.body), (read.title, added.title)):
        assert rows.keys.tolist() == expected.keys.tolist()
        assert rows.counts.tolist() == expected.counts.tolist()
        assert rows.sizes.tolist() == expected.sizes.tolist()
        assert rows.lengths.tolist() == np.maximum(expected.lengths, 1).tolist()


@pytest.mark.parametrize("name", ["body/keys.npy", "title/rows.npy", "series/shares.npy"])
def test_missing_and_damaged_files_are_index_format_errors(
    passages: list[Passage], segmenter: Segmenter, tmp_path: Path, name: str
) -> None:
    builder = LexicalBuilder(tmp_path, tmp_path, segmenter)
    builder.add(passage_terms(passages, segmenter))
    builder.finish()
    (tmp_path / name).write_bytes(b"not an array")
    with pytest.raises(IndexFormatError, match="szqa build"):
        LexicalIndex.load(tmp_path, segmenter, size=4)
    np.save(tmp_path / name, np.zeros(3, dtype=np.int8))
    with pytest.raises(IndexFormatError, match="int8"):
        LexicalIndex.load(tmp_path, segmenter, size=4)
    (tmp_path / name).unlink()
    with pytest.raises(IndexFormatError, match="szqa build"):
        LexicalIndex.load(tmp_path, segmenter, size=4)


def test_what_tells_sister_titles_apart_counts(segmenter: Segmenter) -> None:
    names = ("云南", "海南", "湖南")
    sisters = [_passage("城镇调查失业率为5.1%。", n, title=f"{name}省政府工作报告") for n, name in enumerate(names)]
    index = LexicalIndex.build([*sisters, _passage("失业率的定义：海南。", 3, title="名词解释")], segmenter)
    coverage = index.series.coverage(passage_terms([_passage("海南的失业率是多少", 0)], segmenter).body.keys.tolist())
    assert coverage[1] > 0.3
    assert coverage[[0, 2, 3]].tolist() == [0, 0, 0]
    scores = index.scores("海南的失业率是多少")
    assert scores[1] > 2 * max(scores[0], scores[2])


def test_unrelated_titles_are_no_series(segmenter: Segmenter) -> None:
    index = LexicalIndex.build([_passage("有湖。", 0, title="无锡"), _passage("有海。", 1, title="海南")], segmenter)
    assert len(index.series.keys) == 0
