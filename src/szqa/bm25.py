"""BM25 over one field of many passages, built in bounded memory and searched from mapped files.

A term is known by its key, a 64-bit number; row *i* is the *i*-th passage added. The files hold how often each term
stands in each row, not scores, so they do not depend on the order of building, and rows can be read back to build
another index from them. It knows nothing of words or passages.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from szqa.errors import IndexFormatError

__all__ = ["Field", "FieldBuilder", "Rows", "summed"]

Keys = NDArray[np.uint64]
_Scalar = TypeVar("_Scalar", bound=np.generic)
_Group = TypeVar("_Group", np.uint64, np.int64)

# BM25 parameters (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework"), best on CMRC 2018 trial and
# DRCD dev; lower than the customary 1.2 and 0.75 because words and bigrams count most things twice.
_K1: Final = 0.6
_B: Final = 0.4

# Postings handled at a time while a field is built: bounds memory.
_CHUNK: Final = 1 << 21
_FILES: Final = {"keys": np.uint64, "starts": np.int64, "rows": np.uint32, "counts": np.uint16, "lengths": np.uint32}


@dataclass(frozen=True, slots=True)
class Rows:
    """The terms of some rows.

    Attributes:
        lengths: (n,) number of terms of each row, each as often as it stands there.
        sizes: (n,) number of distinct terms of each row.
        keys: (sizes.sum(),) the distinct terms of one row after another, ascending within a row.
        counts: (sizes.sum(),) how often each stands there.
    """

    lengths: NDArray[np.uint32]
    sizes: NDArray[np.uint32]
    keys: Keys
    counts: NDArray[np.uint16]

    @classmethod
    def of(cls, row: NDArray[np.int64], keys: Keys, *, size: int) -> Self:
        """Count terms.

        Args:
            row: (m,) the row of each term.
            keys: (m,) the terms in any order.
            size: number of rows.
        """
        # NumPy counts small numbers into order, and sorts a short row in a few instructions: far less than one sort
        # of everything by both.
        small = row.astype(np.uint16) if size <= np.iinfo(np.uint16).max else row
        order = np.argsort(small, kind="stable")
        row, keys = row[order], keys[order]
        ends = np.cumsum(np.bincount(row, minlength=size)).tolist()
        for start, end in zip([0, *ends], ends, strict=False):
            keys[start:end].sort()
        first = np.ones(len(keys), dtype=bool)
        first[1:] = (row[1:] != row[:-1]) | (keys[1:] != keys[:-1])
        places = np.flatnonzero(first)
        counts = np.diff(np.append(places, len(keys)))
        return cls(
            np.bincount(row, minlength=size).astype(np.uint32),
            np.bincount(row[places], minlength=size).astype(np.uint32),
            keys[places],
            np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16),
        )

    def chosen(self, rows: NDArray[np.int64]) -> Rows:
        """Some of the rows, in the order given."""
        ends = np.cumsum(self.sizes, dtype=np.int64)
        sizes = self.sizes[rows]
        offsets = np.cumsum(sizes, dtype=np.int64) - sizes
        at = np.arange(int(sizes.sum()), dtype=np.int64) + np.repeat(ends[rows] - sizes - offsets, sizes)
        return Rows(self.lengths[rows], sizes, self.keys[at], self.counts[at])


@dataclass(frozen=True, slots=True)
class Field:
    """BM25 of every row.

    Attributes:
        keys: (terms,) ascending.
        starts: (terms + 1,) where the postings of each term begin.
        rows: (postings,) the rows that hold a term, ascending.
        counts: (postings,) how often each holds it.
        lengths: (size,) number of terms of each row.
        norms: (size,) what a term's count is weighed against: ``k1 * (1 - b + b * length / mean length)``.
    """

    keys: Keys
    starts: NDArray[np.int64]
    rows: NDArray[np.uint32]
    counts: NDArray[np.uint16]
    lengths: NDArray[np.uint32]
    norms: NDArray[np.float32]

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    def scores(self, terms: Mapping[int, int]) -> NDArray[np.float32]:
        """BM25 (Lucene's variant) of every row for terms, each with the number of times it was asked for.

        Returns:
            ``(size,)`` float32, >= 0, higher is better.
        """
        total = np.zeros(self.size, dtype=np.float32)
        asked = np.array(sorted(terms), dtype=np.uint64)
        places = np.searchsorted(self.keys, asked)
        for key, place in zip(asked, places, strict=True):
            if place == len(self.keys) or self.keys[place] != key:
                continue
            postings = slice(self.starts[place], self.starts[place + 1])
            rows, counts = self.rows[postings], self.counts[postings].astype(np.float32)
            inverse = np.log1p((self.size - len(rows) + 0.5) / (len(rows) + 0.5))
            total[rows] += np.float32(inverse * terms[int(key)]) * (counts / (counts + self.norms[rows]))
        return total

    def read_rows(self, folder: Path) -> Rows:
        """The terms of every row, read back; the larger arrays are put into files of a folder."""
        sizes = np.zeros(self.size, dtype=np.uint32)
        for part in _chunks(len(self.rows)):
            sizes += np.bincount(self.rows[part], minlength=self.size).astype(np.uint32)
        cursor = np.cumsum(sizes, dtype=np.int64) - sizes
        keys = _scratch(folder, np.uint64, len(self.rows))
        counts = _scratch(folder, np.uint16, len(self.rows))
        for part in _chunks(len(self.rows)):
            order, places = _places(self.rows[part].astype(np.int64), cursor)
            terms = np.searchsorted(self.starts, np.arange(part.start, part.stop), side="right") - 1
            keys[places] = self.keys[terms][order]
            counts[places] = self.counts[part][order]
        return Rows(np.asarray(self.lengths), sizes, keys, counts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map the files that ``FieldBuilder.finish`` wrote.

        Raises:
            IndexFormatError: one is missing or no array of its kind.
        """
        arrays = {}
        for name, dtype in _FILES.items():
            path = folder / f"{name}.npy"
            try:
                # A plain view: slices of a memmap object cost several times as much.
                arrays[name] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            except (OSError, ValueError) as error:
                raise IndexFormatError(f"{path}: 无法读取，请运行 szqa build (cannot be read: {error})") from error
            if arrays[name].dtype != dtype:
                raise IndexFormatError(f"{path}: {arrays[name].dtype}，应为 {np.dtype(dtype)}，请运行 szqa build")
        lengths = arrays["lengths"]
        mean = lengths.mean(dtype=np.float64) if len(lengths) else 1.0
        norms = (_K1 * (1 - _B + _B * lengths / mean)).astype(np.float32)
        return cls(arrays["keys"], arrays["starts"], arrays["rows"], arrays["counts"], lengths, norms)


class FieldBuilder:
    """Collects rows in temporary files and writes a field from them.

    Args:
        folder: where the field goes; made if missing.
        scratch: folder for temporary files.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._scratch = scratch
        self._keys: BinaryIO = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - see close()
        self._counts: BinaryIO = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - see close()
        self._sizes: list[NDArray[np.uint32]] = []
        self._lengths: list[NDArray[np.uint32]] = []

    def add(self, rows: Rows) -> None:
        """Add rows after those that are there."""
        self._keys.write(np.ascontiguousarray(rows.keys, dtype=np.uint64).data)
        self._counts.write(np.ascontiguousarray(rows.counts, dtype=np.uint16).data)
        self._sizes.append(rows.sizes)
        # A row without any term has length 1: lengths divide nothing, but their mean does.
        self._lengths.append(np.maximum(rows.lengths, 1).astype(np.uint32))

    def rows(self) -> Rows:
        """Every row added so far."""
        keys = _mapped(self._keys, np.uint64)
        counts = _mapped(self._counts, np.uint16)
        empty = [np.zeros(0, dtype=np.uint32)]
        return Rows(np.concatenate(self._lengths or empty), np.concatenate(self._sizes or empty), keys, counts)

    def finish(self) -> None:
        """Write the field."""
        added = self.rows()
        keys, sizes = _counted(added.keys)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        rows = self._file("rows", len(added.keys))
        counts = self._file("counts", len(added.keys))
        row_ends = np.cumsum(added.sizes, dtype=np.int64)
        cursor = starts[:-1].copy()
        for part in _chunks(len(added.keys)):
            order, places = _places(added.keys[part], cursor, names=keys)
            row = np.searchsorted(row_ends, np.arange(part.start, part.stop), side="right").astype(np.uint32)
            rows[places] = row[order]
            counts[places] = added.counts[part][order]
        for name, array in (("keys", keys), ("starts", starts), ("lengths", added.lengths)):
            np.save(self._folder / f"{name}.npy", array)
        for array in (rows, counts):
            if isinstance(array, np.memmap):
                array.flush()
        self.close()

    def close(self) -> None:
        """Remove the temporary files."""
        self._keys.close()
        self._counts.close()

    def _file(self, name: str, size: int) -> NDArray[np.uint32] | NDArray[np.uint16]:
        path = self._folder / f"{name}.npy"
        if not size:  # an empty file cannot be mapped
            np.save(path, np.zeros(0, dtype=_FILES[name]))
            return np.zeros(0, dtype=_FILES[name])
        return np.lib.format.open_memmap(path, mode="w+", dtype=_FILES[name], shape=(size,))


def _chunks(size: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK))


def _places(
    groups: NDArray[_Group], cursor: NDArray[np.int64], *, names: NDArray[_Group] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where to put elements that go to their groups' next free places, and the order to put them in.

    Args:
        groups: (n,) the group of each element.
        cursor: (groups,) the next free place of each group; moved on.
        names: (groups,) what the groups are called in ``groups``, ascending; their numbers by default.
    """
    order = np.argsort(groups, kind="stable")
    found, sizes = _runs(groups[order])
    # Sorted already, and each but once: looking them up one after the other touches the same memory again and again.
    number = found.astype(np.int64) if names is None else np.searchsorted(names, found)
    places = np.arange(len(groups)) + np.repeat(cursor[number] - (np.cumsum(sizes) - sizes), sizes)
    cursor[number] += sizes
    return order, places


def _counted(keys: Keys) -> tuple[Keys, NDArray[np.int64]]:
    """Distinct keys, ascending, and how often each is there.

    Parts of about the same size are merged, so that each key is merged a few times only.
    """
    parts: list[tuple[Keys, NDArray[np.int64]]] = []
    for part in _chunks(len(keys)):
        parts.append(_runs(np.sort(keys[part])))
        while len(parts) > 1 and len(parts[-2][0]) <= 2 * len(parts[-1][0]):
            parts.append(_merged(parts.pop(), parts.pop()))
    while len(parts) > 1:
        parts.append(_merged(parts.pop(), parts.pop()))
    return parts[0] if parts else (np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))


