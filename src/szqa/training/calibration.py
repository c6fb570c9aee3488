"""Fits the reader's second calibration: how likely is its best span to be right.

A logistic regression on some 80 columns: a hundred questions over the corpus and thousands written by hand over other
reports say what counts there, thousands over other collections, of little weight each, what counts anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from szqa.assistant import Assistant
from szqa.datatypes import Hit
from szqa.errors import ConfigurationError
from szqa.goldset import read_evaluation_set
from szqa.reader import CALIBRATION_COLUMNS, Calibration, SpanReader
from szqa.training.combination import calibration_cases
from szqa.training.question_sets import read_questions
from szqa.training.ranker_cases import Case, open_cases, span_f1
from szqa.training.report_questions import read_report_questions
from szqa.training.tree_calibration import THRESHOLDS, best_threshold, rates

__all__ = ["CalibrationCase", "CalibrationScores", "fit_calibration", "train_calibration"]

Floats = NDArray[np.float32]

_REGULARISATION: Final = 0.1  # inverse strength, scikit-learn's C
_FOLDS: Final = 10
# Questions about other things are asked of the corpus too: about as many as the gold set has.
_FOREIGN: Final = "cmrc2018_trial"
_FOREIGN_QUESTIONS: Final = 100
_BROAD_QUESTIONS: Final = 1000
_RIGHT_F1: Final = 0.8
_SAMPLES: Final = 200
_BROAD_CASES: Final = 2000
# Weights of a case over texts alike, and of a foreign and a broad one. The AUROC on the gold set's dev split hardly
# changes for weights around these (.90 to .91, cross-validated); without the first it is .86.
_ALIKE_WEIGHT: Final = 0.3
_WEIGHTS: Final = (1.0, 0.05)
# Columns that are constant here, are numbers of kinds, or whose scale is another in every collection.
_LEFT_OUT: Final = frozenset(("raw", "kind", "question_chars", "hit_rank", "hits", "in_question"))
_COLUMNS: Final = tuple(name for name in CALIBRATION_COLUMNS if name not in _LEFT_OUT)


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


def train_calibration(
    assistant: Assistant,
    output_dir: Path,
    *,
    gold_file: Path,
    data_dir: Path | None = None,
    questions: Path | None = None,
    seed: int = 0,
) -> CalibrationScores:
    """Fit the calibration of an assistant's reader on the dev split of a gold set, and write ``calibration.json``.

    Args:
        assistant: whose reader is calibrated, and whose index is asked.
        output_dir: where the calibration is written.
        gold_file: the gold set.
        data_dir: folder of training data, for questions about other things and over other collections; none of them
            by default.
        questions: those written by hand over reports of the data folder (eval/reports.jsonl); none of them by default.
        seed: of the cases and folds.

    Raises:
        ConfigurationError: the assistant's reader has no calibration to fit.
    """
    if not isinstance(assistant.reader, SpanReader):
        raise ConfigurationError(
            f"{assistant.reader.reader_id} 不能校准，只能校准 combined 与 ranker (only those two can be calibrated)"
        )
    own = [question for question in read_evaluation_set(gold_file).questions if question.split == "dev"]
    asked: list[tuple[str, tuple[str, ...]]] = [(question.text, question.answers) for question in own]
    foreign: list[tuple[str, tuple[str, ...]]] = []
    broad: list[CalibrationCase] = []
    alike: list[CalibrationCase] = []
    if data_dir is not None and questions is not None:
        over_reports = read_report_questions(questions, data_dir, "recalibrate")
        alike = [_of_case(case) for case in open_cases(over_reports, assistant.index.segmenter, seed=seed)]
    if data_dir is not None:
        strange = read_questions(data_dir / "mrc" / f"{_FOREIGN}.jsonl.xz", _FOREIGN_QUESTIONS).asked
        foreign = [(question.question, ()) for question in strange]
        held = calibration_cases(data_dir, seed=seed, limit=_BROAD_QUESTIONS)
        broad = [_of_case(case) for case in held[:: max(1, len(held) // _BROAD_CASES)]]
    calibration, scores = fit_calibration(
        assistant.reader,
        _asked(assistant, asked),
        alike=alike,
        foreign=_asked(assistant, foreign),
        broad=broad,
        seed=seed,
    )
    calibration.save(output_dir / "calibration.json")
    return scores


def _asked(assistant: Assistant, questions: Sequence[tuple[str, tuple[str, ...]]]) -> list[CalibrationCase]:
    found = [(text, tuple(assistant.search(text, top_k=assistant.top_k)), answers) for text, answers in questions]
    return [CalibrationCase(text, hits, answers) for text, hits, answers in found if hits]


def _of_case(case: Case) -> CalibrationCase:
    text = case.hits[case.gold].passage.text
    return CalibrationCase(case.question, case.hits, tuple(text[start:end] for start, end in case.answers))


def fit_calibration(
    reader: SpanReader,
    cases: Sequence[CalibrationCase],
    *,
    alike: Sequence[CalibrationCase] = (),
    foreign: Sequence[CalibrationCase] = (),
    broad: Sequence[CalibrationCase] = (),
    seed: int = 0,
) -> tuple[Calibration, CalibrationScores]:
    """Fit the calibration of a reader; the threshold balances right answers and abstentions, cross-validated.

    Args:
        reader: whose evidence is used.
        cases: questions with and without an answer; each must have hits.
        alike: such questions over other texts of the same kind, of less weight; scored like these, but how hard they
            are is their own affair: the threshold is that of the cases.
        foreign: questions about other things asked of the same corpus; fitted on, neither scored nor counted for the
            threshold.
        broad: questions over other collections, likewise, of little weight each: they steady what the others leave
            open.
        seed: of the folds.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    rows, credit, answerable = _evidence(reader, [*cases, *alike])
    others = [_evidence(reader, some) for some in (foreign, broad)]
    right = credit >= _RIGHT_F1
    own = np.repeat([1.0, _ALIKE_WEIGHT], [len(cases), len(alike)])
    more = [(evidence, its >= _RIGHT_F1, weight) for (evidence, its, _), weight in zip(others, _WEIGHTS, strict=True)]
    held_out = np.zeros(len(rows), dtype=np.float32)
    for inside, outside in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(rows, right):
        weights, bias = _fit(rows[inside], right[inside], own[inside], more)
        held_out[outside] = 1 / (1 + np.exp(-(rows[outside] @ weights + bias)))
    its = slice(len(cases))
    threshold = _steady_threshold(held_out[its], credit[its], answerable[its], seed=seed)
    weights, bias = _fit(rows, right, own, more)
    # Columns that never change here, such as a kind of question that spans have no column for, weigh nothing.
    weighty = {name: weight for name, weight in zip(_COLUMNS, weights.tolist(), strict=True) if weight}
    calibration = Calibration(weighty, bias, threshold)
    answered = held_out >= threshold
    return calibration, CalibrationScores(
        auroc=float(roc_auc_score(right, held_out)),
        answered_right=float((credit * answered)[answerable].mean()),
        abstained_right=float((~answered)[~answerable].mean()),
        questions=len(rows),
    )


