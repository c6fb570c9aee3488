"""Training of the neural reader from nothing, in stages.

``train`` goes through the stages with checkpoints that an interrupted run resumes from; ``train_reader`` is the whole
way from the data folder to the exported model. It knows nothing of indexes and assistants.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from szqa.errors import ConfigurationError
from szqa.neural import Scorer, Vocabulary, best_spans, score_pairs
from szqa.training.loading import Draw, drawn_ahead
from szqa.training.masked_text import MaskedBatch, Text, draw_masked_batches
from szqa.training.network import (
    PRESETS,
    Preset,
    build_network,
    load_weights,
    masked_loss,
    optimisers,
    set_dropout,
    span_loss,
    torch_scorer,
    trainable_weights,
)
from szqa.training.reader_data import Batch, Examples, Source, draw_batches
from szqa.training.reader_export import Record, export, write_record
from szqa.training.reader_prepare import prepare, prepare_by_hand

if TYPE_CHECKING:
    import torch

__all__ = ["STAGES", "Scores", "Stage", "evaluate_reading", "train", "train_reader"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training.

    Attributes:
        name: for the log and the checkpoint.
        sources: files of the prepared folder with their weight and share of "not here" crops; none where plain text is
            drawn, whose hidden characters are to be guessed.
        steps: how many batches.
        sizes: crop lengths.
        warm_up: steps over which the learning rate rises.
        cool_down: share of the steps, at the end, over which it falls to nothing.
        peak: highest learning rate as a multiple of the preset's.
        unknown_rate: share of characters hidden.
        dropout: share of hidden units left out.
        batch_share: characters of a batch as a multiple of the preset's.
        decay: of the moving average of the weights; the preset's by default.
    """

    name: str
    sources: tuple[tuple[str, float, float], ...]
    steps: int
    sizes: tuple[int, ...]
    warm_up: int = 100
    cool_down: float = 0.0
    peak: float = 1.0
    unknown_rate: float = 0.05
    dropout: float = 0.0
    batch_share: float = 1.0
    decay: float | None = None

    def learning_rate(self, step: int) -> float:
        """Multiple of the preset's learning rate at a step."""
        rise = min(1.0, (step + 1) / max(1, self.warm_up))
        fall = min(1.0, (self.steps - step) / max(1.0, self.cool_down * self.steps)) if self.cool_down else 1.0
        return self.peak * rise * fall


_WRITTEN = (
    ("synthetic", 0.36, 0.1),
    ("synthetic_none", 0.05, 0.0),
    ("reports", 0.24, 0.1),
    ("reports_none", 0.13, 0.0),
)
_REAL = (
    ("real", 0.6, 0.1),
    ("near", 0.1, 0.0),
    ("changed", 0.06, 0.0),
    ("reports", 0.1, 0.1),
    ("reports_none", 0.09, 0.0),
)

_BY_HAND = Stage(
    "by_hand",
    (
        ("by_hand", 0.3, 0.1),
        ("by_hand_none", 0.2, 0.0),
        ("real", 0.3, 0.1),
        ("near", 0.06, 0.0),
        ("changed", 0.04, 0.0),
        ("reports", 0.05, 0.1),
        ("reports_none", 0.05, 0.0),
    ),
    steps=520,
    sizes=(160, 192, 240, 320),
    warm_up=30,
    cool_down=1.0,
    peak=0.2,
    dropout=0.1,
    decay=0.99,
)

# A restarted learning rate, and more of these questions in place of what earlier stages have seen often.
_BY_HAND_AGAIN = replace(
    _BY_HAND,
    name="by_hand_again",
    sources=(
        ("by_hand", 0.36, 0.1),
        ("by_hand_none", 0.26, 0.0),
        ("real", 0.24, 0.1),
        ("near", 0.05, 0.0),
        ("changed", 0.05, 0.0),
        ("reports_none", 0.04, 0.0),
    ),
    steps=1500,
)

