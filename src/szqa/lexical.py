"""BM25 over jieba words and character bigrams, for passage texts and for the titles above them.

Words find what the dictionary knows, bigrams what it does not; the two live in one vocabulary, kept apart by a
prefix. It knows nothing of embeddings, of how postings are kept, or how its scores are fused.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from szqa.bm25 import Field, FieldBuilder, Rows
from szqa.datatypes import Passage
from szqa.errors import IndexFormatError
from szqa.series import TitleSeries
from szqa.text import Segmenter, character_bigrams, letter_codes

__all__ = ["TITLE_WEIGHT", "LexicalBuilder", "LexicalIndex", "PassageTerms", "above", "index_terms", "passage_terms"]

# Weight of the BM25 score of title and headings beside that of the text; eval/README.md, "Retrieval settings".
TITLE_WEIGHT = 0.4

_BIGRAM_MARK: Final = "#"
# A bigram's key is this bit and its two code points; a word's is a hash without it.
_BIGRAM_BIT: Final = 1 << 63
_CODE_POINT_BITS: Final = 21
_REMEMBERED_WORDS: Final = 1 << 17


def index_terms(segmenter: Segmenter, text: str) -> list[str]:
    """The terms a text is indexed and searched by: jieba words, and character bigrams with a '#' before them."""
    return segmenter.words(text) + [_BIGRAM_MARK + bigram for bigram in character_bigrams(text)]


@lru_cache(_REMEMBERED_WORDS)
def _word_key(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest()) >> 1


def above(passage: Passage) -> str:
    """What stands above a passage: its document's title and its headings."""
    return "\n".join((passage.title, *passage.headings))


@dataclass(frozen=True, slots=True)
class PassageTerms:
    """The index terms of passages.

    Attributes:
        titles: the title of each passage.
        body: the terms of the passages' texts.
        title: the terms of what stands above each of them.
    """

    titles: tuple[str, ...]
    body: Rows
    title: Rows


def passage_terms(passages: Sequence[Passage], segmenter: Segmenter) -> PassageTerms:
    """Take passages apart."""
    heads = [above(passage) for passage in passages]
    known = {head: row for row, head in enumerate(dict.fromkeys(heads))}
    return PassageTerms(
        tuple(passage.title for passage in passages),
        _rows([passage.text for passage in passages], segmenter),
        _rows(list(known), segmenter).chosen(np.array([known[head] for head in heads], dtype=np.int64)),
    )


def _rows(texts: Sequence[str], segmenter: Segmenter) -> Rows:
    """``index_terms`` of texts, by their keys."""
    words = [segmenter.words(text) for text in texts]
    word_keys = np.array([key for part in words for key in map(_word_key, part)], dtype=np.uint64)
    word_rows = np.repeat(np.arange(len(texts)), [len(part) for part in words])
    letter_rows, codes, followed = letter_codes(texts)
    at = np.flatnonzero(followed)
    bigram_keys = np.uint64(_BIGRAM_BIT) | codes[at] << np.uint64(_CODE_POINT_BITS) | codes[at + 1]
    return Rows.of(
        np.concatenate([word_rows, letter_rows[at]]), np.concatenate([word_keys, bigram_keys]), size=len(texts)
    )


def _keys(segmenter: Segmenter, text: str) -> list[int]:
    keys: list[int] = _rows([text], segmenter).keys.tolist()
    return keys


class LexicalBuilder:
    """Writes a lexical index, some passages at a time.

    Args:
        folder: where the index goes; made if missing.
        scratch: folder for temporary files.
        segmenter: cuts titles.
    """

    def __init__(self, folder: Path, scratch: Path, segmenter: Segmenter) -> None:
        self._folder = folder
        self._segmenter = segmenter
        self._body = FieldBuilder(folder / "body", scratch)
        self._title = FieldBuilder(folder / "title", scratch)
        self._titles: list[str] = []

    def add(self, terms: PassageTerms) -> None:
        """Add passages after those that are there."""
        self._body.add(terms.body)
        self._title.add(terms.title)
        self._titles += terms.titles

    def finish(self) -> None:
        """Write the index."""
        terms_of = partial(_keys, self._segmenter)
        TitleSeries.of(self._titles, self._body.rows(), terms_of=terms_of).save(self._folder / "series")
        self._body.finish()
        self._title.finish()

    def close(self) -> None:
        """Remove the temporary files."""
        self._body.close()
        self._title.close()


@dataclass(frozen=True, slots=True)
class LexicalIndex:
    """BM25 scores of every passage for a question; row *i* is the *i*-th passage it was built from.

    Attributes:
        segmenter: cuts passages and questions.
        body: BM25 over the passages' texts.
        title: BM25 over the documents' titles and the headings above each passage.
        series: which documents' titles are of a series, and what tells them apart.
    """

    segmenter: Segmenter
    body: Field
    title: Field
    series: TitleSeries

    @property
    def size(self) -> int:
        """Number of passages."""
        return self.body.size

    @classmethod
    def build(cls, passages: Sequence[Passage], segmenter: Segmenter) -> Self:
        """Index passages without keeping any files."""
        with tempfile.TemporaryDirectory(prefix="szqa-") as name:
            folder = Path(name)
            builder = LexicalBuilder(folder, folder, segmenter)
            try:
                builder.add(passage_terms(passages, segmenter))
                builder.finish()
            finally:
                builder.close()
            return cls.load(folder, segmenter, size=len(passages))  # mapped files outlive their names

    def scores(self, question: str) -> NDArray[np.float32]:
        """BM25 of every passage: text plus ``TITLE_WEIGHT`` times title and headings.

        The sum is up to twice as much where the title is one of a series (政府工作报告 of several provinces) and the
        question holds what tells it from its sisters: their passages share one vocabulary and rarely say whose they
        are.

        Returns:
            ``(size,)`` float32, >= 0, higher is better; all zero where no term of the question is known.
        """
        asked = _rows([question], self.segmenter)
        terms = dict(zip(asked.keys.tolist(), asked.counts.tolist(), strict=True))
        total = self.body.scores(terms) + np.float32(TITLE_WEIGHT) * self.title.scores(terms)
        return np.asarray(total * (1 + self.series.coverage(terms)), dtype=np.float32)

    def read_terms(self, titles: Sequence[str], scratch: Path) -> PassageTerms:
        """The terms of every passage, read back; the larger arrays are put into files of a folder."""
        return PassageTerms(tuple(titles), self.body.read_rows(scratch), self.title.read_rows(scratch))

    @classmethod
    def load(cls, folder: Path, segmenter: Segmenter, *, size: int) -> Self:
        """Map an index that ``LexicalBuilder`` wrote.

        Args:
            folder: where it was written.
            segmenter: the segmenter it was built with.
            size: number of passages it must hold.

        Raises:
            IndexFormatError: a file cannot be read, or it holds another number of passages.
        """
        body, title = Field.load(folder / "body"), Field.load(folder / "title")
        series = TitleSeries.load(folder / "series")
        for name, found in (("body", body.size), ("title", title.size), ("series", len(series.rows))):
            if found != size:
                raise IndexFormatError(
                    f"{folder / name}: 有 {found} 条段落，应为 {size} 条，请运行 szqa build "
                    f"(holds {found} passages, expected {size}; run: szqa build)"
                )
        return cls(segmenter, body, title, series)
