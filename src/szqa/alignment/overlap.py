"""How the text around a candidate overlaps with the question around its question word: the aligned columns.

What stands left of the question word should stand before the answer, and what stands right of it behind the answer, in
the sentence, in the clause or in the item. Knows nothing of kinds of answers or of what must hold of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from szqa.alignment.sheet import Context, Region, Sheet, longest_runs, nearest
from szqa.alignment.terms import Forms, Occurrences, Wanted
from szqa.question import Question

__all__ = ["Overlaps", "known_columns", "near_columns", "overlap_columns", "overlaps"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Column = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the intervals of a region share with the question; m intervals, b boundaries.

    Attributes:
        left_before: (b,) weight of the terms left of the question word that end at or before a boundary.
        left_after: (b,) of those that start at or behind it.
        right_before: (b,) like ``left_before``, of the terms right of the question word.
        right_after: (b,) like ``left_after``, of those.
        cover: (m,) float64, share of all terms' weight in each interval.
    """

    left_before: Floats
    left_after: Floats
    right_before: Floats
    right_after: Floats
    cover: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Where the sentences of a sheet hold the question's terms, and how far each region overlaps with it.

    Attributes:
        weights: (t,) the terms' weights.
        left: (t,) whether each stands left of the question word.
        total: the sum of the weights.
        found: the occurrences.
        whole: overlap of the sentences.
        clauses: of the clauses.
        items: of the items.
    """

    weights: Floats
    left: NDArray[np.bool_]
    total: float
    found: Occurrences
    whole: Overlap
    clauses: Overlap
    items: Overlap


def overlaps(wanted: Wanted, sheet: Sheet) -> Overlaps:
    """Find a question's terms in a sheet, and how far each of its regions overlaps with them."""
    found = sheet.occurrences(Forms.of([term.forms for term in wanted.terms]))
    weights = np.array([term.weight for term in wanted.terms], dtype=np.float64)
    left = np.array([term.left for term in wanted.terms], dtype=bool)
    total = sum(weights.tolist()) or 1.0
    whole, clauses, items = (
        _overlap(region, found, weights, left=left, total=total) for region in (sheet.whole, sheet.clauses, sheet.items)
    )
    return Overlaps(weights.astype(np.float32), left, total, found, whole, clauses, items)


def _overlap(
    region: Region, found: Occurrences, weights: NDArray[np.float64], *, left: NDArray[np.bool_], total: float
) -> Overlap:
    count, boundaries = len(region.starts), len(region.number)
    interval = region.number[found.starts]
    inside = (interval >= 0) & (interval == region.number[found.ends])
    # A term counts once an interval: before a boundary from its first end on, behind it up to its last start.
    pair = found.group[inside] * count + interval[inside]
    first_end = np.full(len(weights) * count, boundaries)
    last_start = np.full(len(weights) * count, -1)
    np.minimum.at(first_end, pair, found.ends[inside])
    np.maximum.at(last_start, pair, found.starts[inside])
    held = np.flatnonzero(last_start >= 0)
    term, interval = held // max(1, count), held % max(1, count)
    weight, on_left = weights[term].astype(np.float32), left[term]
    ends, starts = first_end[held], last_start[held]
    return Overlap(
        left_before=region.sums(_placed(ends[on_left], weight[on_left], boundaries)),
        left_after=region.sums(_placed(starts[on_left], weight[on_left], boundaries), backwards=True),
        right_before=region.sums(_placed(ends[~on_left], weight[~on_left], boundaries)),
        right_after=region.sums(_placed(starts[~on_left], weight[~on_left], boundaries), backwards=True),
        cover=np.bincount(interval, weights=weights[term], minlength=count) / total,
    )


def _placed(places: Ints, weights: Floats, boundaries: int) -> Floats:
    """(boundaries,) the weight at each boundary."""
    placed = np.zeros(boundaries, dtype=np.float32)
    np.add.at(placed, places, weights)
    return placed


def overlap_columns(overlaps: Overlaps, sheet: Sheet) -> list[Column]:
    """Columns from sentence_left_before to clause_gap_all."""
    starts, ends, total = sheet.starts, sheet.ends, overlaps.total
    columns: list[Column] = []
    for overlap in (overlaps.whole, overlaps.clauses, overlaps.items):
        columns += [overlap.left_before[starts] / total, overlap.left_after[ends] / total]
        columns += [overlap.right_before[starts] / total, overlap.right_after[ends] / total]
    gaps = []
    for overlap, region in ((overlaps.clauses, sheet.clauses), (overlaps.items, sheet.items)):
        cover = region.spread(overlap.cover)
        others = region.spread(_best_other(overlap.cover.astype(np.float32), region.sentence))
        columns += [cover[starts], (cover - others)[starts]]
        gaps.append(np.float32(overlap.cover.max(initial=0)) - cover[starts])
    return [*columns, *reversed(gaps)]


