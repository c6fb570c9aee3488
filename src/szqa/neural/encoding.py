"""A question and a passage as numbers.

Both become characters (ids of their folded form) and one *type id* each, which says how the character takes part in the
match between the two: length of the longest shared string it belongs to, whether that string touches the question word,
how well its sentence covers the question, and the class of its word. It knows nothing of networks and windows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from szqa.neural.vocabulary import Vocabulary
from szqa.text import Token, code_points, fold, split_sentences

__all__ = [
    "INPUT_VERSION",
    "MARK_CLASS",
    "MAX_QUESTION_CHARS",
    "TYPE_COUNT",
    "Pair",
    "encode_pair",
    "find_question_word",
    "match_lengths",
    "type_factors",
    "word_classes",
]

INPUT_VERSION = 1
"""Written to a model's config.json as ``szqa_input_version``; raised whenever the meaning of a type id changes."""

MAX_QUESTION_CHARS = 64
"""Longer questions keep their last characters, which hold the question word more often than the first."""

# Longest first, so that 什么时候 is not read as 什么.
_QUESTION_WORD = re.compile(
    r"什么时候|什么时间|什么地方|什么样|百分之多少|百分之几|哪[一几]?[年月日天些个位种次届家名项座条部首本里儿]|"
    r"何[时地年处人种]|为什么|为何|怎么样|怎样|怎么|如何|多少|多[大长高久远]|什么|[谁几哪何]|是否|吗"
)
# Words that a question puts between its content and the question word, and a text does not.
_COPULAS = frozenset("是为有在了的于叫做乃达到由被")

_MATCH_LEVELS, _SIDES, _SENTENCE_LEVELS = 6, 3, 6
_WORD_CLASSES = (
    ("function", ""), ("unknown", ""), ("noun", "n vn i l j s"), ("person", "nr"), ("place", "ns"), ("name", "nt nz"),
    ("verb", "v"), ("modifier", "a b d z"), ("number", "m"), ("unit", "q"), ("time", "t"), ("mark", ""),
)  # fmt: skip
_CLASS_NAMES = tuple(name for name, _ in _WORD_CLASSES)
_CLASS_OF_TAG = {tag: _CLASS_NAMES.index(name) for name, tags in _WORD_CLASSES for tag in tags.split()}
_FUNCTION, _UNKNOWN, _NUMBER, _MARK = (_CLASS_NAMES.index(name) for name in ("function", "unknown", "number", "mark"))
MARK_CLASS = 2 * _MARK
"""What ``word_classes`` says of a punctuation mark or a space that stands alone."""
_WORD_LEVELS = 2 * len(_WORD_CLASSES)
_NUMERAL = re.compile(r"[\d.,%零〇一二三四五六七八九十百千万亿两半几]*[\d零〇一二三四五六七八九十百千万亿两半][%]?")

_QUESTION_BASE = 1
_CONTEXT_BASE = _QUESTION_BASE + _MATCH_LEVELS * 2
TYPE_COUNT = _CONTEXT_BASE + _MATCH_LEVELS * _SIDES * _SENTENCE_LEVELS * _WORD_LEVELS
"""Number of type ids: ``type_vocab_size`` of a model made for them."""


def find_question_word(folded_question: str) -> tuple[int, int] | None:
    """Place of the question word, or ``None`` in a question without one."""
    match = _QUESTION_WORD.search(folded_question)
    return match.span() if match else None


