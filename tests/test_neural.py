"""What the network is given, and how its answer is read."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from szqa.errors import ConfigurationError
from szqa.neural import (
    MAX_QUESTION_CHARS,
    TYPE_COUNT,
    CharScores,
    Pair,
    Vocabulary,
    assemble,
    best_spans,
    encode_pair,
    find_question_word,
    match_lengths,
    score_pairs,
    stack,
    type_factors,
    windows,
    word_classes,
)
from szqa.text import Segmenter, fold

CONTEXT = "全市新增企业33家。园区的企业获评省级称号，共8家。"
VOCABULARY = Vocabulary(sorted(set(CONTEXT) | set("多少家？") - {"称"}))


def _classes(text: str, segmenter: Segmenter) -> NDArray[np.int64]:
    return word_classes(segmenter.cut(text), segmenter.plain_tag)


def _pair(question: str, segmenter: Segmenter) -> Pair:
    return encode_pair(question, CONTEXT, words=_classes(CONTEXT, segmenter), vocabulary=VOCABULARY)


def _levels(types: NDArray[np.int64]) -> tuple[list[int], ...]:
    """Match, side, sentence and word levels of context types."""
    columns, rest = [], types - 13
    for levels in (24, 6, 3, 6):
        columns.append((rest % levels).tolist())
        rest = rest // levels
    return tuple(reversed(columns))


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("范廷颂是什么时候去世的", "什么时候"),
        ("共有多少家", "多少"),
        ("谁", "谁"),
        ("位于哪里", "哪里"),
        ("园区企业", None),
    ],
)
def test_question_word(question: str, word: str | None) -> None:
    found = find_question_word(question)
    assert (question[slice(*found)] if found else None) == word


def _brute_force_run(question: str, context: str, i: int, j: int) -> int:
    def same(shift: int) -> bool:
        a, b = i + shift, j + shift
        inside = 0 <= a < len(question) and 0 <= b < len(context)
        return inside and question[a] == context[b] and question[a].isalnum()

    if not same(0):
        return 0
    before = next(shift for shift in range(1, 99) if not same(-shift))
    after = next(shift for shift in range(1, 99) if not same(shift))
    return before + after - 1


@given(st.text("甲乙丙，", max_size=8), st.text("甲乙丙，", max_size=12))
def test_match_lengths_against_brute_force(question: str, context: str) -> None:
    ends, begins = match_lengths(question, context)
    assert ends.shape == begins.shape == (len(question), len(context))
    for i in range(len(question)):
        for j in range(len(context)):
            run = _brute_force_run(question, context, i, j)
            assert (ends[i, j] + begins[i, j] - 1 if ends[i, j] else 0) == run


def test_features_of_a_pair(segmenter: Segmenter) -> None:
    pair = _pair("全市新增企业多少家？", segmenter)
    assert pair.question_types.tolist() == [11, 11, 11, 11, 11, 11, 2, 2, 3, 1]
    match, side, sentence, word = _levels(pair.context_types)
    assert match[:10] == [5, 5, 5, 5, 5, 5, 0, 0, 1, 0]
    assert side[:6] == [1] * 6
    assert match[13:15] == [2, 2]
    assert side[13:15] == [1, 1]
    assert set(sentence[:10]) == {5}
    assert set(sentence[10:]) == {0}
    assert [level // 2 for level in word[6:10]] == [8, 8, 9, 11]
    assert word[6:8] == [16, 17]


def test_full_width_and_traditional_characters_match(segmenter: Segmenter) -> None:
    plain, other = _pair("全市新增企业33家", segmenter), _pair("全市新增企業３３家", segmenter)
    assert plain.context_types.tolist() == other.context_types.tolist()
    assert plain.question_ids.tolist() == other.question_ids.tolist()


@given(st.text(max_size=80), st.text(max_size=60))
def test_any_text_is_encoded(segmenter: Segmenter, question: str, context: str) -> None:
    pair = encode_pair(question, context, words=_classes(context, segmenter), vocabulary=VOCABULARY)
    assert len(pair.context_ids) == len(pair.context_types) == len(context)
    assert len(pair.question_ids) == len(pair.question_types) == min(MAX_QUESTION_CHARS, len(question.strip()))
    for types in (pair.question_types, pair.context_types):
        assert ((types > 0) & (types < TYPE_COUNT)).all()
    assert ((pair.context_ids > 0) & (pair.context_ids < len(VOCABULARY))).all()


def test_word_classes_of_another_text_are_refused(segmenter: Segmenter) -> None:
    with pytest.raises(ValueError, match="2 word classes for 3 characters"):
        encode_pair("谁", "甲乙丙", words=_classes("甲乙", segmenter), vocabulary=VOCABULARY)


def test_type_ids_have_distinct_factors() -> None:
    factors = type_factors()
    assert factors.shape == (TYPE_COUNT, 5)
    assert len({tuple(row) for row in factors.tolist()}) == TYPE_COUNT
    assert factors.max() == len(set(factors.ravel().tolist()) - {0})


def test_vocabulary_of_texts() -> None:
    vocabulary = Vocabulary.of(["乙甲甲\n", "企業甲", "乙丙业"], min_count=2, max_size=100)
    assert vocabulary.tokens[5:] == ("甲", "业", "乙")
    assert vocabulary.encode("甲丙").tolist() == [5, vocabulary.unknown_id]
    assert len(Vocabulary.of(["甲甲乙"], min_count=1, max_size=6)) == 6


def test_transformers_loads_the_vocabulary(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    vocabulary = Vocabulary(["甲", " ", "a", "1"])
    vocabulary.save(tmp_path)
    assert Vocabulary.load(tmp_path).tokens == vocabulary.tokens
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    text = fold("甲 Ａ1乙\n")
    assert tokenizer(text)["input_ids"] == [2, *vocabulary.encode(text).tolist(), 3]


@pytest.mark.parametrize("content", ["", "{}", '{"model": {"vocab": {"[UNK]": 0, "甲": 1}}}'])
def test_foreign_vocabulary_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        Vocabulary.load(tmp_path)


def test_doubled_character_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(["甲", "甲"])


@given(length=st.integers(0, 300), size=st.integers(1, 80), data=st.data())
def test_windows_cover(length: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, size))
    places = windows(length, size=size, stride=stride)
    covered = {i for start, end in places for i in range(start, end)}
    assert covered == set(range(length))
    assert all(end - start == min(size, length) for start, end in places)


def test_window_input(segmenter: Segmenter) -> None:
    pair = _pair("多少家？", segmenter)
    window = assemble(pair, VOCABULARY, start=2, end=5)
    assert window.ids.tolist() == [
        2,
        *VOCABULARY.encode("多少家?").tolist(),
        3,
        *VOCABULARY.encode("新增企").tolist(),
        3,
    ]
    assert window.context == 6
    assert window.types[[0, 5, 9]].tolist() == [0, 0, 0]
    ids, types, mask = stack([window, assemble(pair, VOCABULARY, start=0, end=1)], VOCABULARY)
    assert ids.shape == types.shape == (2, 10)
    assert mask.sum(axis=1).tolist() == [10, 8]
    assert ids[1, 8:].tolist() == [VOCABULARY.pad_id] * 2


def _by_character(
    ids: NDArray[np.int64], types: NDArray[np.int64], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A network that says the character's id; "not here" has that of [CLS], 2."""
    return ids.astype(np.float32), ids.astype(np.float32) * 10


