"""From question sets and plain text to the folder of arrays that the reader is trained on.

It knows the files of the data folder and their formats, and nothing of networks.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from szqa.neural import Vocabulary
from szqa.text import Segmenter, character_bigrams
from szqa.training.questions import Example, unanswerable, write_questions
from szqa.training.reader_data import encode_examples

__all__ = ["TextSource", "load_examples", "near_misses", "prepare", "read_paragraphs"]


@dataclass(frozen=True, slots=True)
class TextSource:
    """Plain text to write questions about.

    Attributes:
        name: of the file ``text/<name>.txt.xz``.
        max_chars: how much of it is used, spread over the whole file.
    """

    name: str
    max_chars: int


# The register of the target corpus first; laws, 40 % of all text, are held short.
TEXT_SOURCES = (
    TextSource("gov_reports_2026", 10**7),
    TextSource("gov_reports_2012_2021", 10**7),
    TextSource("gov_policy_sql2019", 10**7),
    TextSource("fuyao_news", 10**7),
    TextSource("cmrc2018_train_wiki", 10**7),
    TextSource("csl_abstracts", 400_000),
    TextSource("freecodecamp_zh", 200_000),
    TextSource("laws", 500_000),
)
_MAX_ANSWER_CHARS = 100
_NAME = re.compile(r"《[^《》]{2,20}》|[一-鿿]{2,6}(?:省|市|县|区|大学|公司|集团)")


def read_paragraphs(path: Path, max_chars: int) -> list[str]:
    """Paragraphs of a text file, an empty one between documents; of a longer file every n-th document."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        documents = [chunk.split("\n") for chunk in re.split(r"\n{2,}", lines.read().strip("\n"))]
    total = sum(len(paragraph) for document in documents for paragraph in document)
    every = max(1, round(total / max_chars))
    return [paragraph for document in documents[::every] for paragraph in [*document, ""]]


def load_examples(path: Path) -> list[Example]:
    """Read a question set of the data folder; the first answer of each question counts."""
    examples = []
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["is_impossible"]:
                examples.append(Example(row["question"], row["context"], -1, -1))
            else:
                answer = row["answers"][0]
                end = answer["start"] + len(answer["text"])
                examples.append(Example(row["question"], row["context"], answer["start"], end))
    return examples


def near_misses(examples: Sequence[Example], *, rng: Random, depth: int = 5) -> list[Example]:
    """Each question with one of the passages most like it (BM25 over bigrams) that do not hold its answer."""
    import bm25s

    contexts = sorted({example.context for example in examples})
    retriever = bm25s.BM25()
    retriever.index([character_bigrams(context) for context in contexts], show_progress=False)
    queries = [character_bigrams(example.question) or ["？"] for example in examples]
    rows, _ = retriever.retrieve(queries, k=min(depth, len(contexts)), show_progress=False)
    misses = []
    for example, row in zip(examples, rows, strict=True):
        others = [contexts[int(i)] for i in row if example.answer and example.answer not in contexts[int(i)]]
        if others:
            misses.append(Example(example.question, rng.choice(others), -1, -1))
    return misses


def prepare(
    data_dir: Path, out_dir: Path, *, seed: int = 1, chars_per_question: int = 75, vocabulary_size: int = 7000
) -> dict[str, int]:
    """Write the vocabulary and the arrays of every stage.

    Args:
        data_dir: holds ``mrc/`` and ``text/``.
        out_dir: gets ``tokenizer.json``, ``synthetic.npz``, ``synthetic_none.npz``, ``real.npz``, ``near.npz``,
            ``changed.npz``, for tuning ``trial.npz`` and ``drcd.npz``, and last ``prepared.json``.
        seed: of the synthetic questions and the negatives.
        chars_per_question: one synthetic question for so many characters of text.
        vocabulary_size: characters with an id of their own, at most.

    Returns:
        Number of examples of each file.
    """
    rng, segmenter = Random(seed), Segmenter()  # noqa: S311 - no secret depends on it
    out_dir.mkdir(parents=True, exist_ok=True)
    real = [e for e in load_examples(data_dir / "mrc/cmrc2018_train.jsonl.xz") if e.end - e.start <= _MAX_ANSWER_CHARS]
    texts = {
        source.name: read_paragraphs(data_dir / f"text/{source.name}.txt.xz", source.max_chars)
        for source in TEXT_SOURCES
    }
    vocabulary = Vocabulary.of(_all_text(texts.values(), real), min_count=3, max_size=vocabulary_size)
    vocabulary.save(out_dir)
    synthetic = [
        example
        for paragraphs in texts.values()
        for example in write_questions(paragraphs, segmenter=segmenter, rng=rng, chars_per_question=chars_per_question)
    ]
    sets = {
        "real": real,
        "near": near_misses(real, rng=rng),
        "changed": list(_changed(real, rng)),
        "synthetic": synthetic,
        "synthetic_none": list(_changed(synthetic[::4], rng)),
        "trial": load_examples(data_dir / "mrc/cmrc2018_trial.jsonl.xz"),
        "drcd": load_examples(data_dir / "mrc/drcd_dev_simplified.jsonl.xz"),
    }
    for name, examples in sets.items():
        encode_examples(examples, segmenter=segmenter, vocabulary=vocabulary).save(out_dir / f"{name}.npz")
    counts = {name: len(examples) for name, examples in sets.items()}
    _write_record(data_dir, out_dir, seed, counts)
    return counts


def _write_record(data_dir: Path, out_dir: Path, seed: int, counts: dict[str, int]) -> None:
    used = [f"mrc/{name}.jsonl.xz" for name in ("cmrc2018_train", "cmrc2018_trial", "drcd_dev_simplified")]
    used += [f"text/{source.name}.txt.xz" for source in TEXT_SOURCES]
    hashes = {name: hashlib.sha256((data_dir / name).read_bytes()).hexdigest() for name in used}
    record = {"seed": seed, "examples": counts, "sha256": hashes}
    (out_dir / "prepared.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _all_text(texts: Iterable[list[str]], examples: Sequence[Example]) -> Iterator[str]:
    for paragraphs in texts:
        yield from paragraphs
    yield from (example.question for example in examples)


def _changed(examples: Sequence[Example], rng: Random) -> Iterator[Example]:
    """Examples made unanswerable, with names of other questions to exchange."""
    names = sorted({name for example in examples for name in _NAME.findall(example.question)})
    for example in examples:
        changed = unanswerable(
            example, rng=rng, names=rng.sample(names, min(40, len(names))) + _NAME.findall(example.question)
        )
        if changed:
            yield changed
