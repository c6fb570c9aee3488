"""What a question can ask for: the dates, numbers, names, titles, noun phrases and lists of a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from szqa.text import Token

__all__ = ["CLAUSE_END", "Target", "TargetKind", "find_targets"]

TargetKind = Literal["year", "date", "percent", "number", "person", "place", "name", "title", "thing", "list", "rest"]

CLAUSE_END = frozenset("，；：,;:。！？!?")
"""Punctuation that ends a clause, as folded text has it or not."""

_DATE = re.compile(
    r"(?:\d{4}年(?:\d{1,2}月(?:\d{1,2}[日号])?)?|\d{1,2}月(?:\d{1,2}[日号])?|\d{2}世纪(?:\d0年代)?)[初末底]?"
)
_QUOTED = re.compile(r"《[^《》]{2,30}》|“[^“”]{2,20}”|\"[^\"]{2,20}\"")
_DIGITS = re.compile(r"[\d.,０-９一二三四五六七八九十百千万亿两]+")
_UNITS = frozenset([
    "家", "个", "项", "条", "座", "人", "元", "万元", "亿元", "万亿元", "公里", "平方公里", "亩", "万亩", "吨",
    "万吨", "米", "倍", "岁", "年", "次", "名", "位", "所", "处", "户", "万户", "万人", "种", "届", "场", "集",
    "部", "首", "架", "艘", "辆", "台", "套", "件", "度", "分", "分钟", "小时", "天", "周", "个月", "美元",
    "亿美元", "平方米", "立方米", "千瓦", "万千瓦", "千米", "千克", "公斤", "村", "县", "省", "国", "章", "卷",
    "级", "岛", "校", "个百分点", "百分点", "人次", "万人次", "亿立方米", "亿千瓦时",
])  # fmt: skip
_NAME_END = re.compile(
    r"(?:公司|集团|大学|学院|中学|小学|委员会|[局部厅院会队社党军团]|中心|银行|协会|联盟|园区|机场|水库|港|铁路|大桥|博物馆|基地|平台|法|条例|奖)$"
)
_NOUN_TAGS = ("n", "vn", "l", "j", "i", "an")
_RELATION = frozenset([
    "是", "为", "包括", "包含", "指", "即", "分为", "称为", "称作", "叫", "叫做", "属于", "负责", "用于", "位于",
    "毕业", "担任", "出任", "具有", "拥有", "获得", "获", "以", "作为", "改为", "改名", "成为",
])  # fmt: skip
# The commonest family names; jieba calls many a verb a person where the name does not begin with one of them.
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白"
    "邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)


class Target(NamedTuple):
    """A run of tokens that a question can ask for.

    Attributes:
        first: index of its first token.
        last: index of the token after it.
        kind: what it is.
        head: what the question word is followed by: a unit (家) or the last noun (平台); may be empty.
    """

    first: int
    last: int
    kind: TargetKind
    head: str = ""


def find_targets(text: str, tokens: Sequence[Token]) -> list[Target]:
    """Everything in a sentence that a question can ask for; targets may overlap.

    Args:
        text: the text that the tokens' offsets refer to.
        tokens: of one sentence, with parts of speech.
    """
    found = [*_patterns(text, tokens)]
    taken = {index for target in found for index in range(target.first, target.last)}
    found += [target for target in _numbers(text, tokens) if not taken.intersection(range(target.first, target.last))]
    found += _names(text, tokens)
    found += _phrases(text, tokens)
    found += _remainders(text, tokens)
    return found


def _patterns(text: str, tokens: Sequence[Token]) -> Iterator[Target]:
    """Dates and quoted titles, which jieba cuts apart."""
    if not tokens:
        return
    low, high = tokens[0].start, tokens[-1].end
    first_at = {token.start: index for index, token in enumerate(tokens)}
    last_at = {token.end: index + 1 for index, token in enumerate(tokens)}
    for pattern in (_DATE, _QUOTED):
        for match in pattern.finditer(text, low, high):
            first, last = first_at.get(match.start()), last_at.get(match.end())
            if first is None or last is None:
                continue
            if pattern is _QUOTED:
                tail = tokens[last].text if last < len(tokens) and tokens[last].tag.startswith("n") else ""
                yield Target(first, last, "title" if match.group()[0] == "《" else "thing", tail)
            else:
                yield Target(first, last, "year" if match.group().endswith("年") else "date")


def _numbers(text: str, tokens: Sequence[Token]) -> Iterator[Target]:
    index = 0
    while index < len(tokens):
        first = index
        while index < len(tokens) and tokens[index].tag == "m":
            index += 1
        if index == first:
            index += 1
            continue
        number = text[tokens[first].start : tokens[index - 1].end]
        if not _DIGITS.match(number):
            continue
        unit = _DIGITS.sub("", number).strip("多余约近")
        if index < len(tokens) and tokens[index].text == "%":
            index += 1
            yield Target(first, index, "percent")
            continue
        if index < len(tokens) and (tokens[index].tag == "q" or tokens[index].text in _UNITS):
            unit = tokens[index].text
            index += 1
        if unit or number[:1].isdigit():
            yield Target(first, index, "number", unit)


def _names(text: str, tokens: Sequence[Token]) -> Iterator[Target]:
    for index, token in enumerate(tokens):
        length = token.end - token.start
        if token.tag.startswith("nr") and length >= 2:
            # Foreign names are cut at their dots: 安雅·罗素
            last = index + 1
            while (
                last + 1 < len(tokens) and tokens[last].text in ("·", "・") and tokens[last + 1].tag[:1] in ("n", "x")
            ):
                last += 2
            if last > index + 1 or (length <= 3 and token.text[0] in _SURNAMES):
                yield Target(index, last, "person")
        elif token.tag in ("ns", "nsf") and length >= 2 and not _before_noun(tokens, index):
            yield Target(index, index + 1, "place")
        if token.tag[:1] in ("n", "j", "l") or token.tag == "vn":
            last = index + 1
            while last < len(tokens) and last - index < 5 and tokens[last].tag in (*_NOUN_TAGS, "ns", "nt", "nz", "nr"):
                last += 1
            phrase = text[token.start : tokens[last - 1].end]
            at_edge = index == 0 or tokens[index - 1].tag[:1] != "n"
            if at_edge and 3 <= len(phrase) <= 20 and (end := _NAME_END.search(phrase)) and end.start() > 0:
                yield Target(index, last, "name", tokens[last - 1].text)


def _before_noun(tokens: Sequence[Token], index: int) -> bool:
    return index + 1 < len(tokens) and tokens[index + 1].tag[:1] == "n"


def _phrases(text: str, tokens: Sequence[Token]) -> Iterator[Target]:
    """Noun phrases, and lists of them."""
    runs: list[tuple[int, int]] = []
    index = 0
    while index < len(tokens):
        first = index
        while index < len(tokens) and tokens[index].tag in (*_NOUN_TAGS, "a", "b", "nz", "ns", "nt", "nr", "eng"):
            index += 1
        if index > first:
            runs.append((first, index))
        index = max(index, first + 1)
    for first, last in runs:
        if 3 <= tokens[last - 1].end - tokens[first].start <= 12 and tokens[last - 1].tag in _NOUN_TAGS:
            yield Target(first, last, "thing", tokens[last - 1].text if last - first > 1 else "")
    start = 0
    while start < len(runs):
        stop = start
        while stop + 1 < len(runs) and _joined(text, tokens, runs[stop][1], runs[stop + 1][0]):
            stop += 1
        if stop > start and tokens[runs[stop][1] - 1].end - tokens[runs[start][0]].start <= 60:
            last = runs[stop][1]
            head = tokens[last].text if last < len(tokens) and tokens[last].tag in _NOUN_TAGS else ""
            yield Target(runs[start][0], last, "list", head)
        start = stop + 1


def _joined(text: str, tokens: Sequence[Token], first: int, last: int) -> bool:
    return text[tokens[first].start : tokens[last].start] in ("、", "和", "及", "以及", "与", "或")


def _remainders(text: str, tokens: Sequence[Token]) -> Iterator[Target]:
    """What follows 是, 为, 包括… up to the end of the clause."""
    for index, token in enumerate(tokens[:-1]):
        if token.text not in _RELATION or index == 0:
            continue
        last = index + 1
        while last < len(tokens) and tokens[last].text not in CLAUSE_END:
            last += 1
        if 3 <= tokens[last - 1].end - tokens[index].end <= 45 and last > index + 1:
            yield Target(index + 1, last, "rest")
