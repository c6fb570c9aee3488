"""Milvus as search engine: what it finds, and what an index in it is bound to.

Runs on milvus-lite; a server is called in the same way.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from conftest import HashEmbedder, make_document
from engines import QUESTION, load_milvus, write_milvus
from szqa.batches import Batch, make_batch
from szqa.building import Maker
from szqa.chunker import ChunkerSettings
from szqa.datatypes import Document
from szqa.engine import engine_terms
from szqa.engine_building import build_engine_index
from szqa.engine_index import EngineIndex, write_engine_index
from szqa.errors import ConfigurationError, IndexFormatError, MissingExtraError
from szqa.index import Index
from szqa.retriever import EngineRetriever, make_retriever
from szqa.store import StoreOptions, store_class
from szqa.text import Segmenter, split_sentences

pytest.importorskip("milvus_lite", reason="needs milvus-lite: pip install 'szqa[milvus]'")


T = TypeVar("T")


@pytest.fixture
def index(documents: list[Document], segmenter: Segmenter, tmp_path: Path) -> EngineIndex:
    write_milvus(tmp_path / "index", documents, segmenter)
    return load_milvus(tmp_path / "index")


def _base36(character: str, width: int = 3) -> str:
    return np.base_repr(ord(character), 36).lower().zfill(width)


def _silent(items: Sequence[T], label: str) -> Sequence[T]:
    return items


def test_terms_are_words_and_codes_of_bigrams() -> None:
    assert engine_terms("蘇州，ＧＤＰ") == engine_terms("苏州 gdp")
    assert engine_terms("苏州") == f"苏州 {_base36('苏')}{_base36('州')}"
    assert engine_terms("𠀀𠀁").split()[1:] == [_base36("𠀀", 4) + _base36("𠀁", 4)]
    assert engine_terms("，。！") == ""


def test_finds_what_the_index_in_files_finds(
    index: EngineIndex, documents: list[Document], segmenter: Segmenter
) -> None:
    local = make_retriever(Index.build(documents, embedder=HashEmbedder(), segmenter=segmenter))
    engine = make_retriever(index)
    assert isinstance(engine, EngineRetriever)
    for question in (QUESTION, "无锡新增几家博物馆", "数据来源是什么", "到2035年形成什么体系"):
        here, there = local.search(question, top_k=3), engine.search(question, top_k=3)
        assert there[0].passage == here[0].passage
        assert [hit.rank for hit in there] == [1, 2, 3]
        assert there[0].dense_score == pytest.approx(here[0].dense_score, abs=1e-6)
        assert there[0].lexical_score > 0


def test_best_sentence_decides_here_too(index: EngineIndex) -> None:
    question = "无锡新增几家博物馆"
    query = index.embedder.embed_query(question)
    plain = {hit.passage: hit.score for hit in EngineRetriever(index).search(question)}
    weight = 2 * (max(plain.values()) - min(plain.values()))
    hits = EngineRetriever(index, sentence_weight=weight).search(question, top_k=3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        text = hit.passage.text
        sentences = index.embedder.embed_passages([text[start:end] for start, end in split_sentences(text)])
        assert hit.score == pytest.approx(plain[hit.passage] + weight * max(0, *(sentences @ query)), abs=1e-4)


def test_modes_rank_by_one_score(index: EngineIndex) -> None:
    retriever = EngineRetriever(index)
    lexical = retriever.search("无锡的博物馆", mode="lexical")
    dense = retriever.search("无锡的博物馆", mode="dense")
    assert [hit.score for hit in lexical] == sorted((hit.lexical_score for hit in lexical), reverse=True)
    assert [hit.score for hit in dense] == sorted((hit.dense_score for hit in dense), reverse=True)
    assert retriever.without_meaning().search("无锡的博物馆") == lexical
    assert retriever.search("？？") == []


def test_words_of_the_user_dictionary_are_not_cut(tmp_path: Path) -> None:
    from pymilvus import MilvusClient

    dictionary = tmp_path / "userdict.txt"
    dictionary.write_text("智改数转网联 9 n\n", "utf-8")
    segmenter = Segmenter(dictionary)
    manifest = write_milvus(tmp_path / "index", [make_document("智改数转网联标杆企业。")], segmenter)
    schema = MilvusClient(str(tmp_path / "index" / "milvus.db")).describe_collection(
        f"szqa_{manifest.generation.removeprefix('generation-')}"
    )
    terms = next(field for field in schema["fields"] if field["name"] == "terms")
    analyzer = json.loads(terms["params"]["analyzer_params"])
    assert analyzer["tokenizer"]["dict"] == ["_default_", "智改数转网联"]
    assert "userdict.txt" in manifest.files


def test_passages_and_counts_are_bound_to_the_manifest(index: EngineIndex, documents: list[Document]) -> None:
    assert index.manifest.store == "milvus"
    assert index.manifest.passages == len(index.passages) == len(index.engine) == 5
    assert index.manifest.documents == len(index.documents) == 2
    assert "store/milvus.json" in index.manifest.files
    assert dict(index.documents.items()) == {document.id: document for document in documents}
    index.engine.check()


def test_a_rebuild_swaps_the_collection_and_keeps_the_one_before(
    index: EngineIndex, documents: list[Document], segmenter: Segmenter, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    for text in ("苏州很美。", "昆山很美。"):
        write_milvus(folder, [make_document(text, title="新")], segmenter)
        assert EngineRetriever(load_milvus(folder)).search("很美")[0].passage.text == text
        if text == "苏州很美。":  # who loaded the index before still gets its own passages
            assert "224家" in EngineRetriever(index).search(QUESTION)[0].passage.text
    assert len(list(folder.glob("generation-*"))) == 2
    with pytest.raises(IndexFormatError, match="szqa build"):
        EngineRetriever(index).search(QUESTION)


def test_a_build_that_fails_leaves_the_index_of_before(
    index: EngineIndex, documents: list[Document], segmenter: Segmenter, tmp_path: Path
) -> None:
    settings = ChunkerSettings()
    good = make_batch(documents, segmenter=segmenter, embedder=HashEmbedder(), settings=settings, with_terms=False)

    def batches() -> Iterator[Batch]:
        yield good
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_engine_index(
            tmp_path / "index",
            batches(),
            sources={},
            embedder=HashEmbedder(),
            segmenter=segmenter,
            store_name="milvus",
            options=StoreOptions(str(tmp_path / "index" / "milvus.db"), timeout_s=60),
            settings=settings,
        )
    assert len(list((tmp_path / "index").glob("generation-*"))) == 1
    assert len(list((tmp_path / "index" / "milvus.db" / "collections").iterdir())) == 1
    assert EngineRetriever(load_milvus(tmp_path / "index")).search(QUESTION) == EngineRetriever(index).search(QUESTION)


def test_a_corpus_is_built_once_and_again_when_it_changed(segmenter: Segmenter, tmp_path: Path) -> None:
    corpus, folder = tmp_path / "corpus", tmp_path / "index"
    corpus.mkdir()
    (corpus / "a.txt").write_text("苏州有33家企业获评省级智能工厂。", "utf-8")
    maker = Maker(corpus, HashEmbedder(), segmenter, ChunkerSettings(), with_terms=False)
    options = StoreOptions(str(tmp_path / "milvus.db"), timeout_s=60)

    def build() -> tuple[int, int]:
        built = build_engine_index(
            maker, folder, store_name="milvus", options=options, progress=lambda items, label: items
        )
        return built.read, built.kept

    assert build() == (1, 0)
    assert build() == (0, 1)
    (corpus / "b.txt").write_text("无锡在2024年新增5家博物馆。", "utf-8")
    assert build() == (2, 0)
    assert "博物馆" in EngineRetriever(load_milvus(folder)).search("无锡新增几家博物馆")[0].passage.text


def test_another_schema_under_the_name_is_refused(index: EngineIndex, tmp_path: Path) -> None:
    from pymilvus import DataType, MilvusClient

    uri = str(tmp_path / "index" / "milvus.db")
    name = f"szqa_{index.manifest.generation.removeprefix('generation-')}"
    client = MilvusClient(uri)
    client.drop_collection(name)
    with pytest.raises(IndexFormatError, match="没有这个索引的集合"):
        load_milvus(tmp_path / "index").engine.check()
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=4)
    client.create_collection(name, schema=schema)
    with pytest.raises(IndexFormatError, match="another schema") as caught:
        EngineRetriever(load_milvus(tmp_path / "index")).search(QUESTION)
    assert "4, ['dense', 'id'] ≠ 32" in str(caught.value)


def test_a_collection_with_other_rows_is_refused(
    index: EngineIndex, segmenter: Segmenter, tmp_path: Path, documents: list[Document]
) -> None:
    from pymilvus import MilvusClient

    name = f"szqa_{index.manifest.generation.removeprefix('generation-')}"
    MilvusClient(str(tmp_path / "index" / "milvus.db")).delete(name, filter="row in [4]")
    with pytest.raises(IndexFormatError, match="4 passages, expected 5"):
        load_milvus(tmp_path / "index").engine.check()


def test_a_row_that_is_another_passage_is_refused(index: EngineIndex, segmenter: Segmenter, tmp_path: Path) -> None:
    """Files of one build with the collection of another."""
    other = [make_document(f"无锡第{n}家博物馆。", title="无锡", source=f"{n}.txt") for n in range(5)]
    manifest = write_milvus(tmp_path / "other", other, segmenter)
    store = tmp_path / "other" / manifest.generation / "store"
    shutil.copytree(store, tmp_path / "mixed")
    mixed = EngineIndex(
        index.documents,
        index.passages,
        type(index.engine).load(tmp_path / "mixed", StoreOptions(timeout_s=60)),
        index.embedder,
        index.segmenter,
        index.settings,
        "milvus",
        index.manifest,
        index.lease,
    )
    with pytest.raises(IndexFormatError, match="another passage"):
        EngineRetriever(mixed).search("无锡博物馆")


def test_an_address_that_is_none_is_a_configuration_error(index: EngineIndex, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="milvus-uri"):
        write_milvus(tmp_path / "new", [], index.segmenter, options=StoreOptions())
    with pytest.raises(ConfigurationError, match=r"http://"):
        load_milvus(tmp_path / "index", StoreOptions("ftp://nowhere")).engine.check()
    with pytest.raises(ConfigurationError, match="above 0"):
        StoreOptions(timeout_s=0)


def test_without_pymilvus_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtraError, match=r"szqa\[milvus\]"):
        store_class("milvus")(8, StoreOptions("./milvus.db"))  # type: ignore[call-arg]


def test_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("2024年，苏州224家企业获评省级智能车间。", "utf-8")

    def szqa(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from szqa.cli import main; main()", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")

    built = szqa("build", "--store", "milvus", "--milvus-uri", "./passages.db")
    assert built.returncode == 0, built.stderr
    assert "1 条段落" in built.stderr
    assert (tmp_path / "passages.db").is_dir()
    answered = szqa("ask", "有多少家企业获评省级智能车间？")  # the index knows where its passages are
    assert answered.stdout.startswith("224家"), answered.stderr
    lost = szqa("ask", "有多少家？", "--milvus-uri", "http://127.0.0.1:9", "--milvus-timeout", "0.5")
    assert lost.returncode == 1
    assert lost.stderr.startswith("错误: http://127.0.0.1:9: 向量库 Milvus 没有作答")
    assert "Traceback" not in lost.stderr
