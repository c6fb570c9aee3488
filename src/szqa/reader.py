"""Readers: question and retrieved passages in, the spans that may answer it out, best first.

The shipped reader ranks candidate spans with gradient-boosted trees over the columns of ``szqa.alignment`` and
``szqa.cues``, and calibrates the best ones with two smaller sets of trees. Knows nothing of how passages were found or
of what is made of the spans.

**Span or sentence.** Every span and every sentence read has its own probability: a span's of being right, a sentence's
of holding the answer. Spans come first, unless the best one is too unsure to be given as an answer while its sentence
is as sure as ``sentence_threshold``.

**Two calibrations.** The trees of ``spans.onnx`` and ``sentences.onnx`` learn from thousands of questions;
``calibration.json`` is a logistic regression over their log odds and a few columns of the same evidence, fitted on
the dev split of the gold set, whose unanswerable questions are near misses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from szqa.alignment import COLUMNS
from szqa.cues import CUE_COLUMNS, Cues
from szqa.datatypes import Hit, Span
from szqa.errors import ConfigurationError
from szqa.examiner import Examination, Examiner, ExtraColumns
from szqa.question import Question
from szqa.text import Segmenter

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = [
    "CALIBRATION_COLUMNS",
    "DEFAULT_READER",
    "EVIDENCE_COLUMNS",
    "READERS",
    "Calibration",
    "RankerConfig",
    "RankerReader",
    "Reader",
    "SpanRanker",
    "TermWeights",
    "Trees",
    "Weighed",
    "cue_columns",
    "load_reader",
    "weigh",
]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

# Readers by name, imported only when asked for: each takes the segmenter and loads its shipped model.
READERS: Final = {"ranker": "szqa.reader:RankerReader"}
DEFAULT_READER: Final = "ranker"

_MODEL_DIR: Final = Path(__file__).parent / "models" / "ranker"
_MAX_SPANS: Final = 10
_THREADS: Final = 2


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


def load_reader(name: str | None, segmenter: Segmenter) -> Reader:
    """Load a reader by its name in ``READERS``, the default one for ``None``.

    Raises:
        ConfigurationError: there is no reader of that name.
    """
    place = READERS.get(name or DEFAULT_READER)
    if place is None:
        raise ConfigurationError(
            f"没有名为 {name} 的阅读器，可用的有：{'、'.join(READERS)} (no such reader; known: {', '.join(READERS)})"
        )
    module, attribute = place.split(":")
    reader: Reader = getattr(import_module(module), attribute)(segmenter)
    return reader


class TermWeights:
    """How much a word or a pair of Han characters tells: its inverse document frequency, scaled to [0, 1].

    Args:
        frequencies: pair → number of paragraphs that hold it; rare ones may be left out.
        paragraphs: number of paragraphs counted.
    """

    # A name or number in letters and digits is rarely in the table; it tells less than the rarest pair of characters,
    # which often is one half of a longer word.
    _ASCII_WEIGHT: Final = 0.8

    def __init__(self, frequencies: dict[str, int], paragraphs: int) -> None:
        self.frequencies = frequencies
        self.paragraphs = paragraphs

    def __call__(self, piece: str) -> float:
        """Weight of a piece, [0, 1]."""
        if piece.isascii():
            return self._ASCII_WEIGHT
        count = self.frequencies.get(piece, 1)
        return float(np.log((self.paragraphs + 1) / (count + 0.5)) / np.log(self.paragraphs + 1))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a table written by ``save``."""
        with np.load(path, allow_pickle=False) as table:
            text, counts = str(table["pairs"]), table["counts"].tolist()
            paragraphs = int(table["paragraphs"])
        return cls({text[2 * i : 2 * i + 2]: count for i, count in enumerate(counts)}, paragraphs)

    def save(self, path: Path) -> None:
        """Write the table as compressed NumPy arrays."""
        pairs = sorted(self.frequencies)
        np.savez_compressed(
            path,
            pairs=np.array("".join(pairs)),
            counts=np.array([self.frequencies[pair] for pair in pairs], dtype=np.uint16),
            paragraphs=np.array(self.paragraphs),
        )


