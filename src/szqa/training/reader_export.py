"""A trained reader as files that inference loads, and the record of how it came about."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from szqa.neural import Vocabulary
from szqa.training.network import Preset, build_network, load_weights, plain_network

if TYPE_CHECKING:
    from transformers import RoFormerForQuestionAnswering

__all__ = ["Record", "export", "export_onnx", "write_record"]


@dataclass(frozen=True, slots=True)
class Record:
    """How a model was trained.

    Attributes:
        command: that makes it again.
        seed: of everything.
        seconds: that training took.
        preset: size and optimiser settings.
        stages: name and steps of each.
        scores: name of a question set and measure → value, [0, 1].
    """

    command: str
    seed: int
    seconds: float
    preset: Preset
    stages: Sequence[tuple[str, int]]
    scores: dict[str, float]


def write_record(prepared_dir: Path, out_dir: Path, record: Record) -> None:
    """Write ``training.json``: all that is needed to make the model again and to see what it was made from."""
    import torch

    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    values = {
        **asdict(record),
        "data": _prepared(prepared_dir, "prepared.json") | {"by_hand": _prepared(prepared_dir, "by_hand.json")},
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else cpu,
        "torch": torch.__version__,
    }
    (out_dir / "training.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _prepared(prepared_dir: Path, name: str) -> dict[str, object]:
    """What was prepared, empty where it was not."""
    path = prepared_dir / name
    found: dict[str, object] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def export(prepared_dir: Path, weights: Path, out_dir: Path, *, preset: Preset) -> None:
    """Write a trained network as ``transformers`` loads it, in float16, and as ONNX in float32 and int8.

    Args:
        prepared_dir: holds the vocabulary.
        weights: written by ``train``.
        out_dir: gets ``config.json``, ``model.safetensors``, the tokenizer, ``model.onnx`` and ``model_int8.onnx``.
        preset: the one trained with.
    """
    import torch

    vocabulary = Vocabulary.load(prepared_dir)
    network = build_network(preset, vocabulary)
    load_weights(network, weights)
    # Rounded first, so that all files hold the same network.
    network = plain_network(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    network.train(mode=False)
    out_dir.mkdir(parents=True, exist_ok=True)
    vocabulary.save(out_dir)
    export_onnx(network, out_dir)
    network.half().save_pretrained(out_dir)  # type: ignore[no-untyped-call]
    (out_dir / "model.safetensors").chmod(0o644)  # safetensors makes it private to its owner


def export_onnx(network: RoFormerForQuestionAnswering, out_dir: Path) -> None:
    """Write ``model.onnx`` and, with the weights of matrices and embeddings in int8, ``model_int8.onnx``."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names = ["input_ids", "attention_mask", "token_type_ids"]
    sample = torch.ones(2, 16, dtype=torch.long)
    axes = {name: {0: "batch", 1: "length"} for name in [*names, "start_logits", "end_logits"]}
    with warnings.catch_warnings():
        # The tracer warns of every Python branch; here they all depend on the configuration alone.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (sample, sample, sample), str(out_dir / "model.onnx"), input_names=names,
            output_names=["start_logits", "end_logits"], dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    # Seven bits: with eight, CPUs without VNNI add up pairs of products in 16 bits, and the sums are clipped there.
    quantize_dynamic(
        out_dir / "model.onnx",
        out_dir / "model_int8.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
