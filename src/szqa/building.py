"""A corpus folder → the index in its place: only what changed is read, and all cores work on it.

Documents whose files, reading and models are what they were are copied from the index that is there; the others are
read, cut and embedded in batches, by several processes where that pays. Either way the files of the new index are the
same, byte for byte. It knows nothing of what an index is asked.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from szqa.batches import Batch, Entry, make_batch
from szqa.chunker import ChunkerSettings
from szqa.corpus import (
    check_files,
    document_id,
    find_files,
    load_document,
    nothing_in,
    report_problems,
    source_name,
)
from szqa.datatypes import Document
from szqa.embedder import Embedder, StaticEmbedder
from szqa.errors import ConfigurationError, CorpusError, IndexFormatError, IndexMissingError
from szqa.formats import Limits
from szqa.generations import DEFAULT_WAIT_S, remove_unused, write_generation
from szqa.index import Index, Progress, hash_sources
from szqa.isolation import Isolation
from szqa.lexical import PassageTerms
from szqa.manifest import Manifest, recipe
from szqa.store import store_class
from szqa.text import Segmenter
from szqa.writing import IndexWriter

__all__ = ["Build", "Maker", "Part", "Workers", "batches_of", "build_index", "parts_of", "work_here"]

# Bytes of files that are worked on at a time: bounds memory.
_BATCH_BYTES: Final = 256 * 1024
# Batches waiting for their turn, for each process: bounds memory.
_AHEAD: Final = 3
# Starting processes takes about as long as cutting this much; below it they cost more than they bring.
_PARALLEL_BYTES: Final = 3 * 1024 * 1024
# Documents copied at a time.
_COPIED: Final = 256


@dataclass(frozen=True, slots=True)
class Maker:
    """What turns source files into batches; may be sent to other processes.

    Attributes:
        corpus: the corpus folder.
        embedder: embeds passages.
        segmenter: cuts them.
        settings: how documents are cut into passages.
        limits: what a file may take.
        with_terms: whether passages are cut into index terms, too; a search engine does that by itself.
    """

    corpus: Path
    embedder: Embedder
    segmenter: Segmenter
    settings: ChunkerSettings
    limits: Limits = field(default_factory=Limits)
    with_terms: bool = True

    def make(self, paths: Sequence[Path], isolation: Isolation | None = None) -> tuple[Batch, list[str]]:
        """The batch of some files, and what is wrong with those that cannot be read."""
        documents: list[Document] = []
        problems: list[str] = []
        for path in paths:
            try:
                documents.append(load_document(path, root=self.corpus, limits=self.limits, isolation=isolation))
            except CorpusError as error:
                problems += error.problems
        batch = make_batch(
            documents,
            segmenter=self.segmenter,
            embedder=self.embedder,
            settings=self.settings,
            with_terms=self.with_terms,
        )
        return batch, problems


class Workers(Protocol):
    """What has a maker work on files, in whichever processes."""

    def __call__(self, maker: Maker, groups: Sequence[Sequence[Path]]) -> Iterator[tuple[Batch, list[str]]]:
        """What the maker makes of each group of files, in order."""


@dataclass(frozen=True, slots=True)
class Build:
    """What a build did.

    Attributes:
        manifest: of the index that is now in place.
        read: number of documents that were read.
        kept: number of documents that were as they had been.
    """

    manifest: Manifest
    read: int
    kept: int


@dataclass(frozen=True, slots=True)
class Part:
    """Files that follow each other in the corpus and are dealt with together.

    Attributes:
        paths: the files.
        names: their names relative to the corpus folder.
        kept: whether they are as they were.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    kept: bool


