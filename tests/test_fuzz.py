"""Whatever the documents and the question: every citation is verbatim, and only errors meant for users come out."""

import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import HashEmbedder
from szqa.assistant import Assistant
from szqa.corpus import Limits, load_document
from szqa.datatypes import Document
from szqa.errors import CorpusError, QuestionError
from szqa.index import Index
from szqa.isolation import Isolation
from szqa.reader import Reader, load_reader
from szqa.retriever import Retriever
from szqa.text import Segmenter, character_bigrams
from test_corpus import make_pdf
from test_hostile_files import make_docx, with_document_xml

QUESTIONS_A_CORPUS = 10


class QuickEmbedder(HashEmbedder):
    """As the one of the other tests, but a bigram is looked up once."""

    def embed_query(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self.dimension, dtype=np.float32)
        for bigram in character_bigrams(text):
            total += _direction(bigram)
        norm = np.linalg.norm(total)
        return total / norm if norm else total


@cache
def _direction(bigram: str) -> NDArray[np.float32]:
    return HashEmbedder().embed_query(bigram)


WORDS = re.split(
    " ",
    "苏州 无锡 2024年 去年前11个月 33家 224家 4.68万亿元 第一 工厂 智能车间 企业 园区 获评 新增 共有 位于 是 的 "
    "增长 45.3% 其中 张三 局长 说 “智造之城” 《条例》 （试行） 蘇州 臺灣 ＡＢＣ ５Ｇ 5G network "
    "📈 👨‍👩‍👧 é が ① ㎡ 𠮷 ﷽ ½ ﬁ ß İ",
)
MARKS = (
    "。",
    "，",
    "、",
    "；",
    "：",
    "？",
    "！",
    "……",
    "\n",
    "\n\n",
    "\n　　",
    " ",
    "\t",
    "”",
    "）",
    "\f",
    ".",
    "一、",
    "（二）",
    "# ",
    "| ",
)
WILD = st.text(max_size=12)  # any character, lone surrogates left out by encoding below
PIECES = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), st.sampled_from(MARKS), WILD)
TEXTS = st.lists(PIECES, min_size=1, max_size=60).map("".join)
ASKING = (
    "",
    "？",
    "是多少？",
    "有几家？",
    "在哪里？",
    "是谁？",
    "什么时候",
    "为什么",
    "多少钱",
    "和去年比呢",
    "第几？",
    "吗",
    "\ud800？",
    "\x00",
)
ENCODINGS = ("utf-8", "utf-8", "gb18030", "utf-16", "big5")
SUFFIXES = (".txt", ".txt", ".md", ".html")


