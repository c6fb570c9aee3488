"""From question sets and plain text to the folder of arrays that the reader is trained on.

It knows the files of the data folder and their formats, and nothing of networks.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import multiprocessing
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from szqa.neural import Vocabulary
from szqa.text import Segmenter, character_bigrams
from szqa.training.masked_text import encode_text
from szqa.training.pairs import raw_documents
from szqa.training.question_sets import REPORTS
from szqa.training.question_sets import write_questions as write_report_questions
from szqa.training.questions import Example, unanswerable, write_questions
from szqa.training.ranker_cases import Case, is_held_back, open_cases
from szqa.training.reader_data import Examples, encode_examples
from szqa.training.report_questions import read_report_questions

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


# What questions are written about beside the reports; laws, 40 % of all text, are held short.
SOURCES: Final = (
    TextSource("gov_policy_sql2019", 10**7),
    TextSource("cmrc2018_train_wiki", 10**7),
    TextSource("csl_abstracts", 300_000),
    TextSource("freecodecamp_zh", 200_000),
    TextSource("laws", 400_000),
)
# Plain text that characters are hidden in, and the share of the crops that comes from each: above all registers that
# szqa reads; statutes and documentation, translated by machine in part, are held down.
TEXT_WEIGHTS: Final = {
    "cmrc2018_train_wiki": 0.14,
    "gov_reports_2026": 0.09,
    "gov_reports_2012_2021": 0.02,
    "gov_policy_sql2019": 0.03,
    "fuyao_news": 0.04,
    "csl_abstracts": 0.08,
    "freecodecamp_zh": 0.07,
    "laws": 0.16,
    "ms_dotnet": 0.08,
    "ms_dynamics_ops": 0.06,
    "python_docs_zh": 0.05,
    "ms_architecture": 0.03,
    "pingcap": 0.03,
    "oiwiki": 0.03,
    "d2l_zh": 0.03,
    "ms_powerapps": 0.02,
    "ms_o365seccomp": 0.02,
    "howtocook": 0.02,
}
_ALL: Final = 10**9
# Passages beside its own, or beside an answer, that each question written by hand is put to in vain.
_NEAR: Final = 2
# Times that each fact of a report is asked for.
_ROUNDS: Final = 4
_ENCODED_TOGETHER: Final = 2000
_MAX_ANSWER_CHARS: Final = 100
_NAME = re.compile(r"《[^《》]{2,20}》|[一-鿿]{2,6}(?:省|市|县|区|大学|公司|集团)")


def read_paragraphs(path: Path, max_chars: int) -> list[str]:
    """Paragraphs of a text file, an empty one between documents; of a longer file every n-th document."""
    documents = raw_documents(path)
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


def near_misses(
    examples: Sequence[Example], *, rng: Random, depth: int = 5, passages: Sequence[str] = ()
) -> list[Example]:
    """Each question with one of the passages most like it (BM25 over bigrams) that do not hold its answer.

    Args:
        examples: answered questions.
        rng: chooses among the passages.
        depth: passages to choose among.
        passages: what is searched; the examples' own by default.
    """
    import bm25s

    if not examples:
        return []
    contexts = sorted({example.context for example in examples}.union(passages))
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
    data_dir: Path, out_dir: Path, *, seed: int = 1, chars_per_question: int = 30, vocabulary_size: int = 4600
) -> dict[str, int]:
    """Write the vocabulary and the arrays of every stage, with all cores.

    Args:
        data_dir: holds ``mrc/`` and ``text/``.
        out_dir: gets ``tokenizer.json``, ``text.npz`` (plain text), ``synthetic.npz``, ``synthetic_none.npz``,
            ``reports.npz``, ``reports_none.npz``, ``real.npz``, ``near.npz``, ``changed.npz``, for tuning
            ``trial.npz`` and ``drcd.npz``, and last ``prepared.json``.
        seed: of the synthetic questions and the negatives.
        chars_per_question: one synthetic question for so many characters of text.
        vocabulary_size: characters with an id of their own, at most.

    Returns:
        Number of examples of each file.
    """
    rng = Random(seed)  # noqa: S311 - no secret depends on it
    out_dir.mkdir(parents=True, exist_ok=True)
    real = [e for e in load_examples(data_dir / "mrc/cmrc2018_train.jsonl.xz") if e.end - e.start <= _MAX_ANSWER_CHARS]
    vocabulary = _prepare_text(data_dir, out_dir, real, vocabulary_size)
    jobs = [(data_dir, source.name, source.max_chars, seed, chars_per_question) for source in SOURCES]
    with multiprocessing.get_context("spawn").Pool() as pool:
        reports = pool.apply_async(_about_reports, (data_dir, seed, chars_per_question))
        written = [example for some in pool.starmap(_write_about, jobs, chunksize=1) for example in some]
        answered, unanswered = reports.get()
        sets = {
            "real": real,
            "near": near_misses(real, rng=rng),
            "changed": list(_changed(real, rng)),
            "synthetic": written,
            "synthetic_none": list(_changed(written[::4], rng)),
            "reports": answered,
            "reports_none": unanswered,
            "trial": load_examples(data_dir / "mrc/cmrc2018_trial.jsonl.xz"),
            "drcd": load_examples(data_dir / "mrc/drcd_dev_simplified.jsonl.xz"),
        }
        for name, examples in sets.items():
            starts = range(0, max(1, len(examples)), _ENCODED_TOGETHER)
            parts = [(examples[start : start + _ENCODED_TOGETHER], vocabulary) for start in starts]
            Examples.joined(pool.starmap(_encode, parts, chunksize=1)).save(out_dir / f"{name}.npz")
    counts = {name: len(examples) for name, examples in sets.items()}
    _write_record(data_dir, out_dir, seed, counts)
    return counts


def prepare_by_hand(data_dir: Path, out_dir: Path, questions: Path, *, seed: int = 1) -> dict[str, int]:
    """Write the arrays of questions written by hand over reports, beside those that ``prepare`` wrote.

    Args:
        data_dir: holds ``text/``.
        out_dir: gets ``by_hand.npz`` and ``by_hand_none.npz``, and last ``by_hand.json``.
        questions: the file of them (eval/reports.jsonl).
        seed: of the negatives.

    Returns:
        Number of examples of each file.
    """
    vocabulary = Vocabulary.load(out_dir)
    cases = open_cases(read_report_questions(questions, data_dir, "train"), _segmenter(), seed=seed)
    sets = {
        "by_hand": [Example(c.question, c.hits[c.gold].passage.text, *c.answers[0]) for c in cases if c.gold >= 0],
        "by_hand_none": [example for case in cases for example in _in_vain(case)],
    }
    for name, examples in sets.items():
        _encode(examples, vocabulary).save(out_dir / f"{name}.npz")
    counts = {name: len(examples) for name, examples in sets.items()}
    record = {"examples": counts, "sha256": {questions.name: hashlib.sha256(questions.read_bytes()).hexdigest()}}
    (out_dir / "by_hand.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return counts


def _in_vain(case: Case) -> Iterator[Example]:
    """The question with the passages that come nearest to it and do not answer it."""
    answer = case.hits[case.gold].passage.text[slice(*case.answers[0])] if case.gold >= 0 else ""
    others = [hit.passage.text for hit in case.hits if not answer or answer not in hit.passage.text]
    for text in others[:_NEAR] if not answer else others[:1]:
        yield Example(case.question, text, -1, -1)


def _prepare_text(data_dir: Path, out_dir: Path, real: Sequence[Example], vocabulary_size: int) -> Vocabulary:
    texts = {name: read_paragraphs(data_dir / f"text/{name}.txt.xz", _ALL) for name in TEXT_WEIGHTS}
    questions = [example.question for example in real]
    paragraphs = [paragraph for some in texts.values() for paragraph in some]
    vocabulary = Vocabulary.of([*paragraphs, *questions], min_count=3, max_size=vocabulary_size)
    vocabulary.save(out_dir)
    encode_text(texts, TEXT_WEIGHTS, vocabulary).save(out_dir / "text.npz")
    return vocabulary


# What a worker process made when it first needed it: its segmenter.
@cache
def _segmenter() -> Segmenter:
    return Segmenter()


def _encode(examples: Sequence[Example], vocabulary: Vocabulary) -> Examples:
    return encode_examples(examples, segmenter=_segmenter(), vocabulary=vocabulary)


def _write_about(data_dir: Path, name: str, max_chars: int, seed: int, chars_per_question: int) -> list[Example]:
    """Questions about the paragraphs of one text file."""
    rng = Random(f"{seed} {name}")  # noqa: S311 - no secret depends on it
    paragraphs = read_paragraphs(data_dir / f"text/{name}.txt.xz", max_chars)
    return list(write_questions(paragraphs, segmenter=_segmenter(), rng=rng, chars_per_question=chars_per_question))


def _about_reports(data_dir: Path, seed: int, chars_per_question: int) -> tuple[list[Example], list[Example]]:
    """Questions about reports with their passages, and with passages that come near; held-back passages left out."""
    rng = Random(seed)  # noqa: S311 - no secret depends on it
    answered, unanswered = [], []
    collections = write_report_questions(
        data_dir, _segmenter(), seed=seed, rounds=_ROUNDS, chars_a_question=_ROUNDS * chars_per_question
    )
    for collection in collections:
        found = []
        for asked in collection.asked:
            passage = collection.passages[asked.passage]
            if is_held_back(passage.id):
                continue
            if asked.answers:
                found.append(Example(asked.question, passage.text, *asked.answers[0]))
            else:
                unanswered.append(Example(asked.question, passage.text, -1, -1))
        answered += found
        unanswered += near_misses(found[::2], rng=rng, passages=[passage.text for passage in collection.passages])
    return answered, unanswered


def _write_record(data_dir: Path, out_dir: Path, seed: int, counts: dict[str, int]) -> None:
    used = [f"mrc/{name}.jsonl.xz" for name in ("cmrc2018_train", "cmrc2018_trial", "drcd_dev_simplified")]
    used += [f"text/{name}.txt.xz" for name in sorted({*TEXT_WEIGHTS, *REPORTS, *(s.name for s in SOURCES)})]
    hashes = {name: hashlib.sha256((data_dir / name).read_bytes()).hexdigest() for name in used}
    record = {"seed": seed, "examples": counts, "sha256": hashes}
    (out_dir / "prepared.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _changed(examples: Sequence[Example], rng: Random) -> Iterator[Example]:
    """Examples made unanswerable, with names of other questions to exchange."""
    names = sorted({name for example in examples for name in _NAME.findall(example.question)})
    for example in examples:
        changed = unanswerable(
            example, rng=rng, names=rng.sample(names, min(40, len(names))) + _NAME.findall(example.question)
        )
        if changed:
            yield changed
