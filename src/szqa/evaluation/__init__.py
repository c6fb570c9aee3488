"""Measures of answers, abstention, retrieval and citations; pure functions over what a system said.

It knows nothing of files, indexes, tables or plots.
"""

from __future__ import annotations

from szqa.evaluation.answers import exact_match, f1_score
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
from szqa.evaluation.comparison import Comparison, MeasureChange, compare
from szqa.evaluation.ranking import RANKING_DEPTH, RANKING_MEASURES, ranking_scores
from szqa.evaluation.resampling import confidence_interval, paired_p_value
from szqa.evaluation.rows import Ask, Excerpt, QuestionRow, Search, evaluate, score_predictions
from szqa.evaluation.summary import Estimate, Latency, Metrics, summarise

__all__ = [
    "RANKING_DEPTH",
    "RANKING_MEASURES",
    "Ask",
    "Bin",
    "Comparison",
    "Estimate",
    "Excerpt",
    "Latency",
    "MeasureChange",
    "Metrics",
    "QuestionRow",
    "RiskPoint",
    "Search",
    "Threshold",
    "area_under_risk",
    "auroc",
    "best_threshold",
    "calibration_error",
    "compare",
    "confidence_interval",
    "evaluate",
    "exact_match",
    "f1_score",
    "paired_p_value",
    "ranking_scores",
    "reliability_bins",
    "risk_coverage",
    "score_predictions",
    "summarise",
]
