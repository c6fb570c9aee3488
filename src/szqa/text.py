"""Chinese text: folding for comparison, sentences, jieba words and index terms.

Everything here keeps offsets: ``fold`` never changes the length of a text, so a match in the folded text is a
match at the same place of the original. It knows nothing of documents, indexes or models.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from szqa.cutter import Cutter, Table, cached_table
from szqa.errors import ConfigurationError

if TYPE_CHECKING:
    from jieba import Tokenizer
    from jieba.posseg import POSTokenizer

__all__ = [
    "Segmenter",
    "Token",
    "character_bigrams",
    "code_points",
    "fold",
    "letter_codes",
    "letter_runs",
    "printable",
    "split_sentences",
]

# CJK Unified Ideographs, extension A, compatibility ideographs, extension B (Unicode 16.0, Blocks.txt).
_HAN_RANGES = ((0x4E00, 0xA000), (0x3400, 0x4DC0), (0xF900, 0xFB00), (0x20000, 0x2A6E0))

# A sentence ends behind 。！？!?… and the closing quotes and brackets that follow them, or at a line's end. A
# semicolon joins the parts of an enumeration, so it ends none; neither does an ASCII dot (3.14, U.S.).
_SENTENCE = re.compile(r"[^。！？!?…\n]*(?:[。！？!?…]+[”’」』）)】》\"']*|\n|$)")
# Letters, digits and Han characters: what ``str.isalnum`` is true of.
_LETTERS = re.compile(r"[^\W_]+")

# Lines whose words are kept at hand.
_REMEMBERED_LINES = 2048

# What moves a terminal's cursor, ends a line or turns the direction of writing.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@cache
def _folding_table() -> dict[int, int]:
    """Code point → its folded form, for every character whose folded form is one other character."""
    versions = f"opencc-{version('opencc')}-unicode-{unicodedata.unidata_version}"
    characters = cached_table(_cache_path(_default_cache_dir(), f"folding-{versions}"), _fold_every_character)
    return str.maketrans(characters["from"], characters["to"])


def _fold_every_character() -> dict[str, str]:
    """Every character whose folded form is one other character, and these forms, as two strings."""
    from opencc import OpenCC

    # Characters are converted one by one: phrase conversion may change a text's length.
    han = [chr(code) for low, high in _HAN_RANGES for code in range(low, high)]
    simplified = OpenCC("t2s").convert("\n".join(han)).split("\n")
    table = {old: new for old, new in zip(han, simplified, strict=True) if old != new and len(new) == 1}
    for character in map(chr, range(0x20000)):
        folded = unicodedata.normalize("NFKC", character).lower()
        if folded != character and len(folded) == 1:
            table[character] = table.get(folded, folded)
    return {"from": "".join(table), "to": "".join(table.values())}


def fold(text: str) -> str:
    """Fold width, case and traditional characters, for comparison only.

    Unicode NFKC and lower case where they map one character to one, and OpenCC's t2s table character by
    character. The result has exactly as many code points as ``text``.
    """
    return text.translate(_folding_table())


def printable(text: str) -> str:
    """A text on one line that means nothing to a terminal: control characters and marks of direction are escaped."""
    return _UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Split a text into sentences.

    Returns:
        Half-open intervals of ``text`` in order, without surrounding white space and without empty ones.
    """
    intervals = []
    for match in _SENTENCE.finditer(text):
        stripped = match.group().strip()
        if stripped:
            start = match.start() + match.group().index(stripped)
            intervals.append((start, start + len(stripped)))
    return intervals


class Token(NamedTuple):
    """A word of a text.

    Attributes:
        text: the folded word.
        start: first code point in the text.
        end: code point after the last one.
        tag: part of speech in jieba's (ICTCLAS) notation, empty where it was not asked for.
    """

    text: str
    start: int
    end: int
    tag: str = ""


