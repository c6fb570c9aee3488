"""What a question demands of an answer: words beside it, a unit, a kind, a year, a level; and what it contradicts.

Knows nothing of how much the terms of a question tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from szqa.alignment.sheet import Context, Region, Sheet, longest_runs
from szqa.alignment.terms import Forms, Wanted, positions
from szqa.candidates import SPAN_COLUMNS
from szqa.question import Question, levels, years

__all__ = ["demand_columns"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Column = NDArray[np.generic]

# Characters that may stand between an answer and what stands left of it.
_LINKS: Final = "是为有达约共 "
_MAX_MATCH: Final = 12
_UNIT_BEHIND = re.compile(r"\d[万亿千百余多]*([^\d万亿千百余多.,])")
# Columns of SPAN_COLUMNS of which one must hold for a kind of answer.
_KIND_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "count": ("span_number",),
    "percent": ("span_percent",),
    "money": ("span_money",),
    "date": ("span_date",),
    "person": ("span_person", "span_unknown", "span_dotted", "span_latin"),
    "place": ("span_place", "span_place_suffix"),
    "organisation": ("span_organisation",),
    "title": ("span_quoted", "span_quoted_inside"),
    "list": ("span_has_enumeration",),
}


def demand_columns(wanted: Wanted, sheet: Sheet, contexts: Sequence[Context], spans: Floats) -> list[Column]:
    """Columns from match_before to noun_missing_item; ``spans`` are the candidates' own columns."""
    question, starts, ends = wanted.question, sheet.starts, sheet.ends
    # The longest run of a mirrored text before a boundary is the longest one behind it in the text.
    known_behind = longest_runs(sheet.codes[::-1], (question.text[::-1],))[::-1]
    return [
        _match_before(sheet, question.left)[starts],
        _match_after(sheet, question.right)[ends],
        _unit_state(sheet, question.unit),
        _other_unit(sheet, question.unit),
        _head_state(sheet, question.head),
        _kind_match(question.kind, spans),
        _level_conflict(question, sheet)[starts],
        _year_conflict(question, sheet, contexts)[starts],
        known_behind[starts] >= ends - starts,
        *(_missing_by_interval(wanted.nouns, sheet, region)[starts] for region in (sheet.clauses, sheet.items)),
    ]


def _match_before(sheet: Sheet, left: str) -> Ints:
    """For each boundary how many characters before it, links left out, are those before the question word."""
    places = np.arange(sheet.boundaries)
    links = np.isin(sheet.codes, [ord(character) for character in _LINKS])
    linked = np.maximum.accumulate(np.where(np.append(False, links), 0, places))
    return _matched(sheet.codes[::-1], left.rstrip(_LINKS)[::-1])[::-1][linked]


def _match_after(sheet: Sheet, right: str) -> Ints:
    """For each boundary how many characters behind it are those behind the question word."""
    return _matched(sheet.codes, right)


def _matched(codes: NDArray[np.int32], sought: str) -> Ints:
    """For each boundary how many characters behind it are the first ones of a string, at most 12."""
    padded = np.append(codes, np.full(_MAX_MATCH, -1, dtype=np.int32))
    count = np.zeros(len(codes) + 1, dtype=np.int64)
    matching = np.ones(len(codes) + 1, dtype=bool)
    for place, character in enumerate(sought[:_MAX_MATCH]):
        matching &= padded[place : place + len(matching)] == ord(character)
        if not matching.any():
            break
        count += matching
    return count


class _Stand(NamedTuple):
    """(n,) each: where a word stands, seen from a candidate."""

    at_end: Bools
    behind: Bools
    inside: Bools


def _stand(sheet: Sheet, word: str) -> _Stand:
    begins = np.array(list(positions(sheet.text, word)), dtype=np.int64)
    begun = np.zeros(sheet.boundaries, dtype=bool)
    begun[begins] = True
    beginning = np.full(sheet.boundaries, -1)
    beginning[begins + len(word)] = begins
    at_end = beginning[sheet.ends] >= sheet.starts
    return _Stand(at_end, begun[sheet.ends], _holds(sheet, begins, begins + len(word)))


