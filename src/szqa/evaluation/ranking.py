"""Retrieval measures of one ranking, computed by ir_measures.

A question's relevant items are its pieces of evidence, and the rank of one is the rank of the first passage that
holds it. It knows nothing of passages or questions.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["RANKING_DEPTH", "RANKING_MEASURES", "ranking_scores"]

RANKING_MEASURES = {
    "recall@1": "R@1",
    "recall@3": "R@3",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "RR@10": "RR@10",
    "nDCG@10": "nDCG@10",
}
"""Our name of each measure, and its name in ir_measures."""

RANKING_DEPTH = 10
"""Ranks that any of the measures looks at."""


def ranking_scores(rankings: Sequence[Sequence[int | None]]) -> dict[str, list[float]]:
    """Score rankings.

    Args:
        rankings: for each question the rank of each of its pieces of evidence, from 1; ``None`` where it was not
            found. No question without evidence.

    Returns:
        For each of ``RANKING_MEASURES`` the questions' scores in order, [0, 1], higher is better.
    """
    import ir_measures

    relevant: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for number, ranks in enumerate(rankings):
        query = str(number)
        relevant[query] = {f"evidence-{item}": 1 for item in range(len(ranks))}
        run[query] = _run_of_query(ranks)
    measures = {str(ir_measures.parse_measure(theirs)): ours for ours, theirs in RANKING_MEASURES.items()}
    scores = {ours: [0.0] * len(rankings) for ours in RANKING_MEASURES}
    if rankings:
        for row in ir_measures.iter_calc(map(ir_measures.parse_measure, measures), relevant, run):
            scores[measures[str(row.measure)]][int(row.query_id)] = float(row.value)
    return scores


def _run_of_query(ranks: Sequence[int | None]) -> dict[str, float]:
    """A ranking of the evidence and of what stood between; evidence in one passage takes ranks in a row."""
    found = sorted((rank, item) for item, rank in enumerate(ranks) if rank is not None)
    last = max((rank for rank, _ in found), default=0)
    order: list[str] = []
    for rank in range(1, last + 1):
        here = [f"evidence-{item}" for at, item in found if at == rank]
        order += here or [f"other-{rank}"]
    return {name: float(-place) for place, name in enumerate(order)}