@given(size=st.integers(4, 40))
def test_scores_do_not_depend_on_windows_where_the_network_does_not(segmenter: Segmenter, size: int) -> None:
    pairs = [_pair("多少家？", segmenter), _pair("全市新增企业多少家？", segmenter)]
    for pair, scores in zip(
        pairs, score_pairs(_by_character, pairs, VOCABULARY, size=size, stride=size // 2), strict=True
    ):
        assert scores.starts.tolist() == (pair.context_ids - 2).tolist()
        assert scores.ends.tolist() == (pair.context_ids * 10 - 20).tolist()
    assert score_pairs(_by_character, [], VOCABULARY) == []


def test_the_window_with_more_context_scores(segmenter: Segmenter) -> None:
    def by_window(
        ids: NDArray[np.int64], types: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits = np.repeat(np.arange(len(ids), dtype=np.float32)[:, None], ids.shape[1], axis=1)
        logits[:, 0] = 0
        return logits, logits

    (scores,) = score_pairs(by_window, [_pair("谁", segmenter)], VOCABULARY, size=16, stride=10)
    assert len(CONTEXT) == 26
    assert scores.starts.tolist() == [0.0] * 13 + [1.0] * 13


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=9), st.integers(1, 4))
def test_best_spans_against_brute_force(logits: list[tuple[int, int]], max_chars: int) -> None:
    starts, ends = (np.array(column, np.float32) for column in zip(*logits, strict=True))
    expected = sorted(
        (-float(starts[i] + ends[j]), i, j + 1)
        for i in range(len(logits))
        for j in range(i, min(len(logits), i + max_chars))
    )[:3]
    found = best_spans(CharScores(starts, ends), top_k=3, max_chars=max_chars)
    assert [(-span.score, span.start, span.end) for span in found] == expected


def test_no_span_in_nothing() -> None:
    empty = np.zeros(0, np.float32)
    assert best_spans(CharScores(empty, empty)) == []


def test_tokenizer_file_has_ids_in_order(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path)
    ids = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert [ids[token] for token in VOCABULARY.tokens] == list(range(len(VOCABULARY)))
