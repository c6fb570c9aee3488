"""Train the shipped span ranker: cues, ranking trees, and the trees that calibrate its scores.

A seventh of the passages is held back from the ranking trees; the calibration is fitted and scored on their questions.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from szqa.alignment import COLUMNS, pieces
from szqa.cues import CUE_COLUMNS, CueCounts, Cues
from szqa.examiner import Examiner
from szqa.question import analyse
from szqa.ranker import RankerConfig, SpanRanker, TermWeights, cue_columns
from szqa.text import Segmenter, fold
from szqa.training.onnx_trees import to_onnx
from szqa.training.pairs import read_paragraphs
from szqa.training.question_sets import REPORTS, read_collections
from szqa.training.ranker_cases import Case, half_of, open_cases, span_f1, split_cases
from szqa.training.report_questions import read_report_questions
from szqa.training.tree_calibration import Parameters, fit_tree_calibration, tree_parameters, write_record

__all__ = ["train_ranker"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

_FREQUENCY_TEXTS: Final = ("cmrc2018_train_wiki", "gov_policy_sql2019", "csl_abstracts", *REPORTS)
_PROCESSES: Final = 2
_POSITIVES, _NEGATIVES = 24, 90

# Tuned on CMRC 2018 trial and DRCD dev: ranking beats predicting F1 (EM 0.34 against 0.15 on DRCD dev in a small run).
_RANKER_PARAMETERS: Final[Parameters] = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 10,
    "label_gain": [0, 0, 0, 1, 2, 3, 5, 8, 12, 18, 30],  # of F1 0.0, 0.1, … 1.0
    "learning_rate": 0.1,
    "num_leaves": 63,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
}
_RANKER_TREES: Final = 300
# Times that each question written by hand is learned from: it is worth more than one written by rule.
_BY_HAND: Final = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """Some candidates of one case, with their labels.

    Attributes:
        features: (n, len(COLUMNS)).
        labels: (n,) F1 with the answer, [0, 1].
        hit: (n,) index of the hit.
        starts: (n,) within the passage's text.
        ends: (n,) likewise.
    """

    features: Floats
    labels: Floats
    hit: Ints
    starts: Ints
    ends: Ints


def train_ranker(
    data_dir: Path,
    output_dir: Path,
    *,
    questions: Path | None = None,
    seed: int = 0,
    limit: int | None = None,
    report: Callable[[str], None],
) -> None:
    """Train the span ranker and write the model folder.

    Args:
        data_dir: folder of training data with ``mrc/`` and ``text/``.
        output_dir: where the model is written.
        questions: those written by hand over reports (eval/reports.jsonl); none of them by default.
        seed: of sampling and of the trees; the same seed gives the same model on the same machine.
        limit: most real questions, and about as many written ones; all by default.
        report: is told what is being done.
    """
    started = time.perf_counter()
    output_dir.mkdir(parents=True, exist_ok=True)
    segmenter = Segmenter()
    report("统计词频 (counting words)")
    weights = _count_words(data_dir)
    weights.save(output_dir / "weights.npz")
    report("读取问题 (reading questions)")
    collections = read_collections(data_dir, segmenter, seed=seed, limit=limit)
    fit, held = split_cases(collections, segmenter, seed=seed)
    if questions:
        by_hand = open_cases(read_report_questions(questions, data_dir, "train"), segmenter, seed=seed)
        fit += [case for case in by_hand if case.gold >= 0] * _BY_HAND
        held += open_cases(read_report_questions(questions, data_dir, "calibrate"), segmenter, seed=seed)
    report(f"训练 {len(fit)} 例，校准 {len(held)} 例 (cases to fit and to calibrate on)")
    samples = _sample_all(fit, output_dir / "weights.npz", seed, report)
    report("训练排序树 (growing the ranking trees)")
    cues = _fit_ranker(fit, samples, output_dir, seed)
    cues.save(output_dir / "cues.json")
    report("校准 (calibrating)")
    scores = fit_tree_calibration(held, partial(_ranker, output_dir), output_dir, seed=seed, report=report)
    files = [data_dir / "mrc" / "cmrc2018_train.jsonl.xz"]
    files += [data_dir / "text" / f"{name}.txt.xz" for name in dict.fromkeys(_FREQUENCY_TEXTS)]
    files += [questions] if questions else []
    write_record(
        output_dir,
        command="szqa train ranker",
        files=files,
        seed=seed,
        limit=limit,
        seconds=time.perf_counter() - started,
        scores=scores,
    )
    report(f"完成 (done): {output_dir}")


def _count_words(data_dir: Path) -> TermWeights:
    counts: Counter[str] = Counter()
    paragraphs = 0
    for name in _FREQUENCY_TEXTS:
        for paragraph in read_paragraphs(data_dir / "text" / f"{name}.txt.xz"):
            if paragraph:
                paragraphs += 1
                counts.update(set(pieces(fold(paragraph))))
    pairs = {piece: count for piece, count in counts.items() if count >= 3 and len(piece) == 2 and not piece.isascii()}
    return TermWeights(pairs, paragraphs)


# What a worker process made when it started: one examiner.
_examiner: list[Examiner] = []


def _start_examiner(weights: Path) -> None:
    _examiner[:] = [Examiner(Segmenter(), TermWeights.load(weights))]


def _ranker(model_dir: Path) -> SpanRanker:
    return SpanRanker(Segmenter(), model_dir)


def _sample_all(fit: Sequence[Case], weights: Path, seed: int, report: Callable[[str], None]) -> list[Sample]:
    jobs = [(case, seed + number) for number, case in enumerate(fit)]
    samples = []
    with multiprocessing.Pool(_PROCESSES, _start_examiner, (weights,)) as pool:
        for number, sample in enumerate(pool.imap(_sample, jobs, chunksize=32), start=1):
            samples.append(sample)
            if number % 2000 == 0 or number == len(jobs):
                report(f"  {number}/{len(jobs)}")
    return samples


def _sample(job: tuple[Case, int]) -> Sample:
    """All good candidates of a case up to a number, and some of the others."""
    case, seed = job
    rng = np.random.default_rng(seed)
    found = _examiner[0].examine(case.question, case.hits)
    gold = found.hit == case.gold
    labels = np.zeros(len(found.starts), dtype=np.float32)
    text = case.hits[case.gold].passage.text
    for answer in case.answers:
        labels[gold] = np.maximum(labels[gold], span_f1(text, found.starts[gold], found.ends[gold], answer))
    keep = np.ones(len(labels), dtype=bool)
    answers = {found.folded[case.gold][start:end] for start, end in case.answers}
    lengths = {len(answer) for answer in answers}
    # The answer's words elsewhere are neither right nor wrong: they are left out.
    for row in np.flatnonzero((labels == 0) & np.isin(found.ends - found.starts, list(lengths))).tolist():
        keep[row] = found.folded[found.hit[row]][found.starts[row] : found.ends[row]] not in answers
    good, bad = np.flatnonzero(labels > 0.3), np.flatnonzero(keep & (labels <= 0.3))
    good = good[np.argsort(-labels[good], kind="stable")]
    if len(good) > _POSITIVES:
        half = _POSITIVES // 2
        good = np.concatenate([good[:half], rng.choice(good[half:], half, replace=False)])
    if len(bad) > _NEGATIVES:
        bad = rng.choice(bad, _NEGATIVES, replace=False)
    rows = np.sort(np.concatenate([good, bad]))
    return Sample(found.features[rows], labels[rows], found.hit[rows], found.starts[rows], found.ends[rows])


def _fit_ranker(fit: Sequence[Case], samples: Sequence[Sample], output_dir: Path, seed: int) -> Cues:
    """Grow the ranking trees on cues counted on the other half of the questions; return cues counted on all."""
    import lightgbm

    halves, whole = (CueCounts(), CueCounts()), CueCounts()
    for case, sample in zip(fit, samples, strict=True):
        gold = sample.hit == case.gold
        passage = fold(case.hits[case.gold].passage.text)
        candidates = list(zip(sample.starts[gold].tolist(), sample.ends[gold].tolist(), strict=True))
        for counts in (halves[half_of(case)], whole):
            counts.add(analyse(fold(case.question)), passage, candidates, case.answers)
    other = (halves[1].cues(), halves[0].cues())
    cues = [
        cue_columns(
            other[half_of(case)],
            analyse(fold(case.question)),
            [fold(hit.passage.text) for hit in case.hits],
            sample.hit,
            sample.starts,
            sample.ends,
        )
        for case, sample in zip(fit, samples, strict=True)
    ]
    features = np.concatenate([np.concatenate([s.features for s in samples]), np.concatenate(cues)], axis=1)
    grades = np.concatenate([np.floor(np.minimum(sample.labels, 1) * 10 + 1e-4) for sample in samples])
    dataset = lightgbm.Dataset(features, grades, group=[len(sample.labels) for sample in samples])
    booster = lightgbm.train(tree_parameters(_RANKER_PARAMETERS, seed), dataset, _RANKER_TREES)
    (output_dir / "ranker.onnx").write_bytes(to_onnx(booster).SerializeToString())
    RankerConfig((*COLUMNS, *CUE_COLUMNS)).save(output_dir / "config.json")
    return whole.cues()
