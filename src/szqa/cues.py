"""Which characters tend to stand at an answer's edges, given what the question asks.

A table of log odds learned from answered questions: 于 before a place, 年 at the end of a date, 家 at the end of a
count, the last character of the noun asked for at the end of the answer. Works on folded text; knows nothing of
sentences.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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

_SMOOTHING: Final = 4.0
# Log odds nearer to 0 than this are not worth their place in the file.
_LEAST: Final = 0.3


def _start_keys(question: Question, text: str, position: int) -> tuple[str, ...]:
    kind, padded = question.kind, "^^" + text
    asked = question.left[-1:] or "^"
    before = padded[position : position + 2]
    return (
        kind + before[1],
        kind + before,
        kind + text[position],
        kind + text[position : position + 2],
        asked + before[1],
        (question.left[-2:] or "^") + text[position],
    )


def _end_keys(question: Question, text: str, position: int) -> tuple[str, ...]:
    kind, after = question.kind, text[position : position + 2] or "$"
    last = text[position - 1]
    head = question.head[-2:]
    return (
        kind + last,
        kind + text[max(0, position - 2) : position],
        kind + after[0],
        kind + after,
        (question.right[:1] or "$") + after[0],
        head[-1:] + last,
        head + last,
    )


@dataclass(frozen=True, slots=True)
class Cues:
    """Log odds of an edge of an answer, by column and key; a key that is not known has 0."""

    tables: Mapping[str, Mapping[str, float]]

    def columns(self, question: Question, text: str, starts: Ints, ends: Ints) -> Floats:
        """(n, len(CUE_COLUMNS)) log odds at each candidate's edges; ``text`` is the folded passage."""
        some_starts, some_ends = np.unique(starts), np.unique(ends)
        at_start = self._edges(_START, [_start_keys(question, text, place) for place in some_starts.tolist()])
        at_end = self._edges(_END, [_end_keys(question, text, place) for place in some_ends.tolist()])
        return np.concatenate(
            [at_start[np.searchsorted(some_starts, starts)], at_end[np.searchsorted(some_ends, ends)]], axis=1
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read tables written by ``save``."""
        tables: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8"))
        return cls(tables)

    def save(self, path: Path) -> None:
        """Write the tables as JSON."""
        path.write_text(json.dumps(self.tables, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")

    def _edges(self, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> Floats:
        tables = [self.tables.get(name, {}) for name in names]
        values = [[table.get(key, 0.0) for table, key in zip(tables, row, strict=True)] for row in rows]
        return np.array(values, dtype=np.float32).reshape(len(rows), len(names))


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
    for position in sorted({start for start, _ in intervals}):
        yield from zip(_START, _start_keys(question, text, position), strict=True)
    for position in sorted({end for _, end in intervals}):
        yield from zip(_END, _end_keys(question, text, position), strict=True)