class Segmenter:
    """jieba with a dictionary and cache files of its own.

    Args:
        user_dictionary: file of domain terms in jieba's format (``word [frequency] [tag]``).
        cache_dir: where jieba's compiled dictionary is kept; the user's cache folder by default.

    Raises:
        ConfigurationError: the user dictionary is not in jieba's format.
    """

    def __init__(self, user_dictionary: Path | None = None, *, cache_dir: Path | None = None) -> None:
        self.user_dictionary = user_dictionary.read_bytes() if user_dictionary else b""
        self._name = str(user_dictionary)
        self._cache_dir = cache_dir or _default_cache_dir()
        self._prepare()

    def _prepare(self) -> None:
        self._frequencies = cached_table(_cache_path(self._cache_dir, f"words-{_jieba()}"), _jieba_frequencies)
        self._tokenizer = _load_jieba(self._frequencies, self.user_dictionary, self._name)
        self._cutter = Cutter(self._tokenizer, self._frequencies)
        self._tags: Table[str] | None = None
        self._plain_tags: Table[str] | None = None
        self._tagger: POSTokenizer | None = None
        self._line_words = lru_cache(_REMEMBERED_LINES)(self._cut_line)

    def __getstate__(self) -> tuple[bytes, str, Path]:
        return self.user_dictionary, self._name, self._cache_dir

    def __setstate__(self, state: tuple[bytes, str, Path]) -> None:
        self.user_dictionary, self._name, self._cache_dir = state
        self._prepare()

    @property
    def fingerprint(self) -> str:
        """Version of jieba and the SHA-256 of the user dictionary, as the index manifest records them."""
        return f"jieba-{version('jieba')}+{hashlib.sha256(self.user_dictionary).hexdigest()}"

    def cut(self, text: str) -> list[Token]:
        """Cut a text into words (exact mode); the tokens cover the text without gaps."""
        return list(_place(self._cutter.cut(fold(text))))

    def tag(self, text: str) -> list[Token]:
        """Cut a text into words with parts of speech; the tokens cover the text without gaps."""
        if self._tagger is None:
            from jieba.posseg import POSTokenizer

            self._tagger = POSTokenizer(self._tokenizer)
        position, tokens = 0, []
        for word, tag in self._tagger.cut(fold(text)):
            tokens.append(Token(word, position, position + len(word), tag))
            position += len(word)
        return tokens

    def dictionary_tag(self, word: str) -> str:
        """Part of speech that jieba's own dictionary gives a folded word, empty where it does not hold it."""
        if self._tags is None:
            self._tags = cached_table(_cache_path(self._cache_dir, f"tags-{_jieba()}"), _jieba_tags)
        return self._tags.get(word) or ""

    def plain_tag(self, word: str) -> str:
        """As ``dictionary_tag``, of a word as it is written there: folding gives 於's tag to 于, and so on."""
        if self._plain_tags is None:
            self._plain_tags = cached_table(_cache_path(self._cache_dir, f"plain-tags-{_jieba()}"), _jieba_plain_tags)
        return self._plain_tags.get(word) or ""

    def read_whole_dictionary(self) -> None:
        """Read all of jieba's dictionary now rather than when a word is first met: for cutting many texts."""
        self._frequencies.read_all()

    def words(self, text: str) -> list[str]:
        """Words for an index: jieba's search mode, folded, those without a letter, digit or Han character dropped."""
        # Line by line, which changes no word: what cuts a text for one purpose often has cut its lines for another.
        return [word for line in fold(text).split("\n") for word in self._line_words(line)]

    def _cut_line(self, line: str) -> tuple[str, ...]:
        words = self._cutter.cut_for_search(line)
        return tuple([word for word in words if word.isalnum() or any(map(str.isalnum, word))])


def character_bigrams(text: str) -> list[str]:
    """Pairs of neighbouring letters, digits or Han characters of the folded text."""
    return [bigram for run in letter_runs(text) for bigram in map(add, run, run[1:])]


def letter_runs(text: str) -> list[str]:
    """Runs of letters, digits and Han characters of the folded text."""
    return _LETTERS.findall(fold(text))


def letter_codes(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]]:
    """The letters, digits and Han characters of folded texts, as arrays.

    Returns:
        For each of them the number of its text, its code point, and whether the next one follows it immediately.
    """
    folded = fold("\n".join(texts))  # between two texts stands a character that is no letter
    letters = np.fromiter(map(str.isalnum, folded), dtype=bool, count=len(folded))
    at = np.flatnonzero(letters)
    codes = code_points(folded)[at].astype(np.uint64)
    ends = np.cumsum([len(text) + 1 for text in texts])
    return np.searchsorted(ends, at, side="right"), codes, np.diff(at, append=-1) == 1


def code_points(text: str) -> NDArray[np.uint32]:
    """The code points of a text, (len(text),)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _place(words: Iterable[str]) -> Iterator[Token]:
    position = 0
    for word in words:
        yield Token(word, position, position + len(word))
        position += len(word)


def _default_cache_dir() -> Path:
    from platformdirs import user_cache_path

    path = user_cache_path("szqa")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:  # read-only home: a fresh folder costs jieba's start-up time, nothing else
        return Path(tempfile.mkdtemp(prefix="szqa-"))
    return path


def _cache_path(folder: Path, name: str) -> Path:
    # Marshalled values are read by the Python that wrote them only.
    return folder / f"{name}.{sys.implementation.cache_tag}"


def _jieba() -> str:
    return f"jieba-{version('jieba')}"


def _jieba_frequencies() -> dict[str, int]:
    """Word → frequency, 0 for the beginnings of words; the sum of all under the empty word."""
    import jieba

    tokenizer = jieba.Tokenizer()
    frequencies, total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    return {**frequencies, "": total}


def _jieba_tags() -> dict[str, str]:
    """Folded word → part of speech."""
    return {fold(word): tag for word, tag in _jieba_plain_tags().items()}


def _jieba_plain_tags() -> dict[str, str]:
    """Word → part of speech."""
    import jieba

    with jieba.Tokenizer().get_dict_file() as lines:
        rows = (line.decode("utf-8").split() for line in lines)
        return {row[0]: row[2] for row in rows if len(row) == 3}


def _load_jieba(frequencies: Table[int], user_dictionary: bytes, name: str) -> Tokenizer:
    import jieba

    jieba.setLogLevel(logging.ERROR)
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total, tokenizer.initialized = frequencies, frequencies[""], True
    try:
        # Texts are folded before they are cut, so the terms are too; fold() would also lower the tags' case.
        lines = user_dictionary.decode("utf-8-sig").splitlines()
        folded = "\n".join(" ".join((fold(word), *rest)) for word, *rest in map(str.split, filter(str.strip, lines)))
        tokenizer.load_userdict(io.BytesIO(folded.encode()))
    except ValueError as error:
        raise ConfigurationError(
            f"{name}: 不是 jieba 词典格式，每行应为“词 [词频] [词性]”，UTF-8 编码 "
            f"(not in jieba's dictionary format: {error})"
        ) from error
    return tokenizer
