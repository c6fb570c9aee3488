"""An index in memory and on disk: the same passages, and nothing that does not fit together is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import HashEmbedder
from szqa.datatypes import Document
from szqa.embedder import Embedder
from szqa.errors import IndexFormatError, IndexMissingError, IndexWriteError
from szqa.generations import LOCK_NAME
from szqa.index import Index, hash_sources, stale_reasons
from szqa.manifest import MANIFEST_NAME, SCHEMA, Manifest
from szqa.text import Segmenter


@pytest.fixture
def index(documents: list[Document], embedder: HashEmbedder, segmenter: Segmenter) -> Index:
    return Index.build(documents, embedder=embedder, segmenter=segmenter)


def _hash_embedder(_: Manifest, __: Segmenter) -> Embedder:
    return HashEmbedder()


def _load(folder: Path) -> Index:
    return Index.load(folder, make_embedder=_hash_embedder)


def test_rows_are_passages(index: Index) -> None:
    assert len(index.passages) == len(index.store) == index.lexical.size == 5
    for passage in index.passages:
        document = index.documents[passage.document_id]
        assert document.text[passage.start : passage.end] == passage.text


def test_save_and_load(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path, sources={"a.txt": "0"})
    loaded = _load(tmp_path)
    assert list(loaded.passages) == list(index.passages)
    assert dict(loaded.documents) == dict(index.documents)
    assert loaded.lexical.scores("苏州智能工厂").tolist() == index.lexical.scores("苏州智能工厂").tolist()
    assert loaded.manifest is not None
    assert loaded.manifest.sources == {"a.txt": "0"}


def test_saving_again_replaces_and_leaves_other_files_alone(index: Index, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", "utf-8")
    first = index.save(tmp_path, sources={})
    second = index.save(tmp_path, sources={})
    assert first.generation != second.generation
    names = {path.name for path in tmp_path.iterdir()} - {LOCK_NAME}
    assert names == {"README.md", MANIFEST_NAME, second.generation}


def test_failing_save_leaves_the_old_index_whole(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.save(tmp_path, sources={})
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Manifest, "write", full)
    with pytest.raises(IndexWriteError, match="磁盘或配额已满"):
        index.save(tmp_path, sources={})
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert len(_load(tmp_path).passages) == 5


def test_missing_index_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(IndexMissingError, match="szqa build"):
        _load(tmp_path / "nowhere")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [Path.unlink, _truncate], ids=["missing", "truncated"])
def test_damage_to_any_file_is_found(index: Index, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    manifest = index.save(tmp_path, sources={})
    assert len(manifest.files) > 5
    for name in manifest.files:
        path = tmp_path / manifest.generation / name
        if not path.stat().st_size:
            continue
        content = path.read_bytes()
        damage(path)
        with pytest.raises(IndexFormatError, match="szqa build"):
            _load(tmp_path)
        path.write_bytes(content)
    assert len(_load(tmp_path).passages) == 5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema": 99}, "99"),
        ({"passages": "five"}, "passages"),
        ({"generation": "../elsewhere"}, "manifest"),
        ({"segmenter": "jieba-0.1+0"}, "jieba-0.1"),
        ({"embedder_fingerprint": "other"}, "other"),
    ],
)
def test_foreign_manifest_is_refused(index: Index, tmp_path: Path, change: dict[str, object], named: str) -> None:
    index.save(tmp_path, sources={})
    path = tmp_path / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), "utf-8")
    with pytest.raises(IndexFormatError, match=named):
        _load(tmp_path)


def test_an_index_of_an_older_szqa_says_what_to_do(tmp_path: Path) -> None:
    # As szqa wrote it before lexical/series existed.
    (tmp_path / "generation-00" / "lexical").mkdir(parents=True)
    content = {"schema": 1, "generation": "generation-00", "files": {}, "sources": {}, "store": "faiss"}
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(content), "utf-8")
    with pytest.raises(IndexFormatError, match=f"索引格式为 1，本版本需要 {SCHEMA}.*szqa build"):
        _load(tmp_path)


@pytest.mark.parametrize("name", ["documents.npy", "passages.jsonl", "first_passages.npy", "lexical/series/keys.npy"])
def test_files_that_the_manifest_does_not_name_are_missed_too(index: Index, tmp_path: Path, name: str) -> None:
    manifest = index.save(tmp_path, sources={})
    path = tmp_path / MANIFEST_NAME
    content = json.loads(path.read_text("utf-8"))
    del content["files"][name]
    path.write_text(json.dumps(content), "utf-8")
    (tmp_path / manifest.generation / name).unlink()
    with pytest.raises(IndexFormatError, match="szqa build"):
        _load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": 1}'])
def test_half_written_manifest_is_refused(index: Index, tmp_path: Path, content: bytes) -> None:
    index.save(tmp_path, sources={})
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(IndexFormatError, match="szqa build"):
        _load(tmp_path)


def test_stale_reasons(index: Index, tmp_path: Path, embedder: HashEmbedder, segmenter: Segmenter) -> None:
    corpus, folder = tmp_path / "corpus", tmp_path / "index"
    corpus.mkdir()
    (corpus / "a.txt").write_text("苏州很美。", "utf-8")
    (corpus / "b.txt").write_text("无锡很美。", "utf-8")
    assert "szqa build" in stale_reasons(folder, corpus, embedder=embedder, segmenter=segmenter)[0]
    index.save(folder, sources=hash_sources(corpus))
    assert stale_reasons(folder, corpus, embedder=embedder, segmenter=segmenter) == []
    (corpus / "a.txt").write_text("苏州更美。", "utf-8")
    (corpus / "b.txt").unlink()
    (corpus / "c.txt").write_text("常州很美。", "utf-8")
    reasons = stale_reasons(folder, corpus, embedder=embedder, segmenter=segmenter)
    assert [reason.split(": ")[-1] for reason in reasons] == ["c.txt", "b.txt", "a.txt"]


def test_changed_dictionary_makes_the_index_stale(
    index: Index, tmp_path: Path, embedder: HashEmbedder, segmenter: Segmenter
) -> None:
    corpus, folder = tmp_path / "corpus", tmp_path / "index"
    corpus.mkdir()
    (corpus / "a.txt").write_text("苏州很美。", "utf-8")
    index.save(folder, sources=hash_sources(corpus))
    dictionary = corpus / "userdict.txt"
    dictionary.write_text("专精特新 100 n\n", "utf-8")
    reasons = stale_reasons(folder, corpus, embedder=embedder, segmenter=Segmenter(dictionary))
    assert len(reasons) == 1
    assert "userdict.txt" in reasons[0]


def test_dictionary_travels_with_the_index(tmp_path: Path, documents: list[Document], embedder: HashEmbedder) -> None:
    dictionary = tmp_path / "userdict.txt"
    dictionary.write_text("智能车间 100 n\n", "utf-8")
    built = Index.build(documents, embedder=embedder, segmenter=Segmenter(dictionary))
    built.save(tmp_path / "index", sources={})
    dictionary.unlink()
    assert _load(tmp_path / "index").segmenter.fingerprint == built.segmenter.fingerprint
