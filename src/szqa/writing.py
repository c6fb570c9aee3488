"""Batches → the files of an index, written as the batches come.

It knows which files an index has, nothing of manifests or of where batches come from.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from szqa.batches import Batch
from szqa.corpus import USER_DICTIONARY_NAME
from szqa.lexical import LexicalBuilder
from szqa.records import RecordsWriter
from szqa.store import VectorStore
from szqa.text import Segmenter

__all__ = ["LEXICAL", "STORE", "IndexWriter"]

LEXICAL = "lexical"
STORE = "store"


class IndexWriter:
    """Writes an index into an empty folder; use it in a ``with`` statement.

    Attributes:
        scratch: folder for temporary files, which goes with the writer.

    Args:
        home: the folder.
        segmenter: cut the passages, and cuts their titles.
        store: an empty store, which the vectors are added to.
    """

    def __init__(self, home: Path, *, segmenter: Segmenter, store: VectorStore) -> None:
        self._home = home
        self._segmenter = segmenter
        self._store = store
        # Beside the index, not in the system's folder for temporary files, which may be small or in memory.
        self.scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=home))
        self._records = RecordsWriter(home)
        self._lexical = LexicalBuilder(home / LEXICAL, self.scratch, segmenter)

    def add(self, batch: Batch) -> None:
        """Add documents after those that are there."""
        for entry in batch.entries:
            self._records.add(entry.document_id, entry.line, entry.passage_lines)
        self._lexical.add(batch.terms)
        self._store.add(batch.vectors)

    def finish(self) -> None:
        """Write what can only be written once everything is there."""
        self._records.finish()
        self._lexical.finish()
        self._store.save(self._home / STORE)
        if self._segmenter.user_dictionary:
            (self._home / USER_DICTIONARY_NAME).write_bytes(self._segmenter.user_dictionary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.close()
        self._lexical.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
