"""Builds, loads and asks in a process of its own, which a test may kill: ``python building.py COMMAND FOLDER …``.

Every version of the corpus says its number in each of its documents, so an answer tells which version it is of and an
index that mixes two gives itself away.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from conftest import HashEmbedder, make_document
from szqa.datatypes import Document, Hit, Span
from szqa.embedder import Embedder
from szqa.errors import SzqaError
from szqa.generations import build_lock
from szqa.index import Index
from szqa.manifest import Manifest
from szqa.text import Segmenter

TOWNS = ("苏州", "无锡", "常州", "南通")


class RememberingEmbedder(HashEmbedder):
    """Embeds a text once: what is tested is the writing, and nearly all texts of two versions are the same."""

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return _embedded(text)


@cache
def _embedded(text: str) -> NDArray[np.float32]:
    return HashEmbedder().embed_query(text)


def documents(version: int) -> list[Document]:
    """The corpus: a document a town, each of which says the version."""
    lines = "\n".join(f"第{n}条，本市新增企业{n}家。" for n in range(24))
    return [
        make_document(f"{town}的版本是第{version}版。\n{lines}", title=town, source=f"{number}.txt")
        for number, town in enumerate(TOWNS)
    ]


def build(version: int, segmenter: Segmenter) -> Index:
    return Index.build(documents(version), embedder=RememberingEmbedder(), segmenter=segmenter)


def load(folder: Path) -> Index:
    def embedder(_: Manifest, __: Segmenter) -> Embedder:
        return RememberingEmbedder()

    return Index.load(folder, make_embedder=embedder)


class VersionReader:
    """Answers with the version that a passage tells; the best passage first."""

    reader_id = "version"
    threshold = 0.5

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        spans = []
        for hit in hits:
            start, end = hit.passage.text.find("第"), hit.passage.text.find("版。")
            if "版本" in hit.passage.text:
                spans.append(Span(hit.passage, start, end + 1, 1 / hit.rank))
        return spans


def versions(index: Index) -> set[str]:
    """What the index answers when it is asked for the version of each town."""
    from szqa.assistant import Assistant
    from szqa.retriever import Retriever

    assistant = Assistant(index, Retriever(index), VersionReader(), threshold=0.0)
    found = set()
    for town in TOWNS:
        answer = assistant.ask(f"{town}的版本是第几版？")
        if answer.text is None:
            raise AssertionError(f"no answer for {town}")
        citation = answer.citations[0]
        text = index.documents[citation.document_id].text
        if citation.title != town or text[citation.start : citation.end] != citation.quote:
            raise AssertionError(f"{town}: cites {citation}")
        found.add(answer.text)
    return found


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _build_forever(folder: Path, first: str) -> None:
    segmenter = Segmenter()
    say("ready")
    for version in range(int(first), 1_000_000):
        index = build(version, segmenter)
        say("saving")
        index.save(folder, sources={})
        say(str(version))


def _build_once(folder: Path, version: str, wait_s: str) -> None:
    index = build(int(version), Segmenter())
    say("ready")
    sys.stdin.readline()
    index.save(folder, sources={}, wait_s=float(wait_s))
    say("saved")


def _hold_the_lock(folder: Path) -> None:
    with build_lock(folder, wait_s=0):
        say("ready")
        sys.stdin.readline()


def _ask_until_told(folder: Path) -> None:
    """Load and ask over and over; say every version seen, and how many loads it took."""
    from queue import Empty, SimpleQueue
    from threading import Thread

    told: SimpleQueue[str] = SimpleQueue()
    Thread(target=lambda: told.put(sys.stdin.readline()), daemon=True).start()
    loads, stale, ending = 0, 0, False
    index = load(folder)
    seen = versions(index)
    say("ready")
    while not ending:
        with suppress(Empty):
            told.get(timeout=0.001)
            ending = True  # after one more load
        stale += index.is_stale()
        index = load(folder)
        loads += 1
        found = versions(index)
        if len(found) != 1:
            raise AssertionError(f"a mixed answer: {found}")
        seen |= found
    say(f"{loads} {len(seen)} {stale}")


COMMANDS: dict[str, Callable[..., None]] = {
    "forever": _build_forever,
    "once": _build_once,
    "lock": _hold_the_lock,
    "ask": _ask_until_told,
}

if __name__ == "__main__":
    command, place, *rest = sys.argv[1:]
    try:
        with patch("szqa.index.Segmenter", cache(Segmenter)):  # a second to make: readers are to read, over and over
            COMMANDS[command](Path(place), *rest)
    except SzqaError as error:
        say(f"{type(error).__name__}: {error}")
        sys.exit(1)
