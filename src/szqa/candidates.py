"""Candidate answers in one sentence: runs of words, numbers with their units, quoted names, clauses, lists.

Everything here depends on the sentence alone, never on the question, so it can be computed once a sentence. Works on
folded text and its tagged words; knows nothing of questions, passages or models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLOSERS", "SPAN_COLUMNS", "Sentence", "propose"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

# Tuned on CMRC 2018 trial: the exact answer is among the candidates of its sentence for x % of the questions.
_MAX_WORDS: Final = 14
_OPENERS = '《“‘「『【(〈"[<'
CLOSERS: Final = '》”’」』】)〉"]>'
_PAIRS: Final = dict(zip(_OPENERS, CLOSERS, strict=True))
_HARD = ",;:。!?…\n"
_PUNCTUATION = frozenset(_HARD + "、·-—~" + _OPENERS + CLOSERS)
_BAD_STARTS = frozenset("的了着过和与及、,;:。!?…·)》”’」』】〉]>等")
_BAD_ENDS = frozenset("的在是为和与及或于以从由被把将对向、,;:。!?…·(《“‘「『【〈[<之")

_NUMERAL = r"第?(?:\d[\d,.]*\d|\d|[一二三四五六七八九十百千两〇零]+(?=[个年月日家名位万亿百千岁次种项条座届世]))"
_NUMBER = re.compile(
    rf"{_NUMERAL}(?:万亿|[万亿千百]+)?(?:[余多来几]+)?"
    r"(?:%|‰|℃|个百分点|平方千米|平方公里|平方米|立方米|公里|千米|公斤|厘米|毫米|公顷|公尺|美元|港元|日元|欧元|英镑|人次|家次|小时|分钟"
    r"|个月|周年|[家个元亩吨辆台套项件次场条座所名位人根种类届期户批款部集章首张枚只头架艘站层支对队门岁年月日天周倍米克度斤升秒分级代字票股点号路世])?"
)
_WORD = re.compile(r"[a-z0-9][a-z0-9.+#&_'/-]*[a-z0-9+#]|[a-z0-9]")
_TITLE = re.compile(r"《[^《》]*》")
_PERCENT = re.compile(r"\d(?:%|‰|个百分点)|百分之")
_MONEY = re.compile(r"(?:元|美元|港元|日元|欧元|英镑|人民币|英镑|法郎|马克)(?:人民币|以上|左右|余)?$")
_DATE = re.compile(
    r"\d{3,4}年|\d{1,2}月|\d+世纪|[〇零一二三四五六七八九十]{2,}年|年代|年间|时期|[元初末]年|月底|年底|年初|年末"
)
# Part of speech → code; tags that trees need not tell apart share one, and near ones are neighbours.
_TAGS: Final = {
    tag: code
    for code, tags in enumerate(
        (
            "m", "q", "t", "nr nrt nrfg", "ns", "nt", "nz", "n", "vn", "v", "a an", "ad d", "p", "c",
            "u uj ul uz ug ud uv", "r", "f s", "eng", "x", "i l", "j", "b", "k", "y",
        ),
        start=1,
    )
    for tag in tags.split()
}  # fmt: skip
_ORGANISATION = re.compile(
    r"(?:公司|企业|集团|银行|大学|学院|学校|中学|小学|研究院|研究所|协会|学会|委员会|部|局|厅|院|社|会|队|团|党|厂|中心|联盟|军|乐队|球会|电视台|医院|法院)$"
)
_PLACE = re.compile(
    r"(?:省|市|县|区|镇|乡|村|州|国|洲|岛|山|河|江|湖|海|街|路|道|站|港|湾|寺|庙|园|公园|城|地区|高新区|开发区|园区|境内|一带|部|边|里|上|内|附近)$"
)

SPAN_COLUMNS: Final = (
    "span_chars",
    "span_words",
    "span_words_share",
    "span_number",
    "span_number_first",
    "span_percent",
    "span_money",
    "span_date",
    "span_person",
    "span_unknown",
    "span_dotted",
    "span_place",
    "span_place_suffix",
    "span_organisation",
    "span_quoted",
    "span_quoted_inside",
    "span_latin",
    "span_has_enumeration",
    "span_has_comma",
    "span_has_de",
    "span_has_verb",
    "span_noun_end",
    "tag_first",
    "tag_last",
    "tag_before",
    "tag_after",
    "at_sentence_start",
    "at_sentence_end",
    "at_clause_start",
    "at_clause_end",
    "at_item_start",
    "at_item_end",
    "words_to_clause_start",
    "words_to_clause_end",
    "in_brackets",
    "part_of_quoted",
    "crosses_boundary_class",
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with its candidate answers.

    Attributes:
        text: the folded sentence.
        starts: (n,) first code point of each candidate within the sentence.
        ends: (n,) code point after the last one.
        clauses: intervals between 「，；：」 and the like, in order.
        items: intervals between those and 「、」, in order: the finest unit that says one thing.
        features: (n, len(SPAN_COLUMNS)) what the candidate is, whatever is asked.
    """

    text: str
    starts: Ints
    ends: Ints
    clauses: tuple[tuple[int, int], ...]
    items: tuple[tuple[int, int], ...]
    features: Floats


