"""Documents → what an index holds of them: lines of JSON, index terms and vectors, a batch at a time.

A batch of documents is worked on by itself, so batches may be made in any process and in any order. It knows nothing
of where batches go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from szqa.chunker import ChunkerSettings, chunk
from szqa.datatypes import Document, Passage
from szqa.embedder import Embedder
from szqa.lexical import PassageTerms, above, passage_terms
from szqa.records import document_line, passage_line
from szqa.text import Segmenter

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Batch", "Entry", "embedding_text", "make_batch"]

# Passages embedded at a time: bounds memory.
_EMBEDDED: Final = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as an index keeps it.

    Attributes:
        document_id: its id.
        line: the document as a line of JSON.
        passage_lines: its passages likewise.
    """

    document_id: str
    line: bytes
    passage_lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some documents, ready to be added to an index.

    Attributes:
        entries: the documents in order.
        terms: index terms of all their passages, in order.
        vectors: (passages, dimension) float32, in the same order.
    """

    entries: tuple[Entry, ...]
    terms: PassageTerms
    vectors: NDArray[np.float32]


def make_batch(
    documents: Iterable[Document],
    *,
    segmenter: Segmenter,
    embedder: Embedder,
    settings: ChunkerSettings,
    with_terms: bool = True,
) -> Batch:
    """Cut documents into passages, these into terms (unless a search engine does that), and embed them."""
    entries, passages = [], []
    for document in documents:
        cut = chunk(document, settings)
        passages += cut
        entries.append(Entry(document.id, document_line(document), tuple(map(passage_line, cut))))
    terms = passage_terms(passages if with_terms else [], segmenter)
    return Batch(tuple(entries), terms, _embed(passages, embedder))


def embedding_text(passage: Passage) -> str:
    """What is embedded for a passage: its document's title and its headings above its text."""
    return f"{above(passage)}\n{passage.text}"


def _embed(passages: Sequence[Passage], embedder: Embedder) -> NDArray[np.float32]:
    parts = [np.zeros((0, embedder.dimension), dtype=np.float32)]
    for start in range(0, len(passages), _EMBEDDED):
        parts.append(embedder.embed_passages([embedding_text(p) for p in passages[start : start + _EMBEDDED]]))
    return np.concatenate(parts)
