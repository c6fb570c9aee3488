"""From encoded pairs through a network to spans whose scores can be compared across windows and passages.

A network is a function here (``Scorer``), so that torch, ONNX Runtime and a test's stand-in are the same thing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from szqa.neural.encoding import Pair
from szqa.neural.vocabulary import Vocabulary

__all__ = [
    "CharScores",
    "RawSpan",
    "Scorer",
    "Window",
    "assemble",
    "best_spans",
    "onnx_scorer",
    "score_pairs",
    "score_places",
    "stack",
    "windows",
]

Scorer = Callable[
    [NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]], tuple[NDArray[np.float32], NDArray[np.float32]]
]
"""Character ids, type ids and mask, (b, n) each → start and end logits, (b, n) each."""


def windows(length: int, *, size: int, stride: int) -> list[tuple[int, int]]:
    """Overlapping intervals of at most ``size`` that cover ``[0, length)``; the last one ends at ``length``."""
    if not 0 < stride <= size:
        raise ValueError(f"stride {stride} must lie between 1 and the window's size {size}")
    intervals, start = [], 0
    while start + size < length:
        intervals.append((start, start + size))
        start += stride
    return [*intervals, (max(0, length - size), length)]


class Window(NamedTuple):
    """Input of a network: ``[CLS] question [SEP] part of the passage [SEP]``.

    Attributes:
        ids: (n,) character ids.
        types: (n,) type ids.
        context: place of the first character of the passage in them.
    """

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    context: int


def assemble(pair: Pair, vocabulary: Vocabulary, *, start: int, end: int) -> Window:
    """Input for the characters ``[start, end)`` of a passage."""
    q = len(pair.question_ids)
    ids = np.empty(q + end - start + 3, np.int64)
    types = np.zeros_like(ids)
    ids[0], ids[q + 1], ids[-1] = vocabulary.cls_id, vocabulary.sep_id, vocabulary.sep_id
    ids[1 : q + 1], types[1 : q + 1] = pair.question_ids, pair.question_types
    ids[q + 2 : -1], types[q + 2 : -1] = pair.context_ids[start:end], pair.context_types[start:end]
    return Window(ids, types, q + 2)


def stack(
    inputs: Sequence[Window], vocabulary: Vocabulary
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Pad windows to one length: character ids, type ids and the mask of what is not padding, (b, n) each."""
    shape = len(inputs), max(len(window.ids) for window in inputs)
    ids, types = np.full(shape, vocabulary.pad_id, np.int64), np.zeros(shape, np.int64)
    mask = np.zeros(shape, np.bool_)
    for row, window in enumerate(inputs):
        n = len(window.ids)
        ids[row, :n], types[row, :n], mask[row, :n] = window.ids, window.types, True
    return ids, types, mask


@dataclass(frozen=True, slots=True)
class CharScores:
    """What a network says of every character of a passage.

    Attributes:
        starts: (c,) start logit less that of "not here".
        ends: (c,) end logit of a span's last character, less that of "not here".
    """

    starts: NDArray[np.float32]
    ends: NDArray[np.float32]


def score_pairs(
    scorer: Scorer, pairs: Sequence[Pair], vocabulary: Vocabulary, *, size: int = 384, stride: int = 192
) -> list[CharScores]:
    """Score all characters of passages, all windows of all passages in one run of the network.

    Args:
        scorer: the network.
        pairs: one question with each passage.
        vocabulary: the network's characters.
        size: longest window, in characters of the passage.
        stride: distance of neighbouring windows.
    """
    places = [
        (number, *place)
        for number, pair in enumerate(pairs)
        for place in windows(len(pair.context_ids), size=size, stride=stride)
    ]
    return score_places(scorer, pairs, places, vocabulary)


