"""What API and chat have in common: a question with its history in, an answer with its id and suggestions out.

It knows the assistant and the feedback store, and nothing of HTTP or pages. The assistant can be exchanged for one
over a rebuilt index while questions are being answered: each question meets one edition of it, from beginning to end.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from time import perf_counter
from typing import Final

from szqa.assistant import MAX_QUESTION_CHARS, Assistant, check_question
from szqa.datatypes import Answer, Document
from szqa.dialogue import Turn, standalone
from szqa.errors import ConfigurationError, StoreUnavailableError, SzqaError
from szqa.feedback import Feedback, FeedbackStore, Source
from szqa.server.line import Line
from szqa.server.logs import log_event
from szqa.server.metrics import Metrics, Stage
from szqa.server.starters import Starters

__all__ = [
    "INTERNAL",
    "MAX_TURNS",
    "MAX_WAITING",
    "AbandonedError",
    "AnswerError",
    "BusyError",
    "Reply",
    "Service",
    "settings_of",
]

MAX_TURNS: Final = 20
"""Turns of a conversation that are read; earlier ones are forgotten."""

MAX_WAITING: Final = 100
"""Questions that wait or are being answered; more would wait longer than a browser does."""

INTERNAL: Final = "服务器内部错误，详情见其日志 (internal error; see the server's log)"
"""What a client is told of an error that nobody foresaw."""

# Answers that feedback can still be matched with.
_REMEMBERED: Final = 2000


class BusyError(SzqaError):
    """More questions wait than can be answered in good time, or the server is about to stop."""


class AbandonedError(SzqaError):
    """Whoever asked went away before the question's turn came."""


class AnswerError(SzqaError):
    """Something that nobody foresaw ended the search for an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it is sent out, with what it rests on as that was at the time.

    Attributes:
        id: names this answer in feedback.
        asked: the question as typed.
        answer: the answer to the question as understood.
        suggestions: where it abstained, questions that the documents answer.
        documents: those that it cites or has read, by id.
        settings: what it depends on, by name.
    """

    id: str
    asked: str
    answer: Answer
    suggestions: tuple[str, ...] = ()
    documents: Mapping[str, Document] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def understood(self) -> str:
        """The question that was actually asked of the documents."""
        return self.answer.question


@dataclass(frozen=True, slots=True)
class _Edition:
    """An assistant with what was made from it."""

    assistant: Assistant
    starters: Starters
    built: float


