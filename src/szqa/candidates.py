"""Candidate answers in one sentence: runs of words, numbers with their units, quoted names, clauses, lists.

Everything here depends on the sentence alone, never on the question, so it can be computed once a sentence. Works on
folded text and its tagged words; knows nothing of questions, passages or models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from szqa.text import code_points

__all__ = ["CLOSERS", "SPAN_COLUMNS", "Sentence", "propose", "propose_all"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

# Most words of a candidate, and of one that crosses a comma; candidates up to a clause's end may be longer where they
# begin with a clause or cross few commas.
_MAX_WORDS: Final = 14
_MAX_CROSSING_WORDS: Final = 9
_MAX_CROSSED: Final = 3
_OPENERS = '《“‘「『【(〈"[<'
CLOSERS: Final = '》”’」』】)〉"]>'
_PAIRS: Final = dict(zip(_OPENERS, CLOSERS, strict=True))
_HARD = ",;:。!?…\n"
_PUNCTUATION = _HARD + "、·-—~" + _OPENERS + CLOSERS
_BAD_STARTS = "的了着过和与及、,;:。!?…·)》”’」』】〉]>等"
_BAD_ENDS = "的在是为和与及或于以从由被把将对向、,;:。!?…·(《“‘「『【〈[<之"

_NUMERAL = r"第?(?:\d[\d,.]*\d|\d|[一二三四五六七八九十百千两〇零]+(?=[个年月日家名位万亿百千岁次种项条座届世]))"
_NUMBER = re.compile(
    rf"{_NUMERAL}(?:万亿|[万亿千百]+)?(?:[余多来几]+)?"
    r"(?:%|‰|℃|个百分点|平方千米|平方公里|平方米|立方米|公里|千米|公斤|厘米|毫米|公顷|公尺|美元|港元|日元|欧元|英镑|人次|家次|小时|分钟"
    r"|个月|周年|[家个元亩吨辆台套项件次场条座所名位人根种类届期户批款部集章首张枚只头架艘站层支对队门岁年月日天周倍米克度斤升秒分级代字票股点号路世])?"
)
_WORD = re.compile(r"[a-z0-9][a-z0-9.+#&_'/-]*[a-z0-9+#]|[a-z0-9]")
_TITLE = re.compile(r"《[^《》\n]*》")
_PERCENT = re.compile(r"\d(?:%|‰|个百分点)|百分之")
_MONEY: Final = tuple(
    unit + rest for unit in ("元", "英镑", "人民币", "法郎", "马克") for rest in ("", "人民币", "以上", "左右", "余")
)
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
_ORGANISATION: Final = (
    "公司", "企业", "集团", "银行", "大学", "学校", "中学", "小学", "研究所", "部", "局", "厅", "院", "社", "会", "队",
    "团", "党", "厂", "中心", "联盟", "军", "电视台",
)  # fmt: skip
_PLACE: Final = (*"省市县区镇乡村州国洲岛山河江湖海街路道站港湾寺庙园城部边里上内", "一带", "附近")
_NOUN_ENDS: Final = (4, 5, 6, 7, 8, 9, 18, 21)
_LAST_ASCII: Final = 127

# What a character may be, a bit each, and the bits of every character of the basic plane.
_KINDS: Final = (_PUNCTUATION.replace("\n", ""), _BAD_STARTS, _BAD_ENDS, _OPENERS, CLOSERS, "·•‧・", "、", ",;:", "的")
_MARK, _BAD_START, _BAD_END, _OPENER, _CLOSER, _DOT, _LISTING, _COMMA, _DE = (1 << bit for bit in range(len(_KINDS)))
_KIND_OF: Final = np.zeros(1 << 16, dtype=np.uint16)
np.bitwise_or.at(
    _KIND_OF, [ord(c) for some in _KINDS for c in some], [1 << bit for bit, some in enumerate(_KINDS) for _ in some]
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
    return propose_all([folded], [tokens])[0]


def propose_all(sentences: Sequence[str], tokens: Sequence[Sequence[tuple[str, int, int, str]]]) -> list[Sentence]:
    """Propose the candidate answers of folded sentences, each as ``propose`` does, which takes longer one by one.

    Args:
        sentences: the folded sentences, without line ends.
        tokens: of each its words, as (text, start, end, tag), with offsets into it.
    """
    if not sentences:
        return []
    line = _Line(sentences, tokens)
    first, last = _pairs(line)
    features = _describe(line, first, last)
    starts, ends = line.boundaries[first], line.boundaries[last]
    cuts = np.searchsorted(starts, line.offsets[1:])
    split = zip(*(np.split(array, cuts) for array in (starts, ends, features)), strict=True)
    return [
        Sentence(text, its_starts - offset, its_ends - offset, clauses, items, its_features)
        for text, offset, clauses, items, (its_starts, its_ends, its_features) in zip(
            sentences, line.offsets, line.clauses, line.items, split, strict=True
        )
    ]


class _Line:
    """Sentences one after the other, a line end behind each, so that one array describes the characters of all.

    Attributes:
        text: the sentences, joined.
        codes: (n,) its code points.
        kinds: (n,) bits of ``_KINDS`` for each character.
        offsets: (sentences,) where each begins.
        ends: (sentences,) where each ends: at its line end.
        sentence: (n,) number of the sentence of each character.
        clauses: of each sentence, as ``Sentence`` has them.
        items: likewise.
        numbers: (start, end) of every number with its unit.
        boundaries: (b,) places where a candidate may begin or end, ascending.
        tags: (b,) code of the tag of the unit that begins there, 0 at the end of a sentence.
        inner: (n,) number of the innermost bracket pair around each place, 0 where there is none.
        depth: (n,) how many pairs there are around it.
    """

    def __init__(self, sentences: Sequence[str], tokens: Sequence[Sequence[tuple[str, int, int, str]]]) -> None:
        self.text = "\n".join((*sentences, ""))
        self.codes = code_points(self.text)
        self.kinds = _KIND_OF[np.minimum(self.codes, len(_KIND_OF) - 1)]
        sizes = np.array([len(sentence) + 1 for sentence in sentences])
        self.ends = np.cumsum(sizes) - 1
        self.offsets = self.ends + 1 - sizes
        self.sentence = np.repeat(np.arange(len(sentences)), sizes)
        self.clauses = [_intervals(sentence, _HARD) for sentence in sentences]
        self.items = [_intervals(sentence, _HARD + "、") for sentence in sentences]
        self.numbers = [match.span() for match in _NUMBER.finditer(self.text)]
        self.boundaries = self._find_boundaries(tokens)
        self.tags = self._tag_codes(tokens)
        self.inner, self.depth = _enclosures(self.text)

    def across(self, intervals: Sequence[Sequence[tuple[int, int]]]) -> Ints:
        """Intervals within each sentence as intervals of the line, (number, 2)."""
        found = [(a + o, b + o) for o, its in zip(self.offsets.tolist(), intervals, strict=True) for a, b in its]
        return np.array(found, dtype=np.int32).reshape(-1, 2)

    def _find_boundaries(self, tokens: Sequence[Sequence[tuple[str, int, int, str]]]) -> Ints:
        allowed = np.zeros(len(self.text) + 1, dtype=bool)
        allowed[[offset + token[1] for offset, its in zip(self.offsets, tokens, strict=True) for token in its]] = True
        marks = np.flatnonzero(self.kinds & _MARK)
        allowed[marks] = allowed[marks + 1] = True
        allowed[self.ends] = True
        for start, end in self.numbers:
            allowed[start + 1 : end] = False
            allowed[start] = allowed[end] = True
        for match in _WORD.finditer(self.text):
            if not match.group()[0].isdigit() or not match.group().isdigit():
                allowed[match.start() + 1 : match.end()] = False
        # A title is named whole, with its marks or without.
        for match in _TITLE.finditer(self.text):
            allowed[match.start() + 2 : match.end() - 1] = False
        return np.flatnonzero(allowed[: len(self.text)]).astype(np.int32)

    def _tag_codes(self, tokens: Sequence[Sequence[tuple[str, int, int, str]]]) -> Ints:
        tag_at = np.zeros(len(self.text), dtype=np.int32)
        tags: dict[str, int] = {"": 0}
        for offset, its in zip(self.offsets.tolist(), tokens, strict=True):
            for _, start, end, tag in its:
                tag_at[offset + start : offset + end] = tags.setdefault(tag, len(tags))
        names = list(tags)
        places = self.boundaries.tolist()
        units = [self.text[a:b] for a, b in pairwise((*places, len(self.text)))]
        found = [_unit_tag(unit, names[number]) for unit, number in zip(units, tag_at[places].tolist(), strict=True)]
        codes = np.array([_TAGS.get(tag, _TAGS.get(tag[:1], 0)) for tag in found], dtype=np.int32)
        codes[np.searchsorted(self.boundaries, self.ends)] = 0
        return codes


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


def _unit_tag(unit: str, tag: str) -> str:
    if unit and (unit[0].isdigit() or _NUMBER.fullmatch(unit)):
        return "t" if unit[-1] in "年月日" and "个" not in unit else "m"
    return "x" if unit in _PUNCTUATION else tag


def _enclosures(text: str) -> tuple[Ints, Ints]:
    """For each place the number of the innermost bracket pair around it, and that pair's depth."""
    match_of: dict[int, int] = {}
    stack: list[int] = []
    for position, character in enumerate(text):
        if character == "\n":
            stack.clear()
        elif stack and character == _PAIRS[text[stack[-1]]]:
            match_of[stack.pop()] = position
        elif character in _PAIRS:
            stack.append(position)
    inner = np.zeros(len(text), dtype=np.int32)
    depth = np.zeros(len(text), dtype=np.int32)
    for number, start in enumerate(sorted(match_of), start=1):
        inner[start + 1 : match_of[start] + 1] = number
        depth[start + 1 : match_of[start] + 1] += 1
    return inner, depth


