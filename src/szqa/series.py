"""Series of documents: titles that share most of their words over texts that share most of theirs.

Reports of the same kind from twenty provinces hardly ever say in a passage whose they are; what tells the title of
one from its sisters' is then worth more than any word of the text. It knows nothing of BM25 or of fusion.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from szqa.bm25 import Rows, summed
from szqa.errors import IndexFormatError

__all__ = ["TitleSeries"]

# Two titles are of one series where one shares this part of its terms with the other and the texts under them have this
# cosine. Texts of sister reports reach 0.59, those of encyclopaedia entries (DRCD dev) stay below 0.40.
_SERIES_SHARE: Final = 0.5
_SERIES_COSINE: Final = 0.5
# Titles looked at for each term of a title when its nearest sister is sought: bounds the work in a long series.
_SISTERS: Final = 20
_FILES: Final = {"rows": np.uint32, "keys": np.uint64, "titles": np.uint32, "shares": np.float32}


@dataclass(frozen=True, slots=True)
class TitleSeries:
    """What tells the titles of a series apart.

    Attributes:
        rows: (passages,) number of the title of each passage.
        keys: (n,) terms of titles that are of a series, ascending.
        titles: (n,) the title each stands in.
        shares: (n,) its share of that title's inverse document frequency over the distinct titles; the shares of a
            title add up to 1.
    """

    rows: NDArray[np.uint32]
    keys: NDArray[np.uint64]
    titles: NDArray[np.uint32]
    shares: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        titles: Sequence[str],
        bodies: Rows,
        *,
        terms_of: Callable[[str], Iterable[int]],
    ) -> Self:
        """Find the series among passages.

        Args:
            titles: title of each passage.
            bodies: index terms of each passage's text.
            terms_of: keys of the index terms of a title.
        """
        rows_of: dict[str, list[int]] = {}
        for row, title in enumerate(titles):
            rows_of.setdefault(title, []).append(row)
        terms = [set(terms_of(title)) for title in rows_of]
        postings: dict[int, list[int]] = {}
        for number, title_terms in enumerate(terms):
            for term in title_terms:
                postings.setdefault(term, []).append(number)
        vectors = _TermVectors([np.array(rows) for rows in rows_of.values()], bodies)
        found = []
        for number, title_terms in enumerate(terms):
            sister = _sister(number, title_terms, postings)
            if sister is not None and vectors.cosine(number, sister) >= _SERIES_COSINE:
                shares = _idf_shares(title_terms, postings, len(terms))
                found += [(term, number, share) for term, share in shares.items()]
        found.sort()
        numbers = {title: number for number, title in enumerate(rows_of)}
        return cls(
            np.array([numbers[title] for title in titles], dtype=np.uint32),
            np.array([key for key, _, _ in found], dtype=np.uint64),
            np.array([number for _, number, _ in found], dtype=np.uint32),
            np.array([share for _, _, share in found], dtype=np.float32),
        )

    def coverage(self, terms: Iterable[int]) -> NDArray[np.float32]:
        """How much of what tells its title apart a question holds, ``(passages,)``, [0, 1]; by keys of terms."""
        asked = np.array(sorted(set(terms)), dtype=np.uint64)
        starts, ends = (np.searchsorted(self.keys, asked, side=side) for side in ("left", "right"))
        if not np.any(starts < ends):
            return np.zeros(len(self.rows), dtype=np.float32)
        by_title = np.zeros(int(self.titles.max()) + 1, dtype=np.float32)
        for start, end in zip(starts, ends, strict=True):
            by_title[self.titles[start:end]] += self.shares[start:end]
        # Titles after the last one of a series have no place in ``by_title``.
        known = self.rows < len(by_title)
        return np.where(known, by_title[np.where(known, self.rows, 0)], np.float32(0))

    def save(self, folder: Path) -> None:
        """Write NumPy arrays into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what ``save`` wrote.

        Raises:
            IndexFormatError: a file is missing or no array of its kind.
        """
        arrays = []
        for name, dtype in _FILES.items():
            path = folder / f"{name}.npy"
            try:
                array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            except (OSError, ValueError) as error:
                raise IndexFormatError(f"{path}: 无法读取，请运行 szqa build (cannot be read: {error})") from error
            if array.dtype != dtype:
                raise IndexFormatError(f"{path}: {array.dtype}，应为 {np.dtype(dtype)}，请运行 szqa build")
            arrays.append(array)
        return cls(*arrays)


class _TermVectors:
    """Unit vectors of 1 + log term frequency over the texts of each title, made when they are first compared."""

    def __init__(self, rows: Sequence[NDArray[np.int64]], bodies: Rows) -> None:
        self._rows = rows
        self._bodies = bodies
        self._ends = np.cumsum(bodies.sizes, dtype=np.int64)
        self._known: dict[int, tuple[NDArray[np.uint64], NDArray[np.float64]]] = {}

    def cosine(self, first: int, second: int) -> float:
        """Cosine of two titles' texts, [0, 1]."""
        keys, weights = self._vector(first)
        other_keys, other_weights = self._vector(second)
        at = np.minimum(np.searchsorted(keys, other_keys), len(keys) - 1)
        shared = keys[at] == other_keys if len(keys) else np.zeros(len(other_keys), dtype=bool)
        return float(weights[at[shared]] @ other_weights[shared])

    def _vector(self, number: int) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        if number not in self._known:
            rows = self._rows[number]
            parts = [slice(end - size, end) for end, size in zip(self._ends[rows], self._sizes(rows), strict=True)]
            keys, counts = summed(
                np.concatenate([self._bodies.keys[p] for p in parts]),
                np.concatenate([self._bodies.counts[p] for p in parts]).astype(np.int64),
            )
            weights = 1 + np.log(counts)
            self._known[number] = keys, weights / (math.sqrt(float(weights @ weights)) or 1.0)
        return self._known[number]

    def _sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._bodies.sizes[rows].astype(np.int64)


def _sister(number: int, terms: set[int], postings: dict[int, list[int]]) -> int | None:
    """The title that shares most of a title's terms, ``None`` where that is less than ``_SERIES_SHARE`` of them."""
    shared = Counter(other for term in sorted(terms) for other in postings[term][:_SISTERS] if other != number)
    if not shared:
        return None
    sister, count = shared.most_common(1)[0]
    return sister if count >= _SERIES_SHARE * len(terms) else None


def _idf_shares(terms: set[int], postings: dict[int, list[int]], titles: int) -> dict[int, float]:
    """Each term's share of the inverse document frequency of a title, over all distinct titles."""
    weights = {term: math.log(titles / len(postings[term])) for term in sorted(terms)}
    total = sum(weights.values()) or 1.0
    return {term: weight / total for term, weight in weights.items() if weight}
