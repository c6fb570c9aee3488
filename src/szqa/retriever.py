"""Question → passages: dense and lexical scores fused into one ranking, here or by a search engine.

It knows nothing of answers, and never changes a question or a passage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit, Mode, Passage
from szqa.embedder import StaticEmbedder
from szqa.engine_index import EngineIndex
from szqa.errors import IndexFormatError
from szqa.index import Index
from szqa.text import Segmenter, split_sentences

__all__ = [
    "DENSE_WEIGHT",
    "SENTENCE_WEIGHT",
    "AnyRetriever",
    "EngineRetriever",
    "Mode",
    "Retriever",
    "make_retriever",
    "matched_words",
]

# Weight of the cosine beside the BM25 score, both z-scored over the pool; eval/README.md, "Retrieval settings".
DENSE_WEIGHT = 0.1

# Weight of the cosine of the question and a passage's best sentence, added to that for the best few.
SENTENCE_WEIGHT = 2.5

# Best passages of either search that are scored by both, and those of them whose sentences are looked at.
_POOL = 100
_READ_CLOSELY = 5


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds the passages of an index that a question is about.

    Attributes:
        index: what is searched.
        dense_weight: weight of the z-scored cosine beside the z-scored BM25 score.
        sentence_weight: weight of the cosine of a passage's best sentence, where the best few passages are so close
            that it may decide; for embedders that cost next to nothing, as the sentences are embedded then and there.
    """

    index: Index
    dense_weight: float = DENSE_WEIGHT
    sentence_weight: float = 0.0

    def search(self, question: str, *, top_k: int = 10, mode: Mode = "hybrid") -> list[Hit]:
        """The ``top_k`` best passages, best first; none where the question has no known word at all."""
        lexical = self.index.lexical.scores(question)
        query = self.index.embedder.embed_query(question)
        nearest = self.index.store.search(query, _POOL)[1] if query.any() else np.zeros(0, dtype=np.int64)
        pool = np.union1d(_best_rows(lexical, _POOL), nearest).astype(np.int64)
        if not len(pool):
            return []
        dense = self.index.store.vectors(pool) @ query
        fused = {
            "hybrid": _z_scores(lexical[pool]) + self.dense_weight * _z_scores(dense),
            "lexical": lexical[pool],
            "dense": dense,
        }[mode]
        if mode == "hybrid" and self.sentence_weight and query.any():
            closely = np.argsort(-fused, kind="stable")[:_READ_CLOSELY]
            rivals = closely[fused[closely] > fused[closely[0]] - self.sentence_weight]
            if len(rivals) > 1:  # the others could not come first whatever their sentences say
                fused[rivals] += self.sentence_weight * self._best_sentences(pool[rivals], query)
        # A stable sort over ascending rows: equal scores come in the order of the corpus.
        order = np.argsort(-fused, kind="stable")[:top_k]
        return [
            Hit(
                self.index.passages[int(pool[place])],
                score=float(fused[place]),
                rank=rank,
                dense_score=float(dense[place]),
                lexical_score=float(lexical[pool[place]]),
            )
            for rank, place in enumerate(order, start=1)
        ]

    def without_meaning(self) -> Retriever:
        """The same, ranking by words alone."""
        return replace(self, dense_weight=0.0, sentence_weight=0.0)

    def _best_sentences(self, rows: NDArray[np.int64], query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of the question and the best sentence of each passage, 0 where none is nearer than at right angles.

        Never below 0, so that passages whose sentences are looked at stay before the rest.
        """
        best = np.zeros(len(rows), dtype=np.float32)
        for place, row in enumerate(rows):
            text = self.index.passages[int(row)].text
            sentences = [text[start:end] for start, end in split_sentences(text)]
            best[place] = np.max(self.index.embedder.embed_passages(sentences) @ query, initial=0)
        return best


@dataclass(frozen=True, slots=True)
class EngineRetriever:
    """Asks the engine of an index for passages.

    Attributes:
        index: what is searched.
        hybrid: how "hybrid" is searched.
    """

    index: EngineIndex
    hybrid: Mode = "hybrid"

    def search(self, question: str, *, top_k: int = 10, mode: Mode = "hybrid") -> list[Hit]:
        """The ``top_k`` best passages, best first; errors as for ``SearchEngine.find``."""
        query = self.index.embedder.embed_query(question)
        mode = self.hybrid if mode == "hybrid" else mode
        found = self.index.engine.find(question, query, top_k=top_k, mode=mode)
        hits = []
        for rank, hit in enumerate(found, start=1):
            passage = self.index.passages[hit.row]
            if passage.id != hit.passage_id:
                raise IndexFormatError(
                    f"检索引擎的第 {hit.row} 行是 {hit.passage_id}，索引中是 {passage.id}，请运行 szqa build "
                    f"(row {hit.row} of the engine is another passage; run: szqa build)"
                )
            hits.append(Hit(passage, hit.score, rank, hit.dense_score, hit.lexical_score))
        return hits

    def without_meaning(self) -> EngineRetriever:
        """The same, ranking by words alone."""
        return replace(self, hybrid="lexical")


AnyRetriever = Retriever | EngineRetriever


def make_retriever(index: Index | EngineIndex) -> AnyRetriever:
    """The retriever for an index."""
    if not isinstance(index, Index):
        return EngineRetriever(index)
    # A network would take longer over the sentences than all the rest of an answer takes.
    weight = SENTENCE_WEIGHT if isinstance(index.embedder, StaticEmbedder) else 0.0
    return Retriever(index, sentence_weight=weight)


def matched_words(segmenter: Segmenter, question: str, passage: Passage) -> tuple[str, ...]:
    """The question's words that stand in a passage, its title or its headings, in the question's order."""
    present = set(segmenter.words("\n".join((passage.text, passage.title, *passage.headings))))
    return tuple(dict.fromkeys(word for word in segmenter.words(question) if word in present))


def _best_rows(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Rows of the ``count`` highest scores above zero, in no order."""
    rows = np.flatnonzero(scores)
    if len(rows) > count:
        rows = rows[np.argpartition(-scores[rows], count)[:count]]
    return rows


def _z_scores(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    deviation = float(scores.std())
    # Passages that differ by rounding alone are equal: dividing by next to nothing would rank the noise.
    return (scores - scores.mean()) / deviation if deviation > 1e-6 else np.zeros_like(scores)