def _pairs(line: _Line) -> tuple[Ints, Ints]:
    """Indices into the boundaries of every candidate's start and end, ascending."""
    at = line.boundaries
    # Every pair of boundaries of one sentence.
    later = np.searchsorted(at, line.ends[line.sentence[at]]) - np.arange(len(at))
    rows = np.repeat(np.arange(len(at)), later)
    columns = rows + 1 + np.arange(len(rows)) - np.repeat(np.cumsum(later) - later, later)
    begun = np.zeros(len(line.text), dtype=np.int32)
    begun[line.across([its[1:] for its in line.clauses])[:, 0]] = 1
    begun = np.cumsum(begun)
    edges = line.across(line.clauses)
    starts_clause, ends_clause = np.isin(at, edges[:, 0]), np.isin(at, edges[:, 1]) | np.isin(at, line.ends)
    start_ok = (line.kinds[at] & _BAD_START) == 0
    end_ok = (line.kinds[at - 1] & _BAD_END) == 0
    inner, words = line.inner[at], columns - rows
    keep = start_ok[rows] & (end_ok | ends_clause)[columns] & (inner[rows] == inner[columns])
    crossed = begun[at - 1][columns] - begun[at][rows]
    to_clause_end = ends_clause[columns] & (starts_clause[rows] | (crossed <= _MAX_CROSSED))
    # A run of few words may cross a comma where brackets or a list hold it together.
    run = (words <= _MAX_WORDS) & ((crossed == 0) | (words <= _MAX_CROSSING_WORDS))
    chosen = np.flatnonzero(keep & (run | to_clause_end))
    return rows[chosen].astype(np.int32), columns[chosen].astype(np.int32)


