"""How well each candidate answer fits a question: the columns the span ranker reads.

The text around a candidate is compared with the question around its question word, in the sentence, in the clause and
in the item of an enumeration; beside that stand the kind of answer, the unit, and whatever the question demands that
the sentence lacks or contradicts. Knows nothing of models, indexes or passages' places in documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from szqa.candidates import SPAN_COLUMNS, Sentence
from szqa.question import KINDS, Question, levels, numbers, years
from szqa.synonyms import SYNONYMS

__all__ = [
    "COLUMNS",
    "RELATIVE_COLUMNS",
    "Context",
    "Term",
    "coverage",
    "describe",
    "extract_terms",
    "pieces",
    "relate",
]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

_FUNCTION = frozenset("的了是在和与及为有被把将对于其这那个都也就由从到以之而等着过吗呢请")
# Weight of a pair of characters that belong to two words, beside that of a pair within one.
_ACROSS_WORDS: Final = 0.4
_WORD = re.compile(r"[a-z0-9][a-z0-9.]*[a-z0-9]|[a-z0-9]")
_HAN = re.compile(r"[一-鿿㐀-䶿]+")

QUESTION_COLUMNS: Final = ("kind", "question_chars", "left_share", "asks_unit", "question_years", "question_levels")
SENTENCE_COLUMNS: Final = (
    "hit_rank",
    "hit_gap",
    "hits",
    "sentence_rank",
    "sentence_cover",
    "sentence_gap",
    "neighbour_cover",
    "passage_cover",
    "title_cover",
    "all_cover",
    "local_cover",
    "local_gap",
    "character_cover",
    "sentence_run",
    "sentence_chars",
    "sentence_position",
    "missing_weight_sentence",
    "missing_weight_passage",
    "missing_share_passage",
    "year_state",
    "number_missing",
    "level_missing",
    "names",
    "name_missing_sentence",
    "name_missing_around",
    "nouns",
    "noun_missing_sentence",
    "noun_missing_around",
)
ALIGNED_COLUMNS: Final = (
    *(
        f"{region}_{side}_{direction}"
        for region in ("sentence", "clause", "item")
        for side in ("left", "right")
        for direction in ("before", "after")
    ),
    "clause_cover",
    "clause_gap",
    "item_cover",
    "item_gap",
    "item_gap_all",
    "clause_gap_all",
    "inside_weight",
    "inside_share",
    "outside_cover",
    "distance_before",
    "weight_before",
    "distance_after",
    "weight_after",
    "distance_left_last",
    "distance_right_first",
    "match_before",
    "match_after",
    "unit_state",
    "unit_other",
    "head_state",
    "kind_match",
    "level_conflict",
    "year_conflict",
    "in_question",
    "noun_missing_clause",
    "noun_missing_item",
    "item_aligned",
    "clause_aligned",
    "item_apart",
    "item_known",
    "clause_known",
    "item_run",
    "run_at_start",
    "run_at_end",
)
# Of these the ranker also sees how far a candidate is from the best one of the kind asked for.
RELATIVE_TO: Final = (
    "item_aligned",
    "clause_aligned",
    "item_apart",
    "item_known",
    "item_run",
    "match_before",
    "match_after",
    "noun_missing_item",
)
RELATIVE_COLUMNS: Final = tuple(f"{name}_gap" for name in RELATIVE_TO)
COLUMNS: Final = (*QUESTION_COLUMNS, *SENTENCE_COLUMNS, *ALIGNED_COLUMNS, *SPAN_COLUMNS, *RELATIVE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Term:
    """A piece of the question to be found in the text.

    Attributes:
        forms: strings that count as it; the first is the question's own.
        weight: how much it tells, >= 0.
        left: whether it stands left of the question word.
    """

    forms: tuple[str, ...]
    weight: float
    left: bool


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
        best_cover: the best sentence's.
        local_cover: like ``cover``, but a term found in fewer of the sentences weighs more.
        best_local_cover: the best sentence's.
        neighbour_cover: the same with the sentences beside it.
        best_clause: the largest share found in one clause of any sentence.
        best_item: the same for one item of an enumeration.
        names: names in the question, each with what may stand for it.
        nouns: other nouns in the question, likewise.
    """

    passage: str
    title: str
    start: int
    hit_rank: int
    hit_gap: float
    hits: int
    rank: int
    cover: float
    best_cover: float
    local_cover: float
    best_local_cover: float
    neighbour_cover: float
    best_clause: float
    best_item: float
    names: tuple[tuple[str, ...], ...] = ()
    nouns: tuple[tuple[str, ...], ...] = ()


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
        alternatives = _alternatives(text, {place - offset for place in breaks})
        for piece in dict.fromkeys(pieces(text)):
            function_share = sum(character in _FUNCTION for character in piece) / len(piece)
            weight = weight_of(piece) * (1.0, 0.35, 0.0)[round(2 * function_share)]
            places = [match.start() + offset for match in re.finditer(re.escape(piece), text)]
            if not piece.isascii() and all(place + 1 in breaks for place in places):
                weight *= _ACROSS_WORDS
            if weight > 0:
                terms.append(Term((piece, *alternatives.get(piece, ())), weight, left))
    return terms


