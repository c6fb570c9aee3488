"""A question taken apart into the phrases that another one can take the place of: dates, levels, places, nouns.

It knows nothing of conversations: what is done with the phrases is decided by whoever reads them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from szqa.question import Question, analyse
from szqa.text import Segmenter, Token, fold

__all__ = ["EMPTY_NOUNS", "LINKS", "Kind", "Phrase", "Sentence", "read_phrases"]

Kind = Literal["date", "ordinal", "level", "place", "quoted", "noun"]

_ATOMS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    (
        "date",
        re.compile(
            r"(?:(?:19|20)\d\d|[二一][〇零一二三四五六七八九]{3})年?(?:上半年|下半年|第?[一二三四1-4]季度|\d{1,2}月(?:\d{1,2}[日号]|底|末)?)?"
            r"(?:(?<=年)(?:初|底|末|中|以来))?|去年|前年|今年|明年|后年|上半年|下半年|\d{1,2}月(?:\d{1,2}[日号]|底|末)?"
        ),
    ),
    ("ordinal", re.compile(r"第[\d一二三四五六七八九十百]+[届次批期轮条章节个名位]")),
    ("level", re.compile(r"(?:国家|省|市|区|县|乡|村|世界|部|校)级")),
    ("quoted", re.compile(r"“[^“”]{1,30}”|《[^《》]{1,40}》|「[^「」]{1,30}」")),
)
# Verbs that join a subject to what is asked, and qualify no noun.
LINKS: Final = frozenset({
    "有", "是", "为", "达", "达到", "共有", "获", "获评", "获得", "入选", "入围", "新增", "累计",
    "完成", "建成", "进", "占",
})  # fmt: skip
_NOUN_TAGS: Final = ("n", "vn", "j", "l", "i", "eng", "an", "b")
_PHRASE_TAGS: Final = (*_NOUN_TAGS, "a")
# Nouns that stand in many questions without saying what they are about.
EMPTY_NOUNS: Final = frozenset({
    "时候", "时间", "地方", "原因", "数量", "个数", "总数", "情况", "方面", "结果", "大家", "人",
    "东西", "事", "事情", "名字", "名称", "意思", "同比", "环比",
})  # fmt: skip
# Nouns that make a name of the verb before them: 转化大会, 创新中心.
_NAMING: Final = frozenset({
    "大会", "中心", "论坛", "计划", "方案", "行动", "工程", "基地", "平台", "机制", "委员会",
    "协会", "联盟", "研究院", "实验室", "办法", "条例", "意见",
})  # fmt: skip


class Phrase(NamedTuple):
    """A piece of a question.

    Attributes:
        kind: what can take its place.
        start: first code point in the question.
        end: code point after the last one.
    """

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A question taken apart.

    Attributes:
        text: the question.
        asked: what it asks for.
        tokens: its words with parts of speech.
        phrases: in order, without overlap.
    """

    text: str
    asked: Question
    tokens: tuple[Token, ...]
    phrases: tuple[Phrase, ...]

    def of_kind(self, kind: Kind) -> list[Phrase]:
        """Its phrases of one kind."""
        return [phrase for phrase in self.phrases if phrase.kind == kind]

    @property
    def asks(self) -> bool:
        """Whether it has a question word."""
        return self.asked.start < self.asked.end

    def content(self) -> list[Phrase]:
        """Phrases that say what the question is about."""
        return [
            p for p in self.phrases if p.kind in ("noun", "quoted") and self.text[p.start : p.end] not in EMPTY_NOUNS
        ]

    def has_predicate(self) -> bool:
        """Whether a verb stands outside its phrases."""
        covered = {position for phrase in self.phrases for position in range(phrase.start, phrase.end)}
        return any(token.tag == "v" and token.start not in covered for token in self.tokens)

    def runs(self) -> list[Phrase]:
        """Noun phrases with the places, levels, ordinals and quotations that belong to them."""
        runs: list[Phrase] = []
        for phrase in self.phrases:
            if phrase.kind == "date" or (phrase.kind == "noun" and self.text[phrase.start : phrase.end] in EMPTY_NOUNS):
                continue
            gap = self.text[runs[-1].end : phrase.start] if runs else None
            named = gap is not None and len(gap) == 2 and self.text[phrase.start : phrase.end] in _NAMING
            if gap in ("", "的") or named:
                runs[-1] = Phrase(phrase.kind, runs[-1].start, phrase.end)
            else:
                runs.append(phrase)
        return runs

    def starts(self, phrase: Phrase) -> list[int]:
        """Where a phrase may be taken to begin: at each of its words, and at the verbs that qualify it (拟开工项目)."""
        starts = [token.start for token in self.tokens if phrase.start <= token.start < phrase.end]
        for token in reversed(self.tokens):
            if token.end == starts[0] and token.tag in ("v", "d", "vd", "vi") and token.text not in LINKS:
                starts.insert(0, token.start)
        return starts

    def head_of(self, start: int, end: int) -> str:
        """The last word of a phrase."""
        return next((self.text[token.start : end] for token in reversed(self.tokens) if start <= token.start < end), "")


def read_phrases(text: str, segmenter: Segmenter) -> Sentence:
    """Take a question apart into phrases."""
    folded = fold(text)
    tokens = tuple(segmenter.tag(text))
    asked = analyse(folded)
    taken = [asked.start <= position < asked.end for position in range(len(text))]
    phrases: list[Phrase] = []
    for kind, pattern in _ATOMS:
        # Folding turns quotation marks into others, and traditional characters into those of the patterns.
        for match in pattern.finditer(text if kind == "quoted" else folded):
            if not any(taken[match.start() : match.end()]):
                phrases.append(Phrase(kind, match.start(), match.end()))
                taken[match.start() : match.end()] = [True] * (match.end() - match.start())
    phrases += _named(tokens, taken)
    return Sentence(text, asked, tokens, tuple(sorted(phrases, key=lambda phrase: phrase.start)))


def _named(tokens: Sequence[Token], taken: Sequence[bool]) -> list[Phrase]:
    """Places, and runs of nouns with what stands before them."""
    phrases: list[Phrase] = []
    open_run = False
    for token in tokens:
        if any(taken[token.start : token.end]):
            open_run = False
        elif token.tag in ("ns", "nsf"):
            phrases.append(Phrase("place", token.start, token.end))
            open_run = False
        elif token.tag in _PHRASE_TAGS or token.tag[:2] in ("nr", "nt", "nz"):
            if open_run:
                phrases[-1] = Phrase("noun", phrases[-1].start, token.end)
            else:
                phrases.append(Phrase("noun", token.start, token.end))
            open_run = True
        else:
            open_run = False
    return phrases
