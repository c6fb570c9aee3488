"""Train the shipped span ranker: cues, ranking trees, and the trees that calibrate its scores.

LightGBM grows the trees; they are written as ONNX, so that reading needs neither LightGBM nor what it links to.

A seventh of the passages is held back from the ranking trees; the calibration is fitted and scored on their questions.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import platform
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from szqa.alignment import COLUMNS, pieces
from szqa.cues import CUE_COLUMNS, CueCounts, Cues
from szqa.datatypes import Passage
from szqa.examiner import Examiner
from szqa.question import analyse
from szqa.reader import Calibration, RankerConfig, SpanRanker, TermWeights, cue_columns
from szqa.text import Segmenter, fold
from szqa.training.pairs import read_paragraphs
from szqa.training.ranker_cases import REPORTS, Case, Collection, Variant, cases, read_collections, span_f1

if TYPE_CHECKING:
    import lightgbm
    from onnx import ModelProto

__all__ = ["to_onnx", "train_ranker"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

_FREQUENCY_TEXTS: Final = ("cmrc2018_train_wiki", "gov_policy_sql2019", "csl_abstracts", *REPORTS)
_PROCESSES: Final = 2
_HELD_BACK: Final = 7  # every seventh passage
_POSITIVES, _NEGATIVES = 24, 90
# A span is right where it shares this much with the answer, or holds it whole within twice its length.
RIGHT_F1: Final = 0.8
HOLDS_F1: Final = 0.5

# Tuned on CMRC 2018 trial and DRCD dev: ranking beats predicting F1 (EM 0.34 against 0.15 on DRCD dev in a small run).
_RANKER_PARAMETERS: Final[dict[str, str | int | float | bool | list[int]]] = {
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
_CALIBRATION_PARAMETERS: Final[dict[str, str | int | float | bool | list[int]]] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 12,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
}
_RANKER_TREES, _CALIBRATION_TREES = 300, 120
_SENTENCE_THRESHOLD: Final = 0.9


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
    seed: int = 0,
    limit: int | None = None,
    report: Callable[[str], None],
) -> None:
    """Train the span ranker and write the model folder.

    Args:
        data_dir: folder of training data with ``mrc/`` and ``text/``.
        output_dir: where the model is written.
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
    fit, held = _split(collections, segmenter, seed)
    report(f"训练 {len(fit)} 例，校准 {len(held)} 例 (cases to fit and to calibrate on)")
    samples = _sample_all(fit, output_dir / "weights.npz", seed, report)
    report("训练排序树 (growing the ranking trees)")
    cues = _fit_ranker(fit, samples, output_dir, seed)
    cues.save(output_dir / "cues.json")
    report("校准 (calibrating)")
    scores = _calibrate(held, output_dir, seed, report)
    _write_record(data_dir, output_dir, seed=seed, limit=limit, seconds=time.perf_counter() - started, scores=scores)
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


def _split(collections: Sequence[Collection], segmenter: Segmenter, seed: int) -> tuple[list[Case], list[Case]]:
    """Cases to fit the ranking trees on, and cases about other passages to calibrate on."""
    fit: list[Case] = []
    held: list[Case] = []
    for number, collection in enumerate(collections):
        choose = _variants_of_real if number == 0 else _variants_of_written
        for case in cases(collection, choose, segmenter, rng=random.Random(seed + number)):  # noqa: S311
            if _is_held_back(case.source):
                held.append(case)
            elif case.gold >= 0:
                fit.append(case)
    return fit, held


def _variants_of_real(index: int, passage: Passage) -> Sequence[Variant]:
    if _is_held_back(passage.id):
        return _held_variants(index)
    return ("given", "open") if index % 3 == 0 else ("given",)


def _variants_of_written(index: int, passage: Passage) -> Sequence[Variant]:
    if _is_held_back(passage.id):
        return _held_variants(index)
    return ("open",) if index % 2 == 0 else ()


def _held_variants(index: int) -> Sequence[Variant]:
    """Every second question with its passage, and once more without its answer."""
    return ("open", "swapped" if index % 4 else "removed") if index % 2 == 0 else ()


def _is_held_back(passage_id: str) -> bool:
    return _digest(passage_id) % _HELD_BACK == 0


def _digest(passage_id: str) -> int:
    return int.from_bytes(hashlib.sha256(passage_id.encode()).digest()[:4], "big")


# What a worker process made when it started: one of these, once.
_examiner: list[Examiner] = []
_ranker: list[SpanRanker] = []


def _start_examiner(weights: Path) -> None:
    _examiner[:] = [Examiner(Segmenter(), TermWeights.load(weights))]