def _fit(
    rows: Floats,
    right: NDArray[np.bool_],
    weight: NDArray[np.float64],
    more: Sequence[tuple[Floats, NDArray[np.bool_], float]],
) -> tuple[NDArray[np.float64], float]:
    """Weights of the columns and bias of a logistic regression on weighty rows and on others of one weight each."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(rows)
    weight = np.concatenate([weight, *(np.full(len(other), its) for other, _, its in more)])
    regression = LogisticRegression(C=_REGULARISATION, max_iter=2000).fit(
        scaler.transform(np.concatenate([rows, *(other for other, _, _ in more)])),
        np.concatenate([right, *(its for _, its, _ in more)]),
        sample_weight=weight,
    )
    weights = np.asarray(regression.coef_[0] / scaler.scale_, dtype=np.float64)
    return weights, float(regression.intercept_[0] - weights @ scaler.mean_)


def _evidence(reader: SpanReader, cases: Sequence[CalibrationCase]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(n, len(_COLUMNS)) evidence for each case's best span, its F1, and whether any span could be right."""
    at = [CALIBRATION_COLUMNS.index(name) for name in _COLUMNS]
    rows, credit, answerable = [], [], []
    for case in cases:
        weighed = reader.weigh(case.question, case.hits)
        hit, start, end = weighed.spans[0]
        rows.append(reader.evidence(weighed)[0, at])
        credit.append(_best_f1(case.hits[hit].passage.text, start, end, case.answers))
        answerable.append(bool(case.answers))
    evidence = np.array(rows, dtype=np.float32).reshape(-1, len(_COLUMNS))
    return evidence, np.array(credit, dtype=np.float32), np.array(answerable, dtype=bool)


def _steady_threshold(scores: Floats, credit: Floats, answerable: NDArray[np.bool_], *, seed: int) -> float:
    """The median of the balanced thresholds of bootstrap samples that have both kinds of questions.

    Balanced is where right answers to the answerable and abstentions from the others are equally frequent, as nearly
    as can be. Their sum has a maximum too flat to be found twice: fits that rank alike put it far apart.
    """
    rng = np.random.default_rng(seed)
    samples = [rng.integers(0, len(scores), len(scores)) for _ in range(_SAMPLES)]
    found = [_balanced(scores[s], credit[s], answerable[s]) for s in samples if len(np.unique(answerable[s])) > 1]
    return round(float(np.median(found)), 2) if found else best_threshold(scores, credit, answerable)


def _balanced(scores: Floats, credit: Floats, answerable: NDArray[np.bool_]) -> float:
    answered, abstained = rates(scores, credit, answerable)
    # Of those that come equally near, the middle one.
    distance = np.abs(answered - abstained)
    return float(np.median(THRESHOLDS[distance == distance.min()]))


def _best_f1(text: str, start: int, end: int, answers: Sequence[str]) -> float:
    """Best character F1 of a span with an answer where that stands in the passage; 0 where none does."""
    places = [(at, at + len(answer)) for answer in answers for at in range(len(text)) if text.startswith(answer, at)]
    starts, ends = np.array([start], dtype=np.int32), np.array([end], dtype=np.int32)
    return max((float(span_f1(text, starts, ends, place)[0]) for place in places), default=0.0)