class Service:
    """Answers questions one at a time and remembers the answers for feedback.

    Args:
        assistant: answers them.
        feedback: where opinions are kept; ``None`` keeps none.
        max_waiting: questions that wait or are being answered, at most.
        metrics: where answers are counted.
        load: makes an assistant over the index as it is now on the disk.
        log_questions: whether the log may hold what was asked and answered.
    """

    def __init__(
        self,
        assistant: Assistant,
        feedback: FeedbackStore | None,
        *,
        max_waiting: int = MAX_WAITING,
        metrics: Metrics | None = None,
        load: Callable[[], Assistant] | None = None,
        log_questions: bool = False,
    ) -> None:
        self._feedback = feedback
        self._metrics = metrics or Metrics()
        self._load = load
        self._log_questions = log_questions
        # Readers keep caches that are not made for several threads, and two cores gain nothing from two questions.
        self._lock = threading.Lock()
        self._line = Line(max_waiting)
        # First come, first served, and a question that waits for it keeps no thread.
        self._turn = asyncio.Lock()
        self._memory = threading.Lock()
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._reloading = threading.Lock()
        self._edition = self._edition_of(assistant)
        self._metrics.watch(
            waiting=lambda: self._line.taken,
            index_age_s=lambda: max(0.0, time.time() - self._edition.built),
            passages=lambda: len(self.assistant.index.passages),
        )

    @property
    def assistant(self) -> Assistant:
        """The one that answers from now on; take it once for what has to fit together."""
        return self._edition.assistant

    @property
    def ready(self) -> bool:
        """Whether a question asked now would be answered."""
        return self._line.open

    @property
    def busy(self) -> bool:
        """Whether a question waits or is being answered."""
        return self._line.taken > 0

    def close(self) -> None:
        """Take no further question; those that wait are answered."""
        self._line.closed = True

    def reload(self) -> Assistant:
        """Take up the index as it is now on the disk, without a question dropped; the old one stays where that fails.

        Raises:
            ConfigurationError: it was not said where to load it from.
            SzqaError: it cannot be loaded.
        """
        if self._load is None:
            raise ConfigurationError("没有说明索引在哪里 (it is not known where the index is)")
        with self._reloading:
            try:
                edition = self._edition_of(self._load())
                # The first question loads dictionaries and caches; nobody has to wait for that.
                edition.assistant.search("预热")
            except SzqaError as error:
                self._metrics.reload("failed")
                log_event("reload failed", level=logging.ERROR, error=error)
                raise
            # One assignment: whoever has taken the old edition keeps it until the answer is out.
            self._edition = edition
        self._metrics.reload("done")
        log_event("reloaded", {"documents": len(edition.assistant.index.documents)})
        return edition.assistant

    def ask(self, question: str, history: Sequence[Turn] = (), *, verbatim: bool = False) -> Reply:
        """Answer a question.

        Args:
            question: as typed.
            history: the turns before, oldest first.
            verbatim: ask it as it stands, without completing it from the history.

        Raises:
            QuestionError: the question cannot be asked.
            BusyError: too many questions are waiting.
            AnswerError: an error that nobody foresaw; it is in the log.
            StoreUnavailableError: the passages are kept elsewhere, and cannot be reached.
        """
        asked = check_question(question)
        with self._place() as arrived:
            return self._reply(asked, history, arrived, verbatim=verbatim)

    async def ask_in_turn(
        self, question: str, history: Sequence[Turn] = (), *, gone: Callable[[], Awaitable[bool]]
    ) -> Reply:
        """Answer a question from an event loop, after those that came before it.

        Args:
            question: as typed.
            history: the turns before, oldest first.
            gone: whether the one who asked has left; looked at when the question's turn has come.

        Raises:
            QuestionError: the question cannot be asked.
            BusyError: too many questions are waiting.
            AbandonedError: nobody waits for the answer any more.
            AnswerError: an error that nobody foresaw; it is in the log.
            StoreUnavailableError: the passages are kept elsewhere, and cannot be reached.
        """
        asked = check_question(question)
        with self._place() as arrived:
            async with self._turn:
                if await gone():
                    self._metrics.no_answer("abandoned")
                    raise AbandonedError("提问者已离开 (whoever asked has left)")
                return await asyncio.to_thread(self._reply, asked, history, arrived)

    def starters(self) -> tuple[str, ...]:
        """Questions that the documents answer, to begin with; none while the passages cannot be reached."""
        try:
            return self._edition.starters.first()
        except StoreUnavailableError:
            return ()

    def rate(self, reply_id: str, *, question: str, answer: str | None, helpful: bool, comment: str = "") -> None:
        """Keep an opinion; what was answered is taken from memory, and from the caller where it is forgotten."""
        if self._feedback is None:
            return
        with self._memory:
            reply = self._replies.get(reply_id)
        if reply is None:
            self._feedback.add(Feedback(reply_id, question, question, answer, helpful, comment))
            return
        evidence = tuple(Source(citation.source, citation.quote) for citation in reply.answer.citations)
        feedback = Feedback(
            reply_id, reply.asked, reply.understood, reply.answer.text, helpful, comment, evidence, reply.settings
        )
        self._feedback.add(feedback)

    def settings(self) -> dict[str, str]:
        """What answers depend on, by name."""
        return settings_of(self.assistant)

    @contextmanager
    def _place(self) -> Iterator[float]:
        """A place among those who wait, or BusyError; gives the time of arrival."""
        if not self._line.enter():
            self._metrics.no_answer("refused")
            raise BusyError("正在回答的问题太多，请稍后重试 (too many questions are being answered; please retry)")
        try:
            yield perf_counter()
        finally:
            self._line.leave()

    def _reply(self, asked: str, history: Sequence[Turn], arrived: float, *, verbatim: bool = False) -> Reply:
        try:
            with self._lock:
                edition, begun = self._edition, perf_counter()
                understood = asked if verbatim else _standalone(edition.assistant, asked, history[-MAX_TURNS:])
                answer = edition.assistant.ask(understood)
                answered = perf_counter()
            suggestions = _near(edition, answer) if answer.abstained else ()
        except SzqaError:
            raise
        except Exception as error:  # noqa: BLE001 -- written down, and said again without its message
            # Gradio prints errors with their messages, which may hold the question.
            self._metrics.no_answer("failed")
            log_event("error", level=logging.ERROR, error=error)
            raise AnswerError(INTERNAL) from None
        reply = _reply_of(edition.assistant, asked, answer, suggestions)
        self._remember(reply)
        self._write_down(reply, wait_s=begun - arrived, suggest_s=perf_counter() - answered)
        return reply

    def _write_down(self, reply: Reply, *, wait_s: float, suggest_s: float) -> None:
        answer = reply.answer
        stages: dict[Stage, float] = {"wait": wait_s, "suggest": suggest_s}
        stages["retrieve"], stages["read"] = (answer.timings_ms.get(name, 0) / 1000 for name in ("retrieve", "read"))
        stages["total"] = sum(stages.values())
        self._metrics.answer("abstained" if answer.abstained else "answered", stages)
        times = {f"{stage}_ms": round(seconds * 1000, 1) for stage, seconds in stages.items()}
        words = {"question": reply.understood, "answer": answer.text} if self._log_questions else {}
        log_event("answer", {"answered": not answer.abstained, "score": round(answer.score, 3), **times, **words})

    def _edition_of(self, assistant: Assistant) -> _Edition:
        manifest = assistant.index.manifest
        built = datetime.fromisoformat(manifest.created).timestamp() if manifest else time.time()
        return _Edition(assistant, Starters(assistant, self._lock), built)

    def _remember(self, reply: Reply) -> None:
        with self._memory:
            self._replies[reply.id] = reply
            if len(self._replies) > _REMEMBERED:
                self._replies.popitem(last=False)


