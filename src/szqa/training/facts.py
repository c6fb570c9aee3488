"""Facts that reports state in a plain shape: numbers, titles, things, lists and dates.

33家企业获评…, 获评绿色工厂93家, 增加值增长9%: taken apart into what is asked for and what a question about it is made
of. Pure functions of text and tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from szqa.text import Token
from szqa.training.targets import Target, find_targets

__all__ = ["Fact", "facts_of"]

Shape = Literal["trailing", "leading", "growth", "title", "thing", "list", "date"]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a text says in so many words.

    Attributes:
        shape: how it is said.
        start: first character of the answer in the text.
        end: character after it.
        subject: what comes before the verb (苏州).
        verb: the verb, may be empty.
        noun: what is counted, measured or asked for (绿色工厂), in the text's words.
        rest: what follows the answer.
        unit: unit of a number (家, 亿元, %), or the last noun of a title, thing or list.
        text: the piece of the text that says it.
        answer: the answer's characters.
    """

    shape: Shape
    start: int
    end: int
    subject: str
    verb: str
    noun: str
    rest: str
    unit: str
    text: str
    answer: str


_CLAUSE_END: Final = frozenset("，；：。！？,;:!?\n—")
_OPENING, _CLOSING = "（(“《「", "）)”》」"
# What stands between a thing and its number without meaning much.
_LEADING: Final = re.compile(
    r"(?:达到|超过|突破|增至|扩大到|提高到|提升至|提高至|提升到|增加到|上升到|累计|共计|总计"
    r"|达|超|约|近|为|至|到|共|逾|有|分别|已|均)+$"
)
_GROWTH: Final = re.compile(r"(?:同比|年均|比上年|分别)*(增长|下降|提高|上涨|减少|增加|提升|上升)$")
_VERBS: Final = (
    "获批 建设 获评 入选 成立 启动 召开 举办 发布 创建 建成 启用 荣获 设立 通过 出台 构建 打造 "
    "开展 实施 组建 落户 获得 印发 制定 推出 建立 形成 推进 推动 承办 开通 上线 完成 新增 培育 "
    "签署 开工 投产 深化 推行 颁布 修订 拥有 突破 攻克 "
)
_FACT_VERBS: Final = frozenset(_VERBS.split())
_DATE: Final = re.compile(
    r"(截至|到|至|自|从)?((?:19|20)\d\d年(?:\d{1,2}(?:—\d{1,2})?月(?:\d{1,2}日)?)?[初末底]?)[，,]?"
)


def facts_of(text: str, tokens: Sequence[Token], sentences: Sequence[tuple[int, int]]) -> Iterator[Fact]:
    """Facts of plain shape in a text.

    Args:
        text: the text.
        tokens: its words with parts of speech.
        sentences: intervals of its sentences.
    """
    for start, end in sentences:
        inside = [token for token in tokens if start <= token.start and token.end <= end]
        targets = [target for target in find_targets(text, inside) if inside]
        numbers = [target for target in targets if target.kind in ("number", "percent")]
        for first, last in _items(inside, numbers):
            yield from _facts_of_item(text, inside, first, last, targets)
        yield from _dates(text, start, end)


def _items(tokens: Sequence[Token], numbers: Sequence[Target]) -> Iterator[tuple[int, int]]:
    """Token intervals of clauses, and of the parts of an enumeration that each hold a number."""
    depth, first, clause = 0, 0, []
    for index, token in enumerate(tokens):
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth <= 0 and token.text in _CLAUSE_END:
            clause.append((first, index))
            first = index + 1
    clause.append((first, len(tokens)))
    for low, high in clause:
        cuts = [index for index in range(low, high) if tokens[index].text == "、"]
        edges = [low, *(cut + 1 for cut in cuts), high + 1]
        parts = [(a, b - 1) for a, b in pairwise(edges)]
        counted = [sum(a <= n.first and n.last <= b for n in numbers) for a, b in parts]
        if len(parts) > 1 and all(counted):
            yield from parts
        elif low < high:
            yield low, high


def _facts_of_item(
    text: str, tokens: Sequence[Token], first: int, last: int, targets: Sequence[Target]
) -> Iterator[Fact]:
    if last - first < 2 or tokens[last - 1].end - tokens[first].start > 70:
        return
    for target in targets:
        if first <= target.first and target.last <= last:
            fact = _fact(text, tokens, first, last, target)
            if fact:
                yield fact


