"""Reading examples, encoded once and drawn in batches.

``Examples`` holds encoded pairs in a few flat arrays that compress well, so a folder prepared on one machine can be
trained on another that has neither the texts nor jieba. ``draw_batches`` crops them anew at every step, in an order
that depends on the seed alone. It knows nothing of networks and losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from szqa.neural import Pair, Vocabulary, Window, assemble, encode_pair, stack, word_classes
from szqa.text import Segmenter
from szqa.training.questions import Example

__all__ = ["Batch", "Examples", "Source", "draw_batches", "encode_examples"]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Encoded questions and passages with their answers.

    Attributes:
        question_ids: character ids of all questions, one after the other.
        question_types: their type ids.
        question_stops: (n,) where each question stops in those.
        context_ids: character ids of all passages likewise.
        context_types: their type ids.
        context_stops: (n,) where each passage stops in those.
        starts: (n,) first character of the answer in its passage, -1 where there is none.
        ends: (n,) character after it, -1 likewise.
    """

    question_ids: NDArray[np.int16]
    question_types: NDArray[np.int16]
    question_stops: NDArray[np.int64]
    context_ids: NDArray[np.int16]
    context_types: NDArray[np.int16]
    context_stops: NDArray[np.int64]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts)

    def pair(self, index: int) -> Pair:
        """The encoded question and passage of one example."""
        q = slice(int(self.question_stops[index - 1]) if index else 0, int(self.question_stops[index]))
        c = slice(int(self.context_stops[index - 1]) if index else 0, int(self.context_stops[index]))
        columns = (self.question_ids[q], self.question_types[q], self.context_ids[c], self.context_types[c])
        return Pair(*(column.astype(np.int64) for column in columns))

    def save(self, path: Path) -> None:
        """Write one compressed ``.npz`` without pickle."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """Several sets as one, in their order."""
        columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        for stops, chars in (("question_stops", "question_ids"), ("context_stops", "context_ids")):
            before = np.cumsum([0, *(len(ids) for ids in columns[chars][:-1])])
            columns[stops] = [stop + offset for stop, offset in zip(columns[stops], before, strict=True)]
        return cls(**{name: np.concatenate(arrays) for name, arrays in columns.items()})

    @classmethod
    def load(cls, path: Path) -> Examples:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def encode_examples(examples: Iterable[Example], *, segmenter: Segmenter, vocabulary: Vocabulary) -> Examples:
    """Encode examples; neighbours that share their passage are fastest, since it is cut into words once."""
    pairs: list[Pair] = []
    starts, ends = [], []
    context, words = "", np.empty(0, np.int64)
    for example in examples:
        if example.context != context:
            context, words = example.context, word_classes(segmenter.cut(example.context), segmenter.plain_tag)
        pairs.append(encode_pair(example.question, context, words=words, vocabulary=vocabulary))
        starts.append(example.start)
        ends.append(example.end)
    return Examples(
        *_packed([pair.question_ids for pair in pairs], [pair.question_types for pair in pairs]),
        *_packed([pair.context_ids for pair in pairs], [pair.context_types for pair in pairs]),
        np.array(starts, np.int32),
        np.array(ends, np.int32),
    )


def _packed(
    ids: Sequence[NDArray[np.int64]], types: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int64]]:
    empty = np.empty(0, np.int64)
    stops = np.cumsum([len(column) for column in ids], dtype=np.int64)
    return np.concatenate([empty, *ids]).astype(np.int16), np.concatenate([empty, *types]).astype(np.int16), stops


class Source(NamedTuple):
    """Examples and how they are drawn.

    Attributes:
        examples: what is drawn from.
        weight: share of a batch, relative to the other sources.
        elsewhere: share of the answered examples that are cropped beside their answer, as "not here".
    """

    examples: Examples
    weight: float
    elsewhere: float = 0.0


class Batch(NamedTuple):
    """Padded inputs and targets.

    Attributes:
        input_ids: (b, n) character ids.
        type_ids: (b, n).
        mask: (b, n), true on characters that are not padding.
        allowed: (b, n), true where an answer may start or end: ``[CLS]`` ("not here") and the passage.
        starts: (b,) place of the answer's first character, 0 for "not here".
        ends: (b,) place of its last character, 0 likewise.
    """

    input_ids: NDArray[np.int64]
    type_ids: NDArray[np.int64]
    mask: NDArray[np.bool_]
    allowed: NDArray[np.bool_]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def draw_batches(
    sources: Sequence[Source],
    vocabulary: Vocabulary,
    *,
    seed: int,
    steps: int,
    first_step: int = 0,
    batch_chars: int,
    sizes: Sequence[int],
    unknown_rate: float = 0.0,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Draw batches of crops; every source is gone through in a new random order again and again.

    Args:
        sources: what is drawn from; empty ones are passed over.
        vocabulary: the model's characters.
        seed: decides everything; the batch of a step does not depend on ``first_step``.
        steps: number of the last step plus one.
        first_step: where to go on after an interruption.
        batch_chars: characters of a batch, about; it has as many crops as fit.
        sizes: longest crop of a passage, one of them drawn for each batch.
        unknown_rate: share of characters hidden as unknown, so that the network leans on their types.
        part: (k, n) to draw only every n-th batch, from the k-th on.
    """
    orders = [_shuffled(len(source.examples), (seed, number)) for number, source in enumerate(sources)]
    weights = np.array([source.weight * (len(source.examples) > 0) for source in sources])
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        size = int(rng.choice(np.asarray(sizes)))
        count = max(1, batch_chars // (size + 18))
        drawn = [(int(n), next(orders[n])) for n in rng.choice(len(sources), count, p=weights / weights.sum())]
        if step < first_step or (step - first_step) % part[1] != part[0]:
            continue
        crops = [_crop(sources[n], i, size, vocabulary, rng) for n, i in drawn]
        yield _hidden(_batch(crops, vocabulary), vocabulary, unknown_rate, rng)


def _shuffled(length: int, seed: tuple[int, int]) -> Iterator[int]:
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.permutation(length).tolist()


class _Crop(NamedTuple):
    window: Window
    start: int
    end: int


def _crop(source: Source, index: int, size: int, vocabulary: Vocabulary, rng: np.random.Generator) -> _Crop:
    pair = source.examples.pair(index)
    answer, stop = int(source.examples.starts[index]), int(source.examples.ends[index])
    length = len(pair.context_ids)
    first = int(rng.integers(0, max(0, length - size) + 1))
    if answer >= 0:
        if rng.random() < source.elsewhere and max(answer, length - stop) >= size // 2:
            answer, first, size = -1, *_beside(answer, stop, length, size, rng)
        else:
            stop = min(stop, answer + size)
            first = int(rng.integers(max(0, stop - size), min(answer, max(0, length - size)) + 1))
    window = assemble(pair, vocabulary, start=first, end=min(first + size, length))
    if answer < 0:
        return _Crop(window, 0, 0)
    return _Crop(window, window.context + answer - first, window.context + stop - 1 - first)


def _beside(answer: int, stop: int, length: int, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """First character and size of a crop that does not touch the answer."""
    low, high = (0, answer) if rng.random() * (answer + length - stop) < answer else (stop, length)
    size = min(size, high - low)
    return int(rng.integers(low, high - size + 1)), size


def _batch(crops: Sequence[_Crop], vocabulary: Vocabulary) -> Batch:
    ids, types, mask = stack([crop.window for crop in crops], vocabulary)
    allowed = np.zeros_like(mask)
    for row, crop in enumerate(crops):
        allowed[row, 0] = allowed[row, crop.window.context : len(crop.window.ids) - 1] = True
    starts, ends = np.array([crop.start for crop in crops]), np.array([crop.end for crop in crops])
    return Batch(ids, types, mask, allowed, starts, ends)


def _hidden(batch: Batch, vocabulary: Vocabulary, rate: float, rng: np.random.Generator) -> Batch:
    hide = (rng.random(batch.input_ids.shape) < rate) & (batch.input_ids > vocabulary.sep_id)
    return batch._replace(input_ids=np.where(hide, vocabulary.unknown_id, batch.input_ids))
