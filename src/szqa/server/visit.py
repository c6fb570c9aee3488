"""One visitor's visit: what each action makes of the conversation, however many are under way at once.

A page sends its actions as they happen, and a slow one (an opinion being written, a question waiting for its turn) is
overtaken by a quick one. So no action may put back the conversation it found when it began: each change is made, under
a lock, to the conversation as it stands at that moment. And a page that sees nothing come of an action sends it again,
under the same name, so each name is taken once. Nothing here knows Gradio or HTML.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Final

from szqa.dialogue import Turn
from szqa.errors import QuestionError, StoreUnavailableError
from szqa.feedback import MAX_COMMENT_CHARS
from szqa.server.conversation import ChatTurn, Conversation, number_of, task_of
from szqa.server.service import BusyError, Service
from szqa.strings import WORDS, Language

__all__ = ["Visit"]

_MAX_TURNS: Final = 50
# More than a page sends until it gives an action up.
_MAX_TASKS: Final = 50

_Turns = tuple[ChatTurn, ...]


class Visit:
    """A conversation that several actions may change at once; no lock is held while a view is on its way."""

    def __init__(self) -> None:
        # A server that starts anew counts from nought again; the name tells its views from those of before.
        self._now = Conversation(secrets.token_urlsafe(6))
        self._changing = threading.Lock()
        # Of one visitor's questions the second may need the answer to the first; of their opinions the last one counts.
        self._asking = threading.Lock()
        self._rating = threading.Lock()

    def __deepcopy__(self, memo: dict[int, object]) -> Visit:
        """A new visit: Gradio gives every visitor a copy of the first."""
        return Visit()

    @property
    def now(self) -> Conversation:
        """The conversation as it stands."""
        return self._now

    def after(self, values: Mapping[str, object], service: Service, language: Language) -> Iterator[Conversation]:
        """The conversation after an action, more than once where there is something to show in between."""
        if not self._take(task_of(values.get("task"))):
            yield self._now
            return
        now, act = self._now, values.get("act")
        turn = now.find(number_of(values.get("turn")))
        question = str(values.get("question") or "").strip()
        if act == "ask":
            yield from self._ask(question, service, language)
        elif act == "rephrase" and turn:
            replaced = turn if turn is now.turns[-1] else None
            yield from self._ask(question, service, language, instead_of=replaced, verbatim=True)
        elif act == "retry" and turn:
            yield from self._ask(turn.asked, service, language, instead_of=turn)
        else:
            if act == "undo" and turn and not turn.pending:
                self._change(lambda turns: tuple(other for other in turns if other.id != turn.id))
            elif act == "clear":
                self._change(lambda _: ())
            elif act == "vote" and turn:
                self._rate(turn.id, service, helpful=values.get("helpful") == "yes")
            elif act == "comment" and turn:
                self._rate(turn.id, service, comment=str(values.get("comment") or "")[:MAX_COMMENT_CHARS].strip())
            yield self._now

    def _change(self, change: Callable[[_Turns], _Turns]) -> None:
        with self._changing:
            turns = change(self._now.turns)
            if turns != self._now.turns:
                self._now = replace(self._now, version=self._now.version + 1, turns=turns)

    def _take(self, task: str | None) -> bool:
        """Whether an action is to be carried out: one without a name always, one with a name once."""
        with self._changing:
            taken = self._now.taken
            if task is None or task in taken:
                return task is None
            taken = (*taken, task)[-_MAX_TASKS:]
            self._now = replace(self._now, version=self._now.version + 1, taken=taken)
        return True

    def _settle(self, settled: ChatTurn) -> None:
        """Put a turn in the place of its earlier state, unless it was taken back meanwhile."""
        self._change(lambda turns: tuple(settled if turn.id == settled.id else turn for turn in turns))

    def _ask(
        self,
        question: str,
        service: Service,
        language: Language,
        *,
        instead_of: ChatTurn | None = None,
        verbatim: bool = False,
    ) -> Iterator[Conversation]:
        turn = self._begin(question, instead_of) if question else None
        if turn is None:
            yield self._now
            return
        # What an error nobody foresaw, and a visitor who leaves, make of it.
        settled = replace(turn, problem=WORDS[language].failed)
        try:
            yield self._now
            with self._asking:
                settled = self._asked(turn, service, language, verbatim=verbatim)
        finally:
            self._settle(settled)
        yield self._now

    def _begin(self, question: str, instead_of: ChatTurn | None) -> ChatTurn | None:
        """Add the question, or put it in a turn's place; ``None`` where a second click asks for what is under way."""
        with self._changing:
            turns, version = self._now.turns, self._now.version + 1
            turn = ChatTurn(version, question)
            if instead_of:
                if instead_of.pending or instead_of not in turns:
                    return None
                turns = tuple(turn if other.id == instead_of.id else other for other in turns)
            elif turns and turns[-1].pending and turns[-1].asked == question:
                return None
            else:
                turns = (*turns[-_MAX_TURNS:], turn)
            self._now = replace(self._now, version=version, turns=turns)
        return turn

    def _asked(self, turn: ChatTurn, service: Service, language: Language, *, verbatim: bool) -> ChatTurn:
        before = takewhile(lambda other: other.id != turn.id, self._now.turns)
        history = [Turn(other.reply.understood, other.reply.answer.text) for other in before if other.reply]
        try:
            return replace(turn, reply=service.ask(turn.asked, history, verbatim=verbatim))
        except BusyError:
            return replace(turn, problem=WORDS[language].busy)
        except (QuestionError, StoreUnavailableError) as error:
            return replace(turn, problem=str(error))

    def _rate(self, turn_id: int, service: Service, *, helpful: bool | None = None, comment: str = "") -> None:
        with self._rating:
            turn = self._now.find(turn_id)
            opinion = turn.helpful if turn and helpful is None else helpful
            if turn is None or turn.reply is None or opinion is None:
                return
            settled = replace(turn, unsaved=True)
            try:
                service.rate(
                    turn.reply.id, question=turn.asked, answer=turn.reply.answer.text, helpful=opinion, comment=comment
                )
                settled = replace(turn, helpful=opinion, commented=turn.commented or bool(comment), unsaved=False)
            finally:
                self._settle(settled)
