"""Documents and passages in files: a JSON line each, found by its number and read when it is asked for.

An index of a million passages opens as fast as one of ten. It knows what lines and offsets are, nothing of vectors,
terms or how passages are made.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Block, Document, Passage
from szqa.errors import IndexFormatError

__all__ = ["DocumentFile", "PassageFile", "RecordsWriter", "document_line", "passage_line"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

_REMEMBERED_DOCUMENTS: Final = 64


def document_line(document: Document) -> bytes:
    """A document as a line of JSON, its blocks as ``[kind, start, end, level]``."""
    row = {
        "id": document.id,
        "title": document.title,
        "source": document.source,
        "text": document.text,
        "blocks": [(block.kind, block.start, block.end, block.level) for block in document.blocks],
    }
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def passage_line(passage: Passage) -> bytes:
    """A passage as a line of JSON."""
    row = {
        "id": passage.id,
        "document_id": passage.document_id,
        "title": passage.title,
        "headings": passage.headings,
        "text": passage.text,
        "start": passage.start,
        "end": passage.end,
    }
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


class _Lines:
    """Lines of a file by their numbers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            ends = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            with path.open("rb") as stream:
                self._content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if len(ends) else b""
        except (OSError, ValueError) as error:
            raise IndexFormatError(f"{path}: 无法读取，请运行 szqa build (cannot be read: {error})") from error
        self._ends: NDArray[np.int64] = np.asarray(ends)
        if len(self._content) != (int(ends[-1]) if len(ends) else 0):
            raise IndexFormatError(
                f"{path}: 长度不符，请运行 szqa build (not of the length that was written; run: szqa build)"
            )

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> bytes:
        start = int(self._ends[number - 1]) if number else 0
        return self._content[start : int(self._ends[number])]


class DocumentFile(Mapping[str, Document]):
    """The documents of an index by their ids, in the order of the corpus.

    Raises:
        IndexFormatError: a file is missing or not whole.
    """

    def __init__(self, home: Path) -> None:
        self._lines = _Lines(home / "documents.jsonl")
        self._ids = _array(home / "document_ids.npy", np.str_)
        self.first_passages: NDArray[np.int64] = _array(home / "first_passages.npy", np.int64)
        self._order = np.argsort(self._ids)
        self._read = lru_cache(_REMEMBERED_DOCUMENTS)(self._parse)

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return map(str, self._ids)

    def __contains__(self, document_id: object) -> bool:
        return isinstance(document_id, str) and self.row(document_id) is not None

    def __getitem__(self, document_id: str) -> Document:
        return self._read(self._row(document_id))

    def row(self, document_id: str) -> int | None:
        """Number of a document, ``None`` where there is no such document."""
        place = int(np.searchsorted(self._ids, document_id, sorter=self._order))
        found = place < len(self._order) and str(self._ids[self._order[place]]) == document_id
        return int(self._order[place]) if found else None

    def line_of(self, document_id: str) -> bytes:
        """A document as it stands in the file."""
        return self._lines[self._row(document_id)]

    def passages_of(self, document_id: str) -> range:
        """Numbers of a document's passages."""
        row = self._row(document_id)
        return range(int(self.first_passages[row]), int(self.first_passages[row + 1]))

    def _row(self, document_id: str) -> int:
        row = self.row(document_id)
        if row is None:
            raise KeyError(document_id)
        return row

    def _parse(self, row: int) -> Document:
        values = json.loads(self._lines[row])
        return Document(
            values["id"],
            values["title"],
            values["text"],
            values["source"],
            tuple(Block(*block) for block in values["blocks"]),
        )


class PassageFile(Sequence[Passage]):
    """The passages of an index; each is checked against its document when it is read.

    Raises:
        IndexFormatError: a file is missing or not whole.
    """

    def __init__(self, home: Path, documents: DocumentFile) -> None:
        self._lines = _Lines(home / "passages.jsonl")
        self._documents = documents

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, number: int) -> Passage: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Passage]: ...

    def __getitem__(self, number: int | slice) -> Passage | Sequence[Passage]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"passage {number} of {len(self)}")
        values = json.loads(self._lines[number % len(self)])
        passage = Passage(**{**values, "headings": tuple(values["headings"])})
        document = self._documents.get(passage.document_id)
        if document is None or document.text[passage.start : passage.end] != passage.text:
            raise IndexFormatError(
                f"段落 {passage.id} 与原文不符，请运行 szqa build (passage differs from its document; run: szqa build)"
            )
        return passage

    def line(self, number: int) -> bytes:
        """A passage as it stands in the file."""
        return self._lines[number]


class RecordsWriter:
    """Writes documents and passages into a folder, in order."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._documents = _LinesWriter(home / "documents.jsonl")
        self._passages = _LinesWriter(home / "passages.jsonl")
        self._ids: list[str] = []
        self._first_passages = [0]

    def add(self, document_id: str, line: bytes, passage_lines: Sequence[bytes]) -> None:
        """Add a document and its passages, as ``document_line`` and ``passage_line`` write them."""
        self._ids.append(document_id)
        self._documents.write(line)
        for passage in passage_lines:
            self._passages.write(passage)
        self._first_passages.append(len(self._passages.ends))

    def finish(self) -> None:
        """Write where each line is."""
        self._documents.finish()
        self._passages.finish()
        np.save(self._home / "document_ids.npy", np.array(self._ids, dtype=np.str_))
        np.save(self._home / "first_passages.npy", np.array(self._first_passages, dtype=np.int64))

    def close(self) -> None:
        """Close the files."""
        self._documents.stream.close()
        self._passages.stream.close()


class _LinesWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.stream: BinaryIO = path.open("wb")
        self.ends: list[int] = []

    def write(self, line: bytes) -> None:
        self.stream.write(line)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(line))

    def finish(self) -> None:
        self.stream.close()
        np.save(self._path.with_suffix(".npy"), np.array(self.ends, dtype=np.int64))


def _array(path: Path, _: type[_Scalar]) -> NDArray[_Scalar]:
    try:
        array: NDArray[_Scalar] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise IndexFormatError(f"{path}: 无法读取，请运行 szqa build (cannot be read: {error})") from error
    return array