def _holds(sheet: Sheet, begins: Ints, finishes: Ints) -> Bools:
    """Whether a candidate holds one of some stretches, of which none lies within another; in order."""
    latest = np.full(sheet.boundaries, -1)
    latest[finishes] = begins
    held: Bools = np.maximum.accumulate(latest)[sheet.ends] >= sheet.starts
    return held


def _unit_state(sheet: Sheet, unit: str) -> Column:
    """-1 no unit asked, 3 a candidate ends with it, 2 it follows, 1 the candidate holds it, 0 none of these."""
    if not unit:
        return np.full(len(sheet.starts), -1)
    at_end, behind, inside = _stand(sheet, unit)
    if unit == "%":
        at_end = at_end | _stand(sheet, "个百分点").at_end
    return np.select([at_end, behind, inside], [3, 2, 1])


def _other_unit(sheet: Sheet, unit: str) -> Column:
    """Whether a candidate holds numbers, and each with another unit than the one asked for."""
    if not unit:
        return np.zeros(len(sheet.starts), dtype=bool)
    matches = list(_UNIT_BEHIND.finditer(sheet.text))
    same = [unit.lstrip("万亿千百").startswith(match.group(1)) for match in matches]
    begins, finishes = np.array([match.span() for match in matches], dtype=np.int64).reshape(-1, 2).T
    return _holds(sheet, begins, finishes) & ~_holds(sheet, begins[same], finishes[same])


def _head_state(sheet: Sheet, head: str) -> Column:
    """-1 no noun asked for, 4 a candidate ends with it, 3 it follows, 2 inside, 1 the last character is at the end."""
    if not head:
        return np.full(len(sheet.starts), -1)
    at_end, behind, inside = _stand(sheet, head)
    return np.select([at_end, behind, inside, sheet.codes[sheet.ends - 1] == ord(head[-1])], [4, 3, 2, 1])


def _kind_match(kind: str, spans: Floats) -> Floats:
    """1 where a candidate is of the kind asked for, 0 where not, -1 where the kind says nothing."""
    columns = [SPAN_COLUMNS.index(name) for name in _KIND_COLUMNS.get(kind, ())]
    if not columns:
        return np.full(len(spans), -1, dtype=np.float32)
    matched: Floats = spans[:, columns].max(axis=1)
    return matched


def _missing_by_interval(words: Sequence[Sequence[str]], sheet: Sheet, region: Region) -> Floats:
    """For each boundary how many of the words, each given with what may stand for it, its interval lacks."""
    found = sheet.occurrences(Forms.of(words))
    interval = region.number[found.starts]
    inside = (interval >= 0) & (interval == region.number[found.ends])
    held = np.zeros((len(words), len(region.starts)), dtype=bool)
    held[found.group[inside], interval[inside]] = True
    return region.spread(len(words) - held.sum(axis=0))


def _level_conflict(question: Question, sheet: Sheet) -> Floats:
    """For each boundary 1 where its item names another level than the question's, -1 where the same, else 0."""
    if not question.levels:
        return np.zeros(sheet.boundaries, dtype=np.float32)
    named = [levels(sheet.text[a:b]) for a, b in zip(sheet.items.starts, sheet.items.ends, strict=True)]
    return sheet.items.spread([(-1 if some & question.levels else 1) if some else 0 for some in named])


def _year_conflict(question: Question, sheet: Sheet, contexts: Sequence[Context]) -> Floats:
    """For each boundary 1 where the last year named before it is not the question's, -1 where it is, else 0."""
    if not question.years:
        return np.zeros(sheet.boundaries, dtype=np.float32)
    states = [_last_year(context.passage[: context.start], question) for context in contexts]
    clauses, by_clause = sheet.clauses, []
    for number, start, end in zip(clauses.sentence, clauses.starts, clauses.ends, strict=True):
        states[number] = _last_year(sheet.text[start:end], question) or states[number]
        by_clause.append(states[number])
    return clauses.spread(by_clause)


def _last_year(text: str, question: Question) -> int:
    named = years(text)
    if not named:
        return 0
    return -1 if named & question.years else 1
