"""An index whose passages are searched by an engine: documents and passages in files, words and vectors in the engine.

Row *i* of the passages is row *i* of the engine's collection, which belongs to this build alone. The manifest is
replaced last, so a build that is killed leaves the index of before whole; the build before the last one is kept, for
those who still answer from it. This module knows nothing of questions or of any engine's own language.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from szqa.batches import Batch
from szqa.chunker import ChunkerSettings
from szqa.corpus import USER_DICTIONARY_NAME
from szqa.datatypes import Passage
from szqa.embedder import Embedder
from szqa.engine import ENGINES, SearchEngine, engine_class
from szqa.errors import ConfigurationError, IndexFormatError, IndexMissingError, StoreUnavailableError
from szqa.generations import Lease
from szqa.index import Index, MakeEmbedder, describe_generation, open_generation, require_same
from szqa.manifest import Manifest
from szqa.records import DocumentFile, PassageFile, RecordsWriter
from szqa.store import AS_RECORDED, StoreOptions
from szqa.text import Segmenter, fold
from szqa.writing import STORE

__all__ = ["EngineIndex", "EngineWriter", "open_index", "write_engine_index"]

# Passages that are sent to the engine at a time: bounds memory.
_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class EngineIndex:
    """A corpus that an engine searches.

    Attributes:
        documents: the source texts by id.
        passages: the units of retrieval.
        engine: finds passages.
        embedder: embeds questions as the passages were embedded.
        segmenter: cuts questions.
        settings: how documents were cut into passages.
        store_name: the engine's name in ``STORES``.
        manifest: what the index was made from and with.
        lease: keeps the files it was loaded from.
    """

    documents: DocumentFile
    passages: PassageFile
    engine: SearchEngine
    embedder: Embedder
    segmenter: Segmenter
    settings: ChunkerSettings
    store_name: str
    manifest: Manifest
    lease: Lease

    def is_stale(self) -> bool:
        """Whether another index stands by now where this one was loaded from; costs a ``stat`` while none does.

        Raises:
            IndexMissingError: there is no index any more.
            IndexFormatError: what is there is not of this version.
        """
        return self.lease.is_stale()

    @classmethod
    def load(cls, folder: Path, *, make_embedder: MakeEmbedder, options: StoreOptions = AS_RECORDED) -> EngineIndex:
        """Read an index and check its files against its manifest; the engine is asked when something is looked for.

        Args:
            folder: of the index.
            make_embedder: loads the embedder that the manifest names.
            options: how the engine is reached from here.

        Raises:
            IndexMissingError: there is none.
            IndexFormatError: it is half-written, damaged, foreign, or does not fit the embedder or segmenter.
        """
        held, home, segmenter, embedder = open_generation(folder, make_embedder=make_embedder)
        manifest = held.manifest
        engine = _engine(manifest.store).load(home / STORE, options)
        require_same("集合的行数 rows of the collection", str(len(engine)), str(manifest.passages))
        documents = DocumentFile(home)
        return cls(
            documents,
            PassageFile(home, documents),
            engine,
            embedder,
            segmenter,
            ChunkerSettings(max_chars=manifest.max_chars),
            manifest.store,
            manifest,
            held,
        )


class EngineWriter:
    """Writes an index, some passages at a time; use it in a ``with`` statement, which clears away what is not finished.

    Args:
        folder: of the index; made if missing, other files in it are left alone.
        store_name: the engine's name in ``STORES``.
        options: where the engine is.
        embedder: embedded the passages.
        segmenter: cuts questions.
        settings: how documents were cut into passages.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store_name: str,
        options: StoreOptions,
        embedder: Embedder,
        segmenter: Segmenter,
        settings: ChunkerSettings,
    ) -> None:
        self._folder = folder
        self._store_name = store_name
        self._options = options
        self._embedder, self._segmenter, self._settings = embedder, segmenter, settings
        build = secrets.token_hex(8)
        self._engine = _engine(store_name)(embedder.dimension, options, name=build, words=_words(segmenter))
        self._home = folder / f"generation-{build}"
        self._home.mkdir(parents=True)
        # Written down before the collection is there: what a killed build leaves behind is found by it.
        self._engine.save(self._home / STORE)
        self._records = RecordsWriter(self._home)
        self._waiting: list[tuple[Passage, NDArray[np.float32]]] = []
        self._finished = False

    def add(self, batch: Batch) -> None:
        """Add documents after those that are there."""
        vectors = iter(batch.vectors)
        for entry in batch.entries:
            self._records.add(entry.document_id, entry.line, entry.passage_lines)
            self._waiting += zip(map(_passage, entry.passage_lines), vectors, strict=False)
        while len(self._waiting) >= _BATCH:
            self._send()

    def finish(self, *, sources: Mapping[str, str]) -> Manifest:
        """Put the index into place.

        Args:
            sources: hashes of the source files, from ``hash_sources``.
        """
        self._records.finish()
        if self._waiting:
            self._send()
        self._engine.save(self._home / STORE)
        if self._segmenter.user_dictionary:
            (self._home / USER_DICTIONARY_NAME).write_bytes(self._segmenter.user_dictionary)
        before = _generation(self._folder)
        manifest = self._manifest(sources)
        manifest.write(self._folder)
        self._finished = True
        for old in self._folder.glob("generation-*"):
            if old.name not in (self._home.name, before):
                self._remove(old)
        return manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.close()
        if not self._finished:
            shutil.rmtree(self._home, ignore_errors=True)
            with suppress(StoreUnavailableError):  # what went wrong is on its way up already
                self._engine.drop()

    def _send(self) -> None:
        batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        self._engine.add_passages([passage for passage, _ in batch], np.stack([vector for _, vector in batch]))

    def _remove(self, home: Path) -> None:
        """Delete a generation with its collection; where its engine does not answer, the next build does it."""
        if (home / STORE / f"{self._store_name}.json").is_file():
            engine = type(self._engine).load(home / STORE, replace(self._options, uri=None))
            try:
                engine.drop()
            except StoreUnavailableError:
                return
        shutil.rmtree(home, ignore_errors=True)

    def _manifest(self, sources: Mapping[str, str]) -> Manifest:
        return describe_generation(
            self._home,
            sources=sources,
            embedder=self._embedder,
            segmenter=self._segmenter,
            settings=self._settings,
            store_name=self._store_name,
            store_kind=self._engine.kind,
            metric=self._engine.metric,
            documents=len(DocumentFile(self._home)),
            passages=len(self._engine),
        )


