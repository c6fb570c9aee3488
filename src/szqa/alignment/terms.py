"""What is looked for: a question's terms with their weights, its names and nouns, and where a text holds them.

Works on folded text; knows nothing of sentences, candidates or columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from szqa.numerals import respelled
from szqa.question import Question
from szqa.synonyms import SYNONYMS

__all__ = [
    "FUNCTION_CHARACTERS",
    "Forms",
    "Occurrences",
    "Term",
    "Wanted",
    "coverage",
    "extract_terms",
    "pieces",
    "positions",
]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FUNCTION_CHARACTERS: Final = frozenset("的了是在和与及为有被把将对于其这那个都也就由从到以之而等着过吗呢请")
# Weight of a pair of characters that belong to two words, beside that of a pair within one.
_ACROSS_WORDS: Final = 0.4
_WORD = re.compile(r"[a-z0-9][a-z0-9.]*[a-z0-9]|[a-z0-9]")
_HAN = re.compile(r"[一-鿿㐀-䶿]+")


@dataclass(frozen=True, slots=True)
class Term:
    """A piece of the question to be found in the text.

    Attributes:
        forms: strings that count as it; the first is the question's own.
        weight: how much it tells, > 0.
        left: whether it stands left of the question word.
    """

    forms: tuple[str, ...]
    weight: float
    left: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question looks for.

    Attributes:
        question: the question, taken apart.
        terms: its pieces.
        names: names in it, each with what may stand for it.
        nouns: other nouns in it, likewise.
    """

    question: Question
    terms: Sequence[Term]
    names: Sequence[Sequence[str]] = ()
    nouns: Sequence[Sequence[str]] = ()


class Occurrences(NamedTuple):
    """Where a text holds some forms: (n,) the group that each occurrence belongs to, its start and its end."""

    group: Ints
    starts: Ints
    ends: Ints


@dataclass(frozen=True, slots=True)
class Forms:
    """Strings to be found in a text, in groups; a group is held where one of its strings is.

    Attributes:
        texts: all strings, group by group.
        firsts: index in ``texts`` of each group's first string.
    """

    texts: tuple[str, ...]
    firsts: tuple[int, ...]

    @classmethod
    def of(cls, groups: Sequence[Sequence[str]]) -> Self:
        """Forms of some groups, none of which is empty."""
        ends = np.cumsum([len(group) for group in groups], dtype=np.int64)
        firsts = [0, *ends.tolist()][: len(groups)]
        return cls(tuple(form for group in groups for form in group), tuple(firsts))

    def held_by(self, texts: Sequence[str]) -> Bools:
        """(len(texts), number of groups) which groups each text holds."""
        if not self.texts or not texts:
            return np.zeros((len(texts), len(self.firsts)), dtype=bool)
        found = np.array([[form in text for form in self.texts] for text in texts], dtype=bool)
        held: Bools = np.logical_or.reduceat(found, self.firsts, axis=1)
        return held

    def occurrences(self, text: str) -> Occurrences:
        """Every place where a text holds a form, overlapping ones too."""
        found = [
            (number, start, start + len(form))
            for number, form in enumerate(self.texts)
            if form in text
            for start in positions(text, form)
        ]
        form, starts, ends = np.array(found, dtype=np.int64).reshape(-1, 3).T
        return Occurrences(np.searchsorted(self.firsts, form, side="right") - 1, starts, ends)


def positions(text: str, sought: str, *, step: int = 1) -> Iterator[int]:
    """Where a text holds a string, each place a step or more behind the one before: overlapping ones by default."""
    position = text.find(sought)
    while position >= 0:
        yield position
        position = text.find(sought, position + step)


def coverage(terms: Sequence[Term], held: Sequence[bool]) -> float:
    """Share of the terms' weight that is held, [0, 1], given for each term whether it is."""
    weights = [term.weight for term in terms]
    total = sum(weights)
    return sum(compress(weights, held)) / total if total else 0.0


def pieces(folded: str) -> list[str]:
    """Words of letters and digits, and pairs of neighbouring Han characters."""
    found = _WORD.findall(folded)
    for run in _HAN.findall(folded):
        found.extend(run[i : i + 2] for i in range(len(run) - 1)) if len(run) > 1 else found.append(run)
    return found


def extract_terms(question: Question, weight_of: Callable[[str], float], *, breaks: Collection[int] = ()) -> list[Term]:
    """Terms of a question's two sides, each piece once a side.

    Args:
        question: the question.
        weight_of: how much a piece tells, >= 0.
        breaks: where in the question's text a word begins; a pair of characters across two words tells less.
    """
    terms: list[Term] = []
    for text, offset, left in ((question.left, 0, True), (question.right, question.end, False)):
        inner = {place - offset for place in breaks}
        alternatives = _alternatives(text, inner)
        for piece in dict.fromkeys(pieces(text)):
            function_share = sum(character in FUNCTION_CHARACTERS for character in piece) / len(piece)
            weight = weight_of(piece) * (1.0, 0.35, 0.0)[round(2 * function_share)]
            if not piece.isascii() and all(place + 1 in inner for place in positions(text, piece, step=len(piece))):
                weight *= _ACROSS_WORDS
            if weight > 0:
                terms.append(Term((piece, *alternatives.get(piece, ())), weight, left))
    return terms


def _alternatives(text: str, breaks: Collection[int]) -> dict[str, list[str]]:
    """Piece → synonyms of the words it is part of, and the other spelling of the number.

    A word of one character counts only where it stands alone.
    """
    found: dict[str, list[str]] = {}
    edges = {0, *breaks, len(text)}
    for word, others in SYNONYMS.items():
        if word not in text:
            continue
        parts = {word, *pieces(word)}
        if len(word) == 1:
            alone = [at for at, character in enumerate(text) if character == word and {at, at + 1} <= edges]
            parts = {text[max(0, first) : first + 2] for at in alone for first in (at - 1, at)}
        for piece in parts:
            found.setdefault(piece, []).extend(others)
    for start, end, spellings in respelled(text):
        for piece in pieces(text[start:end]):
            found.setdefault(piece, []).extend(spellings)
    return found
