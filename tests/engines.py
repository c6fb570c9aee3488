"""Small indexes in milvus-lite, for the tests of Milvus and of what happens without it."""

from collections.abc import Sequence
from pathlib import Path

from conftest import HashEmbedder
from szqa.batches import make_batch
from szqa.chunker import ChunkerSettings
from szqa.datatypes import Document
from szqa.engine_index import EngineIndex, open_index, write_engine_index
from szqa.manifest import Manifest
from szqa.store import StoreOptions
from szqa.text import Segmenter

QUESTION = "多少家企业获评省级智能车间"


def write_milvus(
    folder: Path, documents: Sequence[Document], segmenter: Segmenter, *, options: StoreOptions | None = None
) -> Manifest:
    """Write an index; its passages go into milvus.db beside it unless the options say otherwise."""
    embedder, settings = HashEmbedder(), ChunkerSettings()
    batch = make_batch(documents, segmenter=segmenter, embedder=embedder, settings=settings, with_terms=False)
    return write_engine_index(
        folder,
        [batch],
        sources={},
        embedder=embedder,
        segmenter=segmenter,
        store_name="milvus",
        options=options or StoreOptions(str(folder / "milvus.db"), timeout_s=60),
        settings=settings,
    )


def load_milvus(folder: Path, options: StoreOptions | None = None) -> EngineIndex:
    """Load what ``write_milvus`` wrote."""
    index = open_index(
        folder, make_embedder=lambda _, __: HashEmbedder(), options=options or StoreOptions(timeout_s=60)
    )
    assert isinstance(index, EngineIndex)
    return index
