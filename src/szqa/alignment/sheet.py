"""The sentences read for a question, laid side by side, so that one array holds what all of them say.

A boundary stands before each character of the sheet and behind the last one. Between two sentences lies a line end,
which belongs to neither; so every boundary is one sentence's. Knows nothing of questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from szqa.alignment.terms import Forms, Occurrences
from szqa.candidates import Sentence

__all__ = ["Context", "Region", "Sheet", "lay", "longest_runs", "nearest"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_FAR: Final = 99  # as far as a distance is told
# Codes that are no character's: of the line ends of a sheet, and of the ends of the strings sought in it.
_LINE_END: Final = -1
_NOTHING: Final = -2


@dataclass(frozen=True, slots=True)
class Context:
    """Where a sentence stands among what was retrieved.

    Attributes:
        passage: the folded passage around the sentence.
        title: the folded title and headings above it.
        start: first code point of the sentence in the passage.
        hit_rank: rank of the passage, from 1.
        hit_gap: how far its score is below the best hit's, as a share of the best, [0, 1].
        hits: number of hits read.
        rank: rank of the sentence by ``cover``, from 0.
        cover: share of the terms' weight found in the sentence, [0, 1].
        local_cover: like ``cover``, but a term found in fewer of the sentences weighs more.
        neighbour_cover: like ``cover``, with the sentences beside it.
    """

    passage: str
    title: str
    start: int
    hit_rank: int
    hit_gap: float
    hits: int
    rank: int
    cover: float
    local_cover: float
    neighbour_cover: float


@dataclass(frozen=True, slots=True)
class Region:
    """Intervals of a sheet that share no boundary, in order: its sentences, their clauses or their items.

    Attributes:
        starts: (m,) first boundary of each interval.
        ends: (m,) last boundary.
        sentence: (m,) number of the sentence it is part of.
        number: (b,) number of the interval that each boundary is in, -1 where it is in none.
        grid: (m, longest) boundaries of each interval, filled up with b, one more than the last boundary.
    """

    starts: Ints
    ends: Ints
    sentence: Ints
    number: Ints
    grid: Ints

    @classmethod
    def of(cls, intervals: Sequence[Sequence[tuple[int, int]]], offsets: Ints, count: int) -> Self:
        """Region of the intervals of each sentence, given the sentences' first boundaries and the boundaries' count."""
        pairs = np.array([pair for some in intervals for pair in some], dtype=np.int64).reshape(-1, 2)
        sentence = np.repeat(np.arange(len(intervals)), [len(some) for some in intervals])
        starts, ends = (pairs + offsets[sentence, None]).T
        grid = starts[:, None] + np.arange((ends - starts).max(initial=0) + 1)
        grid[grid > ends[:, None]] = count
        number = np.full(count + 1, -1)
        number[grid] = np.arange(len(starts))[:, None]
        return cls(starts, ends, sentence, number[:count], grid)

    def spread(self, values: ArrayLike) -> Floats:
        """(m,) a value an interval → (b,) float32, that of each boundary's interval, 0 where it is in none."""
        return np.append(values, 0).astype(np.float32)[self.number]

    def sums(self, values: Floats, *, backwards: bool = False) -> Floats:
        """(b,) values → (b,) their sum from the interval's first boundary to each one, or from its last one.

        Each interval is added up by itself, so that two that hold the same weights have exactly the same sums.
        """
        padded = np.append(values, np.float32(0))
        order = slice(None, None, -1 if backwards else 1)
        padded[self.grid] = padded[self.grid][:, order].cumsum(axis=1)[:, order]
        return padded[:-1]

    def maxima(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """(b,) values >= 0 → (m,) the largest of each interval."""
        largest: NDArray[np.int32] = np.append(values, np.int32(0))[self.grid].max(axis=1, initial=0)
        return largest


@dataclass(frozen=True, slots=True)
class Sheet:
    """Sentences side by side; b = len(text) + 1 boundaries, n candidates.

    Attributes:
        text: the sentences, a line end between two.
        codes: (len(text),) code points, -1 for the line ends.
        starts: (n,) boundary at which each candidate starts.
        ends: (n,) boundary at which it ends.
        sentence: (n,) number of its sentence.
        whole: the sentences.
        clauses: their clauses.
        items: their items.
    """

    text: str
    codes: NDArray[np.int32]
    starts: Ints
    ends: Ints
    sentence: Ints
    whole: Region
    clauses: Region
    items: Region

    @property
    def boundaries(self) -> int:
        """Number of boundaries."""
        return len(self.text) + 1

    def occurrences(self, forms: Forms) -> Occurrences:
        """Every place where a sentence holds a form."""
        found = forms.occurrences(self.text)
        within = self.whole.number[found.starts] == self.whole.number[found.ends]
        return Occurrences(*(column[within] for column in found))


def lay(sentences: Sequence[Sentence]) -> Sheet:
    """Lay sentences side by side, at least one."""
    text = "\n".join(sentence.text for sentence in sentences)
    lengths = np.array([len(sentence.text) for sentence in sentences])
    offsets = np.cumsum(lengths + 1) - lengths - 1
    number = np.repeat(np.arange(len(sentences)), [len(sentence.starts) for sentence in sentences])
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.int32).copy()
    codes[offsets[1:] - 1] = _LINE_END
    return Sheet(
        text=text,
        codes=codes,
        starts=np.concatenate([sentence.starts for sentence in sentences]) + offsets[number],
        ends=np.concatenate([sentence.ends for sentence in sentences]) + offsets[number],
        sentence=number,
        whole=Region.of([((0, len(sentence.text)),) for sentence in sentences], offsets, len(text) + 1),
        clauses=Region.of([sentence.clauses for sentence in sentences], offsets, len(text) + 1),
        items=Region.of([sentence.items for sentence in sentences], offsets, len(text) + 1),
    )


def longest_runs(codes: NDArray[np.int32], sought: Sequence[str]) -> NDArray[np.int32]:
    """For each boundary the length of the longest run of characters before it that one of the strings holds."""
    asked = np.array([code for text in sought for code in (*map(ord, text), _NOTHING)], dtype=np.int32)
    place, place_asked = np.nonzero(codes[:, None] == asked)
    # Equal characters next to each other lie on one diagonal of that table, so a run is a row of successive keys.
    key = np.sort((place - place_asked + len(asked)) * (len(codes) + 1) + place)
    order = np.arange(len(key))
    first = np.maximum.accumulate(np.where(np.diff(key, prepend=-1) == 1, 0, order))
    longest = np.zeros(len(codes) + 1, dtype=np.int32)
    np.maximum.at(longest, key % (len(codes) + 1) + 1, (order - first + 1).astype(np.int32))
    return longest


def nearest(marks: Bools, region: Region, *, forwards: bool) -> Ints:
    """Distance of each boundary to the nearest mark at or before it, or behind it, within its interval; at most 99.

    Every boundary must be in an interval.
    """
    places = np.arange(len(marks))
    if forwards:
        known = np.minimum.accumulate(np.where(marks, places, len(marks))[::-1])[::-1]
        return np.where(known <= region.ends[region.number], np.minimum(known - places, _FAR), _FAR)
    known = np.maximum.accumulate(np.where(marks, places, -1))
    return np.where(known >= region.starts[region.number], np.minimum(places - known, _FAR), _FAR)
