"""Evaluation sets: questions with their gold answers, from szqa's own JSON lines or from SQuAD-like JSON.

Every fault of a file is collected and reported with its place; a file with a fault is not used at all. It knows
nothing of indexes, of answers that a system gave, or of scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from szqa.datatypes import Block, Document
from szqa.errors import EvaluationError
from szqa.text import split_sentences

__all__ = [
    "GOLD_TYPES",
    "UNANSWERABLE",
    "EvaluationSet",
    "Evidence",
    "Place",
    "Question",
    "read_evaluation_set",
    "validate_gold",
]

UNANSWERABLE = "unanswerable"
GOLD_TYPES = ("number", "date", "person_org", "place", "document", "list", "what", "how", "why", UNANSWERABLE)
"""The types of questions in eval/gold.jsonl; a set of one's own may use others."""

_SPLITS = ("dev", "test")


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a document.

    Attributes:
        document_id: the document.
        start: first code point in its text.
        end: code point after the last one.
    """

    document_id: str
    start: int
    end: int

    def meets(self, other: Place) -> bool:
        """Whether one of the two lies wholly inside the other."""
        if self.document_id != other.document_id:
            return False
        inside = other.start <= self.start and self.end <= other.end
        return inside or (self.start <= other.start and other.end <= self.end)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A source's words that support the gold answer.

    Attributes:
        source: the document's path relative to the corpus folder.
        quote: the words, verbatim.
        places: where finding counts: every place the quote stands at, or a whole SQuAD context; empty while the
            documents are not known.
    """

    source: str
    quote: str
    places: tuple[Place, ...] = ()

    def supports(self, place: Place) -> bool:
        """Whether a passage or citation at ``place`` holds this evidence."""
        return any(own.meets(place) for own in self.places)


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what counts as a right answer.

    Attributes:
        id: unique in its set.
        text: the question as a user would ask it.
        type: kind of question, ``"unanswerable"`` exactly where there are no answers.
        answers: every acceptable verbatim answer; empty where the documents do not say.
        evidence: where the answer stands.
        split: "dev" for tuning, "test" for reporting, empty where the set is not split.
        document_id: the context it was written for, ``None`` where it is asked of the whole corpus.
    """

    id: str
    text: str
    type: str
    answers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    split: str = ""
    document_id: str | None = None

    @property
    def answerable(self) -> bool:
        """Whether the documents hold an answer."""
        return bool(self.answers)


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Questions to measure a system by.

    Attributes:
        name: the file's name.
        questions: in the file's order.
        documents: the contexts that came with them; empty for a set that asks about the corpus.
    """

    name: str
    questions: tuple[Question, ...]
    documents: tuple[Document, ...] = ()


class _FaultError(Exception):
    """One record cannot be used; the message says why."""


def read_evaluation_set(path: Path, *, documents: Sequence[Document] = ()) -> EvaluationSet:
    """Read an evaluation set.

    Args:
        path: JSON lines as in eval/gold.jsonl, or a SQuAD 1.1, SQuAD 2.0, CMRC 2018 or DRCD JSON file.
        documents: the corpus that a set of JSON lines asks about; its quotes are looked up there. Without them
            nothing is looked up, and evidence has no places.

    Raises:
        EvaluationError: lists every record that cannot be used.
    """
    content = _read_text(path)
    squad = _parse_squad(path, content)
    problems: list[str] = []
    if squad is None:
        evaluation_set = EvaluationSet(path.name, tuple(_gold_questions(content, documents, problems)))
    else:
        contexts: dict[str, Document] = {}
        questions = tuple(_squad_questions(squad, path, contexts, problems))
        evaluation_set = EvaluationSet(path.name, questions, tuple(contexts.values()))
    if not evaluation_set.questions and not problems:
        problems.append(f"{path}: 没有问题 (no questions in it)")
    if problems:
        raise EvaluationError(problems)
    return evaluation_set