def propose(folded: str, tokens: Sequence[tuple[str, int, int, str]]) -> Sentence:
    """Propose the candidate answers of one folded sentence, given its words as (text, start, end, tag)."""
    clauses, items = _intervals(folded, _HARD), _intervals(folded, _HARD + "、")
    boundaries, tags = _units(folded, tokens)
    first, last = _pairs(folded, boundaries, clauses, items)
    starts, ends = boundaries[first], boundaries[last]
    features = _describe(folded, boundaries, tags, first, last, clauses, items)
    return Sentence(folded, starts, ends, clauses, items, features)


def _intervals(folded: str, marks: str) -> tuple[tuple[int, int], ...]:
    """Intervals between marks; a comma or colon between two digits belongs to a number or a time."""
    found, start = [], 0
    for position, character in enumerate(folded):
        if character not in marks:
            continue
        around = folded[max(0, position - 1) : position] + folded[position + 1 : position + 2]
        if not (character in ",:" and len(around) == 2 and around.isdigit()):
            if position > start:
                found.append((start, position))
            start = position + 1
    if start < len(folded):
        found.append((start, len(folded)))
    return tuple(found)


def _units(folded: str, tokens: Sequence[tuple[str, int, int, str]]) -> tuple[Ints, list[str]]:
    """Boundaries a candidate may begin or end at, and the tag of the unit that begins at each but the last."""
    allowed = {token[1] for token in tokens} | {len(folded)}
    for character in range(len(folded)):
        if folded[character] in _PUNCTUATION:
            allowed |= {character, character + 1}
    for match in _NUMBER.finditer(folded):
        allowed -= set(range(match.start() + 1, match.end()))
        allowed |= {match.start(), match.end()}
    for match in _WORD.finditer(folded):
        if not match.group()[0].isdigit() or not match.group().isdigit():
            allowed -= set(range(match.start() + 1, match.end()))
    # A title is named whole, with its marks or without.
    for match in _TITLE.finditer(folded):
        allowed -= set(range(match.start() + 2, match.end() - 1))
    boundaries = sorted(allowed)
    tag_at: dict[int, str] = {}
    for _, start, end, tag in tokens:
        for position in range(start, end):
            tag_at[position] = tag
    tags = [_unit_tag(folded[a:b], tag_at.get(a, "")) for a, b in pairwise(boundaries)]
    return np.array(boundaries, dtype=np.int32), tags


def _unit_tag(unit: str, tag: str) -> str:
    if unit and (unit[0].isdigit() or _NUMBER.fullmatch(unit)):
        return "t" if unit[-1] in "年月日" and "个" not in unit else "m"
    return "x" if unit in _PUNCTUATION else tag