def build_index(
    maker: Maker,
    folder: Path,
    *,
    store_name: str = "faiss",
    processes: int = 1,
    workers: Workers | None = None,
    full: bool = False,
    skip: Callable[[str], None] | None = None,
    wait_s: float = DEFAULT_WAIT_S,
    progress: Progress,
) -> Build:
    """Build the index of a corpus, or bring the one that is there up to date.

    Args:
        maker: reads and cuts the files.
        folder: of the index; made if missing.
        store_name: the store's name in ``STORES``.
        processes: how many may work at once; a script that asks for several needs ``if __name__ == "__main__"``.
        workers: work on the files instead of processes of this machine.
        full: read every file even where nothing changed.
        skip: called with what is wrong with a file, which is then left out; by default one is one too many.
        wait_s: seconds to wait for another build to end.
        progress: shown the files that are read.

    Raises:
        CorpusError: there is no such corpus, it is empty, or files cannot be read; lists them all.
        ConfigurationError: a process died.
        IndexBusyError: another build did not end in time.
        IndexWriteError: it cannot be written; the index of before is whole.
    """
    at_work = workers or partial(work_here, processes=processes)
    old = None if full else _reusable(maker, folder, store_name)
    build = _bring_up_to_date(
        maker, folder, old, store_name=store_name, workers=at_work, skip=skip, wait_s=wait_s, progress=progress
    )
    del old  # its files were in use until now
    remove_unused(folder, wait_s=wait_s)
    return build


def _bring_up_to_date(
    maker: Maker,
    folder: Path,
    old: Index | None,
    *,
    store_name: str,
    workers: Workers,
    skip: Callable[[str], None] | None,
    wait_s: float,
    progress: Progress,
) -> Build:
    paths, problems = find_files(maker.corpus)
    paths, twins = check_files(paths, maker.corpus)
    problems += twins
    sources = hash_sources(maker.corpus)
    before = old.manifest.sources if old and old.manifest else {}
    held = {name for name in before if old and document_id(name) in old.documents}  # a skipped file is not there
    same = {name for name in held if sources.get(name) == before[name]}
    parts = list(parts_of(paths, maker.corpus, same))
    kept = sum(len(part.names) for part in parts if part.kept)
    if old and old.manifest and kept == len(paths) and sources == before and not problems:
        return Build(old.manifest, 0, kept)

    def fill(home: Path) -> Manifest:
        store = store_class(store_name)(maker.embedder.dimension)
        with IndexWriter(home, segmenter=maker.segmenter, store=store) as writer:
            batches = batches_of(
                maker, parts, problems, old=old, scratch=writer.scratch, workers=workers, report=progress, skip=skip
            )
            for batch in batches:
                writer.add(batch)
            for step in progress([writer.finish], "写入索引 write"):
                step()
        settings, segmenter, embedder = maker.settings, maker.segmenter, maker.embedder
        made = Index.open(home, embedder=embedder, segmenter=segmenter, settings=settings, store_name=store_name)
        if not len(made.documents):
            raise CorpusError([nothing_in(maker.corpus)])
        return made.describe(home, sources=sources)

    manifest = write_generation(folder, fill, wait_s=wait_s)
    return Build(manifest, manifest.documents - kept, kept)


def _reusable(maker: Maker, folder: Path, store_name: str) -> Index | None:
    """The index of a folder where what it holds of an unchanged file is what a new one would."""
    try:
        index = Index.load(folder, make_embedder=lambda _, __: maker.embedder)
    except (IndexMissingError, IndexFormatError):
        return None
    manifest = index.manifest
    settings_agree = index.settings == maker.settings and index.store_name == store_name
    cut_alike = index.segmenter.fingerprint == maker.segmenter.fingerprint
    return index if manifest and manifest.recipe == recipe() and settings_agree and cut_alike else None


def parts_of(paths: Sequence[Path], corpus: Path, unchanged: Set[str]) -> Iterator[Part]:
    """Files in runs of kept and of other ones, no run with more than is dealt with at a time."""
    found: list[tuple[Path, str]] = []
    size = 0
    for path in paths:
        name = source_name(path, corpus)
        kept = name in unchanged
        full = len(found) >= _COPIED if kept else size >= _BATCH_BYTES
        if found and (full or (found[-1][1] in unchanged) != kept):
            yield _part(found, unchanged)
            found, size = [], 0
        found.append((path, name))
        size += 0 if kept else path.stat().st_size
    if found:
        yield _part(found, unchanged)


