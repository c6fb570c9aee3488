"""Questions written by rule from plain text: reading examples by the hundred thousand.

Chinese leaves the question word where the answer would stand, so a sentence whose number, date, name, place, title or
noun phrase is replaced by 多少家, 哪一年, 谁, 哪里 or 什么, with some modifiers dropped and some parts moved, is nearly
a natural question. ``unanswerable`` turns an example into one that its passage does not answer. Pure functions of text,
tokens and a random generator; files, vocabularies and networks are unknown here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from szqa.text import Segmenter, Token, split_sentences
from szqa.training.targets import CLAUSE_END, Target, TargetKind, find_targets

__all__ = ["Example", "ask", "questions_of", "unanswerable", "write_questions"]


@dataclass(frozen=True, slots=True)
class Example:
    """A question about a passage.

    Attributes:
        question: the question.
        context: the passage.
        start: first character of the answer in ``context``; -1 where the passage does not answer.
        end: character after the answer; -1 likewise.
    """

    question: str
    context: str
    start: int
    end: int

    def __post_init__(self) -> None:
        answered = 0 <= self.start < self.end <= len(self.context)
        if not answered and (self.start, self.end) != (-1, -1):
            raise ValueError(f"answer [{self.start}, {self.end}) leaves a passage of {len(self.context)} characters")

    @property
    def answer(self) -> str | None:
        """The answer's characters, ``None`` where the passage does not answer."""
        return None if self.start < 0 else self.context[self.start : self.end]


_QUESTION_WORDS: dict[TargetKind, tuple[str, ...]] = {
    "year": ("哪一年", "哪年", "什么时候", "何时", "何年", "哪一年"),
    "date": ("什么时候", "何时", "哪一天", "什么时间", "几月几日", "哪一年"),
    "percent": ("百分之多少", "多少", "百分之几", "多少", "多大比例"),
    "number": ("多少{}", "几{}", "多少{}", "多少"),
    "person": ("谁", "哪位", "谁", "何人", "什么人"),
    "place": ("哪里", "哪个地方", "什么地方", "哪儿", "何地", "哪", "哪个城市", "哪个地区"),
    "name": ("什么", "哪个{}", "什么{}", "哪家{}", "谁"),
    "title": ("什么", "哪部作品", "哪份文件", "哪个", "什么{}"),
    "thing": ("什么{}", "什么", "哪个{}", "哪种{}", "哪些{}", "什么样的{}"),
    "list": ("哪些", "什么", "哪些{}", "哪几个{}", "哪几种{}"),
    "rest": ("什么", "什么", "哪些", "怎样", "如何"),
}
# How often a kind is asked for, against the others of one sentence.
_WEIGHTS: dict[TargetKind, float] = {
    "year": 2.0, "date": 2.0, "percent": 2.0, "number": 3.0, "person": 4.0, "place": 2.0, "name": 2.5, "title": 2.5,
    "thing": 1.0, "list": 2.5, "rest": 1.5,
}  # fmt: skip
# Words that a questioner would use for those of the text, in both directions.
_SYNONYMS = (
    ("达到", "达"), ("同比增长", "比上年增长"), ("增长", "提高"), ("位于", "在"), ("建成", "建好"), ("成立", "创立"),
    ("出生", "诞生"), ("担任", "任"), ("获得", "取得"), ("举办", "举行"), ("累计", "一共"), ("新增", "增加"),
    ("包括", "包含"), ("完成", "做完"), ("称为", "叫做"), ("目前", "现在"), ("首次", "第一次"), ("约", "大约"),
    ("突破", "超过"), ("开展", "进行"), ("设立", "建立"), ("主要", "重点"), ("使用", "用"), ("发布", "公布"),
)  # fmt: skip
_SYNONYM_OF = {word: other for pair in _SYNONYMS for word, other in (pair, pair[::-1])}

_YEAR = re.compile(r"(?:19|20)\d{2}年")
_MODIFIER_TAGS = ("d", "a", "b", "z", "m", "t", "u", "p", "c", "r", "f", "y", "e", "o")


