"""Readers: question and retrieved passages in, the spans that may answer it out, best first.

The shipped reader ranks candidate spans by trees over their columns and by the logits of a network, added up, and says
how likely the best ones are to be right. Knows nothing of how passages were found or of what is made of the spans.

**Span and sentence.** Every span and every sentence read has its own probability: a span's of being right, a
sentence's of holding the answer. Spans come first; sentences are what else may be worth reading.

**Two calibrations.** The trees of ``spans.onnx`` and ``sentences.onnx`` learn from thousands of questions;
``calibration.json`` is a logistic regression over their log odds and some columns of the same evidence, fitted above
all on the dev split of the gold set, whose unanswerable questions are near misses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit, Span
from szqa.network import NETWORK_FILES, SpanNetwork
from szqa.question import KINDS
from szqa.ranker import EVIDENCE_COLUMNS, SpanRanker, Trees, Weighed, require_files
from szqa.text import Segmenter

__all__ = [
    "CALIBRATION_COLUMNS",
    "CALIBRATION_FILES",
    "DEFAULT_READER",
    "READERS",
    "Calibration",
    "Reader",
    "SpanReader",
    "combined_ranker",
    "combined_reader",
    "load_reader",
    "ranker_reader",
]

Floats = NDArray[np.float32]

# Readers by name, imported only when asked for: each takes the segmenter and loads its shipped models. Any other name
# is a question-answering model's, which is left to transformers.
READERS: Final = {"combined": "szqa.reader:combined_reader", "ranker": "szqa.reader:ranker_reader"}
DEFAULT_READER: Final = "combined"
_HUB_READER: Final = "szqa.hub_reader:load_hub_reader"

CALIBRATION_FILES: Final = ("spans.onnx", "sentences.onnx", "calibration.json")
_MODELS: Final = Path(__file__).parent / "models"
_MAX_SPANS: Final = 10


class Reader(Protocol):
    """Finds answers in passages.

    Attributes:
        reader_id: name and hash of what its answers depend on.
        threshold: score from which its best span should be given as an answer, [0, 1].
    """

    reader_id: str
    threshold: float

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        """The spans that may answer a question, at most ten and no two alike, best first; none without hits."""
        ...


def load_reader(name: str | None, segmenter: Segmenter, *, threshold: float | None = None) -> Reader:
    """Load a reader.

    Args:
        name: one of ``READERS``, or the folder or hub name of a question-answering model that transformers loads; the
            default reader for ``None``.
        segmenter: cuts text into words.
        threshold: score from which its answers will be given; its own by default.

    Raises:
        ConfigurationError: there is no such reader.
    """
    name = name or DEFAULT_READER
    if name in READERS:
        return _attribute(READERS[name])(segmenter, threshold=threshold)
    return _attribute(_HUB_READER)(name, threshold=threshold)


def _attribute(place: str) -> Callable[..., Reader]:
    module, attribute = place.split(":")
    found: Callable[..., Reader] = getattr(import_module(module), attribute)
    return found


# A weighted sum cannot tell kinds of questions apart by their numbers, so each has a column, and one more for spans of
# another kind: a year asked for and a sum of money found says more than a place asked for and a company found.
_KIND_COLUMNS: Final = (*(f"asks_{kind}" for kind in KINDS), *(f"not_{kind}" for kind in KINDS))
_KIND_AT, _MATCH_AT = EVIDENCE_COLUMNS.index("kind"), EVIDENCE_COLUMNS.index("kind_match")

# What the second calibration may see: the log odds of the first for a span and for its sentence, and the evidence.
CALIBRATION_COLUMNS: Final = ("span_log_odds", "sentence_log_odds", *EVIDENCE_COLUMNS, *_KIND_COLUMNS)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logistic regression from the evidence for a span to the log odds of its being right.

    Attributes:
        weights: weight of each column it uses, by its name in ``CALIBRATION_COLUMNS``.
        bias: log odds where every column is 0.
        threshold: recommended score from which a span is given as an answer, [0, 1].
    """

    weights: dict[str, float]
    bias: float
    threshold: float

    def __call__(self, evidence: Floats) -> Floats:
        """(n, len(CALIBRATION_COLUMNS)) evidence → (n,) log odds."""
        at = [CALIBRATION_COLUMNS.index(name) for name in self.weights]
        log_odds = evidence[:, at] @ np.array(list(self.weights.values()), dtype=np.float32) + self.bias
        return np.asarray(log_odds, dtype=np.float32)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a calibration written by ``save``."""
        return cls(**json.loads(path.read_text("utf-8")))

    def save(self, path: Path) -> None:
        """Write the calibration as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