STAGES = {
    "small": (
        Stage("synthetic", (*_WRITTEN, ("real", 0.22, 0.05)), steps=650, sizes=(112, 144, 176)),
        Stage("real", _REAL, steps=1400, sizes=(128, 160, 192, 240), warm_up=1, cool_down=0.55),
        # A restarted learning rate finds more in the same questions, and longer crops come nearer to use.
        Stage("again", _REAL, steps=3500, sizes=(128, 160, 192, 240, 320), cool_down=0.7, peak=0.8),
        _BY_HAND,
    ),
    "large": (
        Stage("masked", (), steps=2700, sizes=(128, 256, 384), warm_up=400, cool_down=0.3),
        Stage("masked_again", (), steps=1700, sizes=(128, 256, 384), warm_up=80, cool_down=0.5),
        Stage(
            "synthetic",
            (*_WRITTEN, ("real", 0.16, 0.05), ("near", 0.06, 0.0)),
            steps=900,
            sizes=(112, 144, 176, 240),
            warm_up=200,
            peak=0.5,
            dropout=0.1,
            batch_share=0.5,
        ),
        Stage(
            "real",
            (*_REAL, ("synthetic", 0.05, 0.1)),
            steps=620,
            sizes=(160, 192, 240, 320),
            warm_up=50,
            cool_down=1.0,
            peak=0.5,
            dropout=0.1,
            batch_share=0.25,
        ),
        # Few questions, so small batches; two cores take twenty minutes for the first and an hour for the second.
        replace(_BY_HAND, batch_share=0.06),
        replace(_BY_HAND_AGAIN, batch_share=0.06),
    ),
}
"""The stages of each preset: ``small`` in about two hours of two cores, ``large`` in ten minutes of an accelerator."""

# Processes that make batches while an accelerator works on earlier ones.
_LOADERS = 8
_SCORED_TOGETHER = 32


class Scores(NamedTuple):
    """How well answered examples are read, given their passage.

    Attributes:
        exact: share of spans found exactly, [0, 1].
        overlap: mean F1 of the characters of the found and the true span by place, [0, 1]; a little stricter than the
            F1 of CMRC 2018's script, which compares texts.
    """

    exact: float
    overlap: float


def evaluate_reading(scorer: Scorer, examples: Examples, vocabulary: Vocabulary, *, limit: int = 10**9) -> Scores:
    """Score a network on the answered examples among the first ``limit``."""
    exact, overlap = [], []
    answered = [index for index in range(min(limit, len(examples))) if examples.starts[index] >= 0]
    for first in range(0, len(answered), _SCORED_TOGETHER):
        some = answered[first : first + _SCORED_TOGETHER]
        for index, scores in zip(some, score_pairs(scorer, [examples.pair(i) for i in some], vocabulary), strict=True):
            true_start, true_end = int(examples.starts[index]), int(examples.ends[index])
            (found,) = best_spans(scores)
            shared = max(0, min(found.end, true_end) - max(found.start, true_start))
            exact.append((found.start, found.end) == (true_start, true_end))
            overlap.append(2 * shared / (found.end - found.start + true_end - true_start))
    return Scores(float(np.mean(exact)), float(np.mean(overlap)))