class Trees:
    """An ONNX tree ensemble: (n, columns) float32 in, one raw score a row out."""

    def __init__(self, path: Path) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = _THREADS
        # Threads that spin while they wait cost more than they bring where the cores are shared.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: InferenceSession = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.columns: int = self._session.get_inputs()[0].shape[1]

    def __call__(self, features: Floats) -> Floats:
        """(n,) raw scores, higher is better."""
        (scores,) = self._session.run(None, {"features": np.ascontiguousarray(features, dtype=np.float32)})
        return np.asarray(scores, dtype=np.float32).reshape(-1)


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """What the ranker's ``config.json`` holds.

    Attributes:
        columns: the columns of the ranker's trees, in order.
    """

    columns: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a configuration written by ``save``."""
        values = json.loads(path.read_text("utf-8"))
        return cls(tuple(values["columns"]))

    def save(self, path: Path) -> None:
        """Write the configuration as JSON."""
        path.write_text(json.dumps({"columns": self.columns}, ensure_ascii=False, indent=1) + "\n", "utf-8")


# What the calibration sees of a span or a sentence, beside the columns of the ranker named after them.
_COMPARED: Final = ("raw", "margin", "mass", "sentence_mass", "entropy", "places")
_CARRIED: Final = (
    "kind",
    "question_chars",
    "question_years",
    "question_levels",
    "hit_rank",
    "hit_gap",
    "hits",
    "sentence_rank",
    "sentence_cover",
    "sentence_gap",
    "neighbour_cover",
    "passage_cover",
    "all_cover",
    "missing_weight_sentence",
    "missing_weight_passage",
    "missing_share_passage",
    "year_state",
    "number_missing",
    "level_missing",
    "names",
    "name_missing_sentence",
    "name_missing_around",
    "nouns",
    "noun_missing_sentence",
    "noun_missing_around",
    "noun_missing_clause",
    "clause_cover",
    "clause_gap_all",
    "item_cover",
    "item_gap_all",
    "outside_cover",
    "inside_share",
    "match_before",
    "match_after",
    "unit_state",
    "unit_other",
    "head_state",
    "kind_match",
    "level_conflict",
    "year_conflict",
    "in_question",
    "span_chars",
)
EVIDENCE_COLUMNS: Final = (*_COMPARED, *_CARRIED)


# What the second calibration may see: the log odds of the first for a span and for its sentence, and the evidence.
CALIBRATION_COLUMNS: Final = ("span_log_odds", "sentence_log_odds", *EVIDENCE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logistic regression from the evidence for a span to the log odds of its being right.

    Attributes:
        weights: weight of each column it uses, by its name in ``CALIBRATION_COLUMNS``.
        bias: log odds where every column is 0.
        threshold: recommended score from which a span is given as an answer, [0, 1].
        sentence_threshold: probability from which a sentence is given where its span is below ``threshold``.
    """

    weights: dict[str, float]
    bias: float
    threshold: float
    sentence_threshold: float

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


@dataclass(frozen=True, slots=True)
class Weighed:
    """The best spans and all sentences of an examination, with the evidence for each.

    Attributes:
        spans: (passage index, start, end) of the best spans, no two alike, best first.
        span_evidence: (len(spans), len(EVIDENCE_COLUMNS)).
        sentences: (passage index, start, end) of the sentences read.
        sentence_evidence: (len(sentences), len(EVIDENCE_COLUMNS)).
    """

    spans: tuple[tuple[int, int, int], ...]
    span_evidence: Floats
    sentences: tuple[tuple[int, int, int], ...]
    sentence_evidence: Floats