def _describe(line: _Line, first: Ints, last: Ints) -> Floats:
    """What each candidate is: one row a candidate, one column of ``SPAN_COLUMNS``."""
    starts, ends = line.boundaries[first], line.boundaries[last]
    tags, sentence = line.tags, line.sentence[starts]
    clause_start, clause_end = _interval_bounds(line.across(line.clauses), len(line.text))
    item_start, item_end = _interval_bounds(line.across(line.items), len(line.text))
    unit_of = np.searchsorted(line.boundaries, np.arange(len(line.text)))
    verbs = _before(tags == _TAGS["v"])
    shape = _shapes(line, starts, ends)
    dots = _before(line.kinds & _DOT)
    opened = (line.kinds[starts - 1] & _OPENER) > 0
    closed = (line.kinds[ends] & _CLOSER) > 0
    spoken = line.ends - [len(text) - len(text.rstrip(_PUNCTUATION)) for text in line.text.split("\n")[:-1]]
    columns = [
        ends - starts,
        last - first,
        (ends - starts) / np.maximum(1, line.ends - line.offsets)[sentence],
        *shape[:5],
        _any_code(tags, first, last, _TAGS["nr"]),
        _any_code(tags, first, last, 0),
        dots[ends] > dots[starts],
        _any_code(tags, first, last, _TAGS["ns"]),
        *shape[5:8],
        (line.inner[starts] > 0) & opened,
        *shape[8:],
        verbs[last] - verbs[first],
        np.isin(tags, _NOUN_ENDS)[last - 1],
        tags[first],
        tags[last - 1],
        tags[first - 1],  # the end of the sentence before, or of the last one, has no tag
        tags[last],
        starts == line.offsets[sentence],
        ends >= spoken[sentence],
        starts == clause_start[starts],
        ends == clause_end[ends - 1],
        starts == item_start[starts],
        ends == item_end[ends - 1],
        first - unit_of[clause_start[starts]],
        unit_of[clause_end[ends - 1]] - last,
        line.depth[starts],
        (line.inner[starts] > 0) & ~(opened & closed),
        clause_end[starts] < ends,
    ]
    return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)


