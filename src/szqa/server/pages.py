"""Server-rendered pages: a whole source, the index with "why this hit", and the description of the API.

Every text reaches a template as data and is escaped there. Each sentence of a source has the id ``c{start}-{end}``, so
that a link to a citation is an ordinary fragment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from szqa.assistant import Assistant
from szqa.datatypes import Block, Document, Hit
from szqa.errors import QuestionError, StoreUnavailableError
from szqa.retriever import matched_words
from szqa.server.service import Service, settings_of
from szqa.strings import WORDS, Language, language_of
from szqa.text import split_sentences

if TYPE_CHECKING:
    from fastapi import FastAPI
    from jinja2 import Environment
    from starlette.responses import Response

__all__ = ["PAGE_POLICY", "Piece", "Row", "SourceBlock", "add_pages", "environment", "source_blocks"]

STATIC: Final = Path(__file__).parent.parent / "static"

PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_HITS_SHOWN: Final = 10
# All that either search proposes: a passage that is not among them was not considered.
_CANDIDATES: Final = 200
_LARGEST_HEADING: Final = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters of a sentence.

    Attributes:
        text: the characters.
        marked: whether they are the answer that was asked for.
    """

    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A sentence, or the white space between two.

    Attributes:
        anchor: the sentence's id in a page; empty for white space.
        here: whether it is part of the quotation that was asked for.
        pieces: its characters.
    """

    anchor: str
    here: bool
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class SourceBlock:
    """A paragraph of a source, ready to be shown.

    Attributes:
        kind: the block's kind.
        tag: the HTML element for it.
        rows: its sentences and what stands between them.
    """

    kind: str
    tag: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Why:
    """Why a passage was found."""

    hit: Hit
    words: tuple[str, ...]
    chosen: bool


@cache
def environment() -> Environment:
    """The templates; everything put into them is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("szqa.server"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source_blocks(
    document: Document,
    *,
    answer: tuple[int, int] | None = None,
    quote: tuple[int, int] | None = None,
    window: tuple[int, int] | None = None,
) -> list[SourceBlock]:
    """A document's paragraphs with every sentence addressable.

    Args:
        document: what is shown.
        answer: code points to mark.
        quote: code points of the quotation around it.
        window: code points to show, widened to whole paragraphs; everything by default.
    """
    low, high = window or (0, len(document.text))
    blocks = document.blocks or (Block("prose", 0, len(document.text)),) * bool(document.text)
    shown = [block for block in blocks if block.start < high and low < block.end]
    return [SourceBlock(block.kind, _tag(block), tuple(_rows(document.text, block, answer, quote))) for block in shown]


def _tag(block: Block) -> str:
    return f"h{min(block.level + 1, _LARGEST_HEADING)}" if block.kind == "heading" else "p"


def _rows(text: str, block: Block, answer: tuple[int, int] | None, quote: tuple[int, int] | None) -> Sequence[Row]:
    low, high = quote or (0, 0)
    rows, position = [], block.start
    for start, end in split_sentences(text[block.start : block.end]):
        start, end = start + block.start, end + block.start
        if start > position:
            rows.append(Row("", False, (Piece(text[position:start], False),)))
        rows.append(Row(f"c{start}-{end}", start < high and low < end, _pieces(text, start, end, answer)))
        position = end
    return rows


def _pieces(text: str, start: int, end: int, answer: tuple[int, int] | None) -> tuple[Piece, ...]:
    low, high = answer or (end, end)
    low, high = min(max(low, start), end), min(max(high, start), end)
    pieces = ((text[start:low], False), (text[low:high], True), (text[high:end], False))
    return tuple(Piece(piece, marked) for piece, marked in pieces if piece)


def _interval(value: str | None) -> tuple[int, int] | None:
    """12-34 → (12, 34); anything else is no interval."""
    first, _, second = (value or "").partition("-")
    if not (first.isascii() and second.isascii() and first.isdigit() and second.isdigit() and len(value or "") < 30):
        return None
    return int(first), int(second)


def _why(assistant: Assistant, question: str, passage_id: str) -> tuple[list[_Why], bool]:
    """The best hits and the chosen passage, and whether the chosen one is among the candidates."""
    hits = assistant.search(question, top_k=_CANDIDATES)
    shown = [hit for hit in hits if hit.rank <= _HITS_SHOWN or hit.passage.id == passage_id]
    rows = [
        _Why(hit, matched_words(assistant.index.segmenter, question, hit.passage), hit.passage.id == passage_id)
        for hit in shown
    ]
    rows.sort(key=lambda row: (not row.chosen, row.hit.rank))
    return rows, not passage_id or any(row.chosen for row in rows)


def _page(name: str, language: Language, *, status: int = 200, values: Mapping[str, object]) -> Response:
    from starlette.responses import HTMLResponse

    html = environment().get_template(name).render(language=language, words=WORDS[language], **values)
    headers = {"Content-Security-Policy": PAGE_POLICY, "Vary": "Accept-Language"}
    return HTMLResponse(html, status, headers)


def add_pages(app: FastAPI, service: Service) -> None:
    """Add the pages and the files they need."""
    from fastapi import Header

    accept = Header(None, alias="accept-language")

    @app.get("/source/{document_id}", include_in_schema=False, response_model=None)
    def source(document_id: str, answer: str | None = None, accept_language: str | None = accept) -> object:
        language = language_of(accept_language)
        document = service.assistant.index.documents.get(document_id)
        if document is None:
            return _page("missing.html", language, status=404, values={})
        blocks = source_blocks(document, answer=_interval(answer))
        return _page("source.html", language, values={"document": document, "blocks": blocks})

    @app.get("/index", include_in_schema=False, response_model=None)
    def index(question: str = "", passage: str = "", accept_language: str | None = accept) -> object:
        assistant = service.assistant
        rows: list[_Why] = []
        candidate, refusal = True, ""
        if question:
            try:
                rows, candidate = _why(assistant, question, passage)
            except (QuestionError, StoreUnavailableError) as error:
                refusal = str(error)
        values = {
            "documents": list(assistant.index.documents.values()),
            "passages": len(assistant.index.passages),
            "settings": settings_of(assistant),
            "dictionary": assistant.index.segmenter.user_dictionary.decode("utf-8", "replace").splitlines(),
            "question": question[:1000],
            "rows": rows,
            "candidate": candidate,
            "refusal": refusal,
        }
        return _page("index.html", language_of(accept_language), values=values)

    @app.get("/docs", include_in_schema=False, response_model=None)
    def docs(request: Request) -> object:
        values = {"schema": app.openapi(), "origin": str(request.base_url).rstrip("/")}
        return _page("docs.html", language_of(request.headers.get("accept-language")), values=values)

    _add_files(app)


def _add_files(app: FastAPI) -> None:
    from starlette.responses import FileResponse

    def file(name: str, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
        return FileResponse(STATIC / name, media_type=media_type, headers=dict(headers or {}))

    @app.get("/szqa/pages.css", include_in_schema=False, response_model=None)
    def stylesheet() -> object:
        return file("pages.css", "text/css")

    @app.get("/szqa/source.js", include_in_schema=False, response_model=None)
    def script() -> object:
        return file("source.js", "text/javascript")