def train(
    prepared_dir: Path,
    out_dir: Path,
    *,
    preset: Preset,
    stages: Sequence[Stage],
    seed: int = 1,
    save_every_s: float = 300,
    tune: str = "trial",
    tune_limit: int = 300,
) -> Path:
    """Train through the stages, resuming where an interrupted run stopped, on the accelerator if there is one.

    Args:
        prepared_dir: written by ``szqa.training.reader_prepare.prepare``.
        out_dir: gets ``state.pt`` (to resume from), ``log.jsonl`` and the weights.
        preset: size and optimiser settings.
        stages: in order.
        seed: of the initial weights and the order of examples.
        save_every_s: seconds between checkpoints, each with the scores on ``tune``.
        tune: set of the prepared folder to score on.
        tune_limit: examples of it that are scored.

    Returns:
        Path of the weights: a moving average of those trained.
    """
    import torch

    torch.manual_seed(seed)
    vocabulary = Vocabulary.load(prepared_dir)
    network: torch.nn.Module = build_network(preset, vocabulary, masked=True)
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")
    run = _Run(network, preset, out_dir)
    run.resume()
    tuning = Examples.load(prepared_dir / f"{tune}.npz")
    while run.stage < len(stages):
        stage = stages[run.stage]
        set_dropout(network, stage.dropout)
        draw = _drawing(prepared_dir, stage, vocabulary, preset, seed=seed * 1000 + run.stage, first_step=run.step)
        saved = time.monotonic()
        for batch in drawn_ahead(draw, _LOADERS if torch.cuda.is_available() else 0):
            run.take_step(stage, batch)
            if time.monotonic() - saved > save_every_s and run.step < stage.steps:
                run.checkpoint()
                run.score(stage, tuning, vocabulary, tune_limit)
                saved = time.monotonic()
        run.score(stage, tuning, vocabulary, tune_limit)
        run.stage, run.step = run.stage + 1, 0
        run.checkpoint()
    return run.weights


def _drawing(
    prepared_dir: Path, stage: Stage, vocabulary: Vocabulary, preset: Preset, *, seed: int, first_step: int
) -> Draw[Batch | MaskedBatch]:
    """What draws a part of a stage's batches."""
    batch_chars = round(preset.batch_chars * stage.batch_share)
    if not stage.sources:
        text = Text.load(prepared_dir / "text.npz")
        return lambda part: draw_masked_batches(
            text, vocabulary, seed=seed, steps=stage.steps, first_step=first_step, batch_chars=batch_chars,
            sizes=stage.sizes, part=part,
        )  # fmt: skip
    sources = [Source(Examples.load(prepared_dir / f"{name}.npz"), w, e) for name, w, e in stage.sources]
    return lambda part: draw_batches(
        sources, vocabulary, seed=seed, steps=stage.steps, first_step=first_step, batch_chars=batch_chars,
        sizes=stage.sizes, unknown_rate=stage.unknown_rate, part=part,
    )  # fmt: skip


def train_reader(
    data_dir: Path,
    out_dir: Path,
    *,
    work_dir: Path,
    questions: Path | None = None,
    preset_name: str = "small",
    seed: int = 1,
    last_stage: str = "",
) -> None:
    """Prepare what is not prepared yet, train or go on with training, and export.

    Args:
        data_dir: the training data, with ``mrc/`` and ``text/``; not read once ``work_dir`` is prepared.
        out_dir: gets the exported model and its ``training.json``.
        work_dir: keeps the prepared arrays and the checkpoints; may be copied to another machine.
        questions: those written by hand over reports (eval/reports.jsonl); without them their stages are left out.
        preset_name: one of ``PRESETS``.
        seed: of everything.
        last_stage: name of the stage to stop after, all of them by default.

    Raises:
        ConfigurationError: there is no such preset or stage.
    """
    preset, stages = _chosen(preset_name, last_stage)
    if questions is None:
        stages = [stage for stage in stages if all(source != "by_hand" for source, _, _ in stage.sources)]
    prepared_dir, run_dir = work_dir / "prepared", work_dir / preset_name
    if not (prepared_dir / "prepared.json").exists():
        prepare(data_dir, prepared_dir, seed=seed)
    if questions is not None and not (prepared_dir / "by_hand.json").exists():
        prepare_by_hand(data_dir, prepared_dir, questions, seed=seed)
    began = time.monotonic()
    weights = train(prepared_dir, run_dir, preset=preset, stages=stages, seed=seed)
    seconds = round(time.monotonic() - began)
    export(prepared_dir, weights, out_dir, preset=preset)
    vocabulary = Vocabulary.load(prepared_dir)
    network = build_network(preset, vocabulary)
    load_weights(network, weights)
    network.train(mode=False)
    scores: dict[str, float] = {}
    for name in ("trial", "drcd"):
        found = evaluate_reading(torch_scorer(network), Examples.load(prepared_dir / f"{name}.npz"), vocabulary)
        scores |= {f"{name} {measure}": round(value, 4) for measure, value in found._asdict().items()}
    command = f"szqa train reader --preset {preset_name} --seed {seed}" + f" --stage {last_stage}" * bool(last_stage)
    done = [(stage.name, stage.steps) for stage in stages]
    write_record(prepared_dir, out_dir, Record(command, seed, seconds, preset, done, scores))