def write_engine_index(
    folder: Path,
    batches: Iterable[Batch],
    *,
    sources: Mapping[str, str],
    embedder: Embedder,
    segmenter: Segmenter,
    store_name: str,
    options: StoreOptions,
    settings: ChunkerSettings,
) -> Manifest:
    """Write an index of batches, gone through once, and put it into place; arguments as for ``EngineWriter``."""
    with EngineWriter(
        folder, store_name=store_name, options=options, embedder=embedder, segmenter=segmenter, settings=settings
    ) as writer:
        for batch in batches:
            writer.add(batch)
        return writer.finish(sources=sources)


def open_index(
    folder: Path, *, make_embedder: MakeEmbedder, options: StoreOptions = AS_RECORDED
) -> Index | EngineIndex:
    """Open an index of either kind; arguments and errors as for ``EngineIndex.load``."""
    if Manifest.read(folder).store in ENGINES:
        return EngineIndex.load(folder, make_embedder=make_embedder, options=options)
    return Index.load(folder, make_embedder=make_embedder)


def _passage(line: bytes) -> Passage:
    values = json.loads(line)
    return Passage(**{**values, "headings": tuple(values["headings"])})


def _engine(name: str) -> type[SearchEngine]:
    found = engine_class(name)
    if found is None:
        raise ConfigurationError(f"{name} 不是检索引擎，可用：{'、'.join(ENGINES)} (no search engine)")
    return found


def _generation(folder: Path) -> str | None:
    """The generation that answers now."""
    try:
        return Manifest.read(folder).generation
    except (IndexMissingError, IndexFormatError):
        return None


def _words(segmenter: Segmenter) -> list[str]:
    """The words of the user dictionary, folded as texts are."""
    lines = segmenter.user_dictionary.decode("utf-8-sig").splitlines()
    return [fold(line.split()[0]) for line in lines if line.strip()]
