"""What API and chat have in common: a question with its history in, an answer with its id and suggestions out.

It knows the assistant and the feedback store, and nothing of HTTP or pages.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from szqa.assistant import MAX_QUESTION_CHARS, Assistant, check_question
from szqa.datatypes import Answer
from szqa.dialogue import Turn, standalone
from szqa.errors import StoreUnavailableError, SzqaError
from szqa.feedback import Feedback, FeedbackStore, Source
from szqa.server.starters import Starters

__all__ = ["MAX_TURNS", "BusyError", "Reply", "Service"]

MAX_TURNS: Final = 20
"""Turns of a conversation that are read; earlier ones are forgotten."""

# Answers that feedback can still be matched with.
_REMEMBERED: Final = 2000
# Questions that wait for the one that is being answered; more would wait longer than a browser does.
_MAX_WAITING: Final = 32


class BusyError(SzqaError):
    """More questions wait than can be answered in good time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it is sent out.

    Attributes:
        id: names this answer in feedback.
        asked: the question as typed.
        answer: the answer to the question as understood.
        suggestions: where it abstained, questions that the documents answer.
    """

    id: str
    asked: str
    answer: Answer
    suggestions: tuple[str, ...] = ()

    @property
    def understood(self) -> str:
        """The question that was actually asked of the documents."""
        return self.answer.question


class Service:
    """Answers questions one at a time and remembers the answers for feedback.

    Args:
        assistant: answers them.
        feedback: where opinions are kept; ``None`` keeps none.
    """

    def __init__(self, assistant: Assistant, feedback: FeedbackStore | None) -> None:
        self.assistant = assistant
        self._feedback = feedback
        # Readers keep caches that are not made for several threads, and two cores gain nothing from two questions.
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_MAX_WAITING)
        self._memory = threading.Lock()
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._starters = Starters(assistant, self._lock)

    def ask(self, question: str, history: Sequence[Turn] = (), *, verbatim: bool = False) -> Reply:
        """Answer a question.

        Args:
            question: as typed.
            history: the turns before, oldest first.
            verbatim: ask it as it stands, without completing it from the history.

        Raises:
            QuestionError: the question cannot be asked.
            BusyError: too many questions are waiting.
            StoreUnavailableError: the passages are kept elsewhere, and cannot be reached.
        """
        asked = check_question(question)
        if not self._waiting.acquire(blocking=False):
            raise BusyError("正在回答的问题太多，请稍后重试 (too many questions are being answered; please retry)")
        try:
            with self._lock:
                understood = asked if verbatim else self._standalone(asked, history[-MAX_TURNS:])
                answer = self.assistant.ask(understood)
            suggestions = self._near(answer) if answer.abstained else ()
        finally:
            self._waiting.release()
        reply = Reply(secrets.token_urlsafe(12), asked, answer, suggestions)
        self._remember(reply)
        return reply

    def starters(self) -> tuple[str, ...]:
        """Questions that the documents answer, to begin with; none while the passages cannot be reached."""
        try:
            return self._starters.first()
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
            reply_id, reply.asked, reply.understood, reply.answer.text, helpful, comment, evidence, self.settings()
        )
        self._feedback.add(feedback)

    def settings(self) -> dict[str, str]:
        """What answers depend on, by name."""
        manifest = self.assistant.index.manifest
        settings = {
            "version": version("szqa"),
            "reader": self.assistant.reader.reader_id,
            "threshold": f"{self.assistant.threshold:g}",
            "top_k": str(self.assistant.top_k),
            "embedder": self.assistant.index.embedder.model_id,
            "segmenter": self.assistant.index.segmenter.fingerprint,
            "store": self.assistant.index.store_name,
        }
        return settings | ({"created": manifest.created} if manifest else {})

    def _near(self, answer: Answer) -> tuple[str, ...]:
        try:
            return self._starters.near(answer)
        except StoreUnavailableError:  # gone since the answer, which stands
            return ()

    def _standalone(self, asked: str, history: Sequence[Turn]) -> str:
        understood = standalone(asked, history, segmenter=self.assistant.index.segmenter)
        return understood if len(understood) <= MAX_QUESTION_CHARS else asked

    def _remember(self, reply: Reply) -> None:
        with self._memory:
            self._replies[reply.id] = reply
            if len(self._replies) > _REMEMBERED:
                self._replies.popitem(last=False)