def _best_other(cover: Floats, sentence: Ints) -> Floats:
    """For each interval the best cover of another interval of its sentence, 0 where there is none."""
    count = sentence.max(initial=-1) + 1
    best, second = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.float32)
    np.maximum.at(best, sentence, cover)
    top = cover == best[sentence]
    np.maximum.at(second, sentence[~top], cover[~top])
    alone = np.bincount(sentence[top], minlength=count) == 1
    return np.where(top & alone[sentence], second[sentence], best[sentence])


def near_columns(overlaps: Overlaps, sheet: Sheet, contexts: Sequence[Context]) -> list[Column]:
    """Columns from inside_weight to distance_right_first."""
    starts, ends, whole, found = sheet.starts, sheet.ends, sheet.whole, overlaps.found
    weights, left = overlaps.weights[found.group], overlaps.left[found.group]
    weight_at_end = np.zeros(sheet.boundaries, dtype=np.float32)
    weight_at_start = np.zeros(sheet.boundaries, dtype=np.float32)
    np.maximum.at(weight_at_end, found.ends, weights)
    np.maximum.at(weight_at_start, found.starts, weights)
    left_end, right_start = np.zeros((2, sheet.boundaries), dtype=bool)
    left_end[found.ends[left]] = True
    right_start[found.starts[~left]] = True
    # No term starts at the last boundary of a sentence, so moving on by one never leaves it.
    cumulative = whole.sums(np.concatenate([weight_at_start[-1:], weight_at_start[:-1]]))
    inside = np.maximum(cumulative[ends] - cumulative[starts], 0) / overlaps.total
    known = np.concatenate([[0], np.cumsum(_known(found, len(sheet.text)))])
    near_before = nearest(weight_at_end > 0, whole, forwards=False)
    near_after = nearest(weight_at_start > 0, whole, forwards=True)
    boundary = np.arange(sheet.boundaries)
    before = weight_at_end[np.maximum(boundary - near_before, whole.starts[whole.number])]
    after = weight_at_start[np.minimum(boundary + near_after, whole.ends[whole.number])]
    return [
        inside,
        (known[ends] - known[starts]) / (ends - starts),
        np.array([context.cover for context in contexts], dtype=np.float32)[sheet.sentence] - inside,
        near_before[starts],
        before[starts],
        near_after[ends],
        after[ends],
        nearest(left_end, whole, forwards=False)[starts],
        nearest(right_start, whole, forwards=True)[ends],
    ]


def _known(found: Occurrences, length: int) -> NDArray[np.bool_]:
    """(length,) whether each character is part of a term."""
    edges = np.bincount(found.starts, minlength=length + 1) - np.bincount(found.ends, minlength=length + 1)
    return np.cumsum(edges)[:length] > 0


def known_columns(overlaps: Overlaps, sheet: Sheet, question: Question, runs: NDArray[np.int32]) -> list[Column]:
    """Columns from item_aligned to run_at_end, given the longest run of the question's before each boundary."""
    starts, ends = sheet.starts, sheet.ends
    content = np.fromiter(map(str.isalnum, sheet.text), dtype=bool, count=len(sheet.text))
    content_before = np.concatenate([[0], np.cumsum(content)])
    known_before = np.concatenate([[0], np.cumsum(content & _known(overlaps.found, len(sheet.text)))])
    items, clauses = overlaps.items, overlaps.clauses
    apart = items.left_before[starts] + items.left_after[ends] + items.right_before[starts] + items.right_after[ends]
    shares = []
    for region in (sheet.items, sheet.clauses):
        low, high = _bounds(region, starts, ends)
        outside = content_before[high] - content_before[low] - content_before[ends] + content_before[starts]
        held = known_before[high] - known_before[low] - known_before[ends] + known_before[starts]
        shares.append(np.where(outside > 0, held / np.maximum(outside, 1), 0))
    mirrored = _mirrored(question)
    runs_behind = longest_runs(sheet.codes[::-1], (mirrored.left, mirrored.right))[::-1]
    return [
        (items.left_before[starts] + items.right_after[ends]) / overlaps.total,
        (clauses.left_before[starts] + clauses.right_after[ends]) / overlaps.total,
        apart / overlaps.total,
        *shares,
        sheet.items.spread(sheet.items.maxima(runs))[starts],
        runs[starts],
        runs_behind[ends],
    ]


def _bounds(region: Region, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Start of the interval that holds each candidate's start, and end of the one that holds its end."""
    first, last = region.number[starts], region.number[ends]
    low = np.where(first >= 0, np.append(region.starts, 0)[first], starts)
    high = np.where(last >= 0, np.append(region.ends, 0)[last], ends)
    return low, high


def _mirrored(question: Question) -> Question:
    text = question.text[::-1]
    return replace(question, text=text, start=len(text) - question.end, end=len(text) - question.start)
