"""Haystack 2: in-memory BM25 and embedding retrieval, joined by rank, and its extractive reader.

Runs in the peers' environment. How it is spoken to: ``talk.py``.

Set up as its documentation says: a hybrid pipeline of ``InMemoryBM25Retriever``, ``SentenceTransformersTextEmbedder``,
``InMemoryEmbeddingRetriever`` and ``DocumentJoiner`` (reciprocal rank fusion), then ``ExtractiveReader``; the store is
kept with ``save_to_disk``. For languages without spaces the documentation offers ``bm25_tokenization_regex`` alone: the
default takes a whole clause of Chinese for one word (deepset-ai/haystack, issue 12836). Chinese is cut into bigrams of
characters here, which rank better than the single characters proposed there (issue 12867).
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

from haystack import Document, Pipeline

from side_by_side.talk import Reply, talk

# A lookahead with one group: findall gives overlapping pairs of Han characters, and whole words of other letters.
_BIGRAMS = r"(?=([\u3400-\u9fff]{2}|(?<![0-9A-Za-z])[0-9A-Za-z]+))"
# szqa reads as many passages.
_TOP_K = 5
# The vectors are weak here and count little beside the words, as in szqa; by default both count alike.
_WEIGHTS = [0.9, 0.1]
_MODELS = Path(os.environ["PEER_MODELS"])

warnings.filterwarnings("ignore", category=FutureWarning)


def _build(passages: Path, home: Path) -> None:
    from haystack.components.embedders import SentenceTransformersDocumentEmbedder
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    rows = [json.loads(line) for line in passages.read_text("utf-8").splitlines()]
    documents = [
        Document(id=f"{number}", content=row["text"], meta={"document": row["document"]})
        for number, row in enumerate(rows)
    ]
    embedder = SentenceTransformersDocumentEmbedder(model=str(_MODELS / "embedder"), progress_bar=False)
    embedder.warm_up()
    store = InMemoryDocumentStore(bm25_tokenization_regex=_BIGRAMS)
    store.write_documents(embedder.run(documents)["documents"])
    home.mkdir(parents=True)
    store.save_to_disk(str(home / "store.json"))


class Haystack:
    """The pipeline over a store.

    Args:
        home: the folder of the store.
    """

    def __init__(self, home: Path) -> None:
        from haystack.components.embedders import SentenceTransformersTextEmbedder
        from haystack.components.joiners import DocumentJoiner
        from haystack.components.readers import ExtractiveReader
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        store = InMemoryDocumentStore.load_from_disk(str(home / "store.json"))
        pipeline = Pipeline()
        pipeline.add_component("words", InMemoryBM25Retriever(store))
        embedder = SentenceTransformersTextEmbedder(model=str(_MODELS / "embedder"), progress_bar=False)
        pipeline.add_component("embedder", embedder)
        pipeline.add_component("vectors", InMemoryEmbeddingRetriever(store))
        joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion", weights=_WEIGHTS, top_k=_TOP_K)
        pipeline.add_component("joiner", joiner)
        pipeline.add_component("reader", ExtractiveReader(model=str(_MODELS / "reader"), top_k=1))
        pipeline.connect("embedder.embedding", "vectors.query_embedding")
        pipeline.connect("words", "joiner")
        pipeline.connect("vectors", "joiner")
        pipeline.connect("joiner", "reader.documents")
        pipeline.warm_up()
        self._pipeline = pipeline
        self._by_default = DocumentJoiner(join_mode="reciprocal_rank_fusion")
        self._last: dict[str, dict[str, list[Document]]] = {}
        self._answer = ""

    def ask(self, question: str) -> str:
        """The best answer."""
        inputs = {"words": {"query": question}, "embedder": {"text": question}, "reader": {"query": question}}
        self._last = self._pipeline.run(inputs, include_outputs_from={"words", "vectors", "joiner"})
        answers = self._last["reader"]["answers"]
        self._answer = answers[0].data or "" if answers else ""
        return self._answer

    def explain(self, question: str) -> Reply:
        """What was found for the last question."""
        lists = [self._last["words"]["documents"], self._last["vectors"]["documents"]]
        by_default = self._by_default.run(documents=lists)["documents"]
        return Reply(self._answer, _first(self._last["joiner"]["documents"]), _first(by_default))


def _first(documents: list[Document]) -> str:
    return str(documents[0].meta["document"]) if documents else ""


if __name__ == "__main__":
    talk(_build, Haystack)
