"""Fits the reader's second calibration on questions over a corpus: how likely is its best span to be right.

A logistic regression, so that a hundred questions are enough. It knows nothing of files of questions or of indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit
from szqa.reader import CALIBRATION_COLUMNS, Calibration, SpanReader
from szqa.training.ranker_cases import span_f1
from szqa.training.tree_calibration import best_threshold

__all__ = ["CalibrationCase", "CalibrationScores", "fit_calibration"]

Floats = NDArray[np.float32]

_REGULARISATION: Final = 0.3  # inverse strength, scikit-learn's C
_FOLDS: Final = 10
_RIGHT_F1: Final = 0.8
_SAMPLES: Final = 200
_SENTENCE_THRESHOLD: Final = 0.9


@dataclass(frozen=True, slots=True)
class CalibrationCase:
    """A question as the reader gets it, and what would be right.

    Attributes:
        question: as asked.
        hits: the passages found for it, best first.
        answers: every acceptable verbatim answer; none where the corpus does not say.
    """

    question: str
    hits: tuple[Hit, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CalibrationScores:
    """How a calibration did on questions it was not fitted on (ten-fold cross-validation).

    Attributes:
        auroc: area under the ROC curve of the score against being right.
        answered_right: mean F1 over the answerable questions, 0 where not answered.
        abstained_right: share of unanswerable questions that are not answered.
        questions: number of questions.
    """

    auroc: float
    answered_right: float
    abstained_right: float
    questions: int


def fit_calibration(
    reader: SpanReader, cases: Sequence[CalibrationCase], *, foreign: Sequence[CalibrationCase] = (), seed: int = 0
) -> tuple[Calibration, CalibrationScores]:
    """Fit the calibration of a reader; the threshold is the best one for the cross-validated scores.

    Args:
        reader: whose evidence is used.
        cases: questions with and without an answer; each must have hits.
        foreign: questions about other things, which are fitted on but neither scored nor counted for the threshold.
        seed: of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, credit, answerable = _evidence(reader, [*cases, *foreign])
    right = credit >= _RIGHT_F1
    own = np.arange(len(rows)) < len(rows) - len(foreign)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=_REGULARISATION, max_iter=1000))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    held_out = cross_val_predict(model, rows, right, cv=folds, method="predict_proba")[:, 1].astype(np.float32)
    threshold = _steady_threshold(held_out[own], credit[own], answerable[own], seed=seed)
    model.fit(rows, right)
    scaler, regression = model[0], model[1]
    weights = regression.coef_[0] / scaler.scale_
    bias = float(regression.intercept_[0] - weights @ scaler.mean_)
    calibration = Calibration(
        dict(zip(CALIBRATION_COLUMNS, (float(weight) for weight in weights), strict=True)),
        bias,
        threshold,
        _SENTENCE_THRESHOLD,
    )
    answered, own_answerable, own_not = held_out >= threshold, own & answerable, own & ~answerable
    return calibration, CalibrationScores(
        auroc=float(roc_auc_score(right[own], held_out[own])),
        answered_right=float((credit * answered)[own_answerable].mean()),
        abstained_right=float((~answered)[own_not].mean()),
        questions=int(own.sum()),
    )


def _evidence(reader: SpanReader, cases: Sequence[CalibrationCase]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(n, len(CALIBRATION_COLUMNS)) evidence for each case's best span, its F1, and whether any span could be right."""
    rows, credit, answerable = [], [], []
    for case in cases:
        weighed = reader.weigh(case.question, case.hits)
        hit, start, end = weighed.spans[0]
        rows.append(reader.evidence(weighed)[0])
        credit.append(_best_f1(case.hits[hit].passage.text, start, end, case.answers))
        answerable.append(bool(case.answers))
    return np.array(rows, dtype=np.float32), np.array(credit, dtype=np.float32), np.array(answerable)


def _steady_threshold(scores: Floats, credit: Floats, answerable: NDArray[np.bool_], *, seed: int) -> float:
    """The median of the best thresholds of bootstrap samples: that of the questions as they are is a matter of luck."""
    rng = np.random.default_rng(seed)
    samples = (rng.integers(0, len(scores), len(scores)) for _ in range(_SAMPLES))
    return round(float(np.median([best_threshold(scores[s], credit[s], answerable[s]) for s in samples])), 2)


def _best_f1(text: str, start: int, end: int, answers: Sequence[str]) -> float:
    """Best character F1 of a span with an answer where that stands in the passage; 0 where none does."""
    places = [(at, at + len(answer)) for answer in answers for at in range(len(text)) if text.startswith(answer, at)]
    starts, ends = np.array([start], dtype=np.int32), np.array([end], dtype=np.int32)
    return max((float(span_f1(text, starts, ends, place)[0]) for place in places), default=0.0)
