"""Questions that the documents answer, made from their own sentences and tried before they are shown.

A clause whose number, date, name or title is replaced by a question word is a question with a known answer. It is
offered only where the assistant, asked it, gives that answer.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

from szqa.assistant import Assistant
from szqa.datatypes import Answer, Passage
from szqa.text import Segmenter, Token, character_bigrams, fold, split_sentences
from szqa.training.targets import Target, TargetKind, find_targets

__all__ = ["Starters", "questions_about"]

_COUNT: Final = 6
_SUGGESTIONS: Final = 3
# Passages that starters are taken from, and questions tried, so that a large corpus costs no more than a small one.
_PASSAGES: Final = 24
_TRIALS: Final = 30
_TRIALS_NEAR: Final = 8
_CACHED: Final = 512

_WORDS: Final[dict[TargetKind, str]] = {
    "number": "多少{}",
    "percent": "多少",
    "date": "什么时候",
    "year": "哪一年",
    "place": "哪里",
    "person": "谁",
}
_CLAUSE_END: Final = frozenset("，；：,;:。！？!?")
_CHARS: Final = range(10, 31)
_LEAST_CONTENT: Final = 5
_NUMERALS: Final = tuple("0123456789.第")
_CONTENT_TAGS: Final = ("n", "v", "j", "l", "i")
# A clause that begins with one of these needs the one before it.
_DANGLING: Final = re.compile(r"^(?:其中|并|且|而|同时|共|达|占|为|至|到|等|的|与|和|及|以|在此)")


class Starters:
    """Finds and tries questions; each passage and each corpus once.

    Args:
        assistant: is asked them.
        lock: held while it is asked.
    """

    def __init__(self, assistant: Assistant, lock: threading.Lock) -> None:
        self._assistant = assistant
        self._lock = lock
        self._first: tuple[str, ...] | None = None
        self._surety: OrderedDict[str, float] = OrderedDict()

    def first(self) -> tuple[str, ...]:
        """Up to six questions from all over the corpus, the same every time."""
        if self._first is None:
            passages = self._assistant.index.passages
            chosen = passages[:: max(1, len(passages) // _PASSAGES)]
            ranked = [questions_about(passage, self._segmenter) for passage in chosen]
            # The best question of every passage, then every second-best, so that they come from all over; "where" last,
            # because in a corpus about one place it has one answer.
            rounds = [pair for turn in zip_longest(*ranked) for pair in turn if pair]
            rounds.sort(key=lambda pair: _WORDS["place"] in pair[0])
            questions = dict.fromkeys(
                question for question, expected in rounds[:_TRIALS] if self._sure(question, expected)
            )
            surest = sorted(questions, key=self._surety.__getitem__, reverse=True)[:_COUNT]
            self._first = tuple(question for question in questions if question in surest)
        return self._first

    def near(self, answer: Answer) -> tuple[str, ...]:
        """Up to three questions from the passages nearest to one that was not answered, the most similar first."""
        asked = set(character_bigrams(answer.question))
        pairs = [pair for hit in answer.hits[:3] for pair in questions_about(hit.passage, self._segmenter)]
        pairs.sort(key=lambda pair: -len(asked.intersection(character_bigrams(pair[0]))))
        found: list[str] = []
        for question, expected in pairs[:_TRIALS_NEAR]:
            if len(found) < _SUGGESTIONS and question not in found and self._sure(question, expected):
                found.append(question)
        return tuple(found)

    @property
    def _segmenter(self) -> Segmenter:
        return self._assistant.index.segmenter

    def _sure(self, question: str, expected: str) -> bool:
        """Whether the assistant gives the answer that the question was made from."""
        with self._lock:
            if question not in self._surety:
                answer = self._assistant.ask(question)
                right = answer.text is not None and (expected in answer.text or answer.text in expected)
                self._surety[question] = answer.score if right else 0.0
                if len(self._surety) > _CACHED:
                    self._surety.popitem(last=False)
            return self._surety[question] > 0


def questions_about(passage: Passage, segmenter: Segmenter) -> list[tuple[str, str]]:
    """Questions about a passage with the words that answer them, the most telling ones first."""
    text = passage.text
    found: list[tuple[float, str, str]] = []
    tokens = segmenter.tag(text)
    for start, end in split_sentences(text):
        sentence = [token for token in tokens if start <= token.start and token.end <= end]
        for target in find_targets(text, sentence):
            found += _question(text, sentence, target)
    found.sort(key=lambda item: -item[0])
    # What could be answered in two ways is no good question.
    counts = Counter(question for _, question, _ in found)
    return [(question, expected) for _, question, expected in found if counts[question] == 1]


def _question(text: str, sentence: Sequence[Token], target: Target) -> Iterator[tuple[float, str, str]]:
    """The target's clause with a question word in its place, unless it makes a poor question; with its worth."""
    word = _WORDS.get(target.kind)
    if word is None or (target.kind == "number" and not target.head):
        return
    first, last = target.first, target.last
    while first > 0 and sentence[first - 1].text not in _CLAUSE_END:
        first -= 1
    while last < len(sentence) and sentence[last].text not in _CLAUSE_END:
        last += 1
    low, high = sentence[target.first].start, sentence[target.last - 1].end
    before, after = text[sentence[first].start : low], text[high : sentence[last - 1].end]
    unit = target.head if target.kind == "number" else ""
    question = f"{before}{word.format(unit)}{after}"
    kept = [*sentence[first : target.first], *sentence[target.last : last]]
    if not _is_whole(before, text[low:high], after, target.kind) or not _is_plain(question, kept):
        return
    named = any(token.tag[:2] in ("ns", "nt", "nz") for token in kept)
    number = target.kind in ("number", "percent")
    # What stands before the question word says what it asks for; what stands behind it is often cut off.
    worth = named + number + 0.05 * min(len(before), 12) - 0.03 * max(0, len(question) - 20)
    yield worth, f"{question}？", text[low:high]


def _is_whole(before: str, answer: str, after: str, kind: TargetKind) -> bool:
    """Whether the answer is a whole of its own, not a part of a name, a title or a larger number."""
    inside = any(before.count(mark) != before.count(end) for mark, end in ("“”", "《》", "（）", "()"))
    if inside or fold(answer) in fold(before + after) or after.startswith(("左右", "多", "以上", "级")):
        return False
    if kind in ("place", "person"):
        return not before and bool(after)
    return kind not in ("number", "percent") or (answer[0].isdigit() and not before.endswith(_NUMERALS))


def _is_plain(question: str, kept: Sequence[Token]) -> bool:
    """Whether a question can be understood without the sentences around it."""
    content = sum(token.end - token.start for token in kept if token.tag[:1] in _CONTENT_TAGS)
    return (
        len(question) in _CHARS
        and content >= _LEAST_CONTENT
        and not _DANGLING.match(question)
        and not set("、\n").intersection(question)
        and all(question.count(mark) == question.count(end) for mark, end in ("“”", "《》", "（）"))
    )
