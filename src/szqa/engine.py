"""A search engine: a vector store that knows the passages' words too, and ranks them by both on its own.

Which of the stores are one, and what the terms are that it is given. It knows nothing of any engine's own language.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Mode, Passage
from szqa.store import AS_RECORDED, StoreOptions, VectorStore, store_class
from szqa.text import character_bigrams, fold

__all__ = ["ENGINES", "EngineHit", "SearchEngine", "engine_class", "engine_terms"]

# The stores that are search engines.
ENGINES: Final = ("milvus",)

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
# Code points below this take three digits of base 36; all of the common Han characters do.
_SHORT: Final = 36**3


@dataclass(frozen=True, slots=True)
class EngineHit:
    """A passage that an engine found.

    Attributes:
        row: its number, in the order in which passages were added.
        passage_id: its id, as the engine holds it.
        score: higher is better; comparable within one question only.
        dense_score: cosine of question and passage embedding, [-1, 1].
        lexical_score: BM25 score, >= 0.
    """

    row: int
    passage_id: str
    score: float
    dense_score: float
    lexical_score: float


class SearchEngine(VectorStore, Protocol):
    """A vector store that knows the passages' words too; row *i* is the *i*-th passage that was added."""

    def __init__(
        self, dimension: int, options: StoreOptions = AS_RECORDED, *, name: str = "", words: Sequence[str] = ()
    ) -> None:
        """Prepare a collection.

        Args:
            dimension: length of a vector.
            options: where the engine is.
            name: what tells the collection from those of other builds.
            words: words that its analyzer shall not cut.
        """

    def add_passages(self, passages: Sequence[Passage], vectors: NDArray[np.float32]) -> None:
        """Append passages and their ``(n, dimension)`` unit vectors."""

    def find(self, question: str, query: NDArray[np.float32], *, top_k: int, mode: Mode) -> list[EngineHit]:
        """The passages that a question is about, best first.

        Args:
            question: its text.
            query: its ``(dimension,)`` vector; all zero where it has no known word.
            top_k: how many at most.
            mode: by words, by meaning, or by both.

        Raises:
            StoreUnavailableError: the engine is down or slow.
            IndexFormatError: it holds something else.
        """

    def check(self) -> None:
        """Ask the engine whether it holds what this store should; errors as for ``find``."""

    def drop(self) -> None:
        """Delete the collection; nothing happens where there is none."""

    @classmethod
    def load(cls, folder: Path, options: StoreOptions = AS_RECORDED) -> Self:
        """Read what ``save`` wrote about a collection, without asking the engine yet.

        Args:
            folder: where it was written.
            options: how the engine is reached from here.
        """


def engine_class(name: str) -> type[SearchEngine] | None:
    """The engine of a name, ``None`` for a store that is none; raises ``ConfigurationError`` for no store at all."""
    found = store_class(name)
    return cast("type[SearchEngine]", found) if name in ENGINES else None


def engine_terms(text: str) -> str:
    """What an engine with a Chinese analyzer is given of a text: its folded words, then a code for each bigram.

    Analyzers cut words by a dictionary only; bigrams find what it does not know. A code is letters and digits, which
    analyzers leave whole, of a length that depends on nothing but the characters.
    """
    words = "".join(character if character.isalnum() else " " for character in fold(text))
    return " ".join((*words.split(), *map(_code, character_bigrams(text))))


def _code(bigram: str) -> str:
    points = [ord(character) for character in bigram]
    width = 3 if max(points) < _SHORT else 4
    return "".join(_base36(point, width) for point in points)


def _base36(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
