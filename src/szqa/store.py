"""Where passage vectors are kept and searched; one protocol, one class a backend.

It knows nothing of texts or models: a vector is known by its row number, the order in which it was added.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from szqa.errors import ConfigurationError, IndexFormatError

if TYPE_CHECKING:
    import faiss

__all__ = ["AS_RECORDED", "STORES", "FaissStore", "StoreOptions", "VectorStore", "store_class"]

Vectors = NDArray[np.float32]

_VECTORS: Final = "vectors.faiss"
_ABOUT: Final = "store.json"

# From here on a search of all rows is a good part of an answer's time: one thread needs 10 ms for 100,000 rows of 384
# numbers, and the time grows with the rows; clusters take 0.7 ms for as many, and learning them half a second.
_CLUSTERED_ROWS: Final = 50_000
# Rows that FAISS wants for each cluster it learns (Clustering.min_points_per_centroid).
_ROWS_A_LIST: Final = 39
# Rows whose neighbours are compared, and the share of them to be found; the bound is 0.95.
_QUERIES: Final = 500
_RECALL: Final = 0.97


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
    """FAISS over unit rows, searched by inner product.

    Rows are kept in one flat array (``IndexFlatIP``) and searched exactly; from ``_CLUSTERED_ROWS`` on, saving puts
    them into clusters (``IndexIVFFlat``), of which a search looks at as many as it takes to find nearly everything.
    The vectors themselves stay exact. Files are mapped, not read.

    Args:
        dimension: length of a vector.

    Attributes:
        kind: how rows are kept, with the recall that was measured where it is not exact.
    """

    metric = "inner product"

    def __init__(self, dimension: int) -> None:
        import faiss

        self.kind = "faiss-flat"
        self._index: faiss.Index = faiss.IndexFlatIP(dimension)
        self._home: Path | None = None  # of the files that are mapped

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append ``(n, dimension)`` float32 unit rows; raises ``ValueError`` for another shape."""
        if vectors.ndim != 2 or vectors.shape[1] != self._index.d:
            raise ValueError(f"expected (n, {self._index.d}) vectors, got {vectors.shape}")
        if self._home:
            raise ValueError(f"{self._home}: a store that is mapped from files takes no more rows")
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
        """Write ``vectors.faiss`` and ``store.json`` into a folder."""
        import faiss

        folder.mkdir(parents=True, exist_ok=True)
        if self._home:  # FAISS would write where the mapped lists stand, not the lists
            for name in (_VECTORS, _ABOUT):
                shutil.copyfile(self._home / name, folder / name)
            return
        index, kind = self._index, self.kind
        if isinstance(index, faiss.IndexFlat) and len(self) >= _CLUSTERED_ROWS:
            index, kind = _clustered(index)
        # FAISS does not look whether closing its own file fails: on a full disk the end would be missing silently.
        with (folder / _VECTORS).open("wb") as stream:
            writer = faiss.PyCallbackIOWriter(stream.write)  # type: ignore[attr-defined,unused-ignore]
            faiss.write_index(index, writer)
        (folder / _ABOUT).write_text(json.dumps({"kind": kind}) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what ``save`` wrote.

        Raises:
            IndexFormatError: FAISS cannot read the file.
        """
        import faiss

        path = folder / _VECTORS
        try:
            # One question at a time: waking threads for it costs several times what they save (12 ms, not 1.6).
            faiss.omp_set_num_threads(1)
            kind = str(json.loads((folder / _ABOUT).read_text("utf-8"))["kind"])
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if kind == "faiss-flat" else faiss.IO_FLAG_MMAP)
        except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
            raise IndexFormatError(
                f"{path}: FAISS 无法读取，请运行 szqa build (cannot be read by FAISS: {error}; run: szqa build)"
            ) from error
        store = cls(index.d)
        store._index, store.kind, store._home = index, kind, folder
        return store


def _clustered(flat: faiss.IndexFlat) -> tuple[faiss.IndexIVFFlat, str]:
    """The rows of a flat index in clusters, and what to call it with the recall@10 measured against the flat one."""
    import faiss

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    # As many clusters as rows in each. FAISS's guide names up to sixteen times as many; already four times take eight
    # times as long to learn (5 s for 100,000 rows), and a search that finds as much takes as long (0.7 ms).
    lists = max(1, min(round(flat.ntotal**0.5), flat.ntotal // _ROWS_A_LIST))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(flat.d), flat.d, lists, faiss.METRIC_INNER_PRODUCT)
    rng = np.random.default_rng(0)
    index.train(vectors[np.sort(rng.permutation(flat.ntotal)[: lists * _ROWS_A_LIST])])
    index.add(vectors)
    index.make_direct_map(True)
    asked = vectors[np.sort(rng.permutation(flat.ntotal)[:_QUERIES])]
    # Each row finds itself: what counts are the ten after it.
    exact = flat.search(asked, 11)[1][:, 1:]
    index.nprobe, recall = min(lists, 8), 0.0
    while True:
        found = index.search(asked, 11)[1][:, 1:]
        recall = float(np.mean([len(np.intersect1d(one, other)) / 10 for one, other in zip(found, exact, strict=True)]))
        if recall >= _RECALL or index.nprobe == lists:
            return index, f"faiss-ivf{lists}, nprobe {index.nprobe}, recall@10 {recall:.3f}"
        index.nprobe = min(lists, 2 * index.nprobe)


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
