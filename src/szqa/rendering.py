"""Answer → JSON, escaped HTML and Markdown, and segments to show with the answer highlighted.

It knows how an answer is written down, not how it is found nor where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TypedDict

from szqa.datatypes import Answer, Citation, Hit, Passage

__all__ = [
    "NOT_FOUND",
    "AnswerJson",
    "CitationJson",
    "PassageJson",
    "answer_json",
    "answer_markdown",
    "evidence_html",
    "highlighted_html",
    "location",
    "passage_segments",
    "segments",
]

NOT_FOUND = "文档中没有找到答案 (the documents do not say)"


class CitationJson(TypedDict):
    """A citation in JSON; offsets are code points in the document's text."""

    n: int
    document_id: str
    title: str
    source: str
    headings: list[str]
    quote: str
    start: int
    end: int
    answer_start: int | None
    answer_end: int | None


class PassageJson(TypedDict):
    """A passage that was read, in JSON."""

    document_id: str
    start: int
    end: int
    text: str
    score: float


class AnswerJson(TypedDict):
    """An answer in JSON; ``answer`` is null exactly when ``citations`` is empty."""

    question: str
    answer: str | None
    score: float
    citations: list[CitationJson]
    passages: list[PassageJson]
    timings_ms: dict[str, float]


def answer_json(answer: Answer) -> AnswerJson:
    """An answer as the command line and the API write it."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "score": round(answer.score, 4),
        "citations": [_citation_json(citation) for citation in answer.citations],
        "passages": [_passage_json(hit) for hit in answer.hits],
        "timings_ms": {stage: round(value, 3) for stage, value in answer.timings_ms.items()},
    }


def segments(citation: Citation) -> list[tuple[str, bool]]:
    """A citation's quote in pieces, each with whether it is the answer; joined they are the quote."""
    if citation.answer_start is None or citation.answer_end is None:
        return [(citation.quote, False)]
    start, end = citation.answer_start - citation.start, citation.answer_end - citation.start
    pieces = [(citation.quote[:start], False), (citation.quote[start:end], True), (citation.quote[end:], False)]
    return [(text, marked) for text, marked in pieces if text]


def passage_segments(passage: Passage, citations: Sequence[Citation]) -> list[tuple[str, bool]]:
    """A passage's text in pieces, each with whether a citation's answer stands there; joined they are the text."""
    places = sorted(
        (citation.answer_start - passage.start, citation.answer_end - passage.start)
        for citation in citations
        if citation.document_id == passage.document_id
        and citation.answer_start is not None
        and citation.answer_end is not None
        and passage.start <= citation.answer_start
        and citation.answer_end <= passage.end
    )
    pieces, position = [], 0
    for start, end in places:
        if start >= position:
            pieces += [(passage.text[position:start], False), (passage.text[start:end], True)]
            position = end
    pieces.append((passage.text[position:], False))
    return [(text, marked) for text, marked in pieces if text]


def highlighted_html(citation: Citation) -> str:
    """A citation's quote as escaped HTML, the answer in ``<mark>``."""
    return "".join(f"<mark>{escape(text)}</mark>" if marked else escape(text) for text, marked in segments(citation))


def answer_markdown(answer: Answer) -> str:
    """An answer as a chat message: the answer, and the sentence it stands in with the citation's number."""
    if answer.text is None:
        return NOT_FOUND
    numbers = " ".join(f"\\[{citation.n}\\]" for citation in answer.citations)
    return f"**{_escape_markdown(answer.text)}** {numbers}\n\n{_escape_markdown(answer.sentence or '')}"


def evidence_html(answer: Answer) -> str:
    """What an answer rests on, as escaped HTML: the cited passages, or the nearest ones where it abstained."""
    if answer.text is None:
        related = "".join(
            f"<blockquote><div class='where'>{escape(hit.passage.title)}</div>{escape(hit.passage.text)}</blockquote>"
            for hit in answer.hits[:3]
        )
        return f"<p>可能相关的段落 (possibly related):</p>{related}" if related else ""
    return "".join(_cited_passage(citation, answer.hits) for citation in answer.citations)


def location(citation: Citation) -> str:
    """Where a citation stands: title and heading path."""
    return " › ".join((citation.title, *citation.headings))


def _cited_passage(citation: Citation, hits: tuple[Hit, ...]) -> str:
    """The passage around a citation with the answer highlighted."""
    around = next(
        (
            hit.passage
            for hit in hits
            if hit.passage.document_id == citation.document_id
            and hit.passage.start <= citation.start
            and citation.end <= hit.passage.end
        ),
        None,
    )
    before = around.text[: citation.start - around.start] if around else ""
    after = around.text[citation.end - around.start :] if around else ""
    quote = f"{escape(before)}{highlighted_html(citation)}{escape(after)}"
    return f"<div class='where'>[{citation.n}] {escape(location(citation))}</div><blockquote>{quote}</blockquote>"


def _escape_markdown(text: str) -> str:
    """A text that Markdown shows as it stands: every ASCII punctuation mark escaped (CommonMark 0.31, §2.4)."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text).replace("\n", " ")


def _citation_json(citation: Citation) -> CitationJson:
    return {
        "n": citation.n,
        "document_id": citation.document_id,
        "title": citation.title,
        "source": citation.source,
        "headings": list(citation.headings),
        "quote": citation.quote,
        "start": citation.start,
        "end": citation.end,
        "answer_start": citation.answer_start,
        "answer_end": citation.answer_end,
    }


def _passage_json(hit: Hit) -> PassageJson:
    passage = hit.passage
    return {
        "document_id": passage.document_id,
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "score": round(hit.score, 4),
    }
