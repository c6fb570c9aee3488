"""Building with two processes of a local Ray: the same index, and what is done is not done again.

Skips where Ray is not installed; the files that blocks are kept in are tested either way.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from conftest import ROOT, HashEmbedder
from szqa import building
from szqa.blocks import Blocks, block_key
from szqa.building import Maker, build_index
from szqa.chunker import ChunkerSettings
from szqa.corpus import find_files, user_dictionary
from szqa.embedder import StaticEmbedder
from szqa.errors import CorpusError
from szqa.manifest import Manifest
from szqa.ray_workers import RayWorkers
from szqa.text import Segmenter

T = TypeVar("T")


def silent(items: Sequence[T], label: str) -> Sequence[T]:
    return items


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(ROOT / "corpus" / "userdict.txt", folder)
    for number in range(6):
        text = f"第{number}号报告\n\n本年增长{number}.5%，就业稳定。\n\n苏州园林很美。\n"
        (folder / ("sub" if number % 2 else "") / f"report-{number}.txt").write_text(text, "utf-8")
    return folder


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_BATCH_BYTES", 100)


def make_maker(corpus: Path) -> Maker:
    segmenter = Segmenter(user_dictionary(corpus))
    return Maker(corpus, StaticEmbedder(segmenter), segmenter, ChunkerSettings())


def files_of(folder: Path) -> dict[str, bytes]:
    home = folder / Manifest.read(folder).generation
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_block_comes_back_as_it_was(corpus: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    maker = Maker(corpus, HashEmbedder(), segmenter, ChunkerSettings())
    batch, problems = maker.make(find_files(corpus)[0])
    blocks = Blocks(tmp_path / "blocks")
    assert "k" not in blocks
    blocks.write("k", batch)
    assert "k" in blocks
    found = blocks.read("k")
    assert problems == []
    assert found.entries == batch.entries
    assert found.terms.titles == batch.terms.titles
    np.testing.assert_array_equal(found.vectors, batch.vectors)
    for field in ("body", "title"):
        for name in ("lengths", "sizes", "keys", "counts"):
            one, other = getattr(getattr(found.terms, field), name), getattr(getattr(batch.terms, field), name)
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    assert [path.name for path in blocks.folder.iterdir()] == ["k.npz"]


def test_keys_tell_what_blocks_are_made_of() -> None:
    assert block_key(["a", "b"]) == block_key(["a", "b"])
    assert len({block_key(parts) for parts in (["a", "b"], ["ab"], ["a b"], ["b", "a"], [])}) == 5


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'szqa[ray]'")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("two_workers", "small_groups")
def test_ray_makes_the_same_index_and_goes_on_where_it_stopped(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # as it is called: from beside the corpus
    maker = make_maker(Path("corpus"))
    workers = RayWorkers(tmp_path / "blocks", 2)
    build_index(maker, tmp_path / "plain", progress=silent)
    build_index(maker, tmp_path / "ray", workers=workers, progress=silent)
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "plain")

    kept = sorted((tmp_path / "blocks").iterdir())
    assert len(kept) == 3  # two files are 100 bytes
    kept[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in kept[1:]}
    build_index(maker, tmp_path / "ray", workers=workers, full=True, progress=silent)
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "plain")
    assert sorted((tmp_path / "blocks").iterdir()) == kept
    assert {path: path.stat().st_mtime_ns for path in kept[1:]} == times

    (corpus / "bad.txt").write_bytes(b"\x00\x01\x02\xff\xfe\x00" * 50)
    with pytest.raises(CorpusError, match=r"bad\.txt"):
        build_index(maker, tmp_path / "ray", workers=workers, full=True, progress=silent)
    workers.clear()
    assert not (tmp_path / "blocks").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("two_workers", "small_groups")
def test_ray_fills_milvus_with_the_same_passages(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="needs milvus-lite: pip install 'szqa[milvus]'")
    from szqa.engine_building import build_engine_index
    from szqa.engine_index import EngineIndex
    from szqa.store import StoreOptions

    maker = make_maker(corpus)
    options = StoreOptions(str(tmp_path / "milvus.db"), timeout_s=60)
    found = {}
    for name, workers in (("plain", None), ("ray", RayWorkers(tmp_path / "blocks", 2))):
        build_engine_index(
            maker, tmp_path / name, store_name="milvus", options=options, workers=workers, progress=silent
        )
        index = EngineIndex.load(tmp_path / name, make_embedder=lambda _, __: maker.embedder, options=options)
        rows = np.arange(len(index.passages))
        found[name] = ([passage.id for passage in index.passages], index.engine.vectors(rows).tolist())
    assert len(found["plain"][0]) >= 6
    assert found["ray"] == found["plain"]
