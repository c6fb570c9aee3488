"""Building from a folder: in one process or several, from nothing or from the index that is there, the same index."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from conftest import ROOT, HashEmbedder
from szqa import building
from szqa.building import Build, Maker, build_index
from szqa.chunker import ChunkerSettings
from szqa.corpus import user_dictionary
from szqa.embedder import Embedder, StaticEmbedder
from szqa.errors import CorpusError
from szqa.generations import LOCK_NAME
from szqa.index import Index
from szqa.manifest import MANIFEST_NAME, Manifest
from szqa.retriever import Retriever
from szqa.text import Segmenter

_Item = TypeVar("_Item")
QUESTIONS = ("苏州有几家智能工厂？", "无锡的博物馆", "常州的景点在哪里", "第3号报告的数字")


class Recorder:
    """A progress that remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: dict[str, list[object]] = {}

    def __call__(self, items: Sequence[_Item], label: str) -> Iterable[_Item]:
        for item in items:
            self.seen.setdefault(label.split()[-1], []).append(item)
            yield item


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("苏州概况\n\n2024年，苏州33家企业获评省级智能工厂。苏州园林很美。\n", "utf-8")
    (folder / "b.txt").write_text("无锡概况\n\n无锡新增5家博物馆。太湖风景很美。\n", "utf-8")
    (folder / "sub" / "c.md").write_text(
        "# 常州概况\n\n## 景点\n\n恐龙园在常州。\n\n## 交通\n\n高铁两小时。\n", "utf-8"
    )
    for number in range(4):
        (folder / f"report-{number}.txt").write_text(f"第{number}号报告\n\n本年增长{number}.5%，就业稳定。\n", "utf-8")
    return folder


def build(
    corpus: Path, index: Path, *, full: bool = False, embedder: Embedder | None = None, processes: int = 1
) -> tuple[Build, Recorder]:
    segmenter = Segmenter(user_dictionary(corpus))
    maker = Maker(corpus, embedder or HashEmbedder(), segmenter, ChunkerSettings())
    recorder = Recorder()
    return build_index(maker, index, full=full, processes=processes, progress=recorder), recorder


def files_of(folder: Path) -> dict[str, bytes]:
    home = folder / Manifest.read(folder).generation
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def answers(folder: Path, embedder: Embedder | None = None) -> list[list[tuple[str, float, float]]]:
    index = Index.load(folder, make_embedder=lambda _, __: embedder or HashEmbedder())
    retriever = Retriever(index)
    return [[(hit.passage.id, hit.score, hit.lexical_score) for hit in retriever.search(q)] for q in QUESTIONS]


def add(corpus: Path) -> None:
    (corpus / "aa.txt").write_text("南京概况\n\n南京有长江大桥，全长约6772米。\n", "utf-8")


def remove(corpus: Path) -> None:
    (corpus / "b.txt").unlink()


def change(corpus: Path) -> None:
    (corpus / "a.txt").write_text("苏州概况\n\n2025年，苏州40家企业获评省级智能工厂。\n\n苏州有地铁。\n", "utf-8")


def rename(corpus: Path) -> None:
    (corpus / "b.txt").rename(corpus / "z.txt")


def everything(corpus: Path) -> None:
    for step in (add, change, rename):
        step(corpus)
    (corpus / "sub" / "c.md").unlink()


@pytest.mark.parametrize(
    ("edit", "read", "kept"),
    [(add, 1, 7), (remove, 0, 6), (change, 1, 6), (rename, 1, 6), (everything, 3, 4)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_bringing_up_to_date_is_the_same_as_building_anew(
    corpus: Path, tmp_path: Path, edit: object, read: int, kept: int
) -> None:
    build(corpus, tmp_path / "index")
    assert callable(edit)
    edit(corpus)
    built, recorder = build(corpus, tmp_path / "index")
    assert (built.read, built.kept) == (read, kept)
    assert len(recorder.seen.get("cut", [])) == read
    build(corpus, tmp_path / "anew")
    assert files_of(tmp_path / "index") == files_of(tmp_path / "anew")
    assert answers(tmp_path / "index") == answers(tmp_path / "anew")
    assert Manifest.read(tmp_path / "index").sources == Manifest.read(tmp_path / "anew").sources


def test_nothing_changed_leaves_the_index_as_it_is(corpus: Path, tmp_path: Path) -> None:
    first, _ = build(corpus, tmp_path / "index")
    second, recorder = build(corpus, tmp_path / "index")
    assert (second.manifest, second.read, second.kept) == (first.manifest, 0, 7)
    assert recorder.seen == {}
    third, _ = build(corpus, tmp_path / "index", full=True)
    assert third.manifest.generation != first.manifest.generation
    assert (third.read, third.kept) == (7, 0)
    assert third.manifest.files == first.manifest.files


def test_other_settings_or_models_read_everything_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(corpus, tmp_path / "index")
    (corpus / "userdict.txt").write_text("恐龙园 100 n\n", "utf-8")
    assert build(corpus, tmp_path / "index")[0].read == 7
    monkeypatch.setattr(HashEmbedder, "fingerprint", "test-hash-2")
    assert build(corpus, tmp_path / "index")[0].read == 7
    monkeypatch.setattr(building, "recipe", lambda: "reads files differently")
    assert build(corpus, tmp_path / "index")[0].read == 7


def test_a_damaged_index_is_built_anew(corpus: Path, tmp_path: Path) -> None:
    manifest = build(corpus, tmp_path / "index")[0].manifest
    (tmp_path / "index" / manifest.generation / "passages.jsonl").write_bytes(b"{}\n")
    assert build(corpus, tmp_path / "index")[0].read == 7
    assert answers(tmp_path / "index")[0]


def test_problems_are_listed_together_and_the_old_index_stays(corpus: Path, tmp_path: Path) -> None:
    build(corpus, tmp_path / "index")
    before = (tmp_path / "index" / MANIFEST_NAME).read_bytes()
    (corpus / "empty.txt").write_bytes(b"")
    (corpus / "odd.xyz").write_text("x", "utf-8")
    with pytest.raises(CorpusError) as caught:
        build(corpus, tmp_path / "index")
    assert len(caught.value.problems) == 2
    assert (tmp_path / "index" / MANIFEST_NAME).read_bytes() == before
    assert len([path for path in (tmp_path / "index").iterdir() if path.name != LOCK_NAME]) == 2
    (tmp_path / "nothing").mkdir()
    with pytest.raises(CorpusError, match="没有文档"):
        build(tmp_path / "nothing", tmp_path / "index")


def test_several_processes_make_the_same_index(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "corpus" / "userdict.txt", corpus)
    monkeypatch.setattr(building, "_PARALLEL_BYTES", 0)
    monkeypatch.setattr(building, "_BATCH_BYTES", 100)
    static = StaticEmbedder(Segmenter(user_dictionary(corpus)))
    build(corpus, tmp_path / "two", embedder=static, processes=2)
    build(corpus, tmp_path / "one", embedder=static)
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")
    (corpus / "empty.txt").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"empty\.txt"):
        build(corpus, tmp_path / "two", embedder=static, processes=2, full=True)