def _fact(text: str, tokens: Sequence[Token], first: int, last: int, target: Target) -> Fact | None:
    start, end = tokens[target.first].start, tokens[target.last - 1].end
    said = text[tokens[first].start : tokens[last - 1].end]
    before, after = text[tokens[first].start : start], text[end : tokens[last - 1].end]
    if target.kind in ("number", "percent"):
        return _number(text, tokens, first, last, target, before, after, said)
    verb = _last_verb(tokens, first, target.first)
    if verb is None or tokens[verb].text not in _FACT_VERBS:
        return None
    subject = text[tokens[first].start : tokens[verb].start]
    between = text[tokens[verb].end : start]
    if len(between) > 12:
        return None
    if target.kind == "title" or (target.kind == "thing" and text[start] in "“《"):
        name = text[start:end].strip("《》“”（）试行")
        return Fact("title", start, end, subject, tokens[verb].text, between, after, name[-2:], said, text[start:end])
    if target.kind == "list" and (target.head or after.startswith("等")):
        head = target.head or _head_of(tokens, target.last, last)
        return Fact("list", start, end, subject, tokens[verb].text, between, after, head, said, text[start:end])
    whole = target.kind in ("thing", "name") and target.last == last and target.first == verb + 1
    if whole and 4 <= end - start <= 24:
        kind = tokens[last - 1].text
        return Fact("thing", start, end, subject, tokens[verb].text, "", "", kind, said, text[start:end])
    return None


def _number(
    text: str, tokens: Sequence[Token], first: int, last: int, target: Target, before: str, after: str, said: str
) -> Fact | None:
    start, end = tokens[target.first].start, tokens[target.last - 1].end
    number = text[start:end]
    if not re.match(r"\d", number) or "分别" in said or before.endswith("第") or re.search(r"\d", before[-2:]):
        return None
    unit = "%" if target.kind == "percent" else target.head
    trailing = len(re.sub(r"以上|左右|[^\w]", "", after)) <= 1
    before = _LEADING.sub("", before.strip("“”《》、 "))
    if trailing and sum(map(str.isalnum, before)) >= 3:
        growth = _GROWTH.search(before)
        if growth and len(before[: growth.start()]) >= 3:
            return Fact("growth", start, end, "", growth.group(1), before[: growth.start()], "", unit, said, number)
        stop = next((i for i in range(first, target.first) if tokens[i].end > tokens[first].start + len(before)), None)
        verb = _last_verb(tokens, first, target.first if stop is None else stop)
        if verb is None or tokens[verb].end - tokens[first].start >= len(before) - 1:
            return Fact("trailing", start, end, "", "", before, "", unit, said, text[start:end])
        subject = text[tokens[first].start : tokens[verb].start]
        noun = before[tokens[verb].end - tokens[first].start :]
        return Fact("trailing", start, end, subject, tokens[verb].text, noun, "", unit, said, text[start:end])
    if not trailing and sum(map(str.isalnum, before)) <= 4 and sum(map(str.isalnum, after)) >= 4:
        stop = target.last
        while stop < last and tokens[stop].tag[:1] in ("n", "b", "j", "l", "a") and stop - target.last < 4:
            stop += 1
        noun = text[end : tokens[stop - 1].end] if stop > target.last else ""
        rest = text[end + len(noun) : tokens[last - 1].end]
        if len(rest) >= 3:
            return Fact("leading", start, end, before, "", noun, rest, unit, said, text[start:end])
    return None


def _last_verb(tokens: Sequence[Token], first: int, last: int) -> int | None:
    verbs = (i for i in reversed(range(first, last)) if tokens[i].tag in ("v", "vd", "vi") and len(tokens[i].text) > 1)
    return next(verbs, None)


def _head_of(tokens: Sequence[Token], first: int, last: int) -> str:
    nouns = [token.text for token in tokens[first:last] if token.tag[:1] in ("n", "v") and token.text != "等"]
    return nouns[-1] if nouns else ""


def _dates(text: str, start: int, end: int) -> Iterator[Fact]:
    match = _DATE.match(text, start, end)
    if match and match.group().endswith(("，", ",")):
        stop = next((i for i in range(match.end(), end) if text[i] in "，；。"), end)
        clause = text[match.end() : stop]
        if 8 <= len(clause) <= 40:
            low, high = match.span(2)
            yield Fact("date", low, high, match.group(1) or "", "", clause, "", "年", text[start:stop], text[low:high])
