"""The index: passages, their vectors and their BM25 scores, bound together by a manifest.

Row *i* of the passages is vector *i* and BM25 row *i*. On disk, every build is a folder of its own (a
"generation", ``generations.py``) and the manifest names the one that counts; the manifest is replaced last, in one
step, so a build that is killed leaves the index of before whole. This module knows nothing of questions.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from szqa.batches import make_batch
from szqa.chunker import ChunkerSettings
from szqa.corpus import USER_DICTIONARY_NAME, find_sources, source_name
from szqa.datatypes import Document
from szqa.embedder import Embedder
from szqa.errors import IndexFormatError, IndexMissingError
from szqa.generations import DEFAULT_WAIT_S, Lease, lease, write_generation
from szqa.lexical import LexicalIndex
from szqa.manifest import SCHEMA, Manifest, hash_file, recipe
from szqa.records import DocumentFile, PassageFile
from szqa.store import VectorStore, store_class
from szqa.text import Segmenter
from szqa.writing import LEXICAL, STORE, IndexWriter

__all__ = [
    "Generation",
    "Index",
    "MakeEmbedder",
    "Progress",
    "describe_generation",
    "hash_sources",
    "open_generation",
    "require_same",
    "stale_reasons",
]

_Item = TypeVar("_Item")
MakeEmbedder = Callable[[Manifest, Segmenter], Embedder]

# Characters of documents that are worked on at a time: bounds memory, and keeps a progress bar moving.
_BATCH_CHARS: Final = 100_000
# A source that is larger was skipped; it may be sparse and never end.
_HASHED_BYTES: Final = 1 << 30


class Progress(Protocol):
    """Hands items through, showing how far along they are."""

    def __call__(self, items: Sequence[_Item], label: str) -> Iterable[_Item]:
        """Iterate over ``items`` under a label."""


def _silent(items: Sequence[_Item], label: str) -> Iterable[_Item]:
    return items


class _Scratch:
    """A folder for temporary files that goes with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="szqa-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Index:
    """A corpus made searchable; its files are mapped, and read when something in them is asked for.

    Attributes:
        home: the folder with its files.
        documents: the source texts by id.
        passages: the units of retrieval.
        store: the passages' vectors.
        lexical: their BM25 scores.
        embedder: embeds questions as the passages were embedded.
        segmenter: cuts questions as the passages were cut.
        settings: how documents were cut into passages.
        store_name: the store's name in ``STORES``.
        manifest: what the index was made from and with; ``None`` while it is not in its place.
        scratch: keeps a home that is temporary.
        lease: keeps the files it was loaded from; ``None`` where it was not.
    """

    home: Path
    documents: DocumentFile
    passages: PassageFile
    store: VectorStore
    lexical: LexicalIndex
    embedder: Embedder
    segmenter: Segmenter
    settings: ChunkerSettings
    store_name: str = "faiss"
    manifest: Manifest | None = None
    scratch: object = None
    lease: Lease | None = None

    def __post_init__(self) -> None:
        counts = (len(self.passages), len(self.store), self.lexical.size)
        if len(set(counts)) != 1:
            raise IndexFormatError(
                f"段落 {counts[0]} 条、向量 {counts[1]} 条、BM25 {counts[2]} 条，三者不一，请运行 szqa build "
                f"(passages, vectors and BM25 rows differ in number; run: szqa build)"
            )

    @classmethod
    def build(
        cls,
        documents: Sequence[Document],
        *,
        embedder: Embedder,
        segmenter: Segmenter,
        settings: ChunkerSettings | None = None,
        store_name: str = "faiss",
        progress: Progress = _silent,
    ) -> Index:
        """Make an index of documents in a temporary folder; ``save`` gives it a place."""
        settings = settings or ChunkerSettings()
        scratch = _Scratch()
        store = store_class(store_name)(embedder.dimension)
        with IndexWriter(scratch.path, segmenter=segmenter, store=store) as writer:
            for batch in _batches(progress(documents, "建立索引 index")):
                writer.add(make_batch(batch, segmenter=segmenter, embedder=embedder, settings=settings))
            writer.finish()
        return cls.open(
            scratch.path,
            embedder=embedder,
            segmenter=segmenter,
            settings=settings,
            store_name=store_name,
            scratch=scratch,
        )

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        embedder: Embedder,
        segmenter: Segmenter,
        settings: ChunkerSettings,
        store_name: str,
        manifest: Manifest | None = None,
        scratch: object = None,
        held: Lease | None = None,
    ) -> Index:
        """Open the files that ``IndexWriter`` wrote; arguments as the attributes, ``held`` as ``lease``."""
        documents = DocumentFile(home)
        passages = PassageFile(home, documents)
        return cls(
            home,
            documents,
            passages,
            store_class(store_name).load(home / STORE),
            LexicalIndex.load(home / LEXICAL, segmenter, size=len(passages)),
            embedder,
            segmenter,
            settings,
            store_name,
            manifest,
            scratch,
            held,
        )

    def save(self, folder: Path, *, sources: Mapping[str, str], wait_s: float = DEFAULT_WAIT_S) -> Manifest:
        """Write the index into a folder, replacing the one that is there.

        Args:
            folder: made if missing; other files in it are left alone.
            sources: hashes of the source files, from ``hash_sources``.
            wait_s: seconds to wait for another build into this folder.

        Returns:
            The manifest, once it is in place.

        Raises:
            IndexBusyError: the other build did not end in time.
            IndexWriteError: it cannot be written; the index of before is whole.
        """

        def fill(home: Path) -> Manifest:
            for path in self.home.iterdir():  # not the folder itself: a temporary one is private to its owner
                if path.is_dir():
                    shutil.copytree(path, home / path.name)
                else:
                    shutil.copyfile(path, home / path.name)
            return self.describe(home, sources=sources)

        return write_generation(folder, fill, wait_s=wait_s)

    def is_stale(self) -> bool:
        """Whether another index stands by now where this one was loaded from; never for one made in memory.

        Costs a ``stat`` while nothing has changed, so it may be asked often.

        Raises:
            IndexMissingError: there is no index any more.
            IndexFormatError: what is there is not of this version.
        """
        return self.lease is not None and self.lease.is_stale()

    @classmethod
    def load(cls, folder: Path, *, make_embedder: MakeEmbedder) -> Index:
        """Open an index and check it against its manifest.

        Args:
            folder: where ``save`` wrote it.
            make_embedder: loads the embedder that the manifest names.

        Raises:
            IndexMissingError: there is none.
            IndexFormatError: it is half-written, damaged, foreign, or does not fit the embedder or segmenter.
        """
        held, home, segmenter, embedder = open_generation(folder, make_embedder=make_embedder)
        return cls.open(
            home,
            embedder=embedder,
            segmenter=segmenter,
            settings=ChunkerSettings(max_chars=held.manifest.max_chars),
            store_name=held.manifest.store,
            manifest=held.manifest,
            held=held,
        )

    def describe(self, home: Path, *, sources: Mapping[str, str]) -> Manifest:
        """The manifest for this index with its files in ``home``."""
        return describe_generation(
            home,
            sources=sources,
            embedder=self.embedder,
            segmenter=self.segmenter,
            settings=self.settings,
            store_name=self.store_name,
            store_kind=self.store.kind,
            metric=self.store.metric,
            documents=len(self.documents),
            passages=len(self.passages),
        )


