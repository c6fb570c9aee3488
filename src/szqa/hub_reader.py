"""Any question-answering model that transformers loads, as a reader.

The model is named by its folder or by its name on the hub; nothing here depends on its architecture. Its scores are
not calibrated: a span's is the sigmoid of its logits less those of "no answer" (the first token), as models trained on
SQuAD 2.0 mean them. Knows nothing of the shipped models.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit, Span
from szqa.errors import ConfigurationError

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["HubReader", "load_hub_reader"]

Floats = NDArray[np.float32]

_MAX_TOKENS: Final = 384
# Of the tokens the model takes: the most for the question, and how many neighbouring windows share.
_QUESTION_SHARE, _SHARED = 1 / 4, 1 / 4
_MAX_SPAN_TOKENS: Final = 60
_MAX_SPANS: Final = 10
_THRESHOLD: Final = 0.5


def load_hub_reader(name: str, *, threshold: float | None = None) -> HubReader:
    """Load a model by the folder it is in or by its name on the hub.

    Args:
        name: of the folder, or on the hub.
        threshold: score from which its answers will be given; 0.5 by default.

    Raises:
        ConfigurationError: there is no such model, it is not for question answering, or its tokenizer gives no offsets.
    """
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    offline = Path(name).is_dir() or os.environ.get("HF_HUB_OFFLINE") == "1"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=offline)
        model = AutoModelForQuestionAnswering.from_pretrained(name, local_files_only=offline)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"没有名为 {name} 的阅读器：既不是 combined、ranker，也不是能加载的问答模型（文件夹或 hub 名称）"
            f"(no such reader: neither combined nor ranker nor a question-answering model that loads: {error})"
        ) from error
    if not tokenizer.is_fast:
        raise ConfigurationError(
            f"{name}: 分词器不给出字符位置，需要 tokenizer.json "
            "(the tokenizer gives no offsets; it needs a tokenizer.json)"
        )
    return HubReader(model.eval(), tokenizer, name=name, threshold=_THRESHOLD if threshold is None else threshold)


class HubReader:
    """Reads with a question-answering model of transformers.

    Args:
        model: gives start and end logits.
        tokenizer: cuts question and passage, and gives offsets.
        name: of the model.
        threshold: score from which its answers will be given.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str, threshold: float = _THRESHOLD
    ) -> None:
        self.threshold = threshold
        self.reader_id = f"{name} {model.config.model_type}"
        self._model = model
        self._tokenizer = tokenizer

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        """The spans that may answer a question, at most ten and no two alike, best first; none without hits."""
        found = [
            Span(hit.passage, start, end, 1.0 / (1.0 + float(np.exp(-score))))
            for hit in hits
            if hit.passage.text.strip()
            for start, end, score in self._spans(question, hit.passage.text)
        ]
        found.sort(key=lambda span: -span.score)
        chosen: list[Span] = []
        for span in found:
            if len(chosen) < _MAX_SPANS and not any(_overlap(span, other) for other in chosen):
                chosen.append(span)
        return chosen

    def _spans(self, question: str, text: str) -> Iterator[tuple[int, int, float]]:
        """(start, end, score) of the best spans of each window of a passage."""
        import torch

        longest = min(_MAX_TOKENS, int(getattr(self._model.config, "max_position_embeddings", _MAX_TOKENS)))
        inputs: BatchEncoding = self._tokenizer(
            self._shortened(question, int(longest * _QUESTION_SHARE)),
            text,
            truncation="only_second",
            max_length=longest,
            stride=int(longest * _SHARED),
            padding=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        offsets = inputs.pop("offset_mapping").numpy()
        inputs.pop("overflow_to_sample_mapping")
        with torch.inference_mode():
            output = self._model(**inputs)
        starts, ends = output.start_logits.float().numpy(), output.end_logits.float().numpy()
        for row in range(len(starts)):
            within = np.array([part == 1 for part in inputs.sequence_ids(row)])
            for first, last, score in _best(starts[row], ends[row], within):
                start, end = int(offsets[row, first, 0]), int(offsets[row, last, 1])
                if text[start:end].strip():
                    yield start, end, score

    def _shortened(self, question: str, max_tokens: int) -> str:
        """The last part of a question, which holds the question word more often than the first."""
        offsets = self._tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return question[offsets[-max_tokens][0] :] if len(offsets) > max_tokens else question


def _best(starts: Floats, ends: Floats, within: NDArray[np.bool_]) -> list[tuple[int, int, float]]:
    """The best spans of one window, as first and last token and score less that of the first token."""
    places = np.flatnonzero(within)
    sums = starts[places, None] + ends[None, places] - starts[0] - ends[0]
    lengths = places[None, :] - places[:, None]
    sums = np.where((lengths >= 0) & (lengths < _MAX_SPAN_TOKENS), sums, -np.inf)
    order = np.argsort(-sums, axis=None, kind="stable")[:_MAX_SPANS]
    rows, columns = np.unravel_index(order, sums.shape)
    return [
        (int(places[row]), int(places[column]), float(sums[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if np.isfinite(sums[row, column])
    ]


def _overlap(one: Span, other: Span) -> bool:
    return one.passage is other.passage and one.start < other.end and other.start < one.end
