"""jieba's cutting, word for word, over a dictionary that is read piece by piece.

Reading all of jieba's dictionary takes longer than answering a question; a question touches a few hundred of the
first characters in it. ``Table`` keeps a table of words in a file, one block for the words of each first character, and
reads a block when it is first asked for. ``Cutter`` finds the same words as jieba's exact and search modes with fewer
look-ups. It knows nothing of folding or of what words are used for.
"""

from __future__ import annotations

import marshal
import mmap
import re
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate
from math import inf, log
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

if TYPE_CHECKING:
    from jieba import Tokenizer

__all__ = ["Cutter", "Table", "cached_table"]

_Value = TypeVar("_Value", int, str)

# A file begins with this and the sizes of its places and its blocks.
_MAGIC: Final = b"szqa-t1\n"
_HEAD: Final = struct.Struct("<8sQQ")

# jieba 0.42.1, jieba/__init__.py: re_han_default and re_skip_default.
_HAN: Final = re.compile(r"([一-鿕a-zA-Z0-9+#&._%\-]+)")
_SKIP: Final = re.compile(r"(\r\n|\s)")

# Runs of characters outside the dictionary come back often: names, terms. jieba's hidden Markov model is slow.
_REMEMBERED_RUNS: Final = 50_000
# What is cut for one purpose is often cut again for another: passages are searched, ranked and read.
_REMEMBERED_BLOCKS: Final = 4096


