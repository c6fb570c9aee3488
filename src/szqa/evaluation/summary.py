"""The rows of a run → its figures, with 95 % intervals.

It knows nothing of files, tables or plots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from szqa.evaluation.calibration import (
    Bin,
    RiskPoint,
    Threshold,
    area_under_risk,
    auroc,
    best_threshold,
    calibration_error,
    reliability_bins,
    risk_coverage,
)
from szqa.evaluation.ranking import RANKING_MEASURES, ranking_scores
from szqa.evaluation.resampling import confidence_interval
from szqa.evaluation.rows import QuestionRow

__all__ = ["Estimate", "Latency", "Metrics", "measure_values", "summarise"]

_PER_ROW: dict[str, Callable[[QuestionRow], float | None]] = {
    "em": lambda row: row.em,
    "f1": lambda row: row.f1,
    "has_answer_em": lambda row: row.em if row.answerable else None,
    "has_answer_f1": lambda row: row.f1 if row.answerable else None,
    "no_answer_em": lambda row: None if row.answerable else row.em,
    "no_answer_f1": lambda row: None if row.answerable else row.f1,
    "abstention_precision": lambda row: None if row.answered else float(not row.answerable),
    "abstention_recall": lambda row: None if row.answerable else float(not row.answered),
    "verbatim": lambda row: None if row.verbatim is None else float(row.verbatim),
    # Of the answers given to questions that have one: is the place cited the right place?
    "citation_first": lambda row: float(row.cited[0]) if row.answered and row.answerable and row.cited else None,
    "citation_any": lambda row: float(any(row.cited)) if row.answered and row.answerable and row.cited else None,
}
"""Every measure that is a mean over questions; ``None`` where it does not concern a question."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions.

    Attributes:
        value: the mean, [0, 1], higher is better.
        n: number of questions it is the mean of.
        interval: 95 % bootstrap interval, ``None`` for fewer than two questions.
    """

    value: float
    n: int
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds that a stage took.

    Attributes:
        median: half of the questions took less.
        p95: 95 % of them took less.
    """

    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures of a run.

    Attributes:
        questions: number of questions asked.
        answered: number of them that were answered.
        estimates: the means by name, only those that concern any question.
        by_type: F1 by type of question, in order of first appearance.
        auroc: chance that an answerable question's score is above an unanswerable one's, [0, 1].
        curve: risk–coverage curve of the exact matches, from the surest answer down.
        area: area under it (AURC), [0, 1], lower is better.
        bins: reliability diagram of score against exact match.
        calibration_error: its expected calibration error, [0, 1], lower is better.
        threshold: score from which was answered.
        best: the threshold that would have had the best F1 on these questions.
        latency: by stage.
    """

    questions: int
    answered: int
    estimates: Mapping[str, Estimate]
    by_type: Mapping[str, Estimate]
    auroc: float | None
    curve: tuple[RiskPoint, ...]
    area: float | None
    bins: tuple[Bin, ...]
    calibration_error: float | None
    threshold: float | None
    best: Threshold | None
    latency: Mapping[str, Latency]

    def value(self, name: str) -> float | None:
        """A mean by name, ``None`` where it was not measured."""
        return self.estimates[name].value if name in self.estimates else None

    def to_json(self) -> dict[str, object]:
        """The object that ``szqa eval --json`` prints: fractions, not percent; null where nothing was measured."""
        retrieval = {name: self.value(name) for name in RANKING_MEASURES}
        measured = any(value is not None for value in retrieval.values())
        return {
            "retrieval": retrieval if measured else None,
            "answers": {
                "em": self.value("em"),
                "f1": self.value("f1"),
                "has_answer": self._part("has_answer"),
                "no_answer": self._part("no_answer"),
                "verbatim": self.value("verbatim"),
            },
            "abstention": {
                "precision": self.value("abstention_precision"),
                "recall": self.value("abstention_recall"),
                "auroc": self.auroc,
                "aurc": self.area,
                "ece": self.calibration_error,
                "threshold": self.threshold,
                "best_threshold": self.best.value if self.best else None,
                "best_f1": self.best.mean if self.best else None,
            },
            "citations": {"first": self.value("citation_first"), "any": self.value("citation_any")},
            "latency_ms": {stage: {"median": took.median, "p95": took.p95} for stage, took in self.latency.items()},
        }

    def intervals_json(self) -> dict[str, list[float] | None]:
        """The 95 % interval of every mean by name."""
        return {name: list(item.interval) if item.interval else None for name, item in self.estimates.items()}

    def _part(self, name: str) -> dict[str, float | int | None]:
        em = self.estimates.get(f"{name}_em")
        return {"em": em.value if em else None, "f1": self.value(f"{name}_f1"), "n": em.n if em else 0}


def summarise(rows: Sequence[QuestionRow], *, threshold: float | None = None) -> Metrics:
    """The figures of a run; ``threshold`` is the score from which it answered, for the record."""
    values = measure_values(rows)
    estimates = {name: _estimate(list(by_id.values())) for name, by_id in values.items() if by_id}
    types = dict.fromkeys(row.type for row in rows)
    by_type = {kind: _estimate([row.f1 for row in rows if row.type == kind]) for kind in types}
    scored = [(row, row.score) for row in rows if row.score is not None]
    if len(scored) < len(rows):  # another system's bare answers: nothing to judge a score by
        scored = []
    scores = [score for _, score in scored]
    curve = risk_coverage(scores, [1 - row.candidate_em for row, _ in scored])
    bins = reliability_bins(scores, [row.candidate_em for row, _ in scored])
    return Metrics(
        questions=len(rows),
        answered=sum(row.answered for row in rows),
        estimates=estimates,
        by_type=by_type,
        auroc=auroc(scores, [row.answerable for row, _ in scored]),
        curve=tuple(curve),
        area=area_under_risk(curve),
        bins=tuple(bins),
        calibration_error=calibration_error(bins),
        threshold=threshold,
        best=best_threshold(
            scores, [row.candidate_f1 for row, _ in scored], [row.abstaining_gain for row, _ in scored]
        ),
        latency=_latency(rows),
    )


def measure_values(rows: Sequence[QuestionRow]) -> dict[str, dict[str, float]]:
    """Measure → question id → value, for the questions the measure concerns."""
    values: dict[str, dict[str, float]] = {}
    ranked = [(row.id, row.ranks) for row in rows if row.ranks]
    for name, scores in ranking_scores([ranks for _, ranks in ranked]).items():
        values[name] = {identifier: score for (identifier, _), score in zip(ranked, scores, strict=True)}
    for name, measure in _PER_ROW.items():
        measured = ((row.id, measure(row)) for row in rows)
        values[name] = {identifier: value for identifier, value in measured if value is not None}
    return values


def _estimate(values: Sequence[float]) -> Estimate:
    return Estimate(fmean(values), len(values), confidence_interval(values))


def _latency(rows: Sequence[QuestionRow]) -> dict[str, Latency]:
    stages = dict.fromkeys(stage for row in rows for stage in row.timings_ms)
    latency = {}
    for stage in stages:
        times = [row.timings_ms[stage] for row in rows if stage in row.timings_ms]
        latency[stage] = Latency(median(times), float(np.percentile(times, 95)))
    return latency