class SpanRanker:
    """Ranks candidate spans; its scores are not yet calibrated.

    Args:
        segmenter: cuts and tags sentences.
        model_dir: folder with ``config.json``, ``cues.json``, ``weights.npz`` and ``ranker.onnx``.
        extra: further columns, which the model must have been trained with.

    Raises:
        ConfigurationError: a file is missing, or the model was trained with other columns.
    """

    FILES: Final = ("config.json", "cues.json", "weights.npz", "ranker.onnx")

    def __init__(self, segmenter: Segmenter, model_dir: Path, *, extra: ExtraColumns | None = None) -> None:
        _require_files(model_dir, self.FILES)
        self.config = RankerConfig.load(model_dir / "config.json")
        columns = (*COLUMNS, *CUE_COLUMNS, *(extra.names if extra else ()))
        if self.config.columns != columns:
            raise ConfigurationError(
                f"{model_dir}: 模型的 {len(self.config.columns)} 列特征与程序的 {len(columns)} 列不一致，"
                "请运行 szqa train ranker (the model was trained with other columns; run: szqa train ranker)"
            )
        self._extra = extra
        self._cues = Cues.load(model_dir / "cues.json")
        self._examiner = Examiner(segmenter, TermWeights.load(model_dir / "weights.npz"))
        self._trees = Trees(model_dir / "ranker.onnx")

    def weigh(self, question: str, hits: Sequence[Hit]) -> Weighed:
        """Rank the candidates and gather the evidence for the best ones."""
        found = self._examiner.examine(question, hits)
        if not found.places:
            empty = np.zeros((0, len(EVIDENCE_COLUMNS)), dtype=np.float32)
            return Weighed((), empty, (), empty)
        cues = cue_columns(self._cues, found.question, found.folded, found.hit, found.starts, found.ends)
        blocks = [found.features, cues]
        if self._extra:
            blocks.append(self._extra.columns(question, hits, found))
        return weigh(found, self._trees(np.concatenate(blocks, axis=1)))


class RankerReader:
    """Ranks candidate spans and says how sure it is of the best ones.

    Args:
        segmenter: cuts and tags sentences.
        model_dir: folder that ``szqa train ranker`` wrote; the shipped one by default.
        extra: further columns, which the model must have been trained with.

    Raises:
        ConfigurationError: a file is missing, or the model was trained with other columns.
    """

    def __init__(
        self, segmenter: Segmenter, model_dir: Path = _MODEL_DIR, *, extra: ExtraColumns | None = None
    ) -> None:
        names = (*SpanRanker.FILES, "spans.onnx", "sentences.onnx", "calibration.json")
        _require_files(model_dir, names)
        self._ranker = SpanRanker(segmenter, model_dir, extra=extra)
        self._span_trees = Trees(model_dir / "spans.onnx")
        self._sentence_trees = Trees(model_dir / "sentences.onnx")
        digest = hashlib.sha256(b"".join((model_dir / name).read_bytes() for name in names))
        self.reader_id = f"ranker {digest.hexdigest()[:12]}"
        self._calibration = Calibration.load(model_dir / "calibration.json")
        self.threshold = self._calibration.threshold

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        """The spans that may answer a question, at most ten and no two alike, best first; none without hits."""
        weighed = self._ranker.weigh(question, hits)
        if not weighed.spans:
            return []
        spans = _scored(weighed.spans, self._calibration(self.evidence(weighed)), hits)
        sentences = _scored(weighed.sentences, self._sentence_trees(weighed.sentence_evidence), hits)
        return _order(spans, sentences, self._calibration)

    def weigh(self, question: str, hits: Sequence[Hit]) -> Weighed:
        """The best spans and all sentences with the evidence for each, for fitting a calibration."""
        return self._ranker.weigh(question, hits)

    def evidence(self, weighed: Weighed) -> Floats:
        """What the second calibration sees of each span, (len(spans), len(CALIBRATION_COLUMNS))."""
        of_spans = self._span_trees(weighed.span_evidence)
        of_sentences = self._sentence_trees(weighed.sentence_evidence)
        around = [_around(weighed.sentences, span) for span in weighed.spans]
        return np.column_stack([of_spans, of_sentences[around], weighed.span_evidence])


def _around(sentences: Sequence[tuple[int, int, int]], span: tuple[int, int, int]) -> int:
    """Number of the sentence in which a span begins."""
    return next(
        number for number, (hit, start, end) in enumerate(sentences) if hit == span[0] and start <= span[1] < end
    )


