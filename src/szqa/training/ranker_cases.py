"""Questions with the passages that retrieval finds for them: what the span ranker is trained and calibrated on.

A case may hold its answer or not: the passage or the answer's sentence may have been taken away, a year, a name or a
level of the question exchanged, or something asked that the collection does not say. Knows nothing of features or
models.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit, Passage
from szqa.lexical import LexicalIndex
from szqa.question import LEVELS
from szqa.text import Segmenter, fold, split_sentences
from szqa.training.question_sets import Asked, Collection

__all__ = [
    "READ_HITS",
    "UNANSWERED",
    "Case",
    "Variant",
    "cases",
    "half_of",
    "is_held_back",
    "open_cases",
    "span_f1",
    "split_cases",
]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Variant = Literal["given", "open", "removed", "deleted", "swapped"]

# Hits that are read for a question, as the assistant does.
READ_HITS: Final = 5
# How a question loses its answer, in turn.
UNANSWERED: Final[tuple[Variant, ...]] = ("removed", "deleted", "swapped", "swapped")
_HELD_BACK: Final = 7  # every seventh passage
_YEAR = re.compile(r"(?:19|20)\d\d(?=年)")
_NAMES = frozenset(("nr", "ns", "nt", "nz", "nrt", "n", "vn", "b", "j"))


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its hits.

    Attributes:
        question: the question.
        hits: what is read, best first.
        gold: index of the hit that holds the answers, -1 where none does.
        answers: accepted answers as intervals of that hit's passage.
        variant: how the case was made.
        source: id of the passage that the question was asked about.
    """

    question: str
    hits: tuple[Hit, ...]
    gold: int
    answers: tuple[tuple[int, int], ...]
    variant: Variant
    source: str


def cases(
    collection: Collection,
    variants: Callable[[int, Passage], Sequence[Variant]],
    segmenter: Segmenter,
    *,
    rng: random.Random,
) -> Iterator[Case]:
    """Make the cases of a collection's questions; ``variants`` says which ones a question is made into."""
    index = LexicalIndex.build(collection.passages, segmenter)
    names = _names(collection, segmenter, rng)
    for number, asked in enumerate(collection.asked):
        for variant in variants(number, collection.passages[asked.passage]):
            case = _case(collection, asked, variant, index, names, rng)
            if case:
                yield case


def _names(collection: Collection, segmenter: Segmenter, rng: random.Random) -> list[tuple[str, str]]:
    """Names and nouns in some of the passages, with their tags."""
    some = rng.sample(collection.passages, min(150, len(collection.passages)))
    tokens = {(t.text, t.tag) for p in some for t in segmenter.tag(p.text[:300]) if t.tag in _NAMES and len(t.text) > 1}
    return sorted(tokens)


def _case(
    collection: Collection,
    asked: Asked,
    variant: Variant,
    index: LexicalIndex,
    names: Sequence[tuple[str, str]],
    rng: random.Random,
) -> Case | None:
    gold = collection.passages[asked.passage]
    if variant == "given":
        return Case(asked.question, (Hit(gold, 1.0, 1),), 0, asked.answers, variant, gold.id)
    if not asked.answers and variant != "open":
        return None
    question = asked.question
    if variant == "swapped":
        question = _swapped(fold(question), fold(gold.text), names, rng)
        if not question:
            return None
    scores = index.scores(question)
    rows = [int(row) for row in np.argsort(-scores, kind="stable")[: READ_HITS + 1] if scores[row] > 0]
    if variant == "removed":
        rows = [row for row in rows if row != asked.passage]
    rows = rows[:READ_HITS]
    shown = {row: collection.passages[row] for row in rows}
    if variant == "deleted" and asked.passage in shown:
        shown[asked.passage] = _without_sentence(gold, asked.answers)
    shown = {row: passage for row, passage in shown.items() if passage.text}
    hits = tuple(
        Hit(passage, float(scores[row]), rank, lexical_score=float(scores[row]))
        for rank, (row, passage) in enumerate(shown.items(), start=1)
    )
    if not hits:
        return None
    answered = variant == "open" and asked.answers and asked.passage in shown
    found = list(shown).index(asked.passage) if answered else -1
    return Case(question, hits, found, asked.answers if answered else (), variant, gold.id)