class Generation(NamedTuple):
    """A generation of an index that was checked against its manifest.

    Attributes:
        held: keeps its files, and has its manifest.
        home: the folder with its files.
        segmenter: cuts questions as its passages were cut.
        embedder: embeds questions as its passages were embedded.
    """

    held: Lease
    home: Path
    segmenter: Segmenter
    embedder: Embedder


def open_generation(folder: Path, *, make_embedder: MakeEmbedder) -> Generation:
    """Take hold of the generation of a folder that counts, whichever engine searches it; as for ``Index.load``."""
    held = lease(folder)
    manifest = held.manifest
    manifest.verify_files(folder)
    home = folder / manifest.generation
    dictionary = home / USER_DICTIONARY_NAME
    segmenter = Segmenter(dictionary if dictionary.is_file() else None)
    require_same("分词器 segmenter", segmenter.fingerprint, manifest.segmenter)
    embedder = make_embedder(manifest, segmenter)
    require_same("向量模型 embedder", embedder.fingerprint, manifest.embedder_fingerprint)
    return Generation(held, home, segmenter, embedder)


def describe_generation(
    home: Path,
    *,
    sources: Mapping[str, str],
    embedder: Embedder,
    segmenter: Segmenter,
    settings: ChunkerSettings,
    store_name: str,
    store_kind: str,
    metric: str,
    documents: int,
    passages: int,
) -> Manifest:
    """The manifest for the files in ``home``; arguments as the manifest's attributes, or what they are read from."""
    files = sorted(path for path in home.rglob("*") if path.is_file())
    return Manifest(
        schema=SCHEMA,
        generation=home.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe(),
        embedder=embedder.model_id,
        embedder_fingerprint=embedder.fingerprint,
        query_prefix=embedder.query_prefix,
        dimension=embedder.dimension,
        segmenter=segmenter.fingerprint,
        max_chars=settings.max_chars,
        store=store_name,
        store_kind=store_kind,
        metric=metric,
        documents=documents,
        passages=passages,
        sources=dict(sources),
        files={path.relative_to(home).as_posix(): hash_file(path) for path in files},
    )


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= _BATCH_CHARS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def hash_sources(corpus: Path) -> dict[str, str]:
    """SHA-256 of every source file of a corpus folder, by its path relative to the folder."""
    return {source_name(path, corpus): _hash_source(path) for path in find_sources(corpus)}


