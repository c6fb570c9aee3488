"""Pairs of texts that belong together, read and made from the training data, for the embedder.

It reads CMRC 2018's training questions, ``pairs/*.jsonl.xz`` and ``text/*.txt.xz``, and knows nothing of tokens,
models or losses.
"""

from __future__ import annotations

import json
import lzma
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar

from szqa.errors import ConfigurationError
from szqa.text import split_sentences

_Item = TypeVar("_Item")

__all__ = ["TextPair", "data_files", "raw_documents", "read_documents", "read_pairs", "read_paragraphs"]

# Rows taken of each file; laws and the partly machine-translated documentation are numerous and far from the
# reports and articles that szqa is for, so they are held down.
_PAIR_ROWS = {
    "cmrc2018_train_title2ctx": 5_000,
    "csl_title2abstract": 5_000,
    "dureader2_demo": 1_000,
    "headings_freecodecamp_zh": 2_000,
    "headings_fuyao_news": 2_000,
    "headings_ms_docs": 4_000,
    "headings_pingcap": 2_500,
    "laws_title_chapter2article": 3_000,
    "pawsx_zh_pos": 2_000,
}
_TEXT_PARAGRAPHS = {
    "cmrc2018_train_wiki": 5_000,
    "csl_abstracts": 3_000,
    "freecodecamp_zh": 2_000,
    "fuyao_news": 3_000,
    "gov_policy_sql2019": 2_000,
    "gov_reports_2012_2021": 1_000,
    "gov_reports_2026": 4_000,
    "laws": 4_000,
}
_QUESTIONS = "cmrc2018_train"
_MADE = " question"
_MAX_QUESTIONS = 20_000
_MAX_CHARS = 400
_MIN_CHARS = 40
_QUERIES_PER_PARAGRAPH = 6
_MIN_QUESTION, _MAX_QUESTION = 10, 80

_NUMBER = re.compile(r"(约|近|超|超过|达|达到)?\d[\d,.]*(余|多)?([万亿]{0,2})(?=[\u4e00-\u9fff])")
_YEAR = re.compile(r"(19|20)\d\d年(\d{1,2}月)?(\d{1,2}日)?")
_PERCENT = re.compile(r"\d[\d.]*(%|个百分点)")
_TITLE = re.compile(r"《[^《》]{2,20}》")
_QUOTED = re.compile(r"“[^“”]{2,15}”")
_REPLACEMENTS = (
    (_YEAR, ("哪一年", "什么时候", "何时")),
    (_PERCENT, ("百分之多少", "多少")),
    (_NUMBER, ("多少", "几")),
    (_TITLE, ("哪份文件", "哪部作品", "什么")),
    (_QUOTED, ("什么", "哪个")),
)


@dataclass(frozen=True, slots=True)
class TextPair:
    """A query and the passage it belongs to.

    Attributes:
        query: a question, a title, a heading or a sentence.
        passage: the sentence that answers it, or all of its paragraph, or the rest of it.
        source: file it came from, and " question" where the query was made from the passage.
    """

    query: str
    passage: str
    source: str


def data_files(data_dir: Path) -> list[Path]:
    """List the files that the pairs are made from, in a fixed order.

    Raises:
        ConfigurationError: one is missing.
    """
    pairs = [data_dir / "pairs" / f"{name}.jsonl.xz" for name in _PAIR_ROWS]
    texts = [data_dir / "text" / f"{name}.txt.xz" for name in _TEXT_PARAGRAPHS]
    files = [data_dir / "mrc" / f"{_QUESTIONS}.jsonl.xz", *pairs, *texts]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise ConfigurationError(f"缺少训练数据 (training data missing): {', '.join(missing)}")
    return files


def read_pairs(data_dir: Path, *, seed: int, limit: int | None = None) -> list[TextPair]:
    """Read all pairs and make queries from paragraphs.

    Args:
        data_dir: folder with ``pairs/`` and ``text/``.
        seed: of the choice of rows and of the queries made.
        limit: most rows taken of any one file.

    Raises:
        ConfigurationError: a file is missing.
    """
    pairs: list[TextPair] = []
    for path in data_files(data_dir):
        name = path.name.split(".")[0]
        rng = random.Random(f"{seed} {name}")  # noqa: S311 (a reproducible choice, not a secret)
        if name == _QUESTIONS:
            for row in _sample(rng, _read_rows(path), limit or _MAX_QUESTIONS):
                pairs.extend(_question_pairs(row, name))
        elif name in _PAIR_ROWS:
            for row in _sample(rng, _read_rows(path), min(_PAIR_ROWS[name], limit or _PAIR_ROWS[name])):
                passage = _shorten(row["positive"])
                pairs.append(TextPair(row["query"], passage, name))
        else:
            count = min(_TEXT_PARAGRAPHS[name], limit or _TEXT_PARAGRAPHS[name])
            for paragraph in _sample(rng, read_paragraphs(path), count):
                pairs.extend(_pairs_within(rng, paragraph, name))
    return [pair for pair in pairs if pair.query.strip() and pair.passage.strip()]


