"""The JSON API: questions, documents, feedback. What is said here is szqa's; how it is said is HTTP's.

Offsets are code points of the document's text. A browser counts UTF-16 units, so texts also come in ready-made
segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from szqa.assistant import MAX_QUESTION_CHARS
from szqa.datatypes import Citation, Document, Hit
from szqa.dialogue import Turn
from szqa.feedback import MAX_COMMENT_CHARS
from szqa.rendering import answer_json, passage_segments, segments
from szqa.server.operations import HealthOut, add_operations
from szqa.server.service import MAX_TURNS, Reply, Service, settings_of

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["AnswerOut", "answer_out", "api_router", "citation_url"]

_MAX_ANSWER_CHARS = 4000


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TurnIn(_In):
    """A turn before."""

    question: Annotated[str, Field(max_length=MAX_QUESTION_CHARS)]
    answer: Annotated[str, Field(max_length=_MAX_ANSWER_CHARS)] | None = None


class AskIn(_In):
    """A question, with the conversation it is part of."""

    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_CHARS)]
    history: Annotated[list[TurnIn], Field(max_length=MAX_TURNS)] = []


class FeedbackIn(_In):
    """An opinion on an answer."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_CHARS)]
    answer: Annotated[str, Field(max_length=_MAX_ANSWER_CHARS)] | None = None
    helpful: bool
    comment: Annotated[str, Field(max_length=MAX_COMMENT_CHARS)] | None = None


class SegmentOut(BaseModel):
    """A piece of a text; joined, the pieces are the text."""

    text: str
    highlighted: bool


class CitationOut(BaseModel):
    """A place in a document that supports the answer; offsets are code points of its text."""

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
    segments: list[SegmentOut]
    url: str


class PassageOut(BaseModel):
    """A passage that was read."""

    document_id: str
    title: str
    headings: list[str]
    start: int
    end: int
    text: str
    score: float
    segments: list[SegmentOut]
    url: str


class AnswerOut(BaseModel):
    """An answer; ``answer`` is null exactly where the documents do not say."""

    id: str
    question: str
    understood: str
    answer: str | None
    score: float
    citations: list[CitationOut]
    passages: list[PassageOut]
    suggestions: list[str]
    timings_ms: dict[str, float]


class DocumentOut(BaseModel):
    """A document of the index."""

    id: str
    title: str
    source: str
    characters: int
    passages: int


class DocumentTextOut(DocumentOut):
    """A document with its text."""

    text: str


class InfoOut(BaseModel):
    """What answers depend on."""

    documents: int
    passages: int
    settings: dict[str, str]
    examples: list[str]


