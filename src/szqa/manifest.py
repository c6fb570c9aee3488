"""The index manifest: everything an answer depends on, bound to the files of one index by their hashes.

It knows how the manifest is written and read and what makes it fit or stale, nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

from szqa.errors import IndexFormatError, IndexMissingError

__all__ = ["MANIFEST_NAME", "SCHEMA", "Manifest", "hash_file", "recipe"]

SCHEMA = 2
MANIFEST_NAME = "manifest.json"

# Modules that what an index holds depends on, beside the models that have fingerprints of their own.
_RECIPE = (
    *("decoding.py", "formats.py", "layout.py", "corpus.py", "chunker.py"),
    *("text.py", "cutter.py", "embedder.py", "lexical.py", "bm25.py", "series.py", "batches.py", "records.py"),
)

_REBUILD = "请运行 szqa build 重新建立 (rebuild it with: szqa build)"


def hash_file(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def recipe() -> str:
    """SHA-256 of the modules that make passages and index terms of files: another hash may mean other passages."""
    digest = hashlib.sha256()
    for name in _RECIPE:
        digest.update(hash_file(Path(__file__).with_name(name)).encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index was made from and with.

    Attributes:
        schema: version of the layout on disk.
        generation: name of the folder beside the manifest that holds the index's files.
        created: time of the build, ISO 8601, UTC.
        recipe: hash of the code that makes passages and terms of files.
        embedder: the embedder's ``model_id``.
        embedder_fingerprint: hash of its weights.
        query_prefix: what is put before a question when it is embedded.
        dimension: length of a vector.
        segmenter: the segmenter's ``fingerprint``.
        max_chars: longest passage, in characters.
        store: name of the vector store in ``STORES``.
        store_kind: kind of index inside the store.
        metric: the store's similarity.
        documents: number of documents.
        passages: number of passages.
        sources: path of each source file relative to the corpus folder → SHA-256.
        files: path of each file of the index relative to its generation → SHA-256.
    """

    schema: int
    generation: str
    created: str
    recipe: str
    embedder: str
    embedder_fingerprint: str
    query_prefix: str
    dimension: int
    segmenter: str
    max_chars: int
    store: str
    store_kind: str
    metric: str
    documents: int
    passages: int
    sources: dict[str, str]
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        """Put the manifest into place, in one step that a kill cannot halve."""
        draft = folder / f"{MANIFEST_NAME}.{self.generation}"
        with draft.open("w", encoding="utf-8") as stream:
            json.dump(asdict(self), stream, ensure_ascii=False, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(folder / MANIFEST_NAME)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the manifest of an index.

        Raises:
            IndexMissingError: there is none.
            IndexFormatError: it is not one of this version's.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise IndexMissingError(
                f"{folder}: 这里没有索引，请先运行 szqa build (no index here; make one with: szqa build)"
            )
        try:
            content = json.loads(path.read_text("utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise IndexFormatError(f"{path}: 不是完整的 JSON，{_REBUILD}: {error}") from error
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA:
            raise IndexFormatError(f"{path}: 索引格式为 {schema!r}，本版本需要 {SCHEMA} (schema)，{_REBUILD}")
        wanted = {field.name: field.type for field in fields(cls)}
        kinds = {"int": int, "str": str, "dict[str, str]": dict}
        wrong = [name for name, kind in wanted.items() if not isinstance(content.get(name), kinds[str(kind)])]
        if wrong or Path(content["generation"]).name != content["generation"]:
            raise IndexFormatError(f"{path}: 字段缺失或有误 (missing or wrong): {', '.join(wrong)}；{_REBUILD}")
        return cls(**{name: content[name] for name in wanted})

    def verify_files(self, folder: Path) -> None:
        """Check that every file of the index is there and unchanged.

        Raises:
            IndexFormatError: one is missing or differs; names it.
        """
        for name, expected in self.files.items():
            path = folder / self.generation / name
            if not path.is_file():
                raise IndexFormatError(f"{path}: 索引文件缺失 (missing file of the index)，{_REBUILD}")
            found = hash_file(path)
            if found != expected:
                raise IndexFormatError(
                    f"{path}: 索引文件已损坏或被改动，SHA-256 为 {found[:12]}…，应为 {expected[:12]}… "
                    f"(damaged or changed)，{_REBUILD}"
                )