def validate_gold(path: Path, documents: Sequence[Document]) -> list[str]:
    """Faults of a gold set in JSON lines, beyond what scoring it would need.

    Besides what ``read_evaluation_set`` refuses: a quote stands at one place only, each answer stands in one of its
    question's quotes, answers are in order of length without repetition, and no question is asked twice.

    Returns:
        One line a fault; empty where there is none.
    """
    try:
        questions = read_evaluation_set(path, documents=documents).questions
    except EvaluationError as error:
        return list(error.problems)
    faults, asked = [], set()
    for question in questions:
        if question.text in asked:
            faults.append(f"{question.id}: 问题重复 (asked twice): {question.text}")
        asked.add(question.text)
        if list(question.answers) != sorted(dict.fromkeys(question.answers), key=len):
            faults.append(f"{question.id}: answers 应由短到长且不重复 (shortest first, each once)")
        for answer in question.answers:
            if not any(answer in evidence.quote for evidence in question.evidence):
                faults.append(f"{question.id}: {answer!r} 不在任何 quote 中 (stands in no quote)")
        for evidence in question.evidence:
            if len(evidence.places) != 1:
                faults.append(f"{question.id}: {evidence.quote!r} 在原文中出现 {len(evidence.places)} 次 (times)")
    return faults


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise EvaluationError([f"{path}: 没有这个文件，请检查路径 (no such file; check the path)"]) from error
    except UnicodeDecodeError as error:
        raise EvaluationError([f"{path}: 不是 UTF-8 文本，请转换编码 (not UTF-8 text: {error})"]) from error


def _parse_squad(path: Path, content: str) -> list[object] | None:
    """The entries of a SQuAD-like file, or ``None`` for JSON lines."""
    try:
        value: object = json.loads(content)
    except json.JSONDecodeError as error:
        if path.suffix.lower() != ".json":
            return None
        raise EvaluationError([f"{path}: 不是完整的 JSON (not JSON: {error})"]) from error
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and "data" in value:
        data: object = value["data"]
        if isinstance(data, list):
            return data
        raise EvaluationError([f"{path}: data 应为列表 (data must be a list)"])
    return None


# -- JSON lines ------------------------------------------------------------------------------------------------------


def _gold_questions(content: str, documents: Sequence[Document], problems: list[str]) -> Iterator[Question]:
    by_source = {document.source: document for document in documents}
    lines_by_id: dict[str, int] = {}
    # Only "\n" ends a line: str.splitlines would also cut at U+2028, which may stand inside a JSON string.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            question = _gold_question(_json_object(line), by_source)
            first = lines_by_id.setdefault(question.id, number)
            if first != number:
                raise _FaultError(f"id {question.id!r} 与第 {first} 行重复 (id already used in line {first})")
        except _FaultError as fault:
            problems.append(f"第 {number} 行 (line {number}): {fault}")
        else:
            yield question


def _json_object(line: str) -> Mapping[str, object]:
    try:
        value: object = json.loads(line)
    except json.JSONDecodeError as error:
        raise _FaultError(f"不是 JSON (not JSON): {error}") from error
    return _object(value, "一行 (a line)")


def _gold_question(row: Mapping[str, object], by_source: Mapping[str, Document]) -> Question:
    identifier, text, kind = (_string(row, key) for key in ("id", "question", "type"))
    split = _string(row, "split")
    if split not in _SPLITS:
        raise _FaultError(f"split 为 {split!r}，应为 dev 或 test (must be dev or test)")
    answers = _strings(row.get("answers"), "answers")
    evidence = tuple(_evidence(item, by_source) for item in _list(row.get("evidence"), "evidence"))
    if (kind == UNANSWERABLE) != (not answers):
        raise _FaultError(
            f"type 为 {kind!r} 而 answers 有 {len(answers)} 个，只有 {UNANSWERABLE} 没有答案 "
            f"(exactly the questions of type {UNANSWERABLE} have no answers)"
        )
    if answers and not evidence:
        raise _FaultError("有答案而没有 evidence (answers without evidence)")
    if by_source:
        texts = [by_source[item.source].text for item in evidence]
        for answer in answers:
            if not any(answer in source for source in texts):
                raise _FaultError(f"答案 {answer!r} 不在原文中 (answer is not in its source)")
    return Question(identifier, text, kind, answers, evidence, split)


def _evidence(item: object, by_source: Mapping[str, Document]) -> Evidence:
    row = _object(item, "evidence")
    source, quote = _string(row, "source"), _string(row, "quote")
    if not by_source:
        return Evidence(source, quote)
    if source not in by_source:
        raise _FaultError(f"语料中没有 {source!r} (source is not in the corpus)")
    places = tuple(_find(by_source[source], quote))
    if not places:
        raise _FaultError(f"原文中没有 {quote!r} (quote is not in its source)")
    return Evidence(source, quote, places)


def _find(document: Document, quote: str) -> Iterator[Place]:
    start = document.text.find(quote)
    while start >= 0:
        yield Place(document.id, start, start + len(quote))
        start = document.text.find(quote, start + 1)


