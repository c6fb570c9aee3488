"""Question → passages: dense and lexical scores fused into one ranking, here or by a search engine.

It knows nothing of answers, and never changes a question or a passage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit, Mode, Passage
from szqa.embedder import Embedder, StaticEmbedder
from szqa.engine import EngineHit
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

Scores = NDArray[np.float32]

# Weight of the cosine beside the BM25 score, both z-scored over the pool; eval/README.md, "Retrieval settings".
DENSE_WEIGHT = 0.1

# Weight of the cosine of the question and a passage's best sentence, added to that for the best few.
SENTENCE_WEIGHT = 2.5

# Best passages of either search that are scored by both, and those of them whose sentences are looked at.
_POOL = 100
_READ_CLOSELY = 5
# Passages of an engine's hybrid search that are ranked here: as many as it merges from each of its searches.
_ENGINE_POOL = 50


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
        scores = {"lexical": lexical[pool], "dense": dense}
        if mode == "hybrid":
            fused = _fuse(lexical[pool], dense, dense_weight=self.dense_weight)
            _read_closely(self.index, pool, fused, query, weight=self.sentence_weight)
            scores["hybrid"] = fused
        # A stable sort over ascending rows: equal scores come in the order of the corpus.
        order = np.argsort(-scores[mode], kind="stable")[:top_k]
        return [
            Hit(
                self.index.passages[int(pool[place])],
                score=float(scores[mode][place]),
                rank=rank,
                dense_score=float(dense[place]),
                lexical_score=float(lexical[pool[place]]),
            )
            for rank, place in enumerate(order, start=1)
        ]

    def without_meaning(self) -> Retriever:
        """The same, ranking by words alone."""
        return replace(self, dense_weight=0.0, sentence_weight=0.0)


@dataclass(frozen=True, slots=True)
class EngineRetriever:
    """Asks the engine of an index for passages, and ranks those of a hybrid search as ``Retriever`` does.

    The engine's own fusion says which passages those are. Ranks alone, which is all that it fuses, do not say how much
    better the first is than the second; the scores that it returns with them do.

    Attributes:
        index: what is searched.
        hybrid: how "hybrid" is searched.
        dense_weight: as for ``Retriever``.
        sentence_weight: as for ``Retriever``.
    """

    index: EngineIndex
    hybrid: Mode = "hybrid"
    dense_weight: float = DENSE_WEIGHT
    sentence_weight: float = 0.0

    def search(self, question: str, *, top_k: int = 10, mode: Mode = "hybrid") -> list[Hit]:
        """The ``top_k`` best passages, best first; errors as for ``SearchEngine.find``."""
        query = self.index.embedder.embed_query(question)
        mode = self.hybrid if mode == "hybrid" else mode
        pool = max(top_k, _ENGINE_POOL) if mode == "hybrid" else top_k
        found = self.index.engine.find(question, query, top_k=pool, mode=mode)
        scores = np.array([hit.score for hit in found], dtype=np.float32)
        if mode == "hybrid" and found:
            lexical = np.array([hit.lexical_score for hit in found], dtype=np.float32)
            dense = np.array([hit.dense_score for hit in found], dtype=np.float32)
            scores = _fuse(lexical, dense, dense_weight=self.dense_weight)
            rows = np.array([hit.row for hit in found], dtype=np.int64)
            _read_closely(self.index, rows, scores, query, weight=self.sentence_weight)
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [self._hit(found[place], float(scores[place]), rank) for rank, place in enumerate(order, start=1)]

    def _hit(self, found: EngineHit, score: float, rank: int) -> Hit:
        passage = self.index.passages[found.row]
        if passage.id != found.passage_id:
            raise IndexFormatError(
                f"检索引擎的第 {found.row} 行是 {found.passage_id}，索引中是 {passage.id}，请运行 szqa build "
                f"(row {found.row} of the engine is another passage; run: szqa build)"
            )
        return Hit(passage, score, rank, found.dense_score, found.lexical_score)

    def without_meaning(self) -> EngineRetriever:
        """The same, ranking by words alone."""
        return replace(self, hybrid="lexical")


AnyRetriever = Retriever | EngineRetriever


def make_retriever(index: Index | EngineIndex) -> AnyRetriever:
    """The retriever for an index."""
    # A network would take longer over the sentences than all the rest of an answer takes.
    weight = SENTENCE_WEIGHT if isinstance(index.embedder, StaticEmbedder) else 0.0
    if isinstance(index, Index):
        return Retriever(index, sentence_weight=weight)
    return EngineRetriever(index, sentence_weight=weight)


def matched_words(segmenter: Segmenter, question: str, passage: Passage) -> tuple[str, ...]:
    """The question's words that stand in a passage, its title or its headings, in the question's order."""
    present = set(segmenter.words("\n".join((passage.text, passage.title, *passage.headings))))
    return tuple(dict.fromkeys(word for word in segmenter.words(question) if word in present))


def _fuse(lexical: Scores, dense: Scores, *, dense_weight: float) -> Scores:
    """BM25 scores and cosines of a pool of passages in one score each, (n,)."""
    return _z_scores(lexical) + dense_weight * _z_scores(dense)


def _read_closely(
    index: Index | EngineIndex, rows: NDArray[np.int64], fused: Scores, query: Scores, *, weight: float
) -> None:
    """Add the cosine of its best sentence to the score of each of the best passages, where it can decide.

    Args:
        index: holds the passages.
        rows: (n,) which passages.
        fused: (n,) their scores; changed.
        query: vector of the question; all zero where it has no known word.
        weight: of the cosine.
    """
    if not weight or not query.any():
        return
    closely = np.argsort(-fused, kind="stable")[:_READ_CLOSELY]
    rivals = closely[fused[closely] > fused[closely[0]] - weight]
    if len(rivals) > 1:  # the others could not come first whatever their sentences say
        texts = [index.passages[int(row)].text for row in rows[rivals]]
        fused[rivals] += weight * np.array([_best_sentence(index.embedder, text, query) for text in texts], np.float32)


def _best_sentence(embedder: Embedder, text: str, query: Scores) -> float:
    """Cosine of a question and the best sentence of a passage, 0 where none is nearer than at right angles.

    Never below 0, so that passages whose sentences are looked at stay before the rest.
    """
    sentences = [text[start:end] for start, end in split_sentences(text)]
    return float(np.max(embedder.embed_passages(sentences) @ query, initial=0))


def _best_rows(scores: Scores, count: int) -> NDArray[np.int64]:
    """Rows of the ``count`` highest scores above zero, in no order."""
    rows = np.flatnonzero(scores)
    if len(rows) > count:
        rows = rows[np.argpartition(-scores[rows], count)[:count]]
    return rows


def _z_scores(scores: Scores) -> Scores:
    deviation = float(scores.std())
    # Passages that differ by rounding alone are equal: dividing by next to nothing would rank the noise.
    return (scores - scores.mean()) / deviation if deviation > 1e-6 else np.zeros_like(scores)
