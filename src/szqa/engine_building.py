"""A corpus folder → an index that a search engine holds.

Every build fills a collection of its own: where one file changed, all are read again. It knows nothing of what an index
is asked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from szqa.building import Build, Maker, Workers, batches_of, parts_of, work_here
from szqa.corpus import check_files, find_files, nothing_in
from szqa.engine_index import EngineIndex, write_engine_index
from szqa.errors import CorpusError, IndexFormatError, IndexMissingError
from szqa.index import Progress, hash_sources
from szqa.manifest import Manifest, recipe
from szqa.store import StoreOptions

__all__ = ["build_engine_index"]


def build_engine_index(
    maker: Maker,
    folder: Path,
    *,
    store_name: str,
    options: StoreOptions,
    processes: int = 1,
    workers: Workers | None = None,
    full: bool = False,
    skip: Callable[[str], None] | None = None,
    progress: Progress,
) -> Build:
    """Build the index of a corpus, unless the one that is there is of just these files.

    Args:
        maker: reads and cuts the files.
        folder: of the index; made if missing.
        store_name: the engine's name in ``STORES``.
        options: where the engine is.
        processes: how many may work at once; a script that asks for several needs ``if __name__ == "__main__"``.
        workers: work on the files instead of processes of this machine.
        full: build even where nothing changed.
        skip: called with what is wrong with a file, which is then left out; by default one is one too many.
        progress: shown the files that are read.

    Raises:
        CorpusError: there is no such corpus, it is empty, or files cannot be read; lists them all.
        ConfigurationError: a process died, or the engine cannot be used.
        StoreUnavailableError: the engine is down or slow.
    """
    paths, problems = find_files(maker.corpus)
    paths, twins = check_files(paths, maker.corpus)
    problems += twins
    if not paths:
        raise CorpusError([*problems, nothing_in(maker.corpus)])
    sources = hash_sources(maker.corpus)
    current = None if full else _current(maker, folder, store_name, options)
    if current and current.sources == sources and current.documents == len(paths) and not problems:
        return Build(current, 0, len(paths))
    with tempfile.TemporaryDirectory(prefix="szqa-") as scratch:
        batches = batches_of(
            maker,
            list(parts_of(paths, maker.corpus, set())),
            problems,
            old=None,
            scratch=Path(scratch),
            workers=workers or partial(work_here, processes=processes),
            report=progress,
            skip=skip,
        )
        manifest = write_engine_index(
            folder,
            batches,
            sources=sources,
            embedder=maker.embedder,
            segmenter=maker.segmenter,
            store_name=store_name,
            options=options,
            settings=maker.settings,
        )
    return Build(manifest, manifest.documents, 0)


def _current(maker: Maker, folder: Path, store_name: str, options: StoreOptions) -> Manifest | None:
    """The manifest of the index that is there, if it is whole and was made as the maker would."""
    try:
        if Manifest.read(folder).store != store_name:
            return None
        index = EngineIndex.load(folder, make_embedder=lambda _, __: maker.embedder, options=options)
        index.engine.check()
    except (IndexMissingError, IndexFormatError):
        return None
    cut_alike = index.segmenter.fingerprint == maker.segmenter.fingerprint and index.settings == maker.settings
    return index.manifest if cut_alike and index.manifest.recipe == recipe() else None