def read_paragraphs(path: Path) -> list[str]:
    """Read a paragraph file into runs of whole sentences of 40 to about 400 characters."""
    return [paragraph for document in read_documents(path) for paragraph in document]


def read_documents(path: Path) -> list[list[str]]:
    """Read a paragraph file as ``read_paragraphs`` does, the documents apart: an empty line stands between two."""
    documents: list[list[str]] = [[]]
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if not line.strip():
                documents.append([])
            documents[-1] += [chunk for chunk in _chunks(line.strip()) if len(chunk) >= _MIN_CHARS]
    return [document for document in documents if document]


def raw_documents(path: Path) -> list[list[str]]:
    """The paragraphs of each document of a text file as they are: a line each, blank ones between documents."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [document.split("\n") for document in re.split(r"\n{2,}", lines.read().strip("\n"))]


class _Row(TypedDict):
    """A line of a pairs file (query, positive) or of a question file (the rest)."""

    query: str
    positive: str
    title: str
    context: str
    question: str
    answers: list[_RowAnswer]


class _RowAnswer(TypedDict):
    text: str
    start: int


def _read_rows(path: Path) -> list[_Row]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _sample(rng: random.Random, rows: list[_Item], count: int) -> list[_Item]:
    return rng.sample(rows, min(count, len(rows)))


def _question_pairs(row: _Row, source: str) -> Iterator[TextPair]:
    """Pair a question with its paragraph under its title, as passages are embedded, and with the sentence of it."""
    question, context, start = row["question"], row["context"], row["answers"][0]["start"]
    yield TextPair(question, f"{row['title']}\n{context}", source)
    for sentence_start, sentence_end in split_sentences(context):
        if sentence_start <= start < sentence_end:
            yield TextPair(question, context[sentence_start:sentence_end], source)


def _chunks(paragraph: str) -> Iterator[str]:
    start = end = 0
    for sentence_start, sentence_end in split_sentences(paragraph):
        if end > start and sentence_end - start > _MAX_CHARS:
            yield paragraph[start:end]
            start = sentence_start
        end = sentence_end
    if end > start:
        yield paragraph[start:end]


def _shorten(passage: str) -> str:
    """Keep the first sentences that make up at most 400 characters."""
    ends = [end for _, end in split_sentences(passage) if end <= _MAX_CHARS]
    return passage[: max(ends, default=_MAX_CHARS)]


def _pairs_within(rng: random.Random, paragraph: str, source: str) -> Iterator[TextPair]:
    """Pair sentences with the rest of their paragraph, and questions made from them with them and with all of it."""
    sentences = split_sentences(paragraph)
    for n in _sample(rng, list(range(len(sentences))), _QUERIES_PER_PARAGRAPH):
        start, end = sentences[n]
        sentence, rest = paragraph[start:end], paragraph[:start] + paragraph[end:]
        question = _question(rng, sentence)
        if question is not None:
            yield TextPair(question, sentence, source + _MADE)
            yield TextPair(question, paragraph, source + _MADE)
        elif len(rest) >= _MIN_CHARS:
            yield TextPair(sentence, rest, source)


def _question(rng: random.Random, sentence: str) -> str | None:
    """Make a question of a clause by putting a question word in the place of a number, date, title or quotation."""
    found = [(match, words) for pattern, words in _REPLACEMENTS for match in pattern.finditer(sentence)]
    if not found:
        return None
    match, words = rng.choice(found)
    start = max(sentence.rfind(mark, 0, match.start()) for mark in "，；：、") + 1
    ends = [end for mark in "，；。" if (end := sentence.find(mark, match.end())) > 0]
    end = min(ends, default=len(sentence))
    if rng.random() < 0.5 and start > 1:  # the clause before often names what the clause is about
        start = max(sentence.rfind(mark, 0, start - 1) for mark in "，；：") + 1
    question = sentence[start : match.start()] + rng.choice(words) + sentence[match.end() : end] + "？"
    return question if _MIN_QUESTION <= len(question) <= _MAX_QUESTION else None