def _require_files(model_dir: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (model_dir / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"{model_dir}: 缺少 {'、'.join(missing)}，请运行 szqa train ranker (missing; run: szqa train ranker)"
        )


def _scored(places: Sequence[tuple[int, int, int]], log_odds: Floats, hits: Sequence[Hit]) -> list[Span]:
    scores = 1.0 / (1.0 + np.exp(-log_odds.astype(np.float64)))
    return [
        Span(hits[hit].passage, start, end, float(score))
        for (hit, start, end), score in zip(places, scores, strict=True)
    ]


def cue_columns(cues: Cues, question: Question, folded: Sequence[str], hit: Ints, starts: Ints, ends: Ints) -> Floats:
    """(n, len(CUE_COLUMNS)) log odds at the edges of candidates, given each one's hit and its interval there."""
    result = np.zeros((len(starts), len(CUE_COLUMNS)), dtype=np.float32)
    for number, text in enumerate(folded):
        rows = np.flatnonzero(hit == number)
        if len(rows):
            result[rows] = cues.columns(question, text, starts[rows], ends[rows])
    return result


def weigh(examination: Examination, raw: Floats) -> Weighed:
    """Choose the best spans by their raw scores, and gather the evidence for them and for each sentence."""
    chance = np.exp(raw - raw.max())
    chance /= chance.sum()
    mass = np.bincount(examination.place, weights=chance, minlength=len(examination.places))
    entropy = -float((chance * np.log(chance + 1e-12)).sum())
    texts = np.array([_text(examination, row) for row in range(len(raw))])
    chosen = _distinct(examination, raw)
    span_evidence, sentence_evidence = [], []
    for row in chosen:
        same = texts == texts[row]
        rivals = [other for other in chosen if not same[other]]
        together = same | _overlapping(examination, row)
        margin = _margin(raw[row], raw[rivals])
        compared = (raw[row], margin, chance[together].sum(), mass[examination.place[row]], entropy, same.sum())
        span_evidence.append((*compared, *examination.features[row, _CARRIED_AT]))
    best = [int(np.where(examination.place == place, raw, -np.inf).argmax()) for place in range(len(mass))]
    for place, row in enumerate(best):
        margin = _margin(raw[row], raw[[other for other in best if other != row]])
        within = sum(int(examination.place[other]) == place for other in chosen)
        compared = (raw[row], margin, chance[row], mass[place], entropy, within)
        sentence_evidence.append((*compared, *examination.features[row, _CARRIED_AT]))
    return Weighed(
        tuple((int(examination.hit[row]), int(examination.starts[row]), int(examination.ends[row])) for row in chosen),
        np.array(span_evidence, dtype=np.float32),
        tuple((place.hit, place.start, place.end) for place in examination.places),
        np.array(sentence_evidence, dtype=np.float32),
    )


_CARRIED_AT: Final = np.array([COLUMNS.index(name) for name in _CARRIED])


def _text(examination: Examination, row: int) -> str:
    passage = examination.folded[int(examination.hit[row])]
    return passage[examination.starts[row] : examination.ends[row]]


def _overlapping(examination: Examination, row: int) -> NDArray[np.bool_]:
    start, end = examination.starts[row], examination.ends[row]
    overlap = (examination.starts < end) & (examination.ends > start)
    return np.asarray(overlap & (examination.hit == examination.hit[row]))


def _distinct(examination: Examination, raw: Floats) -> list[int]:
    """Rows of the best candidates of which no two overlap, best first."""
    free = np.ones(len(raw), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < _MAX_SPANS and free.any():
        row = int(np.where(free, raw, -np.inf).argmax())
        chosen.append(row)
        free &= ~_overlapping(examination, row)
    return chosen


def _margin(score: float, rivals: Floats) -> float:
    """How far a score is above the best rival's, at most 20."""
    return min(20.0, float(score) - float(rivals.max())) if len(rivals) else 20.0


def _order(spans: Sequence[Span], sentences: Sequence[Span], calibration: Calibration) -> list[Span]:
    """Spans and sentences in one list: what should be answered first."""
    best = spans[0]
    around = next(s for s in sentences if s.passage is best.passage and s.start <= best.start < s.end)
    others = sorted((s for s in sentences if s is not around), key=lambda sentence: -sentence.score)
    sentence_first = best.score < calibration.threshold <= around.score and (
        around.score >= calibration.sentence_threshold
    )
    ordered = [around, *spans, *others] if sentence_first else [*spans[: _MAX_SPANS - 1], around, *others]
    distinct = {(span.passage.id, span.start, span.end): span for span in reversed(ordered)}
    kept = sorted(distinct.values(), key=ordered.index)
    return kept[:_MAX_SPANS]
