"""Questions written one by one, not by rule, over parts of reports and news: what is said there, and what is near it.

The texts are the data folder's; a line of the question file names its text by file, document and paragraphs. Each text
is searched by itself, as a small corpus would be. Knows nothing of retrieval, features or models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypedDict

from szqa.chunker import chunk
from szqa.datatypes import Document, Passage
from szqa.errors import ConfigurationError
from szqa.training.pairs import raw_documents
from szqa.training.question_sets import Asked, Collection

__all__ = ["POLICIES", "Part", "read_report_questions"]

POLICIES: Final = "gov_policy_sql2019"
"""Text that is asked about beside ``question_sets.REPORTS``."""

Part = Literal["train", "calibrate", "recalibrate"]
"""What questions are for: to train trees and network on, to calibrate both together, or to calibrate that."""

# The part of every first, second, … fifth text: nothing is calibrated on what it was trained on.
_PARTS: Final[tuple[Part, ...]] = ("recalibrate", "calibrate", "train", "train", "train")


class _Row(TypedDict, total=False):
    """A line of the file; ``answers`` and ``quote``, which holds them all, are missing where the text does not say."""

    text: str
    question: str
    type: str
    answers: list[str]
    quote: str


def read_report_questions(path: Path, data_dir: Path, part: Part) -> list[Collection]:
    """Read the questions of one part, a collection for each text.

    Args:
        path: the questions, JSON lines (eval/reports.jsonl).
        data_dir: folder of training data with ``text/``.
        part: which of them.

    Raises:
        ConfigurationError: there is no such file, or a text or quote is not to be found in the data folder.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"没有 {path}，请用 --questions 指明报告问题集 (no such file; name the set of questions over reports)"
        )
    rows: dict[str, list[_Row]] = {}
    for line in path.read_text("utf-8").splitlines():
        row: _Row = json.loads(line)
        rows.setdefault(row["text"], []).append(row)
    documents: dict[str, list[list[str]]] = {}
    chosen = [name for number, name in enumerate(rows) if _PARTS[number % len(_PARTS)] == part]
    return [_collection(name, rows[name], _passages(name, data_dir, documents)) for name in chosen]


def _passages(name: str, data_dir: Path, documents: dict[str, list[list[str]]]) -> tuple[Passage, ...]:
    """Passages of a text that is named ``file/document/first-last``, several of them joined by ``+``."""
    passages: list[Passage] = []
    for piece in name.split("+"):
        try:
            file, number, interval = piece.split("/")
            start, end = map(int, interval.split("-"))
            if file not in documents:
                documents[file] = raw_documents(data_dir / "text" / f"{file}.txt.xz")
            paragraphs = documents[file][int(number)][start:end]
        except (ValueError, IndexError, OSError) as error:
            raise ConfigurationError(f"{data_dir}: 没有 {piece} 这段文字 (no such text: {error})") from error
        passages += chunk(Document(piece, "", "\n\n".join(paragraphs), piece))
    return tuple(passages)


def _collection(name: str, rows: Sequence[_Row], passages: tuple[Passage, ...]) -> Collection:
    return Collection(name, passages, tuple(_asked(name, row, passages) for row in rows), written=True)


def _asked(name: str, row: _Row, passages: Sequence[Passage]) -> Asked:
    quote = row.get("quote", "")
    if not quote:
        return Asked(row["question"], 0, ())
    for number, passage in enumerate(passages):
        at = passage.text.find(quote)
        if at >= 0:
            return Asked(row["question"], number, tuple(_places(passage.text, row["answers"], at, at + len(quote))))
    raise ConfigurationError(f"{name}: 文字里没有“{quote}” (the text does not hold this quote)")


def _places(text: str, answers: Sequence[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    for answer in answers:
        at = text.find(answer, start, end)
        if at < 0:
            raise ConfigurationError(f"“{text[start:end]}”里没有“{answer}” (the quote does not hold this answer)")
        yield at, at + len(answer)
