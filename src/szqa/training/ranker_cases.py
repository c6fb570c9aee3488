"""Questions with the passages that retrieval finds for them: what the span ranker is trained and calibrated on.

Real questions come from CMRC 2018's training part, questions in the register of reports are written by rule. A case may
hold its answer or not: the passage may have been taken away, or a year, a name or a level of the question exchanged.
Knows nothing of features or models.
"""

from __future__ import annotations

import json
import lzma
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit, Passage
from szqa.lexical import LexicalIndex
from szqa.question import LEVELS
from szqa.text import Segmenter, fold
from szqa.training.pairs import read_paragraphs
from szqa.training.questions import questions_of

__all__ = [
    "READ_HITS",
    "REPORTS",
    "Asked",
    "Case",
    "Collection",
    "cases",
    "read_collections",
    "read_questions",
    "span_f1",
]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Variant = Literal["given", "open", "removed", "swapped"]

# Hits that are read for a question, as the assistant does.
READ_HITS: Final = 5
# Texts whose register is the reports' one; each document is a collection of its own, so that passages are alike.
REPORTS: Final = ("gov_reports_2026", "gov_reports_2012_2021", "fuyao_news")
_CMRC = "cmrc2018_train"
_MIN_CHARS = 60
_YEAR = re.compile(r"(?:19|20)\d\d(?=年)")
_NAMES = frozenset(("nr", "ns", "nt", "nz", "nrt", "n", "vn", "b", "j"))


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one passage of a collection.

    Attributes:
        question: the question.
        passage: index of the passage that answers it.
        answers: accepted answers as intervals of that passage's text.
    """

    question: str
    passage: int
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """Passages that are searched together, and questions about them."""

    name: str
    passages: tuple[Passage, ...]
    asked: tuple[Asked, ...]


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


def read_collections(data_dir: Path, segmenter: Segmenter, *, seed: int, limit: int | None) -> list[Collection]:
    """Read the real questions and write those about reports; ``limit`` bounds the number of either."""
    collections = [read_questions(data_dir / "mrc" / f"{_CMRC}.jsonl.xz", limit)]
    written = 0
    for name in REPORTS:
        for collection in _write_reports(data_dir / "text" / f"{name}.txt.xz", name, segmenter, random.Random(seed)):  # noqa: S311
            if limit is not None and written >= limit:
                return collections
            collections.append(collection)
            written += len(collection.asked)
    return collections


def read_questions(path: Path, limit: int | None) -> Collection:
    """Read a question set of the data folder; its passages are searched together."""
    name = path.name.partition(".")[0]
    places: dict[str, int] = {}
    passages: list[Passage] = []
    asked = []
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            context = row["context"]
            if context not in places:
                places[context] = len(passages)
                passages.append(_passage(name, len(passages), context))
            answers = tuple((a["start"], a["start"] + len(a["text"])) for a in row["answers"])
            asked.append(Asked(row["question"], places[context], answers))
    # Evenly spread, so that a limited run sees the whole file's passages.
    step = max(1, len(asked) // limit) if limit else 1
    return Collection(name, tuple(passages), tuple(asked[::step]))


def _passage(document: str, number: int, text: str) -> Passage:
    return Passage(f"{document}-{number}:0-{len(text)}", f"{document}-{number}", "", (), text, 0, len(text))


def _write_reports(path: Path, name: str, segmenter: Segmenter, rng: random.Random) -> Iterator[Collection]:
    for number, paragraphs in enumerate(_documents(read_paragraphs(path))):
        passages = tuple(_passage(f"{name}-{number}", i, text) for i, text in enumerate(paragraphs))
        asked = []
        for index, passage in enumerate(passages):
            if len(passage.text) >= _MIN_CHARS:
                count = max(1, len(passage.text) // 120)
                tokens = segmenter.tag(passage.text)
                for example in questions_of(passage.text, tokens, rng=rng, count=count, max_chars=len(passage.text)):
                    asked.append(Asked(example.question, index, ((example.start, example.end),)))
        if len(passages) > READ_HITS and asked:
            yield Collection(f"{name}-{number}", passages, tuple(asked))


def _documents(paragraphs: Sequence[str]) -> Iterator[list[str]]:
    document: list[str] = []
    for paragraph in [*paragraphs, ""]:
        if paragraph:
            document.append(paragraph)
        elif document:
            yield document
            document = []


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
    question = asked.question
    if variant == "swapped":
        around = fold(gold.text)
        question = _swapped(fold(question), around, names, rng)
        if not question:
            return None
    scores = index.scores(question)
    rows = [int(row) for row in np.argsort(-scores, kind="stable")[: READ_HITS + 1] if scores[row] > 0]
    if variant == "removed":
        rows = [row for row in rows if row != asked.passage]
    rows = rows[:READ_HITS]
    if not rows:
        return None
    hits = tuple(
        Hit(collection.passages[row], float(scores[row]), rank, lexical_score=float(scores[row]))
        for rank, row in enumerate(rows, start=1)
    )
    found = rows.index(asked.passage) if asked.passage in rows and variant != "swapped" else -1
    return Case(question, hits, found, asked.answers if found >= 0 else (), variant, gold.id)


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


def span_f1(text: str, starts: Ints, ends: Ints, answer: tuple[int, int]) -> Floats:
    """Character F1 of spans of a text with an answer in it, by their overlap in letters, digits and Han characters."""
    content = np.concatenate([[0], np.cumsum([character.isalnum() for character in text])])
    low, high = np.maximum(starts, answer[0]), np.minimum(ends, answer[1])
    shared = np.where(high > low, content[high] - content[np.minimum(low, high)], 0)
    total = content[ends] - content[starts] + content[answer[1]] - content[answer[0]]
    return np.asarray(2 * shared / np.maximum(total, 1), dtype=np.float32)
