"""The first calibration: trees that turn the evidence for spans and sentences into log odds, fitted on cases held back.

Fitted anew for every ranker, since the evidence depends on its scores. Knows nothing of where cases come from.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from szqa.ranker import SpanRanker
from szqa.reader import Calibration
from szqa.training.onnx_trees import to_onnx
from szqa.training.ranker_cases import Case, span_f1

if TYPE_CHECKING:
    import lightgbm

__all__ = [
    "THRESHOLDS",
    "Parameters",
    "best_threshold",
    "fit_tree_calibration",
    "is_right",
    "rates",
    "tree_parameters",
    "write_record",
]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Parameters = dict[str, str | int | float | bool | list[int]]

THRESHOLDS: Final = np.arange(0.05, 0.95, 0.01)
"""Scores that may be asked for."""

_PROCESSES: Final = 2
# A span is right where it shares this much with the answer, or holds it whole within twice its length.
_RIGHT_F1: Final = 0.8
_HOLDS_F1: Final = 0.5
_CALIBRATION_PARAMETERS: Final[Parameters] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 12,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
}
_CALIBRATION_TREES: Final = 120

# What a worker process made when it started: one ranker.
_ranker: list[SpanRanker] = []


def tree_parameters(values: Parameters, seed: int) -> Parameters:
    """Parameters of LightGBM with which a seed gives the same trees on every machine."""
    # One thread: no sum depends on the number of cores, and no time is lost in barriers where cores are shared.
    return {**values, "seed": seed, "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1}


def _start(make_ranker: Callable[[], SpanRanker]) -> None:
    _ranker[:] = [make_ranker()]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What calibration is fitted on: one row a span or sentence, grouped by case."""

    spans: Floats
    right: Floats
    sentences: Floats
    holds: Floats


def _evidence(case: Case) -> _Evidence:
    weighed = _ranker[0].weigh(case.question, case.hits)
    right, holds = np.zeros(len(weighed.spans)), np.zeros(len(weighed.sentences))
    if case.gold >= 0:
        text = case.hits[case.gold].passage.text
        for answer in case.answers:
            for index, (hit, start, end) in enumerate(weighed.spans):
                if hit == case.gold:
                    right[index] = max(right[index], is_right(text, start, end, answer))
            for index, (hit, start, end) in enumerate(weighed.sentences):
                holds[index] = max(holds[index], hit == case.gold and start <= answer[0] and answer[1] <= end + 1)
    # The first span decides; a few runners-up teach what else there is.
    return _Evidence(
        weighed.span_evidence[:3], right[:3].astype(np.float32), weighed.sentence_evidence, holds.astype(np.float32)
    )


def is_right(text: str, start: int, end: int, answer: tuple[int, int]) -> bool:
    """Whether a span counts as right: F1 of 0.8 with the answer, or the whole answer within F1 of 0.5."""
    f1 = float(span_f1(text, np.array([start], dtype=np.int32), np.array([end], dtype=np.int32), answer)[0])
    return f1 >= _RIGHT_F1 or (start <= answer[0] and answer[1] <= end and f1 >= _HOLDS_F1)