def match_lengths(folded_question: str, folded_context: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Length of the common run through every pair of equal characters, seen from both ends.

    Returns:
        Two (question characters, context characters) arrays: length of the longest common string that *ends* at the
        pair, and of the longest that *begins* there; 0 where the characters differ or the question's is no letter,
        digit or Han character.
    """
    equal = _equality(folded_question, folded_context)
    rows, columns = equal.shape
    ends = np.zeros((rows + 1, columns + 1), np.int64)
    begins = np.zeros((rows + 1, columns + 1), np.int64)
    for row in range(rows):
        np.multiply(ends[row, :-1] + 1, equal[row], out=ends[row + 1, 1:])
    for row in range(rows - 1, -1, -1):
        np.multiply(begins[row + 1, 1:] + 1, equal[row], out=begins[row, :-1])
    return ends[1:, 1:], begins[:-1, :-1]


def _equality(folded_question: str, folded_context: str) -> NDArray[np.bool_]:
    question, context = code_points(folded_question), code_points(folded_context)
    counts = np.fromiter((character.isalnum() for character in folded_question), np.bool_, len(folded_question))
    equal: NDArray[np.bool_] = (question[:, None] == context[None, :]) & counts[:, None]
    return equal


def word_classes(tokens: Sequence[Token], tag_of: Callable[[str], str]) -> NDArray[np.int64]:
    """Class of every character's word, twice the class plus one inside the word (not on its first character).

    A class comes from the tag that a dictionary gives the word, whatever its context, so plain segmentation is
    enough, which is five times as fast as tagging; words that the dictionary lacks have a class of their own.

    Args:
        tokens: the words of a text, all of it.
        tag_of: tag of a word, empty where the dictionary lacks it; ``Segmenter.plain_tag``.
    """
    levels: list[int] = []
    for token in tokens:
        word = token.text
        if not any(map(str.isalnum, word)):
            kind = _MARK
        elif _NUMERAL.fullmatch(word):
            kind = _NUMBER
        else:
            tag = tag_of(word)
            kind = _CLASS_OF_TAG.get(tag[:2], _CLASS_OF_TAG.get(tag[:1], _FUNCTION)) if tag else _UNKNOWN
        levels.extend(2 * kind + (position > 0) for position in range(token.end - token.start))
    return np.array(levels, np.int64)


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and a passage as the network sees them, without the special characters.

    Attributes:
        question_ids: (q,) character ids.
        question_types: (q,) type ids.
        context_ids: (c,) character ids, one for every character of the passage.
        context_types: (c,) type ids.
    """

    question_ids: NDArray[np.int64]
    question_types: NDArray[np.int64]
    context_ids: NDArray[np.int64]
    context_types: NDArray[np.int64]


def encode_pair(question: str, context: str, *, words: NDArray[np.int64], vocabulary: Vocabulary) -> Pair:
    """Encode a question and a passage.

    Args:
        question: as asked; only its last ``MAX_QUESTION_CHARS`` characters are used.
        context: text of the passage, as it stands in its document.
        words: ``word_classes`` of the passage, (characters,), so that a passage is cut into words only once.
        vocabulary: the model's characters.
    """
    if len(words) != len(context):
        raise ValueError(f"{len(words)} word classes for {len(context)} characters")
    folded_question, folded_context = fold(question.strip())[-MAX_QUESTION_CHARS:], fold(context)
    ends, begins = match_lengths(folded_question, folded_context)
    runs = np.where(ends > 0, ends + begins - 1, 0)
    question_word = find_question_word(folded_question)
    asked = np.zeros(len(folded_question), np.int64)
    if question_word:
        asked[slice(*question_word)] = 1
    sides = _sides(folded_question, question_word, ends, begins)
    sentences = _sentence_levels(context, ends)
    question_types = _QUESTION_BASE + _match_levels(runs.max(axis=1, initial=0)) * 2 + asked
    context_types = _match_levels(runs.max(axis=0, initial=0))
    for levels, values in ((_SIDES, sides), (_SENTENCE_LEVELS, sentences), (_WORD_LEVELS, words)):
        context_types = context_types * levels + values
    return Pair(
        vocabulary.encode(folded_question),
        question_types,
        vocabulary.encode(folded_context),
        context_types + _CONTEXT_BASE,
    )


def _match_levels(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2, 3 as they are, 4–5 as 4 and everything longer as 5."""
    return np.where(lengths < 4, lengths, np.where(lengths < 6, 4, 5))


def _sides(
    folded_question: str,
    question_word: tuple[int, int] | None,
    ends: NDArray[np.int64],
    begins: NDArray[np.int64],
) -> NDArray[np.int64]:
    """1 on shared strings that end where the question word begins, 2 on those that begin where it ends, else 0."""
    sides = np.zeros(ends.shape[1], np.int64)
    if question_word is None:
        return sides
    left, right = question_word[0] - 1, question_word[1]
    while left >= 0 and not _is_content(folded_question[left]):
        left -= 1
    while right < len(folded_question) and not _is_content(folded_question[right]):
        right += 1
    if left >= 0:
        for column in np.flatnonzero(ends[left] >= 2):
            sides[column - ends[left, column] + 1 : column + 1] = 1
    if right < len(folded_question):
        for column in np.flatnonzero(begins[right] >= 2):
            sides[column : column + begins[right, column]] = 2
    return sides


def _is_content(character: str) -> bool:
    return character.isalnum() and character not in _COPULAS


def _sentence_levels(context: str, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Twice the level of the share of the question's bigrams in the character's sentence, plus one in the best."""
    pairs = ends[1:] >= 2  # a bigram of the question ends at its second character
    shares: list[tuple[int, int, float]] = []
    for start, end in split_sentences(context):
        found = np.count_nonzero(pairs[:, start + 1 : end].any(axis=1))
        shares.append((start, end, found / max(1, len(pairs))))
    best = max((share for _, _, share in shares), default=0.0)
    levels = np.zeros(len(context), np.int64)
    for start, end, share in shares:
        coverage = int(share >= 1 / 6) + int(share >= 1 / 3)
        levels[start:end] = 2 * coverage + int(share == best and best > 0)
    return levels


@cache
def type_factors() -> NDArray[np.int64]:
    """Rows of a smaller table whose sum stands for each type id, (TYPE_COUNT, 5); row 0 means nothing.

    A network that learns the factors instead of ``TYPE_COUNT`` unrelated vectors knows what a rare combination means.
    """
    factors = np.zeros((TYPE_COUNT, 5), np.int64)
    row = 1
    factors[0, 0] = row
    row += 1
    question = np.arange(_MATCH_LEVELS * 2)
    ids = question + _QUESTION_BASE
    factors[ids, 0] = row + question // 2
    factors[ids, 1] = row + _MATCH_LEVELS + question % 2
    row += _MATCH_LEVELS + 2
    rest = np.arange(TYPE_COUNT - _CONTEXT_BASE)
    for column, levels in ((3, _WORD_LEVELS), (2, _SENTENCE_LEVELS), (1, _SIDES), (0, _MATCH_LEVELS)):
        factors[_CONTEXT_BASE:, column] = row + rest % levels
        rest //= levels
        row += levels
    factors[_CONTEXT_BASE:, 4] = row
    return factors
