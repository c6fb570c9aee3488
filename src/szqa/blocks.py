"""Batches in files, each under a key that says what it was made of: what is there need not be made again.

A block is NumPy's .npz, written beside its place and then put there, so that none is ever half of one. It knows nothing
of who makes batches.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from szqa.batches import Batch, Entry
from szqa.bm25 import Rows
from szqa.lexical import PassageTerms

__all__ = ["Blocks", "block_key"]


def block_key(parts: Sequence[str]) -> str:
    """The key of what a block is made of; any difference in any part makes it another."""
    return hashlib.sha256(json.dumps(list(parts), ensure_ascii=False).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a folder.

    Attributes:
        folder: where they are; made when the first one is written.
    """

    folder: Path

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def write(self, key: str, batch: Batch) -> None:
        """Keep a batch."""
        arrays = {
            **{f"body_{name}": values for name, values in _arrays(batch.terms.body).items()},
            **{f"title_{name}": values for name, values in _arrays(batch.terms.title).items()},
            "vectors": batch.vectors,
            "ids": _text([entry.document_id for entry in batch.entries]),
            "titles": _text(batch.terms.titles),
            "lines": np.frombuffer(b"".join(entry.line for entry in batch.entries), dtype=np.uint8),
            "passage_lines": np.frombuffer(
                b"".join(line for entry in batch.entries for line in entry.passage_lines), dtype=np.uint8
            ),
            "passages": np.array([len(entry.passage_lines) for entry in batch.entries], dtype=np.int64),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"{key}.{os.getpid()}.draft"
        with draft.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        draft.replace(self._path(key))

    def read(self, key: str) -> Batch:
        """The batch that was kept under a key."""
        with np.load(self._path(key), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        lines = arrays["lines"].tobytes().splitlines(keepends=True)
        passage_lines = iter(arrays["passage_lines"].tobytes().splitlines(keepends=True))
        entries = tuple(
            Entry(document_id, line, tuple(next(passage_lines) for _ in range(count)))
            for document_id, line, count in zip(
                _strings(arrays["ids"]), lines, arrays["passages"].tolist(), strict=True
            )
        )
        terms = PassageTerms(tuple(_strings(arrays["titles"])), _rows(arrays, "body"), _rows(arrays, "title"))
        return Batch(entries, terms, arrays["vectors"])

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def _arrays(rows: Rows) -> dict[str, NDArray[np.generic]]:
    return {"lengths": rows.lengths, "sizes": rows.sizes, "keys": rows.keys, "counts": rows.counts}


def _rows(arrays: dict[str, NDArray[np.generic]], field: str) -> Rows:
    return Rows(
        arrays[f"{field}_lengths"].astype(np.uint32, copy=False),
        arrays[f"{field}_sizes"].astype(np.uint32, copy=False),
        arrays[f"{field}_keys"].astype(np.uint64, copy=False),
        arrays[f"{field}_counts"].astype(np.uint16, copy=False),
    )


def _text(strings: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(list(strings), ensure_ascii=False).encode(), dtype=np.uint8)


def _strings(values: NDArray[np.generic]) -> list[str]:
    strings: list[str] = json.loads(values.tobytes())
    return strings
