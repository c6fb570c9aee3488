"""Question sets that the span ranker learns from: real ones of the data folder, and ones written about reports.

Real questions come from CMRC 2018's training part; those in the register of reports are written by rule, some of them
about what the report does not say. Knows nothing of retrieval, features or models.
"""

from __future__ import annotations

import json
import lzma
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from szqa.datatypes import Passage
from szqa.text import Segmenter, fold, split_sentences
from szqa.training.fact_questions import ask_about, near_misses, reworded, told_by
from szqa.training.facts import Fact, facts_of
from szqa.training.pairs import read_documents
from szqa.training.questions import questions_of

__all__ = ["REPORTS", "Asked", "Collection", "read_collections", "read_questions", "write_questions"]

# Texts whose register is the reports' one; each document is a collection of its own, so that passages are alike.
REPORTS: Final = ("gov_reports_2026", "gov_reports_2012_2021", "fuyao_news")
_CMRC: Final = "cmrc2018_train"
# A document with fewer passages is not searched: every passage would be read.
_MIN_PASSAGES: Final = 6
_MIN_CHARS: Final = 60
_CHARS_A_QUESTION: Final = 240
# Share of the words with synonyms that are exchanged, and of the facts that are also asked for in vain.
_REWORDED: Final = 0.25
_NEAR: Final = 0.6
# Facts of other reports that are asked for in vain, a fact of its own.
_FOREIGN: Final = 0.25


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one passage of a collection.

    Attributes:
        question: the question.
        passage: index of the passage that answers it, or that comes near to it.
        answers: accepted answers as intervals of that passage's text; none where the collection does not say.
    """

    question: str
    passage: int
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """Passages that are searched together, and questions about them.

    Attributes:
        name: of the set or document.
        passages: what is searched.
        asked: the questions.
        written: whether they were written by rule.
    """

    name: str
    passages: tuple[Passage, ...]
    asked: tuple[Asked, ...]
    written: bool = False


def read_collections(data_dir: Path, segmenter: Segmenter, *, seed: int, limit: int | None) -> list[Collection]:
    """Read the real questions and write those about reports; ``limit`` bounds the number of either."""
    return [
        read_questions(data_dir / "mrc" / f"{_CMRC}.jsonl.xz", limit),
        *write_questions(data_dir, segmenter, seed=seed, limit=limit),
    ]


def write_questions(
    data_dir: Path,
    segmenter: Segmenter,
    *,
    seed: int,
    limit: int | None = None,
    rounds: int = 1,
    chars_a_question: int = _CHARS_A_QUESTION,
) -> list[Collection]:
    """Write the questions about reports, a collection for each.

    Args:
        data_dir: folder of training data with ``text/``.
        segmenter: cuts and tags.
        seed: of all that is left open.
        limit: no further report is asked about after so many questions.
        rounds: how often each fact is asked for, each time in other words.
        chars_a_question: one question made from a sentence for so many characters of text, in each round.
    """
    collections: list[Collection] = []
    written = 0
    for name in REPORTS:
        rng = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
        reports = _read_reports(data_dir / "text" / f"{name}.txt.xz", name, segmenter)
        for report in reports:
            asked: list[Asked] = []
            for _ in range(rounds):
                asked += [*_in_place(report, rng, chars_a_question), *_about_facts(report, segmenter, rng)]
                asked += _unanswered(report, [other for other in reports if other is not report], segmenter, rng)
            if limit is not None and written >= limit:
                return collections
            if asked:
                collections.append(Collection(report.name, report.passages, tuple(asked), written=True))
                written += len(asked)
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


def _read_reports(path: Path, name: str, segmenter: Segmenter) -> list[_Report]:
    return [
        _Report(f"{name}-{number}", paragraphs, segmenter)
        for number, paragraphs in enumerate(read_documents(path))
        if len(paragraphs) >= _MIN_PASSAGES
    ]


class _Report:
    """A document, its facts by passage, and the place it is about."""

    def __init__(self, name: str, paragraphs: Sequence[str], segmenter: Segmenter) -> None:
        self.name = name
        self.passages = tuple(_passage(name, number, text) for number, text in enumerate(paragraphs))
        self.tokens = [segmenter.tag(passage.text) for passage in self.passages]
        self.facts: list[tuple[int, Fact]] = []
        for index, (passage, tokens) in enumerate(zip(self.passages, self.tokens, strict=True)):
            found = facts_of(passage.text, tokens, split_sentences(passage.text))
            self.facts += [(index, fact) for fact in found]
        places = Counter(t.text for tokens in self.tokens for t in tokens if t.tag == "ns" and 2 <= len(t.text) <= 3)
        places.pop("中国", None)
        self.place = places.most_common(1)[0][0] if places else ""
        self.folded = fold("\n".join(paragraphs))


def _in_place(report: _Report, rng: random.Random, chars_a_question: int) -> Iterator[Asked]:
    for index, passage in enumerate(report.passages):
        if len(passage.text) >= _MIN_CHARS:
            count, tokens = max(1, len(passage.text) // chars_a_question), report.tokens[index]
            for example in questions_of(passage.text, tokens, rng=rng, count=count, max_chars=len(passage.text)):
                yield Asked(example.question, index, ((example.start, example.end),))


def _about_facts(report: _Report, segmenter: Segmenter, rng: random.Random) -> Iterator[Asked]:
    for index, fact in report.facts:
        question = ask_about(fact, rng=rng, place=report.place)
        if question:
            yield Asked(reworded(question, segmenter, rng=rng, chance=_REWORDED), index, ((fact.start, fact.end),))


def _unanswered(
    report: _Report, others: Sequence[_Report], segmenter: Segmenter, rng: random.Random
) -> Iterator[Asked]:
    """Questions near to the facts of a report that it does not answer: one of every second fact, some of others'."""
    places = sorted({other.place for other in others} - {report.place, ""})
    for index, fact in report.facts:
        near = list(near_misses(fact, rng=rng, place=report.place, other_places=places, collection=report.folded))
        if near and rng.random() < _NEAR:
            ways = sorted({way for _, way in near})
            way = rng.choice(ways)
            chosen = rng.choice([question for question, its in near if its == way])
            yield Asked(reworded(chosen, segmenter, rng=rng, chance=_REWORDED), index, ())
    with_facts = [other for other in others if other.facts]
    for _ in range(int(_FOREIGN * len(report.facts)) if with_facts else 0):
        other = rng.choice(with_facts)
        _, fact = rng.choice(other.facts)
        told = fold(told_by(fact))
        question = ask_about(fact, rng=rng)
        if question and len(told) >= 4 and told not in report.folded and other.place not in question:
            yield Asked(report.place + question if rng.random() < 0.5 else question, 0, ())