class SpanReader:
    """Ranks candidate spans and says how sure it is of the best ones.

    Args:
        ranker: ranks the candidates.
        calibration_dir: folder with the files of ``CALIBRATION_FILES``, fitted for that ranker.
        reader_id: name and hash of what the answers depend on.
        threshold: score from which its answers will be given; the calibration's by default.

    Raises:
        ConfigurationError: a file is missing.
    """

    def __init__(
        self, ranker: SpanRanker, calibration_dir: Path, *, reader_id: str, threshold: float | None = None
    ) -> None:
        require_files(calibration_dir, CALIBRATION_FILES)
        self.reader_id = reader_id
        self._ranker = ranker
        self._span_trees = Trees(calibration_dir / "spans.onnx")
        self._sentence_trees = Trees(calibration_dir / "sentences.onnx")
        self._calibration = Calibration.load(calibration_dir / "calibration.json")
        self.threshold = self._calibration.threshold if threshold is None else threshold

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        """The spans that may answer a question, at most ten and no two alike, best first; none without hits."""
        weighed = self.weigh(question, hits)
        if not weighed.spans:
            return []
        spans = _scored(weighed.spans, self._calibration(self.evidence(weighed)), hits)
        sentences = _scored(weighed.sentences, self._sentence_trees(weighed.sentence_evidence), hits)
        return _order(spans, sentences)

    def weigh(self, question: str, hits: Sequence[Hit]) -> Weighed:
        """The best spans, the one most likely right first, and all sentences, with the evidence for each.

        The ranker sees every candidate for itself; the trees of the calibration see how the best ones stand to one
        another, so theirs is the last word on the order.
        """
        weighed = self._ranker.weigh(question, hits)
        if not weighed.spans:
            return weighed
        order = np.argsort(-self._span_trees(weighed.span_evidence), kind="stable").tolist()
        return replace(
            weighed,
            spans=tuple(weighed.spans[number] for number in order),
            span_evidence=weighed.span_evidence[order],
        )

    def evidence(self, weighed: Weighed) -> Floats:
        """What the second calibration sees of each span, (len(spans), len(CALIBRATION_COLUMNS))."""
        of_spans = self._span_trees(weighed.span_evidence)
        of_sentences = self._sentence_trees(weighed.sentence_evidence)
        around = [_around(weighed.sentences, span) for span in weighed.spans]
        of_kinds = _by_kind(weighed.span_evidence)
        return np.column_stack([of_spans, of_sentences[around], weighed.span_evidence, of_kinds])


def ranker_reader(
    segmenter: Segmenter, model_dir: Path = _MODELS / "ranker", *, threshold: float | None = None
) -> SpanReader:
    """The reader that has trees alone: quicker than ``combined_reader``, and right less often.

    Args:
        segmenter: cuts and tags sentences.
        model_dir: folder that ``szqa train ranker`` wrote; the shipped one by default.
        threshold: score from which its answers will be given; its own by default.
    """
    ranker = SpanRanker(segmenter, model_dir)
    files = [model_dir / name for name in (*SpanRanker.FILES, *CALIBRATION_FILES)]
    return SpanReader(ranker, model_dir, reader_id=_reader_id("ranker", files), threshold=threshold)


def combined_reader(segmenter: Segmenter, models_dir: Path = _MODELS, *, threshold: float | None = None) -> SpanReader:
    """The shipped reader: trees and network together.

    Args:
        segmenter: cuts and tags sentences.
        models_dir: holds the folders ``ranker``, ``reader`` (the network) and ``combined`` (the calibration of both).
        threshold: score from which its answers will be given; its own by default.
    """
    files = [models_dir / "ranker" / name for name in SpanRanker.FILES]
    files += [models_dir / "reader" / name for name in NETWORK_FILES]
    files += [models_dir / "combined" / name for name in CALIBRATION_FILES]
    require_files(models_dir / "combined", CALIBRATION_FILES, command="szqa train combination")
    ranker = combined_ranker(segmenter, models_dir)
    reader_id = _reader_id("combined", files)
    return SpanReader(ranker, models_dir / "combined", reader_id=reader_id, threshold=threshold)


def combined_ranker(segmenter: Segmenter, models_dir: Path) -> SpanRanker:
    """The ranking of ``combined_reader``, before calibration."""
    network = SpanNetwork(segmenter, models_dir / "reader")
    return SpanRanker(segmenter, models_dir / "ranker", opinion=network)


def _reader_id(name: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes() if path.is_file() else b"")  # a missing file is refused where it is needed
    return f"{name} {digest.hexdigest()[:12]}"


def _by_kind(evidence: Floats) -> Floats:
    """(n, len(_KIND_COLUMNS)): what is asked for, and whether a span is something else."""
    asked = evidence[:, [_KIND_AT]] == np.arange(len(KINDS))
    other = asked & (evidence[:, [_MATCH_AT]] == 0)
    return np.hstack([asked, other]).astype(np.float32)


def _around(sentences: Sequence[tuple[int, int, int]], span: tuple[int, int, int]) -> int:
    """Number of the sentence in which a span begins."""
    return next(
        number for number, (hit, start, end) in enumerate(sentences) if hit == span[0] and start <= span[1] < end
    )


def _scored(places: Sequence[tuple[int, int, int]], log_odds: Floats, hits: Sequence[Hit]) -> list[Span]:
    scores = 1.0 / (1.0 + np.exp(-log_odds.astype(np.float64)))
    return [
        Span(hits[hit].passage, start, end, float(score))
        for (hit, start, end), score in zip(places, scores, strict=True)
    ]


def _order(spans: Sequence[Span], sentences: Sequence[Span]) -> list[Span]:
    """Spans and sentences in one list: the spans, the sentence of the best one, and the other sentences."""
    best = spans[0]
    around = next(s for s in sentences if s.passage is best.passage and s.start <= best.start < s.end)
    others = sorted((s for s in sentences if s is not around), key=lambda sentence: -sentence.score)
    ordered = [*spans[: _MAX_SPANS - 1], around, *others]
    distinct = {(span.passage.id, span.start, span.end): span for span in reversed(ordered)}
    kept = sorted(distinct.values(), key=ordered.index)
    return kept[:_MAX_SPANS]