def ask(text: str, tokens: Sequence[Token], *, target: Target, rng: Random, topic: str = "") -> str | None:
    """Write a question whose answer is the target.

    Args:
        text: the text that the tokens' offsets refer to.
        tokens: of the sentence.
        target: what is asked for.
        rng: decides what is dropped, moved and reworded.
        topic: what the passage is about, sometimes put in front.

    Returns:
        The question, or ``None`` where too little would be left of the sentence or the question gives its answer away.
    """
    before, after = _surroundings(tokens, target, rng)
    head = target.head
    word = rng.choice(_QUESTION_WORDS[target.kind])
    if "{}" in word and after and head and tokens[after[0]].text == head:
        head = ""
    word = word.format(head)
    left = "".join(_reworded(text, tokens[index], rng) for index in _thinned(tokens, before, rng))
    right = "".join(_reworded(text, tokens[index], rng) for index in _thinned(tokens, after, rng))
    left, right = left.strip("，,；;：:、 "), right.strip("，,；;：:。！？、 ")
    if topic and topic not in left + right and rng.random() < 0.5:
        left = topic + rng.choice(("", "，", "的", "")) + left
    content = sum(map(str.isalnum, left + right))
    answer = text[tokens[target.first].start : tokens[target.last - 1].end]
    if content < 4 or len(left + right) > 60 or answer in left + right:
        return None
    question = _arranged(left, word, right, target.kind, rng)
    return (
        rng.choices(("", "请问", "根据文章，"), (20, 1, 1))[0] + question + rng.choices(("？", "?", ""), (18, 1, 1))[0]
    )


def _surroundings(tokens: Sequence[Token], target: Target, rng: Random) -> tuple[list[int], list[int]]:
    """Indexes of the tokens kept on both sides of the target: its clause, or less, or one clause more."""
    first, last = target.first, target.last
    extra = rng.choices((0, 1), (3, 2))[0]
    while first > 0 and (tokens[first - 1].text not in CLAUSE_END or extra):
        extra -= tokens[first - 1].text in CLAUSE_END
        first -= 1
    while last < len(tokens) and tokens[last].text not in CLAUSE_END:
        last += 1
    before, after = list(range(first, target.first)), list(range(target.last, last))
    reach = rng.choice((6, 10, 14, 20))
    if len(before) > reach and rng.random() < 0.6:
        # A sentence begins with what it is about, so its beginning is kept rather than its middle.
        kept = rng.choice((0, 2, 3))
        before = before[:kept] + before[-(reach - kept) :]
    return before, after[:reach]


def _thinned(tokens: Sequence[Token], indexes: Sequence[int], rng: Random) -> Iterator[int]:
    strength = rng.choice((0.0, 0.0, 0.5, 1.0, 1.5))
    for index in indexes:
        token = tokens[index]
        if token.tag == "x" and not token.text.isalnum():
            chance = 0.0 if token.text in "《》“”%·.-" else 0.35
        else:
            chance = 0.25 if token.tag[:1] in _MODIFIER_TAGS else 0.08
        if rng.random() >= chance * strength:
            yield index


def _reworded(text: str, token: Token, rng: Random) -> str:
    other = _SYNONYM_OF.get(token.text)
    return other if other and rng.random() < 0.4 else text[token.start : token.end]


def _arranged(left: str, word: str, right: str, kind: TargetKind, rng: Random) -> str:
    """Put the question word in place, at the end or in front."""
    chance = rng.random()
    if kind in ("year", "date") and chance < 0.3:
        return f"{left}{right}是{word}" if chance < 0.2 else f"{word}，{left}{right}"
    if kind in ("percent", "number") and chance < 0.2:
        return f"{left}{right}{rng.choice(('是', '有', '达', '为'))}{word}"
    if kind in ("person", "name", "title", "thing", "place") and chance < 0.2 and right:
        return f"{left}{right}的是{word}"
    if chance > 0.9 and left:
        return f"{word}{right}，{left}"
    return left + word + right


