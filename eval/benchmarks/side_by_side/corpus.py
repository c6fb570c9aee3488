"""Paragraphs → corpora of any size, with questions whose own paragraph is among them.

It knows nothing of the systems that are asked.
"""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Asked", "documents", "read_questions", "write_corpus"]

# szqa puts short paragraphs together, 1.45 of this text in a passage.
_PARAGRAPHS_A_PASSAGE = 1.45
# Paragraphs of a document of the text, on average.
_DEALT = 17


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the name of the file that holds its answer."""

    text: str
    document: str


def write_corpus(text: Path, questions: Path, passages: int, folder: Path) -> list[Asked]:
    """Write about so many passages as files of a folder: the questions' own paragraphs, a file each, then the text.

    Args:
        text: folder of ``*.txt.xz``, a paragraph a line and a blank line between documents.
        questions: ``.jsonl.xz`` with "context" and "question".
        passages: how many there should be.
        folder: an empty one.

    Returns:
        The questions in a fixed random order.
    """
    asked, contexts = read_questions(questions)
    for name, context in contexts.items():
        (folder / name).write_text(context, "utf-8")
    left = round((passages - len(contexts)) * _PARAGRAPHS_A_PASSAGE)
    for number, paragraphs in enumerate(documents(text)):
        if left <= 0:
            break
        (folder / f"text-{number:06d}.txt").write_text("\n\n".join(paragraphs[:left]), "utf-8")
        left -= len(paragraphs)
    return asked


def read_questions(path: Path) -> tuple[list[Asked], dict[str, str]]:
    """The questions, and file name → paragraph; lines without a question are left out."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["question"].strip()]
    names = {
        context: f"own-{number:04d}.txt" for number, context in enumerate(dict.fromkeys(r["context"] for r in rows))
    }
    asked = [Asked(row["question"].strip(), names[row["context"]]) for row in rows]
    random.Random(0).shuffle(asked)  # noqa: S311 - a fixed order, nothing secret
    return asked, {name: context for context, name in names.items()}


def documents(text: Path) -> Iterator[list[str]]:
    """Documents without end, as lists of paragraphs.

    First those of the text in a fixed random order. Then its paragraphs are dealt out anew, again and again, each with
    a number of its own behind it, so that no two are the same and the vocabulary goes on growing.
    """
    read: list[list[str]] = []
    for path in sorted(text.glob("*.txt.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as stream:
            read += [part.strip().split("\n") for part in stream.read().split("\n\n") if part.strip()]
    rng = random.Random(0)  # noqa: S311 - a fixed order, nothing secret
    rng.shuffle(read)
    yield from read
    paragraphs = [paragraph for document in read for paragraph in document]
    number = 0
    while paragraphs:
        rng.shuffle(paragraphs)
        for start in range(0, len(paragraphs), _DEALT):
            dealt = paragraphs[start : start + _DEALT]
            yield [f"{paragraph}（{number + place}）" for place, paragraph in enumerate(dealt)]
            number += len(dealt)