def _alternatives(text: str, breaks: Collection[int]) -> dict[str, list[str]]:
    """Piece → synonyms of the words it is part of; a word of one character counts only where it stands alone."""
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
    return found


def coverage(terms: Sequence[Term], text: str) -> float:
    """Share of the terms' weight found in a folded text, [0, 1]."""
    total = sum(term.weight for term in terms)
    found = sum(term.weight for term in terms if any(form in text for form in term.forms))
    return found / total if total else 0.0


def describe(question: Question, terms: Sequence[Term], sentence: Sentence, context: Context) -> Floats:
    """Describe every candidate of a sentence.

    Returns:
        (n, len(COLUMNS) - len(RELATIVE_COLUMNS)) float32, one row a candidate of ``sentence``; ``relate`` adds the
        rest once the candidates of all sentences are together.
    """
    count = len(sentence.starts)
    shared = [*_question_columns(question, terms), *_sentence_columns(question, terms, sentence, context)]
    constant = np.broadcast_to(np.array(shared, dtype=np.float32), (count, len(shared)))
    aligned = np.stack(
        [
            np.asarray(column, dtype=np.float32)
            for column in (
                *_overlap_columns(terms, sentence, context),
                *_demand_columns(question, sentence, context),
                *_known_columns(question, terms, sentence),
            )
        ],
        axis=1,
    )
    return np.concatenate([constant, aligned, sentence.features], axis=1)


def relate(features: Floats) -> Floats:
    """Add the columns that compare each candidate of a question with the best one of the kind asked for."""
    if not len(features):
        return np.zeros((0, len(COLUMNS)), dtype=np.float32)
    kind = features[:, COLUMNS.index("kind_match")]
    values = features[:, [COLUMNS.index(name) for name in RELATIVE_TO]]
    best = values[kind == kind.max()].max(axis=0)
    return np.concatenate([features, values - best], axis=1)


def _question_columns(question: Question, terms: Sequence[Term]) -> list[float]:
    total = sum(term.weight for term in terms) or 1.0
    return [
        KINDS.index(question.kind),
        len(question.text),
        sum(term.weight for term in terms if term.left) / total,
        bool(question.unit),
        len(question.years),
        len(question.levels),
    ]


def _sentence_columns(question: Question, terms: Sequence[Term], sentence: Sentence, context: Context) -> list[float]:
    total = sum(term.weight for term in terms) or 1.0
    around = context.title + "\n" + context.passage
    missing_here = [t.weight for t in terms if not any(form in sentence.text for form in t.forms)]
    missing_around = [t.weight for t in terms if not any(form in around for form in t.forms)]
    named = numbers(sentence.text)
    return [
        context.hit_rank,
        context.hit_gap,
        context.hits,
        context.rank,
        context.cover,
        context.best_cover - context.cover,
        context.neighbour_cover,
        coverage(terms, context.passage),
        coverage(terms, context.title),
        1.0 - sum(missing_around) / total,
        context.local_cover,
        context.best_local_cover - context.local_cover,
        _character_cover(question, sentence.text),
        float(_runs(question, sentence.text).max()),
        len(sentence.text),
        context.start / max(1, len(context.passage)),
        max(missing_here, default=0.0),
        max(missing_around, default=0.0),
        sum(missing_around) / total,
        _year_state(question, sentence.text, around),
        len(question.numbers - named) if question.numbers else -1,
        len([level for level in question.levels if level not in sentence.text]) if question.levels else -1,
        len(context.names),
        _missing(context.names, sentence.text),
        _missing(context.names, around),
        len(context.nouns),
        _missing(context.nouns, sentence.text),
        _missing(context.nouns, around),
    ]


def _character_cover(question: Question, text: str) -> float:
    """Share of the question's characters, function words left out, that a text holds."""
    asked = {character for character in question.left + question.right if character.isalnum()} - _FUNCTION
    return len(asked & set(text)) / len(asked) if asked else 0.0