def _part(found: Sequence[tuple[Path, str]], unchanged: Set[str]) -> Part:
    return Part(tuple(path for path, _ in found), tuple(name for _, name in found), found[0][1] in unchanged)


def batches_of(
    maker: Maker,
    parts: Sequence[Part],
    problems: Sequence[str],
    *,
    old: Index | None,
    scratch: Path,
    workers: Workers,
    report: Progress,
    skip: Callable[[str], None] | None,
) -> Iterator[Batch]:
    """The batch of every part, in order.

    Raises:
        CorpusError: something is wrong with files and they are not to be skipped; raised when all have been tried.
    """
    changed = [part.paths for part in parts if not part.kept]
    made = workers(maker, changed)
    ticks = iter(report([path for paths in changed for path in paths], "读取、分词 read and cut"))
    copy = _Copier(old, scratch) if old else None
    problems = list(problems)
    for part in parts:
        if part.kept and copy:
            yield copy(part.names)
            continue
        batch, wrong = next(made)
        problems += wrong
        for _ in part.paths:
            next(ticks)
        if skip or not problems:
            yield batch
    next(ticks, None)  # tells the last file done
    report_problems(problems, skip)


def work_here(maker: Maker, groups: Sequence[Sequence[Path]], *, processes: int) -> Iterator[tuple[Batch, list[str]]]:
    """What the maker makes of each group of files, in order."""
    size = sum(path.stat().st_size for paths in groups for path in paths)
    # A model of torch works on all cores by itself, and copies of it would not fit into memory.
    alone = not isinstance(maker.embedder, StaticEmbedder)
    if processes < 2 or len(groups) < 2 or size < _PARALLEL_BYTES or alone:
        with Isolation(maker.limits) as isolation:
            for group in groups:
                yield maker.make(group, isolation)
        return
    # Fresh processes rather than forks: FAISS, BLAS and ONNX Runtime have threads that a fork would lose.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(processes, len(groups)), context, _start, (maker,))
    waiting: deque[Future[tuple[Batch, list[str]]]] = deque()
    try:
        for group in groups:
            waiting.append(executor.submit(_make, group))
            if len(waiting) > _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ConfigurationError(
            "建立索引的一个进程意外终止，可能内存不足；请用 --processes 1 再试 "
            "(a process of the build died, perhaps for want of memory; try --processes 1)"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


# What a process that makes batches was given: the maker, and what loads files for it; both go with the process.
_given: list[tuple[Maker, Isolation]] = []


def _start(maker: Maker) -> None:
    """Begin a process that makes batches."""
    _given[:] = [(maker, Isolation(maker.limits))]
    maker.segmenter.read_whole_dictionary()


def _make(paths: Sequence[Path]) -> tuple[Batch, list[str]]:
    maker, isolation = _given[0]
    return maker.make(paths, isolation)


class _Copier:
    """Copies documents from an index.

    Args:
        index: where they are.
        scratch: folder for temporary files.
    """

    def __init__(self, index: Index, scratch: Path) -> None:
        self._index = index
        self._terms = index.lexical.read_terms((), scratch)

    def __call__(self, names: Sequence[str]) -> Batch:
        """The batch of some documents by their sources."""
        documents, passages = self._index.documents, self._index.passages
        ids = [document_id(name) for name in names]
        numbers = [documents.passages_of(each) for each in ids]
        entries = [
            Entry(each, documents.line_of(each), tuple(passages.line(row) for row in rows))
            for each, rows in zip(ids, numbers, strict=True)
        ]
        titles = [title for rows in numbers for title in [passages[rows.start].title if rows else ""] * len(rows)]
        rows = np.array([row for part in numbers for row in part], dtype=np.int64)
        terms = PassageTerms(tuple(titles), self._terms.body.chosen(rows), self._terms.title.chosen(rows))
        return Batch(tuple(entries), terms, self._index.store.vectors(rows))
