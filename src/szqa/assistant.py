"""Question → answer: retrieve, read, then cite or abstain.

The one place where the parts meet. It never writes a word of its own: an answer is a piece of a source.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from szqa.datatypes import Answer, Citation, Hit, Passage, Span
from szqa.embedder import Embedder, load_embedder
from szqa.engine_index import EngineIndex, open_index
from szqa.errors import ConfigurationError, IndexFormatError, QuestionError
from szqa.index import Index
from szqa.manifest import Manifest
from szqa.reader import Reader, load_reader
from szqa.retriever import AnyRetriever, Mode, make_retriever
from szqa.store import AS_RECORDED, StoreOptions
from szqa.text import Segmenter, fold, split_sentences

__all__ = ["MAX_QUESTION_CHARS", "Assistant", "check_question"]

MAX_QUESTION_CHARS = 1000

# Passages that are read for a question; eval/README.md, "Retrieval settings".
_TOP_K = 5

_MAX_CITATIONS = 3


@dataclass(frozen=True, slots=True)
class Assistant:
    """Answers questions from an index.

    Attributes:
        index: the documents, made searchable.
        retriever: finds passages in it.
        reader: finds answers in passages.
        threshold: score from which an answer is given, [0, 1]; below it the assistant abstains.
        top_k: number of passages that are read.
    """

    index: Index | EngineIndex
    retriever: AnyRetriever
    reader: Reader
    threshold: float
    top_k: int = _TOP_K

    @classmethod
    def load(
        cls,
        index_dir: str | Path = "index",
        *,
        embedder: str | None = None,
        reader: str | None = None,
        threshold: float | None = None,
        top_k: int = _TOP_K,
        store: StoreOptions = AS_RECORDED,
    ) -> Assistant:
        """Load an index and the models it needs.

        Args:
            index_dir: the folder that ``szqa build`` wrote.
            embedder: name of the embedding model the index must have been made with; any by default.
            reader: name of the reader; the shipped one by default.
            threshold: score from which an answer is given; the reader's own by default.
            top_k: number of passages that are read.
            store: how a store that runs elsewhere is reached.

        Raises:
            IndexMissingError: there is no index.
            IndexFormatError: the index cannot be used as asked.
            ConfigurationError: a setting is out of its range, or a model cannot be loaded.
        """

        def make_embedder(manifest: Manifest, segmenter: Segmenter) -> Embedder:
            if embedder is not None and embedder != manifest.embedder:
                raise IndexFormatError(
                    f"{index_dir}: 索引由向量模型 {manifest.embedder} 建立，而要求的是 {embedder}，"
                    f"请运行 szqa build --embedder {embedder} (index was made with another embedder)"
                )
            return load_embedder(manifest.embedder, segmenter, query_prefix=manifest.query_prefix)

        index = open_index(Path(index_dir), make_embedder=make_embedder, options=store)
        return cls.over(index, reader=reader, threshold=threshold, top_k=top_k)

    @classmethod
    def over(
        cls,
        index: Index | EngineIndex,
        *,
        reader: str | None = None,
        threshold: float | None = None,
        top_k: int = _TOP_K,
    ) -> Assistant:
        """Make an assistant over an index in memory; arguments and errors as for ``load``."""
        if top_k < 1:
            raise ConfigurationError(f"top_k 为 {top_k}，至少为 1 (top_k must be at least 1)")
        loaded = load_reader(reader, index.segmenter, threshold=threshold)
        threshold = loaded.threshold if threshold is None else threshold
        if not 0 <= threshold <= 1:
            raise ConfigurationError(f"threshold 为 {threshold}，应在 0 与 1 之间 (must be between 0 and 1)")
        return cls(index, make_retriever(index), loaded, threshold, top_k)

    def is_stale(self) -> bool:
        """Whether another index stands by now where this one's was loaded from; see ``Index.is_stale``."""
        return self.index.is_stale()

    def search(self, question: str, *, top_k: int = 10, mode: Mode = "hybrid") -> list[Hit]:
        """The passages a question is about, best first; raises ``QuestionError`` as ``ask`` does."""
        return self.retriever.search(check_question(question), top_k=top_k, mode=mode)

    def ask(self, question: str) -> Answer:
        """Answer a question with a verbatim piece of a source, or abstain.

        Raises:
            QuestionError: the question is empty or longer than ``MAX_QUESTION_CHARS``.
            StoreUnavailableError: the passages are kept elsewhere, and cannot be reached.
        """
        asked = check_question(question)
        started = perf_counter()
        hits = self.retriever.search(asked, top_k=self.top_k)
        retrieved = perf_counter()
        spans = self.reader.read(asked, hits)
        read = perf_counter()
        timings = {
            "retrieve": (retrieved - started) * 1000,
            "read": (read - retrieved) * 1000,
            "total": (read - started) * 1000,
        }
        if not spans or spans[0].score < self.threshold:
            score = spans[0].score if spans else 0.0
            return Answer(asked, None, score, hits=tuple(hits), timings_ms=timings)
        citations = self._cite(spans)
        return Answer(asked, spans[0].text, spans[0].score, citations[0].quote, citations, tuple(hits), timings)

    def _cite(self, spans: Sequence[Span]) -> tuple[Citation, ...]:
        """Cite the best span, then other places where the reader found the same words."""
        answer = fold(spans[0].text)
        same = [span for span in spans if fold(span.text) == answer and span.score >= self.threshold]
        citations: list[Citation] = []
        for span in [spans[0], *same]:
            citation = self._citation(len(citations) + 1, span)
            place = (citation.document_id, citation.start)
            if place not in [(other.document_id, other.start) for other in citations]:
                citations.append(citation)
        return tuple(citations[:_MAX_CITATIONS])

    def _citation(self, n: int, span: Span) -> Citation:
        passage = span.passage
        document = self.index.documents[passage.document_id]
        start, end = _sentences_around(passage, span)
        citation = Citation(
            n,
            document.id,
            document.title,
            document.source,
            passage.headings,
            document.text[passage.start + start : passage.start + end],
            passage.start + start,
            passage.start + end,
            passage.start + span.start,
            passage.start + span.end,
        )
        if citation.answer != span.text:
            raise AssertionError(f"citation {citation} does not hold {span.text!r}")
        return citation


def check_question(question: str) -> str:
    """A question without control characters and surrounding white space.

    Raises:
        QuestionError: nothing is left, or more than ``MAX_QUESTION_CHARS``.
    """
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cs") else " " for c in question).strip()
    if not kept:
        raise QuestionError("问题是空的，请输入一个问题 (the question is empty; please ask something)")
    if len(kept) > MAX_QUESTION_CHARS:
        raise QuestionError(
            f"问题有 {len(kept)} 个字符，最多 {MAX_QUESTION_CHARS} 个，请缩短 "
            f"(the question has {len(kept)} characters, at most {MAX_QUESTION_CHARS} are read; please shorten it)"
        )
    return kept


def _sentences_around(passage: Passage, span: Span) -> tuple[int, int]:
    """The whole sentences of a passage that a span lies in; offsets within the passage's text."""
    start, end = span.start, span.end
    for low, high in split_sentences(passage.text):
        if low < span.end and span.start < high:
            start, end = min(start, low), max(end, high)
    return start, end
