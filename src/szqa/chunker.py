"""Document → Passages: whole sentences with the headings above them.

It knows nothing of files, of how paragraphs were found, or of what passages are used for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from szqa.datatypes import Block, Document, Passage
from szqa.text import split_sentences

__all__ = ["ChunkerSettings", "chunk"]

# Items of a list, rows of a table: paragraphs this short are put together up to this length.
_SHORT_CHARS = 60
_MERGED_CHARS = 200
# Where a sentence longer than a passage is cut, best place first.
_CUTS = (re.compile(r"[；;]+[”’」』）)]*"), re.compile(r"[，、,：:]+[”’」』）)]*"), re.compile(r"\s+"))
_LATIN_WORD = re.compile(r"[A-Za-z0-9]{2}")
_Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ChunkerSettings:
    """How long a passage may be.

    Attributes:
        max_chars: longest passage, in code points, at least 1.
    """

    max_chars: int = 1000

    def __post_init__(self) -> None:
        if self.max_chars < 1:
            raise ValueError(f"max_chars is {self.max_chars}, must be at least 1")


def chunk(document: Document, settings: ChunkerSettings | None = None) -> list[Passage]:
    """Cut a document into passages, in the order of its text.

    A passage is a paragraph; very short neighbouring ones under one heading make one passage, and one that is longer
    than ``max_chars`` is cut between sentences into pieces of about the same length. A sentence is cut only where it
    is itself longer, then at ；, else at ，、, else anywhere. A heading is a passage where nothing stands under it.

    Args:
        document: without blocks, each of its lines is taken for a paragraph.
        settings: the default ones if ``None``.

    Returns:
        Passages that do not overlap, none longer than ``max_chars``, each ``document.text[start:end]``; every
        character of a sentence that is not white space is in exactly one.
    """
    max_chars = (settings or ChunkerSettings()).max_chars
    passages = []
    position = 0
    for headings, blocks in _sections(document):
        for start, end in _paragraphs(document.text, blocks, max_chars=max_chars):
            for piece in _split(document.text, start, end, max_chars=max_chars):
                if not position <= piece[0] < piece[1] <= end:
                    raise ValueError(f"{document.source}: passage {piece} overlaps the one before it")
                passages.append(_passage(document, headings, piece))
                position = piece[1]
    return passages


def _passage(document: Document, headings: tuple[str, ...], interval: _Interval) -> Passage:
    start, end = interval
    return Passage(
        id=f"{document.id}:{start}-{end}",
        document_id=document.id,
        title=document.title,
        headings=headings,
        text=document.text[start:end],
        start=start,
        end=end,
    )


def _sections(document: Document) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """The paragraphs under each heading with its path, and each heading that nothing stands under by itself."""
    blocks = document.blocks or _lines(document.text)
    lonely = _lonely_headings(document, blocks)
    path: list[tuple[int, str]] = []
    body: list[Block] = []
    for block in blocks:
        if block.kind != "heading":
            body.append(block)
            continue
        if body:
            yield _headings(path, document.title), body
            body = []
        path = [step for step in path if step[0] < block.level]
        if block in lonely:
            yield _headings(path, document.title), [block]
        path.append((block.level, document.text[block.start : block.end]))
    if body:
        yield _headings(path, document.title), body


def _headings(path: Sequence[tuple[int, str]], title: str) -> tuple[str, ...]:
    return tuple(heading for _, heading in path if not _is_title(heading, title))


def _is_title(heading: str, title: str) -> bool:
    return "".join(heading.split()) == "".join(title.split())


def _lines(text: str) -> list[Block]:
    """A block for each line that is not blank, without its surrounding white space."""
    return [Block("prose", m.start(), m.end()) for m in re.finditer(r"[^\s](?:[^\n]*[^\s])?", text)]


def _lonely_headings(document: Document, blocks: Sequence[Block]) -> set[Block]:
    """Headings with nothing but headings under them, save what stands above the document's own title."""
    lonely: list[Block] = []
    open_headings: list[Block] = []
    begun = False
    for block in blocks:
        if block.kind != "heading":
            open_headings, begun = [], True
            continue
        while open_headings and open_headings[-1].level >= block.level:
            lonely.append(open_headings.pop())
        if not begun and _is_title(document.text[block.start : block.end], document.title):
            lonely = []  # the masthead
        open_headings.append(block)
    return {*lonely, *open_headings}


def _paragraphs(text: str, blocks: Sequence[Block], *, max_chars: int) -> Iterator[_Interval]:
    """Blocks, with runs of very short ones put together; a line that ends in a colon begins its list."""
    start, end, open_list = 0, 0, False
    for block in blocks:
        short = block.kind == "prose" and block.end - block.start <= _SHORT_CHARS
        if open_list and short and block.end - start <= min(_MERGED_CHARS, max_chars):
            end = block.end
            continue
        if end:
            yield start, end
        start, end = block.start, block.end
        open_list = short or (block.kind == "prose" and text[block.end - 1] in "：:")
    if end:
        yield start, end


def _split(text: str, start: int, end: int, *, max_chars: int) -> list[_Interval]:
    if end - start <= max_chars:
        return [(start, end)]
    sentences = [(start + low, start + high) for low, high in split_sentences(text[start:end])]
    return _pack([piece for s in sentences for piece in _cut(text, s, max_chars=max_chars)], max_chars)


def _cut(text: str, interval: _Interval, *, max_chars: int, rank: int = 0) -> list[_Interval]:
    """Cut an interval that is too long at the best kind of place that it has."""
    start, end = interval
    if end - start <= max_chars:
        return [interval]
    if rank == len(_CUTS):
        return list(_stripped(text, _slices(text, interval, max_chars=max_chars)))
    places = [match.end() for match in _CUTS[rank].finditer(text, start, end) if start < match.end() < end]
    pieces = _stripped(text, zip([start, *places], [*places, end], strict=True))
    return _pack([p for piece in pieces for p in _cut(text, piece, max_chars=max_chars, rank=rank + 1)], max_chars)


def _slices(text: str, interval: _Interval, *, max_chars: int) -> Iterator[_Interval]:
    """Slices of about the same length, not through a Latin word or a number if it is not very long."""
    low, end = interval
    size = -(-(end - low) // -(-(end - low) // max_chars))
    while end - low > max_chars:
        high = low + size
        places = range(high, low + size // 2, -1)
        high = next((place for place in places if not _LATIN_WORD.match(text, place - 1)), high)
        yield low, high
        low = high
    yield low, end


def _stripped(text: str, intervals: Iterable[_Interval]) -> Iterator[_Interval]:
    for start, end in intervals:
        piece = text[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


def _pack(pieces: Sequence[_Interval], max_chars: int) -> list[_Interval]:
    """Put neighbouring pieces together, into as few as ``max_chars`` allows and those about equally long."""
    fewest = len(_fill(pieces, max_chars))
    low, high = max(end - start for start, end in pieces), max_chars
    while low < high:  # least limit that does not need more of them
        limit = (low + high) // 2
        if len(_fill(pieces, limit)) <= fewest:
            high = limit
        else:
            low = limit + 1
    return _fill(pieces, high)


def _fill(pieces: Sequence[_Interval], limit: int) -> list[_Interval]:
    filled: list[_Interval] = []
    for start, end in pieces:
        if filled and end - filled[-1][0] <= limit:
            filled[-1] = (filled[-1][0], end)
        else:
            filled.append((start, end))
    return filled
