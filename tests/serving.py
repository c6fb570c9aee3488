"""An assistant small enough to know by heart, for the tests of the server and of its pages."""

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from conftest import HashEmbedder, make_document
from szqa.assistant import Assistant
from szqa.datatypes import Block, Document, Hit, Span
from szqa.index import Index
from szqa.retriever import Retriever
from szqa.server import Limits
from szqa.server.connections import protocol_class
from szqa.text import Segmenter, character_bigrams, split_sentences

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>{{value}}${alert(1)}"

FACTORY_TEXT = (
    "绿色制造体系不断完善。苏州获评国家级绿色工厂93家、绿色工业园区9家。\n"
    "苏州获评省级绿色工厂325家。2024年苏州规模以上工业总产值4.68万亿元。\n"
    "第二届全国先进科技成果转化大会汇聚1180家参展单位。"
)


@contextmanager
def running(app: ASGIApp, limits: Limits | None = None) -> Iterator[int]:
    """The application on a free port of this machine, with connections as `szqa serve` keeps them; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=protocol_class(limits or Limits()),
        ws="none",
        proxy_headers=False,
        server_header=False,
        log_level="error",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=10)


class ClauseReader:
    """Answers with the number of the clause that shares most bigrams with the question, as sure as it shares many."""

    reader_id = "clauses"
    threshold = 0.5

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        asked = set(character_bigrams(re.sub(r"有?多少[家元]?|是|[？?]", "，", question)))
        spans = []
        for hit in hits:
            for low, high in split_sentences(hit.passage.text):
                for clause in re.finditer(r"[^，、；]+", hit.passage.text[low:high]):
                    number = re.search(r"[\d.]+(?:家|万亿元)|<script>.*</script>", clause.group())
                    if number and asked:
                        shared = len(asked.intersection(character_bigrams(clause.group()))) / len(asked)
                        start = low + clause.start() + number.start()
                        spans.append(Span(hit.passage, start, start + len(number.group()), min(1.0, shared)))
        return sorted(spans, key=lambda span: -span.score)


class SlowReader(ClauseReader):
    """Takes its time over questions that hold some words; says when it has begun, and counts."""

    def __init__(self, seconds: float, *, over: str = "") -> None:
        self.seconds = seconds
        self.over = over
        self.begun = threading.Semaphore(0)
        self.read_questions: list[str] = []

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        self.read_questions.append(question)
        self.begun.release()
        if self.over in question:
            time.sleep(self.seconds)
        return super().read(question, hits)


def make_assistant(reader: ClauseReader | None = None) -> Assistant:
    """Two documents: one about factories, one that tries to be markup."""
    factories = make_document(FACTORY_TEXT, title="苏州报告", source="suzhou.txt")
    heading = "一、绿色制造"
    text = f"{heading}\n{factories.text}"
    blocks = (Block("heading", 0, len(heading), 1), *_paragraphs(text, len(heading) + 1))
    report = Document(factories.id, "苏州报告", text, "suzhou.txt", blocks)
    evil = make_document(
        f"坏文档标题的脚本{EVIL}在这里。\n第二段写着一些别的话。", title=f"坏文档{EVIL}", source="evil.txt"
    )
    index = Index.build([report, evil], embedder=HashEmbedder(), segmenter=Segmenter())
    return Assistant(index, Retriever(index), reader or ClauseReader(), threshold=0.5)


def _paragraphs(text: str, position: int) -> list[Block]:
    blocks = []
    for line in text[position:].split("\n"):
        blocks.append(Block("prose", position, position + len(line)))
        position += len(line) + 1
    return blocks