def fit_tree_calibration(
    held: Sequence[Case],
    make_ranker: Callable[[], SpanRanker],
    output_dir: Path,
    *,
    seed: int,
    report: Callable[[str], None],
) -> dict[str, float]:
    """Fit the calibrating trees of a ranker and write them, with a ``calibration.json`` that leaves them as they are.

    Args:
        held: cases that the ranker was not trained on.
        make_ranker: makes the ranker, once in every process; must be picklable.
        output_dir: gets ``spans.onnx``, ``sentences.onnx`` and ``calibration.json``.
        seed: of the folds and the trees.
        report: is told the scores.

    Returns:
        Scores by name, from five-fold cross-validation over the cases.
    """
    with multiprocessing.Pool(_PROCESSES, _start, (make_ranker,)) as pool:
        evidence = list(pool.imap(_evidence, held, chunksize=16))
    kept = [(case, item) for case, item in zip(held, evidence, strict=True) if len(item.right)]
    fold_of = np.array([number % 5 for number in range(len(kept))])
    rng = np.random.default_rng(seed)
    rng.shuffle(fold_of)
    spans = _fit_calibration([item.spans for _, item in kept], [item.right for _, item in kept], fold_of, seed)
    sentences = _fit_calibration([item.sentences for _, item in kept], [item.holds for _, item in kept], fold_of, seed)
    (output_dir / "spans.onnx").write_bytes(to_onnx(spans.booster).SerializeToString())
    (output_dir / "sentences.onnx").write_bytes(to_onnx(sentences.booster).SerializeToString())
    first = np.array([scores[0] for scores in spans.out_of_fold])
    right = np.array([item.right[0] for _, item in kept])
    answerable = np.array([case.gold >= 0 for case, _ in kept])
    threshold = best_threshold(first, right, answerable)
    # The log odds of the trees as they are, until ``szqa train calibration`` fits a corpus's own questions.
    Calibration({"span_log_odds": 1.0}, 0.0, threshold).save(output_dir / "calibration.json")
    scores = {
        "auroc_answerable": _auroc(first, answerable),
        "auroc_right": _auroc(first, right > 0),
        "right_given_answerable": float(right[answerable].mean()),
        "brier": float(((first - right) ** 2).mean()),
        "threshold": threshold,
        "answered_right": float((right[answerable] * (first[answerable] >= threshold)).mean()),
        "abstained_right": float((first[~answerable] < threshold).mean()),
    }
    report(json.dumps(scores))
    return scores


@dataclass(frozen=True, slots=True)
class _Calibration:
    booster: lightgbm.Booster
    out_of_fold: list[Floats]


def _fit_calibration(rows: Sequence[Floats], labels: Sequence[Floats], fold_of: Ints, seed: int) -> _Calibration:
    import lightgbm

    parameters = tree_parameters(_CALIBRATION_PARAMETERS, seed)
    out: list[Floats] = [np.zeros(0, dtype=np.float32)] * len(rows)
    for fold_number in range(5):
        inside = [index for index in range(len(rows)) if fold_of[index] != fold_number]
        dataset = lightgbm.Dataset(
            np.concatenate([rows[i] for i in inside]), np.concatenate([labels[i] for i in inside])
        )
        booster = lightgbm.train(parameters, dataset, _CALIBRATION_TREES)
        for index in np.flatnonzero(fold_of == fold_number).tolist():
            out[index] = np.asarray(booster.predict(rows[index]), dtype=np.float32)
    final = lightgbm.train(
        parameters, lightgbm.Dataset(np.concatenate(rows), np.concatenate(labels)), _CALIBRATION_TREES
    )
    return _Calibration(final, out)


def best_threshold(scores: Floats, right: Floats, answerable: NDArray[np.bool_]) -> float:
    """The threshold with the best mean of right answers among answerable and abstentions among unanswerable cases."""
    answered, abstained = rates(scores, right, answerable)
    return round(float(THRESHOLDS[int(np.argmax(answered + abstained))]), 2)


def rates(scores: Floats, right: Floats, answerable: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """For each of ``THRESHOLDS`` the right answers among answerable, and the abstentions among unanswerable cases."""
    answered = [(right[answerable] * (scores[answerable] >= option)).mean() for option in THRESHOLDS]
    abstained = [(scores[~answerable] < option).mean() for option in THRESHOLDS]
    return np.array(answered), np.array(abstained)


def _auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, scores))


def write_record(
    output_dir: Path,
    *,
    command: str,
    files: Sequence[Path],
    seed: int,
    limit: int | None,
    seconds: float,
    scores: dict[str, float],
) -> None:
    """Write ``training.json``: the command, what it read and how the calibration did."""
    record = {
        "command": f"{command} --seed {seed}" + (f" --limit {limit}" if limit else ""),
        "seed": seed,
        "seconds": round(seconds),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
        "data_sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "calibration": {name: round(value, 4) for name, value in scores.items()},
    }
    (output_dir / "training.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
