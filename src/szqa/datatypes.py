"""The values that flow through szqa, from a source text to a cited answer.

They are frozen and check their own invariants; they know nothing of files, models or indexes.
Every offset is a code point in ``Document.text`` unless it says otherwise, and every interval is half-open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Answer", "Block", "BlockKind", "Citation", "Document", "Hit", "Mode", "Passage", "Span"]

BlockKind = Literal["heading", "prose", "caption", "note"]
Mode = Literal["hybrid", "lexical", "dense"]


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph of a document and the part it plays in the layout.

    Attributes:
        kind: "heading", "prose", "caption" (of a picture) or "note" (data source, footnote).
        start: first code point in ``Document.text``.
        end: code point after the last one.
        level: depth of a heading, 1 is the topmost; 0 for every other kind.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A source text as loaded and repaired once.

    Attributes:
        id: stable and URL-safe, made from ``source``.
        title: what a reader would call it.
        text: the text all offsets refer to.
        source: path relative to the corpus folder, POSIX style.
        blocks: the paragraphs of ``text`` in order; they do not overlap.
    """

    id: str
    title: str
    text: str
    source: str
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        position = 0
        for block in self.blocks:
            if not position <= block.start < block.end <= len(self.text):
                raise ValueError(f"{self.source}: block {block} overlaps another or leaves the text")
            position = block.end


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of whole sentences of one document: the unit of retrieval.

    Attributes:
        id: ``f"{document_id}:{start}-{end}"``.
        document_id: the document it was cut from.
        title: that document's title.
        headings: heading path above it, outermost first, without the title.
        text: ``document.text[start:end]``.
        start: first code point in the document's text.
        end: code point after the last one.
    """

    id: str
    document_id: str
    title: str
    headings: tuple[str, ...]
    text: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end - self.start != len(self.text):
            raise ValueError(f"passage {self.id}: {len(self.text)} characters for [{self.start}, {self.end})")


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question.

    Attributes:
        passage: what was found.
        score: fused score, higher is better; comparable within one question only.
        rank: 1 for the best hit.
        dense_score: cosine of question and passage embedding, [-1, 1].
        lexical_score: BM25 score, >= 0.
    """

    passage: Passage
    score: float
    rank: int
    dense_score: float = 0.0
    lexical_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a passage proposed as the answer.

    Attributes:
        passage: where it stands.
        start: first code point **within the passage's text**.
        end: code point after the last one, within the passage's text.
        score: calibrated probability that it answers the question, [0, 1].
    """

    passage: Passage
    start: int
    end: int
    score: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= len(self.passage.text):
            raise ValueError(f"span [{self.start}, {self.end}) leaves passage {self.passage.id}")

    @property
    def text(self) -> str:
        """The span's characters, verbatim."""
        return self.passage.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Citation:
    """The place in a source that supports an answer.

    Attributes:
        n: number shown to the reader, from 1.
        document_id: the cited document.
        title: its title.
        source: its path relative to the corpus folder.
        headings: heading path above the quote, outermost first.
        quote: the cited sentence, ``document.text[start:end]``.
        start: first code point of the quote.
        end: code point after the quote.
        answer_start: first code point of the answer, ``None`` where this citation does not hold it.
        answer_end: code point after the answer, ``None`` likewise.
    """

    n: int
    document_id: str
    title: str
    source: str
    headings: tuple[str, ...]
    quote: str
    start: int
    end: int
    answer_start: int | None = None
    answer_end: int | None = None

    def __post_init__(self) -> None:
        if self.end - self.start != len(self.quote):
            raise ValueError(f"citation {self.n}: {len(self.quote)} characters for [{self.start}, {self.end})")
        if (self.answer_start is None) != (self.answer_end is None):
            raise ValueError(f"citation {self.n}: an answer needs both offsets")

    @property
    def answer(self) -> str | None:
        """The answer's characters inside the quote, or ``None`` where this citation does not hold it."""
        if self.answer_start is None or self.answer_end is None:
            return None
        return self.quote[self.answer_start - self.start : self.answer_end - self.start]


@dataclass(frozen=True, slots=True)
class Answer:
    """What szqa says to a question.

    Attributes:
        question: the question as asked, without control characters and surrounding white space.
        text: verbatim text of a source, or ``None`` where the documents do not say.
        score: calibrated probability of being right, [0, 1]; of the best candidate where ``text`` is ``None``.
        sentence: the sentence around the answer, or ``None``.
        citations: the first one holds the answer; empty exactly when ``text`` is ``None``.
        hits: the passages that were read, best first.
        timings_ms: milliseconds spent in each stage.
    """

    question: str
    text: str | None
    score: float
    sentence: str | None = None
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.text is None) != (not self.citations):
            raise ValueError("an answer has citations exactly when it has a text")
        if self.text is not None and self.citations[0].answer != self.text:
            raise ValueError(f"first citation holds {self.citations[0].answer!r}, not {self.text!r}")

    @property
    def abstained(self) -> bool:
        """Whether the documents were found not to say."""
        return self.text is None