def _without_sentence(passage: Passage, answers: Sequence[tuple[int, int]]) -> Passage:
    """A passage without the sentences that its answers stand in."""
    kept = [
        passage.text[start:end]
        for start, end in split_sentences(passage.text)
        if not any(start < high and low < end for low, high in answers)
    ]
    text = "".join(kept)
    return replace(passage, text=text, end=passage.start + len(text))


def _swapped(question: str, passage: str, names: Sequence[tuple[str, str]], rng: random.Random) -> str:
    """The question with a year, level, name or noun exchanged for one the passage lacks; empty where it has none."""
    ways = []
    year = _YEAR.search(question)
    if year:
        others = [str(int(year.group()) + by) for by in (-3, -2, -1, 1, 2, 3)]
        ways.append((year.group(), [other for other in others if other not in passage]))
    for level in LEVELS:
        if level in question:
            ways.append((level, [other for other in LEVELS[:4] if other != level and other not in passage]))
    named = [(name, tag) for name, tag in names if name in question and name in passage]
    named = rng.sample(named, min(2, len(named)))
    for name, tag in named:
        ways.append((name, [other for other, its in names if its == tag and other not in passage]))
    ways = [(old, new) for old, new in ways if new]
    if not ways:
        return ""
    old, new = rng.choice(ways)
    return question.replace(old, rng.choice(new))


def split_cases(collections: Sequence[Collection], segmenter: Segmenter, *, seed: int) -> tuple[list[Case], list[Case]]:
    """Cases to fit the ranking trees on, all with an answer, and cases about other passages to calibrate on."""
    fit: list[Case] = []
    held: list[Case] = []
    for number, collection in enumerate(collections):
        choose = _variants_of_written if collection.written else _variants_of_real
        for case in cases(collection, choose, segmenter, rng=random.Random(seed + number)):  # noqa: S311
            if is_held_back(case.source):
                held.append(case)
            elif case.gold >= 0:
                fit.append(case)
    return fit, held


def open_cases(collections: Sequence[Collection], segmenter: Segmenter, *, seed: int) -> list[Case]:
    """Every question with the passages that are found for it, whether its collection answers it or not."""
    return [
        case
        for number, collection in enumerate(collections)
        for case in cases(collection, _as_found, segmenter, rng=random.Random(seed + number))  # noqa: S311
    ]


def _as_found(_: int, __: Passage) -> Sequence[Variant]:
    return ("open",)


def half_of(case: Case) -> int:
    """0 or 1 by the passage, so that questions about one passage fall together."""
    return _digest(case.source) // _HELD_BACK % 2


def _variants_of_real(index: int, passage: Passage) -> Sequence[Variant]:
    if is_held_back(passage.id):
        return _held_variants(index)
    return ("given", "open") if index % 3 == 0 else ("given",)


def _variants_of_written(index: int, passage: Passage) -> Sequence[Variant]:
    return _held_variants(index) if is_held_back(passage.id) else ("open",)


def _held_variants(index: int) -> Sequence[Variant]:
    """Every second question with its passage, and once more without its answer."""
    return () if index % 2 else ("open", UNANSWERED[index // 2 % len(UNANSWERED)])


def is_held_back(passage_id: str) -> bool:
    """Whether nothing may be trained on questions about a passage, so that scores can be calibrated on them."""
    return _digest(passage_id) % _HELD_BACK == 0


def _digest(passage_id: str) -> int:
    return int.from_bytes(hashlib.sha256(passage_id.encode()).digest()[:4], "big")


def span_f1(text: str, starts: Ints, ends: Ints, answer: tuple[int, int]) -> Floats:
    """Character F1 of spans of a text with an answer in it, by their overlap in letters, digits and Han characters."""
    content = np.concatenate([[0], np.cumsum([character.isalnum() for character in text])])
    low, high = np.maximum(starts, answer[0]), np.minimum(ends, answer[1])
    shared = np.where(high > low, content[high] - content[np.minimum(low, high)], 0)
    total = content[ends] - content[starts] + content[answer[1]] - content[answer[0]]
    return np.asarray(2 * shared / np.maximum(total, 1), dtype=np.float32)