def _enclosures(folded: str) -> tuple[Ints, Ints]:
    """For each boundary 0…n the number of the innermost bracket pair around it, and that pair's depth."""
    match_of: dict[int, int] = {}
    stack: list[int] = []
    for position, character in enumerate(folded):
        if stack and character == _PAIRS[folded[stack[-1]]]:
            match_of[stack.pop()] = position
        elif character in _PAIRS:
            stack.append(position)
    inner = np.zeros(len(folded) + 1, dtype=np.int32)
    depth = np.zeros(len(folded) + 1, dtype=np.int32)
    for number, start in enumerate(sorted(match_of), start=1):
        inner[start + 1 : match_of[start] + 1] = number
        depth[start + 1 : match_of[start] + 1] += 1
    return inner, depth


def _pairs(
    folded: str, boundaries: Ints, clauses: Sequence[tuple[int, int]], items: Sequence[tuple[int, int]]
) -> tuple[Ints, Ints]:
    """Indices into the boundaries of every candidate's start and end."""
    count = len(boundaries)
    inner, _ = _enclosures(folded)
    marks = np.zeros(len(folded) + 1, dtype=np.int32)
    for start, _end in clauses[1:]:
        marks[start:] += 1
    start_ok = np.array([p < len(folded) and folded[p] not in _BAD_STARTS for p in boundaries])
    end_ok = np.array([p > 0 and folded[p - 1] not in _BAD_ENDS for p in boundaries])
    clause_ends = {end for _, end in clauses} | {len(folded)}
    clause_starts = {start for start, _ in clauses}
    ends_clause = np.array([int(p) in clause_ends for p in boundaries])
    starts_clause = np.array([int(p) in clause_starts for p in boundaries])
    at = boundaries
    rows, columns = np.triu_indices(count, 1)
    short = columns - rows <= _MAX_WORDS
    same_clause = marks[at[rows]] == marks[np.maximum(at[columns] - 1, 0)]
    run = short & same_clause
    crossed = marks[np.maximum(at[columns] - 1, 0)] - marks[at[rows]]
    to_clause_end = ends_clause[columns] & (starts_clause[rows] | (crossed <= 3))
    # A run of few words may cross a comma where brackets or a list hold it together.
    crossing = short & ~same_clause & (columns - rows <= 9) & (inner[at[rows]] == inner[at[columns]])
    keep = start_ok[rows] & (end_ok[columns] | ends_clause[columns]) & (inner[at[rows]] == inner[at[columns]])
    keep &= run | to_clause_end | crossing
    chosen = np.flatnonzero(keep)
    return rows[chosen].astype(np.int32), columns[chosen].astype(np.int32)


def _describe(
    folded: str,
    boundaries: Ints,
    tags: Sequence[str],
    first: Ints,
    last: Ints,
    clauses: Sequence[tuple[int, int]],
    items: Sequence[tuple[int, int]],
) -> Floats:
    """What each candidate is: one row a candidate, one column of ``SPAN_COLUMNS``."""
    starts, ends = boundaries[first], boundaries[last]
    codes = np.array([0, *(_TAGS.get(tag, _TAGS.get(tag[:1], 0)) for tag in tags), 0], dtype=np.int32)
    clause_start, clause_end = _interval_bounds(clauses, len(folded))
    item_start, item_end = _interval_bounds(items, len(folded))
    unit_of = np.searchsorted(boundaries, np.arange(len(folded) + 1))
    inner, depth = _enclosures(folded)
    verbs = np.concatenate([[0], np.cumsum(codes[1:-1] == _TAGS["v"])])
    shape = _shapes(folded, starts, ends)
    dots = _count(folded, "·•‧・".__contains__)
    before = np.array([character in _OPENERS for character in folded] + [False])
    closed = np.array([character in CLOSERS for character in folded] + [False])
    columns = [
        ends - starts,
        last - first,
        (ends - starts) / max(1, len(folded)),
        *shape[:5],
        _any_code(codes, first, last, _TAGS["nr"]),
        _any_code(codes, first, last, 0),
        dots[ends] > dots[starts],
        _any_code(codes, first, last, _TAGS["ns"]),
        *shape[5:8],
        (inner[starts] > 0) & before[np.maximum(starts - 1, 0)],
        *shape[8:],
        verbs[last] - verbs[first],
        np.isin(codes[last], [4, 5, 6, 7, 8, 9, 18, 21]),
        codes[first + 1],
        codes[last],
        codes[first],
        codes[last + 1],
        starts == 0,
        ends >= len(folded.rstrip("".join(_PUNCTUATION))),
        starts == clause_start[starts],
        ends == clause_end[ends - 1],
        starts == item_start[starts],
        ends == item_end[ends - 1],
        first - unit_of[clause_start[starts]],
        unit_of[clause_end[ends - 1]] - last,
        depth[starts],
        (inner[starts] > 0) & ~(before[np.maximum(starts - 1, 0)] & closed[ends]),
        clause_end[starts] < ends,
    ]
    return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)


