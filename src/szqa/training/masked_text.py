"""Plain text for masked-language training: encoded once, drawn in crops with short runs of characters hidden.

As ``reader_data``, it lets a folder that was prepared on one machine be trained on another that has no texts. It knows
nothing of networks and losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from szqa.neural import Vocabulary
from szqa.text import fold

__all__ = ["NO_TARGET", "MaskedBatch", "Text", "draw_masked_batches", "encode_text"]

NO_TARGET: Final = -100
"""Target of a character that is not asked for; what torch's cross-entropy leaves out."""

# SpanBERT (Joshi et al. 2020, arXiv:1907.10529) hides runs of geometric length with p = 0.2; a Chinese word has two
# characters where an English one has five, so runs are half as long. A share of 0.2 does better than BERT's 0.15 in
# small models (Wettig et al. 2023, arXiv:2202.08005, who go up to 0.4).
_HIDDEN_SHARE: Final = 0.2
_STOP_CHANCE: Final = 0.4
_LONGEST_RUN: Final = 6
# Of the hidden characters: shown as [MASK], as another character, as they are (Devlin et al. 2019, section 3.1).
_MASKED, _EXCHANGED = 0.8, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Encoded texts of several sources.

    Attributes:
        ids: character ids of all sources, one after the other; ``[SEP]`` ends each document.
        stops: (s,) where each source stops in those.
        weights: (s,) share of the crops that come from each.
    """

    ids: NDArray[np.int16]
    stops: NDArray[np.int64]
    weights: NDArray[np.float64]

    def save(self, path: Path) -> None:
        """Write one compressed ``.npz`` without pickle."""
        np.savez_compressed(path, ids=self.ids, stops=self.stops, weights=self.weights)

    @classmethod
    def load(cls, path: Path) -> Text:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["ids"], arrays["stops"], arrays["weights"])


def encode_text(texts: Mapping[str, Sequence[str]], weights: Mapping[str, float], vocabulary: Vocabulary) -> Text:
    """Encode the paragraphs of some sources.

    Args:
        texts: source → paragraphs in reading order; an empty one ends a document.
        weights: source → share of the crops.
        vocabulary: the model's characters.
    """
    parts = []
    for paragraphs in texts.values():
        ids = [vocabulary.encode(fold(paragraph)).astype(np.int16) if paragraph else None for paragraph in paragraphs]
        end, line = np.array([vocabulary.sep_id], np.int16), np.array([vocabulary.unknown_id], np.int16)
        parts.append(np.concatenate([end, *(end if part is None else np.append(part, line) for part in ids)]))
    return Text(
        np.concatenate(parts),
        np.cumsum([len(part) for part in parts]),
        np.array([weights[name] for name in texts], np.float64),
    )


class MaskedBatch(NamedTuple):
    """Crops with hidden characters.

    Attributes:
        input_ids: (b, n) character ids, ``[CLS]`` first.
        targets: (b, n) id of each hidden character, ``NO_TARGET`` elsewhere.
    """

    input_ids: NDArray[np.int64]
    targets: NDArray[np.int64]


def draw_masked_batches(
    text: Text,
    vocabulary: Vocabulary,
    *,
    seed: int,
    steps: int,
    first_step: int = 0,
    batch_chars: int,
    sizes: Sequence[int],
    part: tuple[int, int] = (0, 1),
) -> Iterator[MaskedBatch]:
    """Draw batches of crops of equal length; what a step draws depends on its number and the seed alone.

    Args:
        text: what is drawn from.
        vocabulary: the model's characters.
        seed: decides everything.
        steps: number of the last step plus one.
        first_step: where to go on after an interruption.
        batch_chars: characters of a batch.
        sizes: length of the crops, one of them drawn for each batch.
        part: (k, n) to draw only every n-th batch, from the k-th on.
    """
    starts = np.concatenate([[0], text.stops[:-1]])
    chances = text.weights / text.weights.sum()
    for step in range(first_step + part[0], steps, part[1]):
        rng = np.random.default_rng((seed, step))
        size = int(rng.choice(np.asarray(sizes)))
        sources = rng.choice(len(starts), max(1, batch_chars // size), p=chances)
        room = np.maximum(1, text.stops[sources] - starts[sources] - size)
        first = starts[sources] + (rng.random(len(sources)) * room).astype(np.int64)
        places = np.minimum(first[:, None] + np.arange(size - 1), len(text.ids) - 1)
        ids = np.concatenate([np.full((len(sources), 1), vocabulary.cls_id), text.ids[places]], axis=1).astype(np.int64)
        yield _masked(ids, vocabulary, rng)


def _masked(ids: NDArray[np.int64], vocabulary: Vocabulary, rng: np.random.Generator) -> MaskedBatch:
    first_character = vocabulary.mask_id + 1
    lengths = np.minimum(rng.geometric(_STOP_CHANCE, ids.shape), _LONGEST_RUN)
    begins = rng.random(ids.shape) < _HIDDEN_SHARE * _STOP_CHANCE
    hidden = np.zeros(ids.shape, np.bool_)
    for reach in range(_LONGEST_RUN):
        hidden[:, reach:] |= (begins & (lengths > reach))[:, : ids.shape[1] - reach]
    hidden &= ids >= first_character
    fate = rng.random(ids.shape)
    others = rng.integers(first_character, len(vocabulary), ids.shape)
    shown = np.where(fate < _MASKED, vocabulary.mask_id, np.where(fate < _MASKED + _EXCHANGED, others, ids))
    return MaskedBatch(np.where(hidden, shown, ids), np.where(hidden, ids, NO_TARGET))
