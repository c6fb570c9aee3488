"""Calibrates trees and network together, on questions that neither was trained on.

Both are trained on CMRC 2018's training part, where the network is surer than elsewhere; so its trial part and DRCD's
dev part, kept for tuning, are asked here, with their answers and without, and what is held back of the questions about
reports.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from szqa.datatypes import Passage
from szqa.ranker import SpanRanker
from szqa.reader import combined_ranker
from szqa.text import Segmenter
from szqa.training.question_sets import REPORTS, read_questions, write_questions
from szqa.training.ranker_cases import UNANSWERED, Case, Variant, cases, open_cases, split_cases
from szqa.training.report_questions import POLICIES, read_report_questions
from szqa.training.tree_calibration import fit_tree_calibration, write_record

__all__ = ["calibration_cases", "train_combination"]

_SETS: Final = ("cmrc2018_trial", "drcd_dev_simplified")


def train_combination(
    data_dir: Path,
    output_dir: Path,
    *,
    models_dir: Path,
    questions: Path | None = None,
    seed: int = 0,
    limit: int | None = None,
    report: Callable[[str], None],
) -> None:
    """Fit the calibration of the combined reader and write its folder.

    Args:
        data_dir: folder of training data with ``mrc/`` and ``text/``.
        output_dir: where the calibration is written.
        models_dir: holds the folders ``ranker`` and ``reader``.
        questions: those written by hand over reports (eval/reports.jsonl); none of them by default.
        seed: of the cases and the trees.
        limit: most questions of each question set; all by default. The reports are asked about always.
        report: is told what is being done.
    """
    started = time.perf_counter()
    output_dir.mkdir(parents=True, exist_ok=True)
    held = calibration_cases(data_dir, seed=seed, limit=limit)
    if questions:
        held += open_cases(read_report_questions(questions, data_dir, "calibrate"), Segmenter(), seed=seed)
    report(f"校准 {len(held)} 例 (cases to calibrate on)")
    scores = fit_tree_calibration(held, partial(_ranker, models_dir), output_dir, seed=seed, report=report)
    files = [data_dir / "mrc" / f"{name}.jsonl.xz" for name in _SETS]
    files += [data_dir / "text" / f"{name}.txt.xz" for name in REPORTS]
    files += [questions, data_dir / "text" / f"{POLICIES}.txt.xz"] if questions else []
    write_record(
        output_dir,
        command="szqa train combination",
        files=files,
        seed=seed,
        limit=limit,
        seconds=time.perf_counter() - started,
        scores=scores,
    )


def _ranker(models_dir: Path) -> SpanRanker:
    return combined_ranker(Segmenter(), models_dir)


def calibration_cases(data_dir: Path, *, seed: int, limit: int | None) -> list[Case]:
    """Questions that neither trees nor network were trained on, with and without their answers, each with its hits.

    Args:
        data_dir: folder of training data with ``mrc/`` and ``text/``.
        seed: of the cases.
        limit: most questions of each question set; all by default. The reports are asked about always.
    """
    segmenter = Segmenter()
    held: list[Case] = []
    for number, name in enumerate(_SETS):
        collection = read_questions(data_dir / "mrc" / f"{name}.jsonl.xz", limit)
        held += cases(collection, _variants, segmenter, rng=random.Random(seed + number))  # noqa: S311
    written = write_questions(data_dir, segmenter, seed=seed, limit=None)
    _, about_reports = split_cases(written, segmenter, seed=seed)
    return held + about_reports


def _variants(index: int, passage: Passage) -> Sequence[Variant]:
    """Every question with its passage among the hits, and once more without its answer."""
    return "open", UNANSWERED[index % len(UNANSWERED)]