def _shapes(folded: str, starts: Ints, ends: Ints) -> list[NDArray[np.bool_]]:
    """What a candidate's characters tell: the columns from span_number to span_has_de, less the tagged ones."""
    number_start = np.zeros(len(folded) + 1, dtype=bool)
    number_start[[match.start() for match in _NUMBER.finditer(folded)]] = True
    partner = np.array([ord(_PAIRS.get(character, "\0")) for character in folded])
    codes = np.array([ord(character) for character in folded])
    quoted = (partner[starts] > 0) & (partner[starts] == codes[ends - 1])
    letters = _count(folded, str.isalpha)
    foreign = _count(folded, lambda character: not character.isascii())
    counts = [_count(folded, marks.__contains__) for marks in ("、", ",;:", "的")]
    return [
        _holds(_NUMBER, folded, starts, ends),
        number_start[starts],
        _holds(_PERCENT, folded, starts, ends),
        _ends_with(_MONEY, folded, ends),
        _holds(_DATE, folded, starts, ends),
        _ends_with(_PLACE, folded, ends),
        _ends_with(_ORGANISATION, folded, ends),
        quoted,
        (foreign[ends] == foreign[starts]) & (letters[ends] > letters[starts]),
        *(count[ends] > count[starts] for count in counts),
    ]


def _count(folded: str, accepts: Callable[[str], bool]) -> Ints:
    """For each boundary the number of accepted characters before it."""
    return np.concatenate([[0], np.cumsum([accepts(character) for character in folded])]).astype(np.int32)


def _holds(expression: re.Pattern[str], folded: str, starts: Ints, ends: Ints) -> NDArray[np.bool_]:
    """Whether a candidate holds a whole match."""
    latest = np.full(len(folded) + 1, -1, dtype=np.int32)
    for match in expression.finditer(folded):
        latest[match.end()] = match.start()
    held: NDArray[np.bool_] = np.maximum.accumulate(latest)[ends] >= starts
    return held


def _ends_with(expression: re.Pattern[str], folded: str, ends: Ints) -> NDArray[np.bool_]:
    """Whether the few characters before a candidate's end match."""
    flags = np.zeros(len(folded) + 1, dtype=bool)
    for end in np.unique(ends).tolist():
        flags[end] = expression.search(folded[max(0, end - 6) : end]) is not None
    return flags[ends]


def _any_code(codes: Ints, first: Ints, last: Ints, code: int) -> NDArray[np.bool_]:
    counts = np.concatenate([[0], np.cumsum(codes[1:-1] == code)])
    return counts[last] > counts[first]


def _interval_bounds(intervals: Sequence[tuple[int, int]], length: int) -> tuple[Ints, Ints]:
    """For each code point the start and the end of its interval; its own place where it is in none."""
    start = np.arange(length + 1, dtype=np.int32)
    end = np.arange(1, length + 2, dtype=np.int32)
    for a, b in intervals:
        start[a : b + 1], end[a : b + 1] = a, b
    end[-1:] = length
    return start, end