def _shapes(line: _Line, starts: Ints, ends: Ints) -> list[NDArray[np.bool_]]:
    """What a candidate's characters tell: the columns from span_number to span_has_de, less the tagged ones."""
    number_start = np.zeros(len(line.text), dtype=bool)
    number_start[[start for start, _ in line.numbers]] = True
    partner = np.zeros(len(line.text), dtype=np.uint32)
    openers = np.flatnonzero(line.kinds & _OPENER)
    partner[openers] = [ord(_PAIRS[line.text[place]]) for place in openers.tolist()]
    quoted = (partner[starts] > 0) & (partner[starts] == line.codes[ends - 1])
    letters = _before(np.fromiter(map(str.isalpha, line.text), dtype=bool, count=len(line.text)))
    foreign = _before(line.codes > _LAST_ASCII)
    counts = [_before(line.kinds & kind) for kind in (_LISTING, _COMMA, _DE)]
    return [
        _holds(line.numbers, starts, ends, len(line.text)),
        number_start[starts],
        _holds([match.span() for match in _PERCENT.finditer(line.text)], starts, ends, len(line.text)),
        _ends_with(_MONEY, line, ends),
        _holds([match.span() for match in _DATE.finditer(line.text)], starts, ends, len(line.text)),
        _ends_with(_PLACE, line, ends),
        _ends_with(_ORGANISATION, line, ends),
        quoted,
        (foreign[ends] == foreign[starts]) & (letters[ends] > letters[starts]),
        *(count[ends] > count[starts] for count in counts),
    ]


def _before(flags: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Ints:
    """For each place the number of flags set before it."""
    return np.concatenate([[0], np.cumsum(flags > 0)]).astype(np.int32)


def _holds(matches: Sequence[tuple[int, int]], starts: Ints, ends: Ints, length: int) -> NDArray[np.bool_]:
    """Whether a candidate holds a whole match."""
    latest = np.full(length + 1, -1, dtype=np.int32)
    latest[[end for _, end in matches]] = [start for start, _ in matches]
    held: NDArray[np.bool_] = np.maximum.accumulate(latest)[ends] >= starts
    return held


def _ends_with(words: tuple[str, ...], line: _Line, ends: Ints) -> NDArray[np.bool_]:
    """Whether one of some words stands before a candidate's end, within its sentence."""
    text = line.text
    flags = np.zeros(len(text), dtype=bool)
    flags[line.boundaries] = [text.endswith(words, 0, place) for place in line.boundaries.tolist()]
    return flags[ends]


def _any_code(codes: Ints, first: Ints, last: Ints, code: int) -> NDArray[np.bool_]:
    counts = _before(codes == code)
    return counts[last] > counts[first]


def _interval_bounds(intervals: Ints, length: int) -> tuple[Ints, Ints]:
    """For each place the start and the end of its interval; its own place where it is in none."""
    start = np.arange(length, dtype=np.int32)
    end = np.arange(1, length + 1, dtype=np.int32)
    for a, b in intervals.tolist():
        start[a : b + 1], end[a : b + 1] = a, b
    return start, end