def score_places(
    scorer: Scorer, pairs: Sequence[Pair], places: Sequence[tuple[int, int, int]], vocabulary: Vocabulary
) -> list[CharScores]:
    """Score the characters of some windows of passages in one run of the network.

    Every window measures against its own "not here" (``[CLS]``), so the scores of one question can be compared across
    windows and passages. A character in two windows is scored by the one whose edges are farther away, a character in
    none scores 0.

    Args:
        scorer: the network.
        pairs: one question with each passage.
        places: (number of the pair, start, end) of each window, in characters of the passage.
        vocabulary: the network's characters.
    """
    lengths = [len(pair.context_ids) for pair in pairs]
    starts, ends = [np.zeros(n, np.float32) for n in lengths], [np.zeros(n, np.float32) for n in lengths]
    if places:
        inputs = [assemble(pairs[n], vocabulary, start=start, end=end) for n, start, end in places]
        start_logits, end_logits = scorer(*stack(inputs, vocabulary))
        margins = [np.full(n, -1) for n in lengths]
        for row, ((n, start, end), window) in enumerate(zip(places, inputs, strict=True)):
            margin = _margins(start, end, lengths[n])
            better = margin > margins[n][start:end]
            inside = slice(window.context, window.context + end - start)
            for scores, logits in ((starts, start_logits), (ends, end_logits)):
                scores[n][start:end][better] = (logits[row, inside] - logits[row, 0])[better]
            margins[n][start:end][better] = margin[better]
    return [CharScores(start, end) for start, end in zip(starts, ends, strict=True)]


def _margins(start: int, end: int, length: int) -> NDArray[np.int64]:
    """Distance of each character to the nearer edge of its window; the passage's own edges are no edges."""
    left = np.arange(end - start) + (length if start == 0 else 0)
    right = np.arange(end - start)[::-1] + (length if end == length else 0)
    return np.minimum(left, right)


class RawSpan(NamedTuple):
    """A span proposed by the network.

    Attributes:
        start: first character.
        end: character after the last one.
        score: start score plus end score; higher is better, above 0 the network prefers it to "not here".
    """

    start: int
    end: int
    score: float


def best_spans(scores: CharScores, *, top_k: int = 1, max_chars: int = 120) -> list[RawSpan]:
    """The best spans of a passage, best first, ties in order of their place.

    Args:
        scores: of its characters.
        top_k: how many spans at most; they may overlap.
        max_chars: longest span considered.
    """
    n = len(scores.starts)
    sums = scores.starts[:, None] + scores.ends[None, :]
    lengths = np.arange(n)[None, :] - np.arange(n)[:, None] + 1
    places = np.flatnonzero((lengths > 0) & (lengths <= max_chars))
    values = sums.ravel()[places]
    if len(places) > top_k:
        kept = np.argpartition(-values, top_k - 1)[:top_k]
        kept = np.flatnonzero(values >= values[kept].min())
        places, values = places[kept], values[kept]
    order = np.lexsort((places, -values))[:top_k]
    return [RawSpan(int(places[i] // n), int(places[i] % n) + 1, float(values[i])) for i in order]


def onnx_scorer(path: Path, *, threads: int = 2) -> Scorer:
    """Score with an ONNX file whose inputs and outputs are named as in ``transformers``.

    Row by row: int8 rounds activations by the largest value of all that is computed together, so a score would depend
    on what else is read; and no time is spent on padding. Rows are shared out among threads, a whole one to each:
    the network is so small that threads within a row save less than a tenth of the time.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    pool = ThreadPoolExecutor(threads, thread_name_prefix="szqa-network")

    def score(
        ids: NDArray[np.int64], types: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        starts, ends = np.zeros(ids.shape, np.float32), np.zeros(ids.shape, np.float32)
        lengths = mask.sum(axis=1).tolist()

        def score_row(row: int) -> None:
            some = slice(row, row + 1), slice(0, lengths[row])
            inputs = {
                "input_ids": ids[some],
                "attention_mask": mask[some].astype(np.int64),
                "token_type_ids": types[some],
            }
            starts[some], ends[some] = session.run(["start_logits", "end_logits"], inputs)

        # The longest first, so that no thread begins it while the others are done.
        deque(pool.map(score_row, np.argsort(lengths)[::-1].tolist()), maxlen=0)
        return starts, ends

    return score
