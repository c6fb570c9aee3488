"""Which characters tend to stand at an answer's edges, given what the question asks.

A table of log odds learned from answered questions: 于 before a place, 年 at the end of a date, 家 at the end of a
count, the last character of the noun asked for at the end of the answer. Works on folded text; knows nothing of
sentences.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from szqa.question import Question

__all__ = ["CUE_COLUMNS", "CueCounts", "Cues"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

_START: Final = ("before_1", "before_2", "first_1", "first_2", "asked_before", "asked_first")
_END: Final = ("last_1", "last_2", "after_1", "after_2", "asked_after", "head_last", "head_last_2")
CUE_COLUMNS: Final = tuple(f"cue_{name}" for name in (*_START, *_END))

_KeysOf = Callable[[Question, str, Sequence[int]], tuple[list[str], ...]]

_SMOOTHING: Final = 4.0
# Log odds nearer to 0 than this are not worth their place in the file.
_LEAST: Final = 0.3


def _start_keys(question: Question, text: str, places: Sequence[int]) -> tuple[list[str], ...]:
    """For each name of ``_START`` the keys of the places where candidates start."""
    kind, padded = question.kind, "^^" + text
    asked, asked_pair = question.left[-1:] or "^", question.left[-2:] or "^"
    return (
        [kind + padded[place + 1] for place in places],
        [kind + padded[place : place + 2] for place in places],
        [kind + text[place] for place in places],
        [kind + text[place : place + 2] for place in places],
        [asked + padded[place + 1] for place in places],
        [asked_pair + text[place] for place in places],
    )


def _end_keys(question: Question, text: str, places: Sequence[int]) -> tuple[list[str], ...]:
    """For each name of ``_END`` the keys of the places where candidates end."""
    kind, head, padded = question.kind, question.head[-2:], text + "$"
    asked, head_end = question.right[:1] or "$", head[-1:]
    return (
        [kind + text[place - 1] for place in places],
        [kind + text[max(0, place - 2) : place] for place in places],
        [kind + padded[place] for place in places],
        [kind + (text[place : place + 2] or "$") for place in places],
        [asked + padded[place] for place in places],
        [head_end + text[place - 1] for place in places],
        [head + text[place - 1] for place in places],
    )


@dataclass(frozen=True, slots=True)
class Cues:
    """Log odds of an edge of an answer, by column and key; a key that is not known has 0."""

    tables: Mapping[str, Mapping[str, float]]

    def columns(self, question: Question, text: str, starts: Ints, ends: Ints) -> Floats:
        """(n, len(CUE_COLUMNS)) log odds at each candidate's edges; ``text`` is the folded passage."""
        at_start = self._edges(_START, _start_keys, question, text, starts)
        at_end = self._edges(_END, _end_keys, question, text, ends)
        return np.concatenate([at_start, at_end], axis=1)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read tables written by ``save``."""
        tables: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8"))
        return cls(tables)

    def save(self, path: Path) -> None:
        """Write the tables as JSON."""
        path.write_text(json.dumps(self.tables, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")

    def _edges(self, names: tuple[str, ...], keys_of: _KeysOf, question: Question, text: str, places: Ints) -> Floats:
        """(len(places), len(names)); many candidates share an edge, so each edge is looked up once."""
        some = np.flatnonzero(np.bincount(places, minlength=len(text) + 1))
        table = np.zeros((len(text) + 1, len(names)), dtype=np.float32)
        for column, (name, keys) in enumerate(zip(names, keys_of(question, text, some.tolist()), strict=True)):
            values = map(self.tables.get(name, {}).get, keys, repeat(0.0))
            table[some, column] = np.fromiter(values, dtype=np.float32, count=len(keys))
        return table[places]


class CueCounts:
    """Counts of answers' edges and of all edges, to be added up over questions and made into ``Cues``."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        self.all: Counter[tuple[str, str]] = Counter()
        self._sums = {name: [0, 0] for name in (*_START, *_END)}

    def add(
        self,
        question: Question,
        text: str,
        candidates: Iterable[tuple[int, int]],
        answers: Iterable[tuple[int, int]],
    ) -> None:
        """Count one question's candidates and answers, as intervals of the folded passage."""
        pairs, right = set(candidates), set(answers)
        for counter, chosen in ((self.all, pairs | right), (self.answers, right)):
            for name, key in _keys(question, text, chosen):
                counter[name, key] += 1
                self._sums[name][counter is self.answers] += 1

    def cues(self, *, min_count: int = 25) -> Cues:
        """Smoothed log odds of every key seen at least ``min_count`` times, those near 0 left out."""
        tables: dict[str, dict[str, float]] = {name: {} for name in (*_START, *_END)}
        for (name, key), total in sorted(self.all.items()):
            if total >= min_count:
                base = self._sums[name][1] / max(1, self._sums[name][0])
                share = (self.answers[name, key] + _SMOOTHING * base) / (total + _SMOOTHING)
                value = round(math.log(share / base), 2)
                if abs(value) >= _LEAST:
                    tables[name][key] = value
        return Cues(tables)


def _keys(question: Question, text: str, chosen: Iterable[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    intervals = list(chosen)
    at_start = _start_keys(question, text, sorted({start for start, _ in intervals}))
    at_end = _end_keys(question, text, sorted({end for _, end in intervals}))
    for name, keys in zip((*_START, *_END), (*at_start, *at_end), strict=True):
        yield from ((name, key) for key in keys)
