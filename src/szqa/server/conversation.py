"""One visitor's conversation: its turns, and how they are written as HTML.

Nothing here knows Gradio; the values of an action come from a browser and are checked before use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from szqa.datatypes import Citation, Document
from szqa.rendering import segments
from szqa.server.pages import environment, source_blocks
from szqa.server.service import Reply
from szqa.strings import WORDS, Language

__all__ = ["ChatTurn", "Conversation", "number_of", "panel_html", "task_of", "view"]

# Text around a citation that the side panel shows; the whole source is one click away.
_AROUND_CHARS: Final = 1500
_RELATED: Final = 3
_MAX_TASK_CHARS: Final = 16
# Gradio fills these into a template of its own (Handlebars, and ${…}); as character references they are plain text.
_PLAIN: Final = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;", "\\": "&#92;"})


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """A question of the conversation and what became of it.

    Attributes:
        id: names this turn within its visit, wherever it stands by then.
        asked: the question as typed.
        reply: the answer; ``None`` while it is looked for, and where there was a problem.
        problem: why there is no answer.
        helpful: the visitor's opinion.
        commented: whether they added a comment.
        unsaved: whether their last opinion could not be kept.
    """

    id: int
    asked: str
    reply: Reply | None = None
    problem: str = ""
    helpful: bool | None = None
    commented: bool = False
    unsaved: bool = False

    @property
    def pending(self) -> bool:
        """Whether the answer is being looked for."""
        return self.reply is None and not self.problem


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as it stood at one moment.

    Attributes:
        visit: the visit it belongs to.
        version: how often it had changed; of two views of a visit, the one with the higher version is the newer.
        turns: oldest first.
        taken: names of the actions that arrived last; what has no other effect yet is seen to have arrived.
    """

    visit: str = ""
    version: int = 0
    turns: tuple[ChatTurn, ...] = ()
    taken: tuple[str, ...] = ()

    def find(self, turn_id: int | None) -> ChatTurn | None:
        """The turn of that id, if it is still there."""
        return next((turn for turn in self.turns if turn.id == turn_id), None)


def view(
    name: str, language: Language, conversation: Conversation | None = None, *, starters: tuple[str, ...] = ()
) -> str:
    """A part of the page as HTML."""
    template = environment().get_template(f"{name}.html")
    html = template.render(
        language=language,
        words=WORDS[language],
        conversation=conversation or Conversation(),
        starters=starters,
        segments=segments,
        related=_RELATED,
    )
    return html.translate(_PLAIN)


def panel_html(
    conversation: Conversation, values: Mapping[str, object], documents: Mapping[str, Document], language: Language
) -> str:
    """The source around a citation or a related passage; nothing where the action names none."""
    turn, n = conversation.find(number_of(values.get("turn"))), number_of(values.get("n"))
    if turn is None or turn.reply is None or n is None:
        return ""
    place = _citation(turn.reply, n) if values.get("act") == "cite" else _passage(turn.reply, n)
    if place is None:
        return ""
    # As it was when it was answered from, should the index have been exchanged since.
    document = turn.reply.documents.get(place.document_id) or documents[place.document_id]
    answer = None
    if place.answer_start is not None and place.answer_end is not None:
        answer = (place.answer_start, place.answer_end)
    window = (max(0, place.start - _AROUND_CHARS), min(len(document.text), place.end + _AROUND_CHARS))
    blocks = source_blocks(document, answer=answer, quote=(place.start, place.end), window=window)
    template = environment().get_template("panel.html")
    html = template.render(
        language=language, words=WORDS[language], place=place, blocks=blocks, key=f"{values.get('act')}-{turn.id}-{n}"
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


def number_of(value: object) -> int | None:
    """A small number that a browser sent as text."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def task_of(value: object) -> str | None:
    """The name that a page gave to one action, the same however often it sends it."""
    if isinstance(value, str) and value.isascii() and value.isalnum() and len(value) <= _MAX_TASK_CHARS:
        return value
    return None