def _chosen(preset_name: str, last_stage: str) -> tuple[Preset, Sequence[Stage]]:
    if preset_name not in PRESETS:
        known = "、".join(PRESETS)
        raise ConfigurationError(f"没有名为 {preset_name} 的规模，可用的有：{known} (no such preset; known: {known})")
    stages = STAGES[preset_name]
    names = [stage.name for stage in stages]
    if last_stage and last_stage not in names:
        known = "、".join(names)
        raise ConfigurationError(f"没有名为 {last_stage} 的阶段，可用的有：{known} (no such stage; known: {known})")
    return PRESETS[preset_name], stages[: names.index(last_stage) + 1] if last_stage else stages


class _Run:
    """State of a training run: network, moving average, optimisers, place in the stages."""

    def __init__(self, network: torch.nn.Module, preset: Preset, out_dir: Path) -> None:
        self.network, self.preset, self.out_dir = network, preset, out_dir
        self.average = deepcopy(network).train(mode=False).requires_grad_(requires_grad=False)
        self.optimisers = optimisers(network)
        self.stage, self.step = 0, 0
        self.weights = out_dir / "weights.safetensors"
        self._losses: list[torch.Tensor] = []
        self._chars, self._clock = 0, time.monotonic()
        out_dir.mkdir(parents=True, exist_ok=True)

    def take_step(self, stage: Stage, batch: Batch | MaskedBatch) -> None:
        """One step of both optimisers and of the moving average."""
        import torch

        self.network.train()
        rate = self.preset.learning_rate * stage.learning_rate(self.step)
        loss = masked_loss(self.network, batch) if isinstance(batch, MaskedBatch) else span_loss(self.network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        # The average must not remember the random weights of the first steps.
        decay = stage.decay or self.preset.decay
        if self.stage == 0:
            decay = min(decay, self.step / (self.step + 10))
        average_all = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average_all([*self.average.parameters()], [*self.network.parameters()], 0)
        self._losses.append(loss.detach())
        self._chars += batch.input_ids.size
        if self.step % 50 == 0:
            self._report(stage, rate)

    def _report(self, stage: Stage, rate: float) -> None:
        now = time.monotonic()
        self._write(
            {
                "stage": stage.name,
                "step": self.step,
                "loss": round(float(np.mean([float(loss) for loss in self._losses])), 4),
                "learning_rate": round(rate, 7),
                "chars_per_s": round(self._chars / (now - self._clock)),
            }
        )
        self._losses, self._chars, self._clock = [], 0, now

    def _write(self, values: dict[str, float | str]) -> None:
        line = json.dumps(values)
        log.info(line)
        with (self.out_dir / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def checkpoint(self) -> None:
        """Write weights and state, each whole or not at all."""
        import torch
        from safetensors.torch import save_file

        state = {
            "model": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "place": [self.stage, self.step],
        }
        unfinished = self.out_dir / "unfinished"
        torch.save(state, unfinished)
        unfinished.replace(self.out_dir / "state.pt")
        save_file(trainable_weights(self.average), unfinished)
        unfinished.replace(self.weights)

    def score(self, stage: Stage, tuning: Examples, vocabulary: Vocabulary, limit: int) -> None:
        """Log how well the moving average reads."""
        scores = evaluate_reading(torch_scorer(self.average), tuning, vocabulary, limit=limit)
        self._write({"stage": stage.name, "step": self.step, **scores._asdict()})
        self._clock, self._chars = time.monotonic(), 0

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        import torch

        path = self.out_dir / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location=next(self.network.parameters()).device)
        self.network.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.stage, self.step = state["place"]