def _runs(question: Question, text: str) -> Ints:
    """For each boundary the longest run of characters before it that the question holds on one side of its word."""
    codes = np.array([ord(character) for character in text], dtype=np.int32)
    longest = np.zeros(len(text) + 1, dtype=np.int32)
    for side in (question.left, question.right):
        run = np.zeros(len(text) + 1, dtype=np.int32)
        for character in side:
            run[1:] = np.where(codes == ord(character), run[:-1] + 1, 0)
            run[0] = 0
            np.maximum(longest, run, out=longest)
    return longest


def _known_columns(question: Question, terms: Sequence[Term], sentence: Sentence) -> list[Floats]:
    """Columns from item_aligned to run_at_end."""
    text, starts, ends = sentence.text, sentence.starts, sentence.ends
    total = sum(term.weight for term in terms) or 1.0
    places = [_occurrences(text, term.forms) for term in terms]
    known = np.zeros(len(text), dtype=np.float32)
    for found in places:
        for start, end in found:
            known[start:end] = 1
    content = np.array([character.isalnum() for character in text], dtype=np.float32)
    known_before, content_before = (np.concatenate([[0], np.cumsum(marks)]) for marks in (known * content, content))
    columns: list[Floats] = []
    shares: list[Floats] = []
    for intervals in (sentence.items, sentence.clauses):
        left = _region_overlap(len(text), intervals, terms, places, left=True)
        right = _region_overlap(len(text), intervals, terms, places, left=False)
        columns.append((left[0][starts] + right[1][ends]) / total)
        if intervals is sentence.items:
            apart = left[0][starts] + left[1][ends] + right[0][starts] + right[1][ends]
        low, high = _bounds(intervals, starts, ends, len(text))
        outside = content_before[high] - content_before[low] - content_before[ends] + content_before[starts]
        held = known_before[high] - known_before[low] - known_before[ends] + known_before[starts]
        shares.append(np.where(outside > 0, held / np.maximum(outside, 1), 0))
    before = _runs(question, text)
    mirrored = _runs(_mirrored(question), text[::-1])[::-1]
    longest = np.zeros(len(text) + 1, dtype=np.float32)
    for a, b in sentence.items:
        longest[a : b + 1] = before[a : b + 1].max()
    runs = (longest[starts], before[starts].astype(np.float32), mirrored[ends].astype(np.float32))
    return [*columns, apart / total, *shares, *runs]


def _mirrored(question: Question) -> Question:
    text = question.text[::-1]
    return replace(question, text=text, start=len(text) - question.end, end=len(text) - question.start)


def _bounds(intervals: Sequence[tuple[int, int]], starts: Ints, ends: Ints, length: int) -> tuple[Ints, Ints]:
    """Start of the interval that holds each candidate's start, and end of the one that holds its end."""
    low, high = np.arange(length + 1, dtype=np.int32), np.arange(length + 1, dtype=np.int32)
    for a, b in intervals:
        low[a : b + 1], high[a : b + 1] = a, b
    return low[starts], high[ends]


def _missing(words: Sequence[Sequence[str]], text: str) -> int:
    """How many of the words, each given with what may stand for it, a text lacks."""
    return sum(not any(form in text for form in forms) for forms in words)


def _year_state(question: Question, sentence: str, around: str) -> int:
    """-1 no year asked, 0 it is nowhere, 1 around, 2 in the sentence; less 3 where the sentence names only others."""
    if not question.years:
        return -1
    if any(year in sentence for year in question.years):
        return 2
    return (1 if any(year in around for year in question.years) else 0) - (3 if years(sentence) else 0)


def _overlap_columns(terms: Sequence[Term], sentence: Sentence, context: Context) -> list[Floats]:
    """Columns from sentence_left_before to distance_right_first."""
    text, starts, ends = sentence.text, sentence.starts, sentence.ends
    total = sum(term.weight for term in terms) or 1.0
    places = [_occurrences(text, term.forms) for term in terms]
    columns: list[Floats] = []
    regions = (((0, len(text)),), sentence.clauses, sentence.items)
    covers: list[Floats] = []
    for intervals in regions:
        whole = np.zeros(len(text) + 1, dtype=np.float32)
        for left in (True, False):
            before, after = _region_overlap(len(text), intervals, terms, places, left=left)
            columns += [before[starts] / total, after[ends] / total]
        for a, b in intervals:
            inside = [any(a <= start and end <= b for start, end in found) for found in places]
            whole[a : b + 1] = sum(term.weight for term, held in zip(terms, inside, strict=True) if held) / total
        covers.append(whole)
    best_other = [_best_other(cover, intervals) for cover, intervals in zip(covers, regions, strict=True)]
    clause, item = covers[1], covers[2]
    columns += [clause[starts], (clause - best_other[1])[starts], item[starts], (item - best_other[2])[starts]]
    columns += [context.best_item - item[starts], context.best_clause - clause[starts]]
    return [*columns, *_near_columns(terms, places, sentence, total, context)]


