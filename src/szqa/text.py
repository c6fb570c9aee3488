"""Chinese text: folding for comparison, sentences, jieba words and index terms.

Everything here keeps offsets: ``fold`` never changes the length of a text, so a match in the folded text is a
match at the same place of the original. It knows nothing of documents, indexes or models.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from szqa.errors import ConfigurationError

if TYPE_CHECKING:
    from jieba import Tokenizer
    from jieba.posseg import POSTokenizer

__all__ = ["Segmenter", "Token", "character_bigrams", "fold", "printable", "split_sentences"]

# CJK Unified Ideographs, extension A, compatibility ideographs, extension B (Unicode 16.0, Blocks.txt).
_HAN_RANGES = ((0x4E00, 0xA000), (0x3400, 0x4DC0), (0xF900, 0xFB00), (0x20000, 0x2A6E0))

# A sentence ends behind 。！？!?… and the closing quotes and brackets that follow them, or at a line's end. A
# semicolon joins the parts of an enumeration, so it ends none; neither does an ASCII dot (3.14, U.S.).
_SENTENCE = re.compile(r"[^。！？!?…\n]*(?:[。！？!?…]+[”’」』）)】》\"']*|\n|$)")

# What moves a terminal's cursor, ends a line or turns the direction of writing.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@cache
def _folding_table() -> dict[int, str]:
    """Code point → its folded form, for every character whose folded form is one other character."""
    from opencc import OpenCC

    # Characters are converted one by one: phrase conversion may change a text's length.
    han = [chr(code) for low, high in _HAN_RANGES for code in range(low, high)]
    simplified = OpenCC("t2s").convert("\n".join(han)).split("\n")
    table = {ord(old): new for old, new in zip(han, simplified, strict=True) if old != new and len(new) == 1}
    for code in range(0x20000):
        character = chr(code)
        folded = unicodedata.normalize("NFKC", character).lower()
        if folded != character and len(folded) == 1:
            table[code] = table.get(ord(folded), folded)
    return table


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
    """jieba with a dictionary and a cache file of its own.

    Args:
        user_dictionary: file of domain terms in jieba's format (``word [frequency] [tag]``).
        cache_dir: where jieba keeps its compiled dictionary; the user's cache folder by default.

    Raises:
        ConfigurationError: the user dictionary is not in jieba's format.
    """

    def __init__(self, user_dictionary: Path | None = None, *, cache_dir: Path | None = None) -> None:
        self.user_dictionary = user_dictionary.read_bytes() if user_dictionary else b""
        self._tokenizer = _load_jieba(self.user_dictionary, str(user_dictionary), cache_dir or _default_cache_dir())
        self._tagger: POSTokenizer | None = None

    @property
    def fingerprint(self) -> str:
        """Version of jieba and the SHA-256 of the user dictionary, as the index manifest records them."""
        return f"jieba-{version('jieba')}+{hashlib.sha256(self.user_dictionary).hexdigest()}"

    def cut(self, text: str) -> list[Token]:
        """Cut a text into words (exact mode); the tokens cover the text without gaps."""
        return list(_place(self._tokenizer.cut(fold(text))))

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

    def words(self, text: str) -> list[str]:
        """Words for an index: jieba's search mode, folded, those without a letter, digit or Han character dropped."""
        return [word for word in self._tokenizer.cut_for_search(fold(text)) if any(map(str.isalnum, word))]


def character_bigrams(text: str) -> list[str]:
    """Pairs of neighbouring letters, digits or Han characters of the folded text."""
    folded = fold(text)
    return [first + second for first, second in pairwise(folded) if first.isalnum() and second.isalnum()]


def _place(words: Iterator[str]) -> Iterator[Token]:
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


def _load_jieba(user_dictionary: bytes, name: str, cache_dir: Path) -> Tokenizer:
    import jieba

    jieba.setLogLevel(logging.ERROR)
    tokenizer = jieba.Tokenizer()
    tokenizer.tmp_dir = str(cache_dir)
    tokenizer.cache_file = f"jieba-{version('jieba')}.cache"
    tokenizer.initialize()
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
