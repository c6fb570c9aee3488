"""Every vector store answers as brute force does."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from szqa.errors import ConfigurationError, IndexFormatError
from szqa.store import STORES, StoreOptions, VectorStore, store_class


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    rows = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


@pytest.fixture(params=sorted(STORES))
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> VectorStore:
    """A store of each kind, for vectors of eight numbers."""
    if request.param == "milvus":
        if find_spec("milvus_lite") is None:
            pytest.skip("needs milvus-lite: pip install 'szqa[milvus]'")
        from szqa.milvus import MilvusStore

        return MilvusStore(8, StoreOptions(str(tmp_path / "milvus.db"), timeout_s=60))
    return store_class(request.param)(8)


@pytest.fixture
def store(empty: VectorStore, vectors: NDArray[np.float32]) -> VectorStore:
    empty.add(vectors[:30])
    empty.add(vectors[30:])
    return empty


def test_search_equals_brute_force(store: VectorStore, vectors: NDArray[np.float32]) -> None:
    query = vectors[7]
    scores, rows = store.search(query, 10)
    expected = np.argsort(-(vectors @ query), kind="stable")[:10]
    assert rows.tolist() == expected.tolist()
    assert rows[0] == 7
    np.testing.assert_allclose(scores, (vectors @ query)[expected], atol=1e-6)


def test_more_asked_for_than_there_are(store: VectorStore, vectors: NDArray[np.float32]) -> None:
    scores, rows = store.search(vectors[0], 1000)
    assert len(store) == len(rows) == len(scores) == 50
    assert sorted(rows.tolist()) == list(range(50))


def test_vectors_come_back(store: VectorStore, vectors: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(store.vectors(np.array([49, 3])), vectors[[49, 3]], atol=1e-6)


def test_save_and_load(store: VectorStore, vectors: NDArray[np.float32], tmp_path: Path) -> None:
    store.save(tmp_path / "store")
    loaded = type(store).load(tmp_path / "store")
    assert len(loaded) == 50
    assert loaded.search(vectors[3], 5)[1].tolist() == store.search(vectors[3], 5)[1].tolist()


def test_wrong_shape_is_refused(store: VectorStore) -> None:
    with pytest.raises(ValueError, match=r"\(n, 8\)"):
        store.add(np.zeros((2, 9), dtype=np.float32))


def test_empty_store_finds_nothing(empty: VectorStore) -> None:
    assert empty.search(np.ones(8, dtype=np.float32), 3)[1].tolist() == []


def test_damaged_file_is_an_index_format_error(store: VectorStore, tmp_path: Path) -> None:
    store.save(tmp_path / "store")
    for path in (tmp_path / "store").iterdir():
        path.write_bytes(b"not an index")
    with pytest.raises(IndexFormatError, match="szqa build"):
        type(store).load(tmp_path / "store")


def test_unknown_store_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="faiss"):
        store_class("nothing")
