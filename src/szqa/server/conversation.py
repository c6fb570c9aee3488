"""One visitor's conversation: its turns, what each action makes of it, and how it is written as HTML.

Nothing here knows Gradio; the values of an action come from a browser and are checked before use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from szqa.datatypes import Citation, Document
from szqa.dialogue import Turn
from szqa.errors import QuestionError, StoreUnavailableError
from szqa.feedback import MAX_COMMENT_CHARS
from szqa.rendering import segments
from szqa.server.pages import environment, source_blocks
from szqa.server.service import BusyError, Reply, Service
from szqa.strings import WORDS, Language

__all__ = ["ChatTurn", "Conversation", "panel_html", "view"]

# Text around a citation that the side panel shows; the whole source is one click away.
_AROUND_CHARS: Final = 1500
_MAX_TURNS: Final = 50
_RELATED: Final = 3
# Gradio fills these into a template of its own (Handlebars, and ${…}); as character references they are plain text.
_PLAIN: Final = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;", "\\": "&#92;"})


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """A question of the conversation and what became of it.

    Attributes:
        asked: the question as typed.
        reply: the answer; ``None`` while it is looked for, and where there was a problem.
        problem: why there is no answer.
        helpful: the visitor's opinion.
        commented: whether they added a comment.
    """

    asked: str
    reply: Reply | None = None
    problem: str = ""
    helpful: bool | None = None
    commented: bool = False

    @property
    def pending(self) -> bool:
        """Whether the answer is being looked for."""
        return self.reply is None and not self.problem


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns so far, oldest first."""

    turns: tuple[ChatTurn, ...] = ()

    def after(self, values: Mapping[str, object], service: Service, language: Language) -> Iterator[Conversation]:
        """The conversation after an action, more than once where there is something to show in between."""
        act, number = values.get("act"), _number(values.get("turn"))
        turn = self.turns[number] if number is not None and number < len(self.turns) else None
        question = str(values.get("question") or "")
        if act == "ask":
            yield from self._asking(self.turns, question, service, language)
        elif act == "rephrase" and turn:
            last = number == len(self.turns) - 1
            kept = self.turns[:-1] if last else self.turns
            yield from self._asking(kept, question, service, language, verbatim=True)
        elif act == "retry" and turn:
            yield from self._asking(self.turns[:-1], turn.asked, service, language)
        elif act == "undo":
            yield Conversation(self.turns[:-1])
        elif act == "clear":
            yield Conversation()
        elif act == "vote" and turn and turn.reply:
            yield self._rated(number, replace(turn, helpful=values.get("helpful") == "yes"), service)
        elif act == "comment" and turn and turn.helpful is not None:
            comment = str(values.get("comment") or "")[:MAX_COMMENT_CHARS].strip()
            yield self._rated(number, replace(turn, commented=bool(comment)), service, comment=comment)
        else:
            yield self

    def failed(self, problem: str) -> Conversation:
        """The conversation where an unforeseen error ended the question under way."""
        turns = [replace(turn, problem=problem) if turn.pending else turn for turn in self.turns]
        return Conversation(tuple(turns))

    def _asking(
        self,
        before: tuple[ChatTurn, ...],
        question: str,
        service: Service,
        language: Language,
        *,
        verbatim: bool = False,
    ) -> Iterator[Conversation]:
        kept = before[-_MAX_TURNS:]
        asked = ChatTurn(question.strip())
        if not asked.asked:
            yield self
            return
        yield Conversation((*kept, asked))
        history = [Turn(turn.reply.understood, turn.reply.answer.text) for turn in kept if turn.reply]
        try:
            reply = service.ask(question, history, verbatim=verbatim)
        except BusyError:
            yield Conversation((*kept, replace(asked, problem=WORDS[language].busy)))
        except (QuestionError, StoreUnavailableError) as error:
            yield Conversation((*kept, replace(asked, problem=str(error))))
        else:
            yield Conversation((*kept, replace(asked, reply=reply)))

    def _rated(self, number: int | None, turn: ChatTurn, service: Service, *, comment: str = "") -> Conversation:
        if turn.reply is None or number is None:
            return self
        answer = turn.reply.answer.text
        service.rate(turn.reply.id, question=turn.asked, answer=answer, helpful=bool(turn.helpful), comment=comment)
        return Conversation((*self.turns[:number], turn, *self.turns[number + 1 :]))


def view(name: str, language: Language, *, turns: tuple[ChatTurn, ...] = (), starters: tuple[str, ...] = ()) -> str:
    """A part of the page as HTML."""
    template = environment().get_template(f"{name}.html")
    html = template.render(
        language=language, words=WORDS[language], turns=turns, starters=starters, segments=segments, related=_RELATED
    )
    return html.translate(_PLAIN)


def panel_html(
    conversation: Conversation, values: Mapping[str, object], documents: Mapping[str, Document], language: Language
) -> str:
    """The source around a citation or a related passage; nothing where the action names none."""
    number, n = _number(values.get("turn")), _number(values.get("n"))
    turn = conversation.turns[number] if number is not None and number < len(conversation.turns) else None
    if turn is None or turn.reply is None or n is None:
        return ""
    place = _citation(turn.reply, n) if values.get("act") == "cite" else _passage(turn.reply, n)
    if place is None:
        return ""
    document = documents[place.document_id]
    answer = None
    if place.answer_start is not None and place.answer_end is not None:
        answer = (place.answer_start, place.answer_end)
    window = (max(0, place.start - _AROUND_CHARS), min(len(document.text), place.end + _AROUND_CHARS))
    blocks = source_blocks(document, answer=answer, quote=(place.start, place.end), window=window)
    template = environment().get_template("panel.html")
    html = template.render(
        language=language, words=WORDS[language], place=place, blocks=blocks, key=f"{values.get('act')}-{number}-{n}"
    )
    return html.translate(_PLAIN)


def _citation(reply: Reply, n: int) -> Citation | None:
    return next((citation for citation in reply.answer.citations if citation.n == n), None)


def _passage(reply: Reply, rank: int) -> Citation | None:
    """A related passage in the form of a citation that holds no answer."""
    passage = next((hit.passage for hit in reply.answer.hits if hit.rank == rank), None)
    if passage is None:
        return None
    return Citation(
        rank,
        passage.document_id,
        passage.title,
        "",
        passage.headings,
        passage.text,
        passage.start,
        passage.end,
    )


def _number(value: object) -> int | None:
    """A small number that a browser sent as text."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