def _start_ranker(model_dir: Path) -> None:
    _ranker[:] = [SpanRanker(Segmenter(), model_dir)]


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
        for counts in (halves[_half(case)], whole):
            counts.add(analyse(fold(case.question)), passage, candidates, case.answers)
    other = (halves[1].cues(), halves[0].cues())
    cues = [
        cue_columns(
            other[_half(case)],
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
    booster = lightgbm.train(_parameters(_RANKER_PARAMETERS, seed), dataset, _RANKER_TREES)
    (output_dir / "ranker.onnx").write_bytes(to_onnx(booster).SerializeToString())
    RankerConfig((*COLUMNS, *CUE_COLUMNS)).save(output_dir / "config.json")
    return whole.cues()


def _half(case: Case) -> int:
    """0 or 1 by the passage, so that questions about one passage fall together."""
    return _digest(case.source) // _HELD_BACK % 2


def _parameters(
    values: dict[str, str | int | float | bool | list[int]], seed: int
) -> dict[str, str | int | float | bool | list[int]]:
    # One thread: the same trees on every machine, and no time lost in barriers where cores are shared.
    return {**values, "seed": seed, "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1}


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
    return f1 >= RIGHT_F1 or (start <= answer[0] and answer[1] <= end and f1 >= HOLDS_F1)


def _calibrate(held: Sequence[Case], output_dir: Path, seed: int, report: Callable[[str], None]) -> dict[str, float]:
    """Fit the calibrating trees; scores come from five-fold cross-validation over cases."""
    with multiprocessing.Pool(_PROCESSES, _start_ranker, (output_dir,)) as pool:
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
    Calibration({"span_log_odds": 1.0}, 0.0, threshold, _SENTENCE_THRESHOLD).save(output_dir / "calibration.json")
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

    parameters = _parameters(_CALIBRATION_PARAMETERS, seed)
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
    options = np.arange(0.05, 0.95, 0.01)
    values = [
        (right[answerable] * (scores[answerable] >= option)).mean() + (scores[~answerable] < option).mean()
        for option in options
    ]
    return round(float(options[int(np.argmax(values))]), 2)


def _auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, scores))


def to_onnx(booster: lightgbm.Booster) -> ModelProto:
    """A LightGBM model as an ONNX tree ensemble that gives its raw scores, (n, columns) float32 → (n, 1) float32."""
    from onnx import TensorProto, helper

    nodes = _Nodes()
    dumped = booster.dump_model()
    for number, tree in enumerate(dumped["tree_info"]):
        nodes.add_tree(number, tree["tree_structure"])
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=nodes.tree,
        nodes_nodeids=nodes.node,
        nodes_featureids=nodes.feature,
        nodes_modes=nodes.mode,
        nodes_values=nodes.value,
        nodes_truenodeids=nodes.yes,
        nodes_falsenodeids=nodes.no,
        target_treeids=nodes.leaf_tree,
        target_nodeids=nodes.leaf_node,
        target_ids=[0] * len(nodes.leaf_tree),
        target_weights=nodes.weight,
    )
    columns = int(dumped["max_feature_idx"]) + 1
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", columns])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="szqa")


class _Tree(TypedDict, total=False):
    """A node of LightGBM's ``dump_model()``: a leaf has a value, every other node a split and two children."""

    leaf_value: float
    split_feature: int
    threshold: float
    decision_type: str
    left_child: _Tree
    right_child: _Tree


class _Nodes:
    """The flat arrays of an ONNX tree ensemble."""

    def __init__(self) -> None:
        self.tree: list[int] = []
        self.node: list[int] = []
        self.feature: list[int] = []
        self.mode: list[str] = []
        self.value: list[float] = []
        self.yes: list[int] = []
        self.no: list[int] = []
        self.leaf_tree: list[int] = []
        self.leaf_node: list[int] = []
        self.weight: list[float] = []

    def add_tree(self, tree: int, root: _Tree) -> None:
        """Append a tree of ``dump_model()``."""
        pending, free = [(0, root)], 1
        while pending:
            node, content = pending.pop()
            self.tree.append(tree)
            self.node.append(node)
            if "leaf_value" in content:
                self._append(0, "LEAF", 0.0, 0, 0)
                self.leaf_tree.append(tree)
                self.leaf_node.append(node)
                self.weight.append(float(content["leaf_value"]))
                continue
            if content["decision_type"] != "<=":
                raise ValueError(f"split {content['decision_type']!r} cannot be written, only <=")
            threshold = _float32_below(float(content["threshold"]))
            self._append(content["split_feature"], "BRANCH_LEQ", threshold, free, free + 1)
            pending += [(free, content["left_child"]), (free + 1, content["right_child"])]
            free += 2

    def _append(self, feature: int, mode: str, value: float, yes: int, no: int) -> None:
        self.feature.append(feature)
        self.mode.append(mode)
        self.value.append(value)
        self.yes.append(yes)
        self.no.append(no)


def _float32_below(value: float) -> float:
    """The largest float32 that is not above a double: the same split, for float32 features."""
    rounded = np.float32(value)
    return float(np.nextafter(rounded, np.float32(-math.inf)) if float(rounded) > value else rounded)


def _write_record(
    data_dir: Path, output_dir: Path, *, seed: int, limit: int | None, seconds: float, scores: dict[str, float]
) -> None:
    files = [data_dir / "mrc" / "cmrc2018_train.jsonl.xz"]
    files += [data_dir / "text" / f"{name}.txt.xz" for name in dict.fromkeys(_FREQUENCY_TEXTS)]
    record = {
        "command": f"szqa train ranker --seed {seed}" + (f" --limit {limit}" if limit else ""),
        "seed": seed,
        "seconds": round(seconds),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
        "data_sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "calibration": {name: round(value, 4) for name, value in scores.items()},
    }
    (output_dir / "training.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
