"""Ranking of candidate answers with gradient-boosted trees, and the evidence for the best of them.

The trees see the columns of ``szqa.alignment`` and ``szqa.cues``; a second opinion on the candidates, such as a
network's, can be added to their scores. Scores are raw here: higher is better, and that is all they say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from szqa.alignment import COLUMNS, positions
from szqa.cues import CUE_COLUMNS, Cues
from szqa.datatypes import Hit
from szqa.errors import ConfigurationError
from szqa.examiner import CandidateScorer, Examination, Examiner
from szqa.question import Question
from szqa.text import Segmenter

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = [
    "EVIDENCE_COLUMNS",
    "RankerConfig",
    "SpanRanker",
    "TermWeights",
    "Trees",
    "Weighed",
    "cue_columns",
    "require_files",
    "weigh",
]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

_MAX_SPANS: Final = 10
_THREADS: Final = 2
# Weight of a second opinion beside the trees. Flat between 3/4 and 3/2 on CMRC 2018 trial, DRCD dev, the gold set's dev
# split and the questions over reports kept for the last calibration, on which it was tuned.
_OPINION_WEIGHT: Final = 1.0
# Sentences that a second opinion is asked for: those that the trees think most of. On CMRC 2018 trial and DRCD dev two
# take a tenth less time and lower the F1 by 0.003; all eight take more than twice as long and change it by no more.
_OPINION_PLACES: Final = 3


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
_COMPARED: Final = ("raw", "opinion", "margin", "opinion_margin", "mass", "sentence_mass", "entropy", "places")
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
    "noun_missing_item",
    "local_cover",
    "local_gap",
    "character_cover",
    "item_known",
    "item_aligned",
    "item_aligned_gap",
    "item_known_gap",
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
        opinion: a second opinion on the candidates, added to the trees' scores.

    Raises:
        ConfigurationError: a file is missing, or the model was trained with other columns.
    """

    FILES: Final = ("config.json", "cues.json", "weights.npz", "ranker.onnx")

    def __init__(self, segmenter: Segmenter, model_dir: Path, *, opinion: CandidateScorer | None = None) -> None:
        require_files(model_dir, self.FILES)
        self.config = RankerConfig.load(model_dir / "config.json")
        columns = (*COLUMNS, *CUE_COLUMNS)
        if self.config.columns != columns:
            raise ConfigurationError(
                f"{model_dir}: 模型的 {len(self.config.columns)} 列特征与程序的 {len(columns)} 列不一致，"
                "请运行 szqa train ranker (the model was trained with other columns; run: szqa train ranker)"
            )
        self._opinion = opinion
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
        raw = self._trees(np.concatenate([found.features, cues], axis=1))
        if self._opinion is None:
            return weigh(found, raw, np.zeros_like(raw))
        best = _best_of_places(found, raw)
        places = np.argsort(-raw[best], kind="stable")[:_OPINION_PLACES].tolist()
        opinion = self._opinion.score(question, hits, found, places)
        return weigh(found, raw + _OPINION_WEIGHT * opinion, opinion)


def require_files(model_dir: Path, names: Sequence[str], *, command: str = "szqa train ranker") -> None:
    """Raise ``ConfigurationError`` where a model folder lacks a file that ``command`` writes."""
    missing = [name for name in names if not (model_dir / name).is_file()]
    if missing:
        raise ConfigurationError(f"{model_dir}: 缺少 {'、'.join(missing)}，请运行 {command} (missing; run: {command})")


def cue_columns(cues: Cues, question: Question, folded: Sequence[str], hit: Ints, starts: Ints, ends: Ints) -> Floats:
    """(n, len(CUE_COLUMNS)) log odds at the edges of candidates, given each one's hit and its interval there."""
    result = np.zeros((len(starts), len(CUE_COLUMNS)), dtype=np.float32)
    for number, text in enumerate(folded):
        rows = np.flatnonzero(hit == number)
        if len(rows):
            result[rows] = cues.columns(question, text, starts[rows], ends[rows])
    return result


def weigh(examination: Examination, raw: Floats, opinion: Floats) -> Weighed:
    """Choose the best spans by their raw scores, and gather the evidence for them and for each sentence.

    Args:
        examination: the candidates.
        raw: (n,) their scores.
        opinion: (n,) what the second opinion said of them; 0 where there is none.
    """
    chance = np.exp(raw - raw.max())
    chance /= chance.sum()
    mass = np.bincount(examination.place, weights=chance, minlength=len(examination.places))
    entropy = -float((chance * np.log(chance + 1e-12)).sum())
    chosen = _distinct(examination, raw)
    same = _same_text(examination, chosen)
    spans = []
    for row, alike in zip(chosen, same, strict=True):
        rivals = [other for other in chosen if not alike[other]]
        together = alike | _overlapping(examination, row)
        margins = (_margin(raw[row], raw[rivals]), _margin(opinion[row], opinion[rivals]))
        told = (raw[row], opinion[row], *margins)
        spans.append((*told, chance[together].sum(), mass[examination.place[row]], entropy, alike.sum()))
    best = _best_of_places(examination, raw)
    sentences = []
    for place, row in enumerate(best):
        others = [other for other in best if other != row]
        margins = (_margin(raw[row], raw[others]), _margin(opinion[row], opinion[others]))
        within = sum(int(examination.place[other]) == place for other in chosen)
        sentences.append((raw[row], opinion[row], *margins, chance[row], mass[place], entropy, within))
    return Weighed(
        tuple((int(examination.hit[row]), int(examination.starts[row]), int(examination.ends[row])) for row in chosen),
        _evidence(examination, chosen, spans),
        tuple((place.hit, place.start, place.end) for place in examination.places),
        _evidence(examination, best, sentences),
    )


def _evidence(examination: Examination, rows: Sequence[int], compared: Sequence[tuple[float, ...]]) -> Floats:
    """(len(rows), len(EVIDENCE_COLUMNS)) given the columns of ``_COMPARED``."""
    carried = examination.features[rows][:, _CARRIED_AT]
    return np.concatenate([np.array(compared, dtype=np.float32), carried], axis=1)


def _best_of_places(examination: Examination, raw: Floats) -> list[int]:
    """Row of the best candidate in each sentence; every sentence read has one."""
    places = range(len(examination.places))
    return [int(np.where(examination.place == place, raw, -np.inf).argmax()) for place in places]


_CARRIED_AT: Final = np.array([COLUMNS.index(name) for name in _CARRIED])


def _same_text(examination: Examination, rows: Sequence[int]) -> list[NDArray[np.bool_]]:
    """For each of some candidates (n,) which candidates have its text.

    Only these few texts are searched for; a string for every candidate would cost more than all the rest.
    """
    lengths = examination.ends - examination.starts
    offsets = np.cumsum([0, *map(len, examination.folded)])
    text, starts = "".join(examination.folded), examination.starts + offsets[examination.hit]
    same = []
    for row in rows:
        sought = text[starts[row] : starts[row] + lengths[row]]
        begins = np.zeros(len(text), dtype=bool)
        begins[list(positions(text, sought))] = True
        same.append(begins[starts] & (lengths == lengths[row]))
    return same


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