def _hash_source(path: Path) -> str:
    """A file's hash; of one that is too large for a source or cannot be read, what tells whether it has changed."""
    try:
        found = path.stat()
        return hash_file(path) if found.st_size <= _HASHED_BYTES else f"{found.st_size} @ {found.st_mtime_ns}"
    except OSError as error:
        return error.strerror or str(error)


def stale_reasons(folder: Path, corpus: Path, *, embedder: Embedder, segmenter: Segmenter) -> list[str]:
    """Why an index has to be built again before it answers for a corpus; empty where it need not.

    Args:
        folder: the index.
        corpus: the corpus folder.
        embedder: the embedder it should be made with.
        segmenter: the segmenter, with the corpus's dictionary.
    """
    try:
        manifest = Manifest.read(folder)
        manifest.verify_files(folder)
    except (IndexMissingError, IndexFormatError) as error:
        return [str(error)]
    reasons = []
    sources = hash_sources(corpus)
    for word, names in (
        ("新增 added", sources.keys() - manifest.sources.keys()),
        ("移除 removed", manifest.sources.keys() - sources.keys()),
        ("改动 changed", {n for n in sources.keys() & manifest.sources.keys() if sources[n] != manifest.sources[n]}),
    ):
        reasons += [f"{word}: {name}" for name in sorted(names)]
    if manifest.segmenter != segmenter.fingerprint:
        reasons.append("分词器或 userdict.txt 已改动 (segmenter or userdict.txt changed)")
    if (manifest.embedder_fingerprint, manifest.query_prefix) != (embedder.fingerprint, embedder.query_prefix):
        reasons.append(f"向量模型不同 (another embedder): {manifest.embedder} → {embedder.model_id}")
    if manifest.recipe != recipe():
        reasons.append("szqa 读取文件或切分段落的代码已改动 (szqa reads or cuts files differently now)")
    if manifest.max_chars != ChunkerSettings().max_chars:
        reasons.append("段落长度设置已改动 (chunker settings changed)")
    return reasons


def require_same(what: str, found: str, recorded: str) -> None:
    """Refuse an index that was made with something else than what is there; raises ``IndexFormatError``."""
    if found != recorded:
        raise IndexFormatError(
            f"{what}: 现为 {found}，索引建立时为 {recorded}，请运行 szqa build "
            f"(differs from the one the index was made with; run: szqa build)"
        )