@st.composite
def _files(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """Names and contents of up to four source files."""
    return [
        (f"{number}{draw(st.sampled_from(SUFFIXES))}", text.encode(draw(st.sampled_from(ENCODINGS)), errors="ignore"))
        for number, text in enumerate(draw(st.lists(TEXTS, min_size=1, max_size=4)))
    ]


@st.composite
def _question(draw: st.DrawFn, documents: Sequence[Document]) -> str:
    """A piece of a document or of nothing in particular, with or without a question word."""
    text = draw(st.sampled_from([document.text for document in documents]))
    start = draw(st.integers(0, len(text)))
    begin = text[start : start + draw(st.integers(0, 30))]
    return draw(st.one_of(st.just(begin), TEXTS)) + draw(st.sampled_from(ASKING))


@pytest.fixture(scope="module")
def reader(segmenter: Segmenter) -> Reader:
    return load_reader(None, segmenter)


def _load(files: Sequence[tuple[str, bytes]]) -> list[Document]:
    documents = []
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files:
            path = Path(folder, name)
            path.write_bytes(content)
            try:
                documents.append(load_document(path, root=path.parent))
            except CorpusError as error:
                event("refused")
                assert "(" in str(error)
    return documents


def _check(assistant: Assistant, question: str) -> None:
    documents = assistant.index.documents
    try:
        answer = assistant.ask(question)
    except QuestionError:
        event("no question")
        return
    event("abstained" if answer.abstained else "answered")
    assert (answer.text is None) == (answer.citations == ())
    assert 0 <= answer.score <= 1
    for hit in answer.hits:
        passage = hit.passage
        assert documents[passage.document_id].text[passage.start : passage.end] == passage.text
    for number, citation in enumerate(answer.citations, 1):
        text = documents[citation.document_id].text
        assert citation.n == number
        assert text[citation.start : citation.end] == citation.quote
        assert citation.answer_start is not None
        assert citation.start <= citation.answer_start < (citation.answer_end or 0) <= citation.end
        assert text[citation.answer_start : citation.answer_end] == citation.answer
    if answer.text is not None:
        assert answer.citations[0].answer == answer.text
        assert answer.sentence == answer.citations[0].quote


def _ask_of_random_documents(segmenter: Segmenter, reader: Reader, *, corpora: int) -> int:
    """Ask ``QUESTIONS_A_CORPUS`` questions of each of so many random corpora; how many were asked."""
    asked = 0

    @settings(
        max_examples=corpora,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(_files(), st.data())
    def run(files: list[tuple[str, bytes]], data: st.DataObject) -> None:
        nonlocal asked
        documents = _load(files)
        if not documents:
            return
        index = Index.build(documents, embedder=QuickEmbedder(), segmenter=segmenter)
        # Half of the questions are answered whatever the reader thinks of them: what it proposes must hold, too.
        assistants = [Assistant(index, Retriever(index), reader, threshold) for threshold in (0.0, reader.threshold)]
        for number in range(QUESTIONS_A_CORPUS):
            _check(assistants[number % 2], data.draw(_question(documents)))
            asked += 1

    run()
    return asked


def test_citations_of_random_documents_are_verbatim(segmenter: Segmenter, reader: Reader) -> None:
    assert _ask_of_random_documents(segmenter, reader, corpora=30) >= 200


@pytest.mark.long
def test_citations_of_very_many_random_documents_are_verbatim(
    segmenter: Segmenter, reader: Reader, state: Callable[[str], None]
) -> None:
    asked = _ask_of_random_documents(segmenter, reader, corpora=1_100)
    state(f"{asked} random questions asked of random documents: every citation verbatim")
    assert asked >= 10_000


# Bytes


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with pieces of it overwritten, left out, doubled or put elsewhere."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        piece = draw(
            st.one_of(
                st.binary(max_size=12),
                st.just(bytes(content[start:end]) * 2),
                st.sampled_from(
                    [b"0", b"-1", b"99999999999", b"<<", b">>", b"[", b"(", b" 2 0 R", b"<![", b"<a ", b"&#"]
                ),
            )
        )
        content[start:end] = piece
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def _whole_files() -> dict[str, bytes]:
    page = (
        "<html><head><meta charset=utf-8><title>苏州</title></head><body><h1>苏州</h1><table><tr><td>33<td>家</table>"
    )
    return {
        "a.pdf": make_pdf([["苏州工业", "苏州有33家工厂。"], ["第二页。"]]),
        "a.html": f"{page}<ul><li>甲<li>乙</ul><!-- x --><pre>a</pre>&amp;&#27;".encode(),
        "a.md": "---\ntitle: 题\n---\n# 苏州\n\n- 甲\n- 乙\n\n| 年 |\n| - |\n| 1 |\n\n<div>x</div>\n".encode(),
        "a.txt": "苏州工业\n\n一、概况\n苏州有33家工厂。\f第二页".encode(),
        "b.txt": "苏州工业\n\n一、概况\n苏州有33家工厂。\f第二页".encode("gb18030"),
        "a.docx": make_docx(),
    }


def _load_damaged_files(*, examples: int) -> int:
    """Load so many damaged files, each of them read, refused by name, or a failure."""
    pytest.importorskip("pypdf")
    whole = _whole_files()
    with zipfile.ZipFile(io.BytesIO(whole["a.docx"])) as archive:
        document_xml = archive.read("word/document.xml")
    loaded = 0
    with tempfile.TemporaryDirectory() as folder, Isolation(Limits(seconds=60)) as isolation:

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.data())
        def run(data: st.DataObject) -> None:
            nonlocal loaded
            name = data.draw(st.sampled_from([*whole, "xml"]))
            if name == "xml":  # a sound archive around a damaged document
                name, content = "a.docx", with_document_xml(data.draw(_damaged(document_xml)))
            else:
                content = data.draw(st.one_of(_damaged(whole[name]), st.binary(max_size=300)))
            path = Path(folder, name)
            path.write_bytes(content)
            loaded += 1
            try:
                document = load_document(path, root=path.parent, isolation=isolation)
            except CorpusError as error:
                assert "程序崩溃" not in str(error)
                assert "没有读完" not in str(error)
                return
            assert not re.search("[\x00-\x08\x0e-\x1f]", document.text + document.title)

        run()
    return loaded


def test_damaged_files_are_read_or_refused() -> None:
    assert _load_damaged_files(examples=150) >= 100


@pytest.mark.long
def test_very_many_damaged_files_are_read_or_refused(state: Callable[[str], None]) -> None:
    loaded = _load_damaged_files(examples=5_000)
    state(f"{loaded} damaged files: read, or refused by name; none crashed or hung what read it")
