"""What the tests share: a tiny deterministic embedder, a segmenter, and documents small enough to reason about."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from szqa.datatypes import Block, Document
from szqa.text import Segmenter, character_bigrams

# Two shared cores: a slow first example says nothing about the code.
settings.register_profile("szqa", deadline=None)
settings.load_profile("szqa")

ROOT = Path(__file__).parent.parent


class HashEmbedder:
    """Each character bigram is a fixed random direction; deterministic from process to process."""

    model_id = "test-hash"
    fingerprint = "test-hash-1"
    query_prefix = ""
    dimension = 32

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.embed_query(text) for text in texts]) if texts else np.zeros((0, 32), np.float32)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self.dimension, dtype=np.float64)
        for bigram in character_bigrams(text):
            seed = int.from_bytes(hashlib.sha256(bigram.encode()).digest()[:8], "big")
            total += np.random.default_rng(seed).standard_normal(self.dimension)
        norm = np.linalg.norm(total)
        return (total / norm if norm else total).astype(np.float32)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may do everything whatever the modes of files say, so become nobody."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def make_document(text: str, *, title: str = "标题", source: str = "a.txt") -> Document:
    """A document whose lines are passages of their own: notes, since short prose is put together."""
    blocks, position = [], 0
    for line in text.split("\n"):
        if line:
            blocks.append(Block("note", position, position + len(line)))
        position += len(line) + 1
    return Document(hashlib.sha256(source.encode()).hexdigest()[:12], title, text, source, tuple(blocks))


@pytest.fixture
def state(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a figure that a test has measured, whether it passes or not."""

    def write(figure: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{figure}\n")

    return write


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    return Segmenter()


@pytest.fixture(scope="session")
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
def documents() -> list[Document]:
    return [
        make_document(
            "苏州有33家企业获评省级智能工厂，224家企业获评省级智能车间。\n"
            "到2035年，基本形成具有世界一流竞争力的现代工业体系。\n"
            "数据来源：苏州市工业和信息化局",
            title="苏州报告",
            source="suzhou.txt",
        ),
        make_document("无锡的太湖风景很美。\n无锡在2024年新增5家博物馆。", title="无锡报告", source="wuxi.txt"),
    ]