def _near_columns(
    terms: Sequence[Term],
    places: Sequence[Sequence[tuple[int, int]]],
    sentence: Sentence,
    total: float,
    context: Context,
) -> list[Floats]:
    """Columns from inside_weight to distance_right_first."""
    length, starts, ends = len(sentence.text), sentence.starts, sentence.ends
    weight_at_end = np.zeros(length + 1, dtype=np.float32)
    weight_at_start = np.zeros(length + 1, dtype=np.float32)
    marked = np.zeros(length + 1, dtype=np.float32)
    left_end = np.zeros(length + 1, dtype=bool)
    right_start = np.zeros(length + 1, dtype=bool)
    for term, found in zip(terms, places, strict=True):
        for start, end in found:
            weight_at_end[end] = max(weight_at_end[end], term.weight)
            weight_at_start[start] = max(weight_at_start[start], term.weight)
            marked[start:end] = 1
            left_end[end] |= term.left
            right_start[start] |= not term.left
    cumulative = np.concatenate([[0], np.cumsum(weight_at_start)[:-1]]).astype(np.float32)
    characters = np.concatenate([[0], np.cumsum(marked[:-1])]).astype(np.float32)
    inside = np.maximum(cumulative[ends] - cumulative[starts], 0) / total
    near_before, near_after = _nearest(weight_at_end > 0, forwards=False), _nearest(weight_at_start > 0, forwards=True)
    near_left, near_right = _nearest(left_end, forwards=False), _nearest(right_start, forwards=True)
    at_before = np.maximum(starts - near_before[starts], 0)
    at_after = np.minimum(ends + near_after[ends], length)
    return [
        inside,
        (characters[ends] - characters[starts]) / (ends - starts),
        context.cover - inside,
        near_before[starts],
        weight_at_end[at_before],
        near_after[ends],
        weight_at_start[at_after],
        near_left[starts],
        near_right[ends],
    ]


def _occurrences(text: str, forms: Sequence[str]) -> list[tuple[int, int]]:
    found = []
    for form in forms:
        position = text.find(form)
        while position >= 0:
            found.append((position, position + len(form)))
            position = text.find(form, position + 1)
    return found


def _region_overlap(
    length: int,
    intervals: Sequence[tuple[int, int]],
    terms: Sequence[Term],
    places: Sequence[Sequence[tuple[int, int]]],
    *,
    left: bool,
) -> tuple[Floats, Floats]:
    """Weight of one side's terms before and after each boundary, within the boundary's own interval."""
    before = np.zeros(length + 1, dtype=np.float32)
    after = np.zeros(length + 1, dtype=np.float32)
    for a, b in intervals:
        for term, found in zip(terms, places, strict=True):
            if term.left is not left:
                continue
            within = [(start, end) for start, end in found if a <= start and end <= b]
            if within:
                before[min(end for _, end in within)] += term.weight
                after[max(start for start, _ in within)] += term.weight
        before[a : b + 1] = np.cumsum(before[a : b + 1])
        after[a : b + 1] = np.cumsum(after[a : b + 1][::-1])[::-1]
    return before, after


def _best_other(cover: Floats, intervals: Sequence[tuple[int, int]]) -> Floats:
    """For each boundary the best cover of an interval it is not in."""
    result = np.zeros_like(cover)
    values = [float(cover[a]) for a, _ in intervals]
    for number, (a, b) in enumerate(intervals):
        result[a : b + 1] = max((value for other, value in enumerate(values) if other != number), default=0.0)
    return result


def _nearest(marks: NDArray[np.bool_], *, forwards: bool) -> Ints:
    """Distance of each boundary to the next mark at or behind it (or before it), 99 where there is none."""
    length = len(marks)
    positions = np.arange(length)
    if forwards:
        known = np.where(marks, positions, 10**6)
        nearest = np.minimum.accumulate(known[::-1])[::-1] - positions
    else:
        known = np.where(marks, positions, -(10**6))
        nearest = positions - np.maximum.accumulate(known)
    return np.minimum(nearest, 99).astype(np.int32)