def _merged(*parts: tuple[Keys, NDArray[np.int64]]) -> tuple[Keys, NDArray[np.int64]]:
    return summed(np.concatenate([keys for keys, _ in parts]), np.concatenate([counts for _, counts in parts]))


def summed(keys: Keys, counts: NDArray[np.int64]) -> tuple[Keys, NDArray[np.int64]]:
    """Distinct keys, ascending, each with the sum of its counts."""
    order = np.argsort(keys, kind="stable")
    distinct, sizes = _runs(keys[order])
    if not len(distinct):
        return distinct, counts
    return distinct, np.add.reduceat(counts[order], np.cumsum(sizes) - sizes)


def _runs(ordered: NDArray[_Group]) -> tuple[NDArray[_Group], NDArray[np.int64]]:
    """The distinct elements of a sorted array and how often each is there."""
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    places = np.flatnonzero(first)
    return ordered[places], np.diff(np.append(places, len(ordered)))


def _mapped(stream: BinaryIO, dtype: type[_Scalar]) -> NDArray[_Scalar]:
    stream.flush()
    if not stream.tell():
        return np.zeros(0, dtype=dtype)
    # A plain view: slices of a memmap object cost several times as much.
    return np.asarray(np.memmap(stream, dtype=dtype, mode="r"))


def _scratch(folder: Path, dtype: type[_Scalar], size: int) -> NDArray[_Scalar]:
    """A zeroed array in a temporary file that has no name any more."""
    if not size:
        return np.zeros(0, dtype=dtype)
    with tempfile.TemporaryFile(dir=folder) as stream:
        stream.truncate(size * np.dtype(dtype).itemsize)
        return np.memmap(stream, dtype=dtype, mode="r+", shape=(size,))
