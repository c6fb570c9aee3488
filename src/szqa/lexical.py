"""BM25 over jieba words and character bigrams, for passage texts and for the titles above them.

Words find what the dictionary knows, bigrams what it does not; the two live in one vocabulary, kept apart by a
prefix. It knows nothing of embeddings, of files other than its own, or how its scores are fused.
"""

from __future__ import annotations

import json
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

# Share of a title's terms that stand in other titles too, from which on the title is one of a series.
_SERIES_SHARE = 0.5


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
    def of(cls, titles: Sequence[str], segmenter: Segmenter) -> Self:
        """Find the series among the titles of passages, one title a passage."""
        numbers = {title: number for number, title in enumerate(dict.fromkeys(titles))}
        terms = [set(index_terms(segmenter, title)) for title in numbers]
        frequencies = Counter(term for title in terms for term in title)
        shares = []
        for title in terms:
            shared = sum(frequencies[term] > 1 for term in title)
            weights = {term: float(np.log(len(terms) / frequencies[term])) for term in sorted(title)}
            total = sum(weights.values())
            of_series = total > 0 and shared >= _SERIES_SHARE * len(title)
            shares.append({t: w / total for t, w in weights.items() if w} if of_series else {})
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
        series = TitleSeries.of(titles, segmenter)
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