def _demand_columns(question: Question, sentence: Sentence, context: Context) -> list[Floats]:
    """Columns from match_before to noun_missing_item."""
    text, starts, ends = sentence.text, sentence.starts, sentence.ends
    spans = [text[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    left, right = question.left.rstrip("是为有达约共 "), question.right
    before = np.array([_common_suffix(text[:p].rstrip("是为有达约共 "), left) for p in range(len(text) + 1)])
    after = np.array([_common_prefix(text[p:], right) for p in range(len(text) + 1)])
    conflict = _level_conflict(question, sentence)
    return [
        before[starts],
        after[ends],
        np.array([_unit_state(question.unit, span, text[e:]) for span, e in zip(spans, ends.tolist(), strict=True)]),
        np.array([bool(question.unit) and _other_unit(question.unit, span) for span in spans]),
        np.array([_head_state(question.head, span, text[e:]) for span, e in zip(spans, ends.tolist(), strict=True)]),
        _kind_match(question.kind, sentence.features),
        conflict[starts],
        _year_conflict(question, sentence, context)[starts],
        np.array([span in question.text for span in spans]),
        _missing_by_interval(context.nouns, sentence.text, sentence.clauses)[starts],
        _missing_by_interval(context.nouns, sentence.text, sentence.items)[starts],
    ]


def _common_suffix(first: str, second: str) -> int:
    count = 0
    while count < min(len(first), len(second), 12) and first[-1 - count] == second[-1 - count]:
        count += 1
    return count


def _common_prefix(first: str, second: str) -> int:
    count = 0
    while count < min(len(first), len(second), 12) and first[count] == second[count]:
        count += 1
    return count


def _unit_state(unit: str, span: str, behind: str) -> int:
    """-1 no unit asked, 3 the span ends with it, 2 it follows, 1 the span holds it, 0 none of these."""
    if not unit:
        return -1
    if span.endswith(unit) or (unit == "%" and span.endswith("个百分点")):
        return 3
    if behind.startswith(unit):
        return 2
    return 1 if unit in span else 0


_UNIT_BEHIND = re.compile(r"\d[万亿千百余多]*([^\d万亿千百余多.,])")


def _other_unit(unit: str, span: str) -> bool:
    found = _UNIT_BEHIND.findall(span)
    return bool(found) and not any(unit.lstrip("万亿千百").startswith(other) for other in found)


def _head_state(head: str, span: str, behind: str) -> int:
    """-1 no noun asked for, 4 the span ends with it, 3 it follows, 2 inside, 1 its last character ends the span."""
    if not head:
        return -1
    if span.endswith(head):
        return 4
    if behind.startswith(head):
        return 3
    if head in span:
        return 2
    return 1 if span.endswith(head[-1]) else 0


# Columns of SPAN_COLUMNS of which one must hold for a kind of answer, and those of which none may.
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


def _kind_match(kind: str, features: Floats) -> Floats:
    """1 where a candidate is of the kind asked for, 0 where not, -1 where the kind says nothing."""
    columns = [SPAN_COLUMNS.index(name) for name in _KIND_COLUMNS.get(kind, ())]
    if not columns:
        return np.full(len(features), -1, dtype=np.float32)
    matched: Floats = features[:, columns].max(axis=1)
    return matched


def _missing_by_interval(words: Sequence[Sequence[str]], text: str, intervals: Sequence[tuple[int, int]]) -> Floats:
    """For each boundary how many of the words its interval lacks."""
    result = np.zeros(len(text) + 1, dtype=np.float32)
    for a, b in intervals:
        result[a : b + 1] = _missing(words, text[a:b])
    return result


def _level_conflict(question: Question, sentence: Sentence) -> Floats:
    """For each boundary 1 where its item names another level than the question's, -1 where the same, else 0."""
    result = np.zeros(len(sentence.text) + 1, dtype=np.float32)
    if question.levels:
        for a, b in sentence.items:
            named = levels(sentence.text[a:b])
            if named:
                result[a : b + 1] = -1 if named & question.levels else 1
    return result


def _year_conflict(question: Question, sentence: Sentence, context: Context) -> Floats:
    """For each boundary 1 where the last year named before it is not the question's, -1 where it is, else 0."""
    result = np.zeros(len(sentence.text) + 1, dtype=np.float32)
    if not question.years:
        return result
    state = _last_year(context.passage[: context.start], question)
    for a, b in sentence.clauses:
        state = _last_year(sentence.text[a:b], question) or state
        result[a : b + 1] = state
    return result


def _last_year(text: str, question: Question) -> int:
    named = re.findall(r"(?<![\d.])((?:1[0-9]|20)\d\d)(?=年|[—\-~至到])", text)
    if not named:
        return 0
    return -1 if question.years & years(text) else 1
