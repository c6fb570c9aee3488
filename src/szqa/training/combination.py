"""Calibrates trees and network together, on questions that neither was trained on.

Both are trained on CMRC 2018's training part, where the network is surer than elsewhere; so its trial part and DRCD's
dev part, kept for tuning, are asked here, with their answers and without.
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
from szqa.training.ranker_cases import Case, Variant, cases, read_questions
from szqa.training.tree_calibration import fit_tree_calibration, write_record

__all__ = ["train_combination"]

_SETS: Final = ("cmrc2018_trial", "drcd_dev_simplified")


def train_combination(
    data_dir: Path,
    output_dir: Path,
    *,
    models_dir: Path,
    seed: int = 0,
    limit: int | None = None,
    report: Callable[[str], None],
) -> None:
    """Fit the calibration of the combined reader and write its folder.

    Args:
        data_dir: folder of training data with ``mrc/``.
        output_dir: where the calibration is written.
        models_dir: holds the folders ``ranker`` and ``reader``.
        seed: of the cases and the trees.
        limit: most questions of each set; all by default.
        report: is told what is being done.
    """
    started = time.perf_counter()
    output_dir.mkdir(parents=True, exist_ok=True)
    held = _cases(data_dir, seed, limit)
    report(f"校准 {len(held)} 例 (cases to calibrate on)")
    scores = fit_tree_calibration(held, partial(_ranker, models_dir), output_dir, seed=seed, report=report)
    files = [data_dir / "mrc" / f"{name}.jsonl.xz" for name in _SETS]
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


def _cases(data_dir: Path, seed: int, limit: int | None) -> list[Case]:
    segmenter = Segmenter()
    held: list[Case] = []
    for number, name in enumerate(_SETS):
        collection = read_questions(data_dir / "mrc" / f"{name}.jsonl.xz", limit)
        held += cases(collection, _variants, segmenter, rng=random.Random(seed + number))  # noqa: S311
    return held


def _variants(index: int, passage: Passage) -> Sequence[Variant]:
    """Every question with its passage among the hits, and once more without its answer."""
    return "open", ("swapped" if index % 4 else "removed")