class Table(Generic[_Value]):
    """Words and a value for each, those of one first character read at a time.

    Args:
        places: first character → place and size of its block.
        blocks: the marshalled blocks.
        begin: where the first block begins.
    """

    def __init__(self, places: Mapping[str, tuple[int, int]], blocks: mmap.mmap | bytes, *, begin: int = 0) -> None:
        self._places = places
        self._blocks = blocks
        self._begin = begin
        self.read: dict[str, dict[str, _Value]] = {}

    def starting_with(self, character: str) -> dict[str, _Value]:
        """The words that begin with a character, and their values; belongs to the table, so changes stay."""
        known = self.read.get(character)
        if known is None:
            start, size = self._places.get(character, (0, 0))
            start += self._begin
            known = marshal.loads(self._blocks[start : start + size]) if size else {}  # noqa: S302 - our own cache
            self.read[character] = known
        return known

    def read_all(self) -> None:
        """Read every block, as one who cuts whole corpora wants."""
        for character in self._places:
            self.starting_with(character)

    # What jieba's Tokenizer asks of its table of frequencies.

    def __contains__(self, word: str) -> bool:
        return word in self.starting_with(word[:1])

    def __getitem__(self, word: str) -> _Value:
        return self.starting_with(word[:1])[word]

    def __setitem__(self, word: str, value: _Value) -> None:
        self.starting_with(word[:1])[word] = value

    def get(self, word: str, default: _Value | None = None) -> _Value | None:
        """The value of a word, ``default`` where the table does not hold it."""
        return self.starting_with(word[:1]).get(word, default)

    @classmethod
    def of(cls, words: Mapping[str, _Value]) -> Self:
        """A table in memory."""
        table = cls({}, b"")
        for word, value in words.items():
            table.read.setdefault(word[:1], {})[word] = value
        return table

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open a table that ``save`` wrote; ``None`` where there is none or it is not whole."""
        try:
            with path.open("rb") as stream:
                content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # an empty file cannot be mapped
            return None
        magic, *numbers = _HEAD.unpack_from(content) if len(content) >= _HEAD.size else (b"", 0, 0)
        if magic != _MAGIC or len(content) != sum(numbers) + _HEAD.size:
            return None
        begin = _HEAD.size + numbers[0]
        return cls(marshal.loads(content[_HEAD.size : begin]), content, begin=begin)  # noqa: S302 - our own cache

    def save(self, path: Path) -> None:
        """Write what was read into a file, in one step; raises ``OSError`` where the folder cannot be written."""
        blocks = {character: marshal.dumps(words) for character, words in self.read.items()}
        ends = list(accumulate(map(len, blocks.values()), initial=0))
        places = marshal.dumps({name: (end, len(blocks[name])) for name, end in zip(blocks, ends, strict=False)})
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            stream.write(_HEAD.pack(_MAGIC, len(places), ends[-1]))
            stream.write(places)
            stream.writelines(blocks.values())
        Path(stream.name).replace(path)


def cached_table(path: Path, make: Callable[[], Mapping[str, _Value]]) -> Table[_Value]:
    """The table of a file, which is written where it is missing or not whole."""
    table: Table[_Value] | None = Table.open(path)
    if table is None:
        table = Table.of(make())
        with suppress(OSError):  # full disk or read-only folder: costs start-up time, nothing else
            table.save(path)
    return table


class Cutter:
    """Cuts texts exactly as a jieba tokenizer does, in about half the time.

    Args:
        tokenizer: an initialised tokenizer; words added to it later are not seen.
        frequencies: its table of frequencies (``Tokenizer.FREQ``), where 0 marks the beginning of a longer word.
    """

    def __init__(self, tokenizer: Tokenizer, frequencies: Table[int]) -> None:
        from jieba import finalseg

        self._frequencies = frequencies
        self._log_total = log(tokenizer.total)
        self._chance_of: dict[str, Callable[[str], float | None]] = {}
        self._unknown = lru_cache(_REMEMBERED_RUNS)(lambda run: tuple(finalseg.cut(run)))
        self._words_of = lru_cache(_REMEMBERED_BLOCKS)(self._cut_block)

    def cut(self, text: str) -> list[str]:
        """Words of a text in jieba's exact mode with its hidden Markov model; they cover the text without gaps."""
        words: list[str] = []
        for number, block in enumerate(_HAN.split(text)):
            if number % 2:
                words += self._words_of(block)
            elif block:
                for gap, piece in enumerate(_SKIP.split(block)):
                    words += [piece] if gap % 2 else piece
        return words

    def cut_for_search(self, text: str) -> list[str]:
        """Words of a text in jieba's search mode: before a long word the words of two and three letters inside it."""
        read, starting_with = self._frequencies.read, self._frequencies.starting_with
        found: list[str] = []
        for word in self.cut(text):
            size = len(word)
            if size > 2:
                for length in (2, 3) if size > 3 else (2,):
                    for start in range(size - length + 1):
                        piece = word[start : start + length]
                        words = read.get(piece[0])
                        if (starting_with(piece[0]) if words is None else words).get(piece):
                            found.append(piece)
            found.append(word)
        return found

    def _cut_block(self, block: str) -> tuple[str, ...]:
        ends = self._best_ends(block)
        size = len(block)
        words: list[str] = []
        position = single = 0  # characters from ``single`` to ``position`` stand alone so far
        while position < size:
            end = ends[position]
            if end - position > 1:
                if single < position:
                    words += self._cut_singles(block[single:position])
                words.append(block[position:end])
                single = end
            position = end
        if single < size:
            words += self._cut_singles(block[single:])
        return tuple(words)

    def _cut_singles(self, run: str) -> Iterable[str]:
        """A run of single characters: itself if it is one, its characters if it is a word, else by the model."""
        if len(run) == 1 or self._frequencies.get(run):
            return run
        return self._unknown(run)

    def _best_ends(self, block: str) -> list[int]:
        """For each place the end of the word that begins the most probable cutting of the rest.

        jieba's ``get_DAG`` and ``calc`` in one pass from the end; of equal chances the longer word, as there.
        """
        size, chance_of = len(block), self._chance_of
        text = block + "\0"  # begins or ends no word, so that no place needs to be compared with the size
        ends, chances = [0] * size, [0.0] * (size + 1)
        for start in range(size - 1, -1, -1):
            first = text[start]
            get = chance_of.get(first) or self._read_chances(first)
            chance = get(first)
            best = chance + chances[start + 1] if chance else -inf
            best_end, end = start + 1, start + 2
            while (chance := get(text[start:end])) is not None:
                if chance:
                    chance += chances[end]
                    if chance >= best:
                        best, best_end = chance, end
                end += 1
            ends[start] = best_end
            # A character that begins no word has jieba's frequency of 1.
            chances[start] = best if best > -inf else chances[start + 1] - self._log_total
        return ends

    def _read_chances(self, first: str) -> Callable[[str], float | None]:
        """Look-up of the log chance of words that begin with a character; 0 for the beginnings of longer ones."""
        words = self._frequencies.starting_with(first)
        chances = {word: log(count) - self._log_total if count else 0.0 for word, count in words.items()}
        self._chance_of[first] = chances.get
        return chances.get
