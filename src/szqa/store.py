"""Where passage vectors are kept and searched; one protocol, one class a backend.

It knows nothing of texts or models: a vector is known by its row number, the order in which it was added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from szqa.errors import ConfigurationError, IndexFormatError

if TYPE_CHECKING:
    import faiss

__all__ = ["AS_RECORDED", "STORES", "FaissStore", "StoreOptions", "VectorStore", "store_class"]

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store that runs elsewhere is reached; those in files need none of it.

    Attributes:
        uri: where it is; ``None`` for where an index says.
        timeout_s: seconds after which a question that it does not answer is given up.
        token: what it asks for before it answers; never written anywhere.
    """

    uri: str | None = None
    timeout_s: float = 5.0
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ConfigurationError(f"timeout 为 {self.timeout_s} 秒，应大于 0 (the timeout must be above 0 seconds)")


# An index says where its store is, and that is where it is.
AS_RECORDED = StoreOptions()


class VectorStore(Protocol):
    """A searchable set of unit vectors, numbered from 0 in the order they were added."""

    kind: str
    metric: str

    def __init__(self, dimension: int) -> None: ...

    def __len__(self) -> int: ...

    def add(self, vectors: Vectors) -> None:
        """Append ``(n, dimension)`` float32 unit rows."""

    def search(self, query: Vectors, top_k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Find the rows nearest to a ``(dimension,)`` vector.

        Returns:
            Cosines ``(k,)``, best first, and row numbers ``(k,)``; k is ``top_k`` or the size, the smaller.
        """

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """The stored vectors of some rows, ``(len(rows), dimension)``."""

    def save(self, folder: Path) -> None:
        """Write the store into a folder."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a store written by ``save``; raises ``IndexFormatError`` where it cannot."""


class FaissStore:
    """FAISS, exact inner product over unit rows (``IndexFlatIP``).

    Args:
        dimension: length of a vector.
    """

    kind = "faiss-flat"
    metric = "inner product"

    def __init__(self, dimension: int) -> None:
        import faiss

        self._index: faiss.Index = faiss.IndexFlatIP(dimension)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append ``(n, dimension)`` float32 unit rows; raises ``ValueError`` for another shape."""
        if vectors.ndim != 2 or vectors.shape[1] != self._index.d:
            raise ValueError(f"expected (n, {self._index.d}) vectors, got {vectors.shape}")
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def search(self, query: Vectors, top_k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Find the rows nearest to a ``(dimension,)`` vector, as the protocol says."""
        if not len(self):
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        scores, rows = self._index.search(query[np.newaxis].astype(np.float32), min(top_k, len(self)))
        found = rows[0] >= 0  # FAISS pads missing results with -1
        return scores[0][found], rows[0][found]

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """The stored vectors of some rows, ``(len(rows), dimension)``."""
        return self._index.reconstruct_batch(rows.astype(np.int64))

    def save(self, folder: Path) -> None:
        """Write ``vectors.faiss`` into a folder."""
        import faiss

        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self._index, str(folder / "vectors.faiss"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``vectors.faiss``.

        Raises:
            IndexFormatError: FAISS cannot read the file.
        """
        import faiss

        path = folder / "vectors.faiss"
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise IndexFormatError(
                f"{path}: FAISS 无法读取，请运行 szqa build (cannot be read by FAISS: {error}; run: szqa build)"
            ) from error
        store = cls(index.d)
        store._index = index
        return store


# Name on the command line → "module:Class", imported when it is asked for.
STORES: dict[str, str] = {"faiss": "szqa.store:FaissStore", "milvus": "szqa.milvus:MilvusStore"}


def store_class(name: str) -> type[VectorStore]:
    """The store of a name.

    Raises:
        ConfigurationError: no store has this name.
    """
    if name not in STORES:
        raise ConfigurationError(
            f"没有名为 {name!r} 的向量库，可用：{'、'.join(STORES)} (no such store; available: {', '.join(STORES)})"
        )
    module, _, attribute = STORES[name].partition(":")
    return cast("type[VectorStore]", getattr(import_module(module), attribute))