# -- SQuAD and its relatives -----------------------------------------------------------------------------------------


def _squad_questions(
    entries: list[object], path: Path, contexts: dict[str, Document], problems: list[str]
) -> Iterator[Question]:
    """The questions of all entries; fills ``contexts`` with one document for each distinct context."""
    seen: set[str] = set()
    for where, title, row in _paragraphs(entries, path, problems):
        try:
            document = _context_document(row, title, path.name, contexts)
            qas = _list(row.get("qas"), "qas")
        except _FaultError as fault:
            problems.append(f"{where}: {fault}")
            continue
        for number, item in enumerate(qas):
            try:
                question = _squad_question(_object(item, "qas"), document)
                if question.id in seen:
                    raise _FaultError(f"id {question.id!r} 重复 (id already used)")
            except _FaultError as fault:
                problems.append(f"{where}.qas[{number}]: {fault}")
            else:
                seen.add(question.id)
                yield question


def _paragraphs(
    entries: list[object], path: Path, problems: list[str]
) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """Place, title and content of every paragraph: inside an entry (SQuAD) or the entry itself (CMRC 2018)."""
    for number, item in enumerate(entries):
        where = f"data[{number}]"
        try:
            entry = _object(item, "data")
            title = entry.get("title")
            title = title if isinstance(title, str) and title.strip() else path.stem
            if "paragraphs" not in entry:
                yield where, title, entry
                continue
            for inner, paragraph in enumerate(_list(entry["paragraphs"], "paragraphs")):
                yield f"{where}.paragraphs[{inner}]", title, _object(paragraph, "paragraphs")
        except _FaultError as fault:
            problems.append(f"{where}: {fault}")


def _context_document(row: Mapping[str, object], title: str, file_name: str, contexts: dict[str, Document]) -> Document:
    text = _string(row, "context", "context_text")
    identifier = hashlib.sha256(text.encode()).hexdigest()[:16]
    if identifier not in contexts:
        source = f"{file_name}#context-{len(contexts) + 1}"
        contexts[identifier] = Document(identifier, title, text, source, (Block("prose", 0, len(text)),))
    return contexts[identifier]


def _squad_question(row: Mapping[str, object], document: Document) -> Question:
    identifier = _string(row, "id", "query_id")
    text = row.get("question", row.get("query_text"))
    if not isinstance(text, str):  # an empty one is asked all the same: official files hold some, and count them
        raise _FaultError("question 应为字符串 (must be a string)")
    answers = _squad_answers(_list(row.get("answers", []), "answers"))
    if row.get("is_impossible") is True:
        answers = ()
    elif "is_impossible" not in row and not answers:
        raise _FaultError("没有答案 (no answers, and is_impossible is not given)")
    evidence = (Evidence(document.source, _sentence(document, answers), (Place(document.id, 0, len(document.text)),)),)
    kind = "answerable" if answers else UNANSWERABLE
    return Question(identifier, text, kind, answers, evidence if answers else (), document_id=document.id)


def _squad_answers(items: list[object]) -> tuple[str, ...]:
    """Distinct answers in the file's order; they are plain strings in CMRC 2018's own layout."""
    texts = [item if isinstance(item, str) else _string(_object(item, "answers"), "text") for item in items]
    return tuple(dict.fromkeys(texts))


def _sentence(document: Document, answers: Sequence[str]) -> str:
    """The first sentence that holds an answer, to show beside the answer given."""
    at = max((document.text.find(answer) for answer in answers), default=0)
    for start, end in split_sentences(document.text):
        if end > at:
            return document.text[start:end]
    return document.text


# -- JSON values -----------------------------------------------------------------------------------------------------


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _FaultError(f"{name} 应为对象 (must be an object)")
    return value


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise _FaultError(f"{name} 应为列表 (must be a list)")
    return value


def _string(row: Mapping[str, object], *names: str) -> str:
    """The first of the named values that is there, which must be a string with something in it."""
    value = next((row[name] for name in names if name in row), None)
    if not isinstance(value, str) or not value.strip():
        raise _FaultError(f"{names[0]} 应为非空字符串 (must be a string that is not empty)")
    return value


def _strings(value: object, name: str) -> tuple[str, ...]:
    items = _list(value, name)
    if not all(isinstance(item, str) and item.strip() for item in items):
        raise _FaultError(f"{name} 应为非空字符串的列表 (must be a list of strings that are not empty)")
    return tuple(str(item) for item in items)