def questions_of(text: str, tokens: Sequence[Token], *, rng: Random, count: int, max_chars: int = 260) -> list[Example]:
    """Write up to ``count`` questions about a passage, each with a crop of it as context.

    Args:
        text: the passage.
        tokens: all of its tokens, with parts of speech.
        rng: decides everything that is left open.
        count: how many questions at most.
        max_chars: longest context.
    """
    sentences = [
        [token for token in tokens if start <= token.start and token.end <= end] for start, end in split_sentences(text)
    ]
    choices = [(sentence, target) for sentence in sentences for target in find_targets(text, sentence)]
    # Weighted sampling without replacement (Efraimidis and Spirakis 2006): the largest u^(1/w) first.
    choices.sort(key=lambda choice: rng.random() ** (1 / _WEIGHTS[choice[1].kind]), reverse=True)
    topic, asked = _topic(text, tokens), set[int]()
    examples: list[Example] = []
    for sentence, target in choices:
        if len(examples) == count:
            break
        start, end = sentence[target.first].start, sentence[target.last - 1].end
        if start in asked:
            continue
        question = ask(text, sentence, target=target, rng=rng, topic=topic)
        if question:
            asked.add(start)
            examples.append(_cropped(Example(question, text, start, end), max_chars, rng))
    return examples


def _topic(text: str, tokens: Sequence[Token]) -> str:
    """The first noun phrase of a passage, or nothing where it does not begin with one."""
    last = 0
    while last < min(len(tokens), 6) and tokens[last].tag[:1] in ("n", "j", "l"):
        last += 1
    topic = text[: tokens[last - 1].end] if last else ""
    return topic if 2 <= len(topic) <= 12 else ""


def _cropped(example: Example, max_chars: int, rng: Random) -> Example:
    length = len(example.context)
    if length <= max_chars:
        return example
    low = max(0, example.end - max_chars)
    first = rng.randint(low, max(low, min(example.start, length - max_chars)))
    return replace(
        example,
        context=example.context[first : first + max_chars],
        start=example.start - first,
        end=example.end - first,
    )


def write_questions(
    paragraphs: Sequence[str], *, segmenter: Segmenter, rng: Random, chars_per_question: int = 60, min_chars: int = 40
) -> Iterator[Example]:
    """Write questions about paragraphs, of which the shorter ones are joined with those that follow.

    Args:
        paragraphs: in reading order; an empty one ends a document.
        segmenter: cuts and tags.
        rng: decides everything that is left open.
        chars_per_question: one question for so many characters of text.
        min_chars: shorter passages are left out.
    """
    for passage in _passages(paragraphs):
        if len(passage) >= min_chars:
            count = max(1, round(len(passage) / chars_per_question))
            yield from questions_of(passage, segmenter.tag(passage), rng=rng, count=count)


def _passages(paragraphs: Sequence[str], min_chars: int = 180, max_chars: int = 1000) -> Iterator[str]:
    passage = ""
    for paragraph in [*paragraphs, ""]:
        if passage and (not paragraph or len(passage) >= min_chars):
            yield passage
            passage = ""
        if paragraph:
            passage = f"{passage}\n{paragraph[:max_chars]}" if passage else paragraph[:max_chars]


def unanswerable(example: Example, *, rng: Random, names: Sequence[str] = ()) -> Example | None:
    """Make an example's passage stop answering its question.

    The answer's sentence is deleted, or a year or a name of the question that the passage mentions is exchanged.

    Args:
        example: an answered one.
        rng: decides which of the ways is taken.
        names: names of other passages that may stand in for one of the question's.

    Returns:
        The example without an answer, or ``None`` where the answer occurs elsewhere or nothing can be exchanged.
    """
    answer = example.answer
    if answer is None:
        return None
    year = _YEAR.search(example.question)
    if year and rng.random() < 0.7:
        for other in rng.sample(range(-6, 7), 13):
            swapped = f"{int(year.group()[:4]) + other}年"
            if swapped not in example.context and swapped[:4] not in example.context:
                question = example.question[: year.start()] + swapped + example.question[year.end() :]
                return Example(question, example.context, -1, -1)
    quoted = [name for name in names if name in example.question and name in example.context]
    others = [name for name in names if name not in example.context]
    if quoted and others and rng.random() < 0.7:
        old = max(quoted, key=len)
        return Example(example.question.replace(old, rng.choice(others)), example.context, -1, -1)
    return _without_sentence(example, answer)


def _without_sentence(example: Example, answer: str) -> Example | None:
    kept = [
        (start, end) for start, end in split_sentences(example.context) if end <= example.start or start >= example.end
    ]
    context = "".join(example.context[start:end] for start, end in kept)
    if len(context) < 30 or answer in context:
        return None
    return Example(example.question, context, -1, -1)
