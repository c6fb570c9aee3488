"""Documents and passages come back from their files as they were put in, and nothing else is taken for them."""

from pathlib import Path

import numpy as np
import pytest

from conftest import make_document
from szqa.chunker import chunk
from szqa.datatypes import Document, Passage
from szqa.errors import IndexFormatError
from szqa.records import DocumentFile, PassageFile, RecordsWriter, document_line, passage_line


def write(home: Path, documents: list[Document], passages: list[list[Passage]]) -> tuple[DocumentFile, PassageFile]:
    writer = RecordsWriter(home)
    for document, cut in zip(documents, passages, strict=True):
        writer.add(document.id, document_line(document), [passage_line(passage) for passage in cut])
    writer.finish()
    found = DocumentFile(home)
    return found, PassageFile(home, found)


def test_round_trip(tmp_path: Path, documents: list[Document]) -> None:
    cut = [chunk(document) for document in documents]
    found, passages = write(tmp_path, documents, cut)
    assert list(found.values()) == documents
    assert list(found) == [document.id for document in documents]
    assert list(passages) == [*cut[0], *cut[1]]
    assert list(passages[1:4:2]) == [*cut[0], *cut[1]][1:4:2]
    assert passages[-1] == cut[1][-1]
    assert [found.passages_of(document.id) for document in documents] == [range(3), range(3, 5)]
    assert document_line(documents[1]) == found.line_of(documents[1].id)
    assert passage_line(cut[0][2]) == passages.line(2)


def test_what_is_not_there(tmp_path: Path, documents: list[Document]) -> None:
    found, passages = write(tmp_path, documents, [chunk(document) for document in documents])
    assert "nothing" not in found
    assert found.get("zzz") is None
    with pytest.raises(KeyError):
        found["nothing"]
    with pytest.raises(IndexError, match="5 of 5"):
        passages[5]


def test_no_documents_at_all(tmp_path: Path) -> None:
    found, passages = write(tmp_path, [], [])
    assert (len(found), len(passages), list(found), list(passages), "a" in found) == (0, 0, [], [], False)


def test_passages_must_be_verbatim(tmp_path: Path) -> None:
    _, passages = write(tmp_path, [make_document("无锡很美。")], [chunk(make_document("苏州很美。"))])
    with pytest.raises(IndexFormatError, match="原文不符"):
        passages[0]


@pytest.mark.parametrize("name", ["documents.jsonl", "passages.jsonl", "documents.npy", "document_ids.npy"])
def test_files_that_are_not_whole(tmp_path: Path, documents: list[Document], name: str) -> None:
    write(tmp_path, documents, [chunk(document) for document in documents])
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IndexFormatError, match="szqa build"):
        PassageFile(tmp_path, DocumentFile(tmp_path))
    path.unlink()
    with pytest.raises(IndexFormatError, match="szqa build"):
        PassageFile(tmp_path, DocumentFile(tmp_path))


def test_ids_of_any_length(tmp_path: Path) -> None:
    ids = ["b" * 40, "a", "文", "c"]
    documents = [Document(each, "题", "文", f"{number}.txt") for number, each in enumerate(ids)]
    found, _ = write(tmp_path, documents, [[] for _ in documents])
    assert [found.row(each) for each in ids] == [0, 1, 2, 3]
    assert np.array_equal(found.first_passages, [0, 0, 0, 0, 0])