def _near(edition: _Edition, answer: Answer) -> tuple[str, ...]:
    """Questions like an unanswered one that the documents answer; none where the passages are out of reach by now."""
    try:
        return edition.starters.near(answer)
    except StoreUnavailableError:
        return ()


def settings_of(assistant: Assistant) -> dict[str, str]:
    """What an assistant's answers depend on, by name."""
    manifest = assistant.index.manifest
    settings = {
        "version": version("szqa"),
        "reader": assistant.reader.reader_id,
        "threshold": f"{assistant.threshold:g}",
        "top_k": str(assistant.top_k),
        "embedder": assistant.index.embedder.model_id,
        "segmenter": assistant.index.segmenter.fingerprint,
        "store": assistant.index.store_name,
    }
    return settings | ({"created": manifest.created} if manifest else {})


def _standalone(assistant: Assistant, asked: str, history: Sequence[Turn]) -> str:
    understood = standalone(asked, history, segmenter=assistant.index.segmenter)
    return understood if len(understood) <= MAX_QUESTION_CHARS else asked


def _reply_of(assistant: Assistant, asked: str, answer: Answer, suggestions: tuple[str, ...]) -> Reply:
    ids = {hit.passage.document_id for hit in answer.hits} | {citation.document_id for citation in answer.citations}
    documents = {document_id: assistant.index.documents[document_id] for document_id in ids}
    return Reply(secrets.token_urlsafe(12), asked, answer, suggestions, documents, settings_of(assistant))
