"""Question → passages: dense and lexical scores fused into one ranking.

It knows nothing of answers, and never changes a question or a passage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit
from szqa.index import Index

__all__ = ["DENSE_WEIGHT", "Mode", "Retriever"]

Mode = Literal["hybrid", "lexical", "dense"]

# Weight of the cosine beside the BM25 score, both z-scored over the pool; eval/README.md, "Retrieval settings".
DENSE_WEIGHT = 0.1

# Best passages of either search that are scored by both.
_POOL = 100


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds the passages of an index that a question is about.

    Attributes:
        index: what is searched.
        dense_weight: weight of the z-scored cosine beside the z-scored BM25 score.
    """

    index: Index
    dense_weight: float = DENSE_WEIGHT

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