class ProblemOut(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


def citation_url(document_id: str, start: int, end: int) -> str:
    """Where the whole source is shown at a place."""
    return f"/source/{document_id}#c{start}-{end}"


def answer_out(reply: Reply) -> AnswerOut:
    """A reply as the API writes it: ``szqa ask --json`` with segments, links and suggestions."""
    answer = reply.answer
    row = answer_json(answer)
    return AnswerOut(
        id=reply.id,
        question=reply.asked,
        understood=reply.understood,
        answer=row["answer"],
        score=row["score"],
        citations=[_citation_out(citation) for citation in answer.citations],
        passages=[_passage_out(hit, answer.citations) for hit in answer.hits],
        suggestions=list(reply.suggestions),
        timings_ms=row["timings_ms"],
    )


def api_router(service: Service, *, reloadable: bool) -> APIRouter:
    """The routes under /api; the index can be exchanged over it where that is asked for."""
    from fastapi import APIRouter

    router = APIRouter(prefix="/api")
    _add_asking(router, service)
    _add_documents(router, service)
    _add_status(router, service)
    add_operations(router, service, reloadable=reloadable)
    _add_unknown(router)
    return router


# Plain functions are run in a thread pool; a question waits for its turn outside of it, so that many that wait leave
# threads for everything else.


def _add_asking(router: APIRouter, service: Service) -> None:
    problems: dict[int | str, dict[str, object]] = {
        status: {"model": ProblemOut} for status in (401, 413, 422, 429, 503)
    }

    @router.post("/ask", responses=problems)
    async def ask(body: AskIn, request: Request) -> AnswerOut:
        """提问 (ask a question)."""
        turns = [Turn(turn.question, turn.answer) for turn in body.history]
        return answer_out(await service.ask_in_turn(body.question, turns, gone=request.is_disconnected))

    @router.post("/feedback", status_code=201, responses=problems)
    def feedback(body: FeedbackIn) -> HealthOut:
        """对一个回答的评价 (an opinion on an answer)."""
        service.rate(
            body.id, question=body.question, answer=body.answer, helpful=body.helpful, comment=body.comment or ""
        )
        return HealthOut()


def _add_documents(router: APIRouter, service: Service) -> None:
    from fastapi import HTTPException

    def document_out(document: Document, passages: int) -> DocumentOut:
        return DocumentOut(
            id=document.id,
            title=document.title,
            source=document.source,
            characters=len(document.text),
            passages=passages,
        )

    @router.get("/documents")
    def documents() -> list[DocumentOut]:
        """索引中的文档 (documents of the index)."""
        index = service.assistant.index
        return [
            document_out(document, len(index.documents.passages_of(document.id)))
            for document in index.documents.values()
        ]

    @router.get("/documents/{document_id}", responses={404: {"model": ProblemOut}})
    def document(document_id: str) -> DocumentTextOut:
        """一篇文档及其全文 (a document with its text)."""
        index = service.assistant.index
        found = index.documents.get(document_id)
        if found is None:
            raise HTTPException(404, f"没有编号为 {document_id[:64]!r} 的文档 (no such document)")
        passages = len(index.documents.passages_of(document_id))
        return DocumentTextOut(**document_out(found, passages).model_dump(), text=found.text)


def _add_status(router: APIRouter, service: Service) -> None:
    @router.get("/info")
    def info() -> InfoOut:
        """索引与模型 (index and models)."""
        assistant = service.assistant
        return InfoOut(
            documents=len(assistant.index.documents),
            passages=len(assistant.index.passages),
            settings=settings_of(assistant),
            examples=list(service.starters()),
        )


def _add_unknown(router: APIRouter) -> None:
    """Answer for every other path and method under /api, which would reach the chat page otherwise."""
    from fastapi import HTTPException

    methods: dict[str, set[str]] = {}
    for route in router.routes:
        methods.setdefault(getattr(route, "path", ""), set()).update(getattr(route, "methods", None) or ())

    @router.api_route(
        "/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"], include_in_schema=False
    )
    async def unknown(path: str) -> None:
        """没有这个接口 (no such endpoint)."""
        allowed = methods.get(f"/api/{path}") or (
            methods["/api/documents/{document_id}"] if path.startswith("documents/") else None
        )
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404)


def _citation_out(citation: Citation) -> CitationOut:
    return CitationOut(
        n=citation.n,
        document_id=citation.document_id,
        title=citation.title,
        source=citation.source,
        headings=list(citation.headings),
        quote=citation.quote,
        start=citation.start,
        end=citation.end,
        answer_start=citation.answer_start,
        answer_end=citation.answer_end,
        segments=[SegmentOut(text=text, highlighted=marked) for text, marked in segments(citation)],
        url=citation_url(citation.document_id, citation.start, citation.end),
    )


def _passage_out(hit: Hit, citations: tuple[Citation, ...]) -> PassageOut:
    passage = hit.passage
    return PassageOut(
        document_id=passage.document_id,
        title=passage.title,
        headings=list(passage.headings),
        start=passage.start,
        end=passage.end,
        text=passage.text,
        score=round(hit.score, 4),
        segments=[SegmentOut(text=text, highlighted=marked) for text, marked in passage_segments(passage, citations)],
        url=citation_url(passage.document_id, passage.start, passage.end),
    )
