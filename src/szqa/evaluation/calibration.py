"""How far a score can be trusted: who is told apart by it, what is risked by answering, and where to stop.

All functions take scores and outcomes only, and treat equal scores alike whatever their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = [
    "Bin",
    "RiskPoint",
    "Threshold",
    "area_under_risk",
    "auroc",
    "best_threshold",
    "calibration_error",
    "reliability_bins",
    "risk_coverage",
]


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """What answering only from a score upwards would risk.

    Attributes:
        coverage: share of the questions that are answered, (0, 1].
        risk: share of the answers that are wrong, [0, 1], lower is better.
    """

    coverage: float
    risk: float


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose scores lie in one interval.

    Attributes:
        score: their mean score.
        accuracy: share of them that is right.
        count: how many they are.
    """

    score: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score from which to answer, and what it brings.

    Attributes:
        value: answer where the score is at least this.
        mean: mean gain of a question at that threshold.
    """

    value: float
    mean: float


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Chance that a positive scores above a negative, [0, 1], 0.5 is blind; ``None`` without one of either."""
    above = [score for score, is_positive in zip(scores, positive, strict=True) if is_positive]
    below = [score for score, is_positive in zip(scores, positive, strict=True) if not is_positive]
    if not above or not below:
        return None
    from scipy.stats import mannwhitneyu

    # The U statistic counts the pairs in order, ties as half (Hanley and McNeil 1982).
    return float(mannwhitneyu(above, below, method="asymptotic").statistic) / (len(above) * len(below))


def risk_coverage(scores: Sequence[float], losses: Sequence[float]) -> list[RiskPoint]:
    """The risk–coverage curve (El-Yaniv and Wiener 2010), one point a question, from the highest score down.

    Args:
        scores: higher is surer.
        losses: what answering the question costs: 1 wrong, 0 right.
    """
    points: list[RiskPoint] = []
    lost = 0.0
    ordered = sorted(zip(scores, losses, strict=True), key=lambda pair: -pair[0])
    for _, group in groupby(ordered, key=lambda pair: pair[0]):
        tied = [loss for _, loss in group]
        for _ in tied:  # spread evenly over the tied ones: their order means nothing
            lost += sum(tied) / len(tied)
            answered = len(points) + 1
            points.append(RiskPoint(answered / len(ordered), lost / answered))
    return points


def area_under_risk(points: Sequence[RiskPoint]) -> float | None:
    """Mean risk over all coverages (AURC), [0, 1], lower is better; ``None`` without points."""
    return math.fsum(point.risk for point in points) / len(points) if points else None


def reliability_bins(scores: Sequence[float], correct: Sequence[float], *, bins: int = 10) -> list[Bin]:
    """Scores in ``bins`` equal intervals of [0, 1], lowest first, empty ones left out."""
    members: dict[int, list[tuple[float, float]]] = {}
    for score, right in zip(scores, correct, strict=True):
        members.setdefault(min(int(score * bins), bins - 1), []).append((score, right))
    return [
        Bin(
            math.fsum(score for score, _ in inside) / len(inside),
            math.fsum(right for _, right in inside) / len(inside),
            len(inside),
        )
        for _, inside in sorted(members.items())
    ]


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error (Naeini et al. 2015): mean gap of score and accuracy, [0, 1], lower is better."""
    total = sum(item.count for item in bins)
    return math.fsum(abs(item.score - item.accuracy) * item.count for item in bins) / total if total else None


def best_threshold(
    scores: Sequence[float], answering: Sequence[float], abstaining: Sequence[float]
) -> Threshold | None:
    """The threshold with the highest mean gain; midway between two scores, the lowest where several are equal.

    Args:
        scores: of the best candidate of each question, [0, 1].
        answering: what each question gains if it is answered.
        abstaining: what it gains if it is not.
    """
    if not scores:
        return None
    ordered = sorted(zip(scores, answering, abstaining, strict=True), key=lambda row: row[0])
    gain = math.fsum(answering)
    best_value, best_gain = 0.0, gain
    levels = [(score, list(group)) for score, group in groupby(ordered, key=lambda row: row[0])]
    for number, (score, rows) in enumerate(levels):
        gain += math.fsum(abstain - answer for _, answer, abstain in rows)
        above = (score + levels[number + 1][0]) / 2 if number + 1 < len(levels) else math.nextafter(score, 2)
        if gain > best_gain + 1e-9:
            best_value, best_gain = above, gain
    return Threshold(best_value, best_gain / len(scores))
