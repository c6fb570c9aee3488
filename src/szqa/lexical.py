"""BM25 over jieba words and character bigrams, for passage texts and for the titles above them.

Words find what the dictionary knows, bigrams what it does not; the two live in one vocabulary, kept apart by a
prefix. It knows nothing of embeddings, of files other than its own, or how its scores are fused.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Passage
from szqa.errors import IndexFormatError
from szqa.text import Segmenter, character_bigrams

if TYPE_CHECKING:
    from bm25s import BM25

__all__ = ["TITLE_WEIGHT", "LexicalIndex", "index_terms"]

# Weight of the BM25 score of title and headings beside that of the text; eval/README.md, "Retrieval settings".
TITLE_WEIGHT = 0.4

# BM25 parameters (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework"), best on CMRC 2018 trial and
# DRCD dev; lower than the customary 1.2 and 0.75 because words and bigrams count most things twice.
_K1, _B = 0.6, 0.4

# Two titles are of one series where one shares this part of its terms with the other and the texts under them have this
# cosine. Texts of sister reports reach 0.59, those of encyclopaedia entries (DRCD dev) stay below 0.40.
_SERIES_SHARE, _SERIES_COSINE = 0.5, 0.5
# Titles looked at for each term of a title when its nearest sister is sought: bounds the work in a long series.
_SISTERS = 20


def index_terms(segmenter: Segmenter, text: str) -> list[str]:
    """The terms a text is indexed and searched by: jieba words, and character bigrams with a '#' before them."""
    return segmenter.words(text) + ["#" + bigram for bigram in character_bigrams(text)]


@dataclass(frozen=True, slots=True)
class TitleSeries:
    """What tells the titles of a series apart.

    Attributes:
        rows: number of the title of each passage.
        shares: for each title, term → share of the title's inverse document frequency over the distinct titles; the
            shares of a title add up to 1, and a title that is of no series has none.
    """

    rows: NDArray[np.int32]
    shares: tuple[dict[str, float], ...]

    @classmethod
    def of(cls, titles: Sequence[str], bodies: Sequence[Sequence[str]], segmenter: Segmenter) -> Self:
        """Find the series among passages.

        Args:
            titles: title of each passage.
            bodies: index terms of each passage's text.
            segmenter: cuts the titles.
        """
        rows_of: dict[str, list[int]] = {}
        for row, title in enumerate(titles):
            rows_of.setdefault(title, []).append(row)
        terms = [set(index_terms(segmenter, title)) for title in rows_of]
        postings: dict[str, list[int]] = {}
        for number, title_terms in enumerate(terms):
            for term in title_terms:
                postings.setdefault(term, []).append(number)
        vectors = _TermVectors(list(rows_of.values()), bodies)
        shares = []
        for number, title_terms in enumerate(terms):
            sister = _sister(number, title_terms, postings)
            alike = sister is not None and vectors.cosine(number, sister) >= _SERIES_COSINE
            shares.append(_idf_shares(title_terms, postings, len(terms)) if alike else {})
        numbers = {title: number for number, title in enumerate(rows_of)}
        return cls(np.array([numbers[title] for title in titles], dtype=np.int32), tuple(shares))

    def coverage(self, terms: Iterable[str]) -> NDArray[np.float32]:
        """How much of what tells its title apart a question holds, ``(passages,)``, [0, 1]."""
        asked = set(terms)
        by_title = [sum(share for term, share in title.items() if term in asked) for title in self.shares]
        return np.array(by_title, dtype=np.float32)[self.rows]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"rows": self.rows.tolist(), "shares": self.shares}, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads(path.read_text("utf-8"))
        return cls(np.array(content["rows"], dtype=np.int32), tuple(content["shares"]))


@dataclass(frozen=True, slots=True)
class LexicalIndex:
    """BM25 scores of every passage for a question; row *i* is the *i*-th passage it was built from.

    Attributes:
        segmenter: cuts passages and questions.
        body: BM25 over the passages' texts.
        title: BM25 over the documents' titles and the headings above each passage.
        series: which documents' titles are of a series, and what tells them apart.
        size: number of passages.
    """

    segmenter: Segmenter
    body: BM25
    title: BM25
    series: TitleSeries
    size: int

    @classmethod
    def build(cls, passages: Iterable[Passage], segmenter: Segmenter) -> Self:
        """Index passages; the iterable is gone through once, so it may report progress."""
        body_terms, above_terms, titles = [], [], []
        known: dict[str, list[str]] = {}
        for passage in passages:
            above = "\n".join((passage.title, *passage.headings))
            if above not in known:
                known[above] = index_terms(segmenter, above)
            body_terms.append(index_terms(segmenter, passage.text))
            above_terms.append(known[above])
            titles.append(passage.title)
        series = TitleSeries.of(titles, body_terms, segmenter)
        return cls(segmenter, _index(body_terms), _index(above_terms), series, len(body_terms))

    def scores(self, question: str) -> NDArray[np.float32]:
        """BM25 of every passage: text plus ``TITLE_WEIGHT`` times title and headings.

        The sum is up to twice as much where the title is one of a series (政府工作报告 of several provinces) and the
        question holds what tells it from its sisters: their passages share one vocabulary and rarely say whose they
        are.

        Returns:
            ``(size,)`` float32, >= 0, higher is better; all zero where no term of the question is known.
        """
        terms = index_terms(self.segmenter, question)
        total = self._field_scores(self.body, terms) + TITLE_WEIGHT * self._field_scores(self.title, terms)
        return (total * (1 + self.series.coverage(terms))).astype(np.float32)

    def matched_words(self, question: str, passage: Passage) -> tuple[str, ...]:
        """The question's words that stand in a passage, its title or its headings, in the question's order."""
        present = set(self.segmenter.words("\n".join((passage.text, passage.title, *passage.headings))))
        return tuple(dict.fromkeys(word for word in self.segmenter.words(question) if word in present))

    def save(self, folder: Path) -> None:
        """Write the index into a folder: NumPy arrays and JSON, no texts."""
        for name, bm25 in (("body", self.body), ("title", self.title)):
            bm25.save(folder / name, show_progress=False)
        self.series.save(folder / "series.json")

    @classmethod
    def load(cls, folder: Path, segmenter: Segmenter, *, size: int) -> Self:
        """Read an index written by ``save``.

        Args:
            folder: where it was written.
            segmenter: the segmenter it was built with.
            size: number of passages it must hold.

        Raises:
            IndexFormatError: it holds another number of passages.
        """
        from bm25s import BM25

        fields = []
        for name in ("body", "title"):
            bm25 = BM25.load(folder / name, show_progress=False)
            if bm25.scores["num_docs"] != size:
                raise IndexFormatError(
                    f"{folder / name}: 有 {bm25.scores['num_docs']} 条段落，应为 {size} 条，请运行 szqa build "
                    f"(holds {bm25.scores['num_docs']} passages, expected {size}; run: szqa build)"
                )
            fields.append(bm25)
        return cls(segmenter, fields[0], fields[1], TitleSeries.load(folder / "series.json"), size)

    def _field_scores(self, bm25: BM25, terms: list[str]) -> NDArray[np.float32]:
        known = [bm25.vocab_dict[term] for term in terms if term in bm25.vocab_dict]
        if not known:  # bm25s raises IndexError on a query without tokens
            return np.zeros(self.size, dtype=np.float32)
        scores: NDArray[np.float32] = bm25.get_scores_from_ids(known)
        return scores


def _index(documents: list[list[str]]) -> BM25:
    from bm25s import BM25

    # The empty term stands in texts without any other: bm25s cannot index those. No question contains it.
    vocabulary: dict[str, int] = {"": 0}
    ids = [[vocabulary.setdefault(term, len(vocabulary)) for term in terms] or [0] for terms in documents]
    bm25 = BM25(k1=_K1, b=_B, method="lucene", auto_compile=False)
    bm25.index((ids, vocabulary), show_progress=False)
    return bm25


class _TermVectors:
    """Unit vectors of 1 + log term frequency over the texts of each title, made when they are first compared."""

    def __init__(self, rows: Sequence[Sequence[int]], bodies: Sequence[Sequence[str]]) -> None:
        self._rows = rows
        self._bodies = bodies
        self._known: dict[int, dict[str, float]] = {}

    def cosine(self, first: int, second: int) -> float:
        """Cosine of two titles' texts, [0, 1]."""
        one, other = self._vector(first), self._vector(second)
        return sum(weight * other.get(term, 0.0) for term, weight in one.items())

    def _vector(self, number: int) -> dict[str, float]:
        if number not in self._known:
            counts = Counter(term for row in self._rows[number] for term in self._bodies[row])
            weights = {term: 1 + math.log(count) for term, count in counts.items()}
            length = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
            self._known[number] = {term: weight / length for term, weight in weights.items()}
        return self._known[number]


def _sister(number: int, terms: set[str], postings: dict[str, list[int]]) -> int | None:
    """The title that shares most of a title's terms, ``None`` where that is less than ``_SERIES_SHARE`` of them."""
    shared = Counter(other for term in sorted(terms) for other in postings[term][:_SISTERS] if other != number)
    if not shared:
        return None
    sister, count = shared.most_common(1)[0]
    return sister if count >= _SERIES_SHARE * len(terms) else None


def _idf_shares(terms: set[str], postings: dict[str, list[int]], titles: int) -> dict[str, float]:
    """Each term's share of the inverse document frequency of a title, over all distinct titles."""
    weights = {term: math.log(titles / len(postings[term])) for term in sorted(terms)}
    total = sum(weights.values()) or 1.0
    return {term: weight / total for term, weight in weights.items() if weight}
