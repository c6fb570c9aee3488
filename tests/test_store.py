"""Every vector store answers as brute force does."""

import re
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


def _flat(vectors: NDArray[np.float32], folder: Path) -> VectorStore:
    made = store_class("faiss")(vectors.shape[1])
    made.add(vectors[:30])
    made.add(vectors[30:])
    return made


def _flat_mapped(vectors: NDArray[np.float32], folder: Path) -> VectorStore:
    _flat(vectors, folder).save(folder)
    return store_class("faiss").load(folder)


def _clustered(vectors: NDArray[np.float32], folder: Path) -> VectorStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("szqa.store._CLUSTERED_ROWS", len(vectors))
        return _flat_mapped(vectors, folder)


def _milvus(vectors: NDArray[np.float32], folder: Path) -> VectorStore:
    if find_spec("milvus_lite") is None:
        pytest.skip("needs milvus-lite: pip install 'szqa[milvus]'")
    from szqa.milvus import MilvusStore

    folder.mkdir(parents=True, exist_ok=True)
    made = MilvusStore(vectors.shape[1], StoreOptions(str(folder / "milvus.db"), timeout_s=60))
    made.add(vectors[:30])
    made.add(vectors[30:])
    return made


KINDS = {"faiss flat": _flat, "faiss flat, mapped": _flat_mapped, "faiss ivf": _clustered, "milvus": _milvus}


def test_every_store_has_its_kinds_tested() -> None:
    assert {name.split()[0] for name in KINDS} == set(STORES)


@pytest.fixture(params=sorted(KINDS))
def store(request: pytest.FixtureRequest, vectors: NDArray[np.float32], tmp_path: Path) -> VectorStore:
    return KINDS[request.param](vectors, tmp_path / "made")


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


def test_the_kind_goes_by_size_and_says_its_recall(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((40, 32))
    rows = (centres[rng.integers(0, 40, 4000)] + 0.7 * rng.standard_normal((4000, 32))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert _flat_mapped(rows, tmp_path / "flat").kind == "faiss-flat"
    store = _clustered(rows, tmp_path / "ivf")
    named = re.fullmatch(r"faiss-ivf63, nprobe (\d+), recall@10 ([01]\.\d{3})", store.kind)
    assert named
    assert float(named[2]) >= 0.95
    found = [set(store.search(query, 10)[1].tolist()) for query in rows[::40]]
    exact = [set(np.argsort(-(rows @ query))[:10].tolist()) for query in rows[::40]]
    assert np.mean([len(one & other) / 10 for one, other in zip(found, exact, strict=True)]) >= 0.95
    np.testing.assert_array_equal(store.vectors(np.array([3999, 0, 7])), rows[[3999, 0, 7]])
    store.save(tmp_path / "again")
    assert store_class("faiss").load(tmp_path / "again").kind == store.kind


def test_wrong_shape_is_refused(store: VectorStore) -> None:
    with pytest.raises(ValueError, match=r"\(n, 8\)"):
        store.add(np.zeros((2, 9), dtype=np.float32))


def test_a_mapped_store_takes_no_more(vectors: NDArray[np.float32], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mapped"):
        _flat_mapped(vectors, tmp_path).add(vectors)


def test_empty_store_finds_nothing() -> None:
    assert store_class("faiss")(8).search(np.ones(8, dtype=np.float32), 3)[1].tolist() == []


def test_damaged_file_is_an_index_format_error(store: VectorStore, tmp_path: Path) -> None:
    store.save(tmp_path / "damaged")
    for path in (tmp_path / "damaged").iterdir():
        path.write_bytes(b"not an index")
    with pytest.raises(IndexFormatError, match="szqa build"):
        type(store).load(tmp_path / "damaged")


def test_unknown_store_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="faiss"):
        store_class("nothing")
