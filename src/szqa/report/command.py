"""``szqa eval``: from the options of the command line to a run, its files and its verdict.

It reports progress through what it is given and prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from szqa.datatypes import Answer, Document, Hit
from szqa.errors import ConfigurationError, EvaluationError, QuestionError
from szqa.evaluation import (
    RANKING_DEPTH,
    RANKING_MEASURES,
    Ask,
    Comparison,
    Metrics,
    Search,
    compare,
    evaluate,
    score_predictions,
)
from szqa.goldset import EvaluationSet, Question, read_evaluation_set
from szqa.index import Index, Progress
from szqa.manifest import MANIFEST_NAME, hash_file
from szqa.report.charts import charts
from szqa.report.pages import comparison_page, run_page
from szqa.report.runs import Run, Setting, current_commit, read_predictions, write_json, write_predictions, write_run
from szqa.retriever import make_retriever
from szqa.store import AS_RECORDED, StoreOptions

if TYPE_CHECKING:
    from szqa.assistant import Assistant

__all__ = [
    "EvaluationOptions",
    "broken_bounds",
    "compare_runs",
    "parse_bounds",
    "run_evaluation",
    "write_comparison_files",
    "write_run_files",
]

_ALIASES = {"hasans": "has_answer_f1", "noans": "no_answer_f1", "citations": "citation_first"}
_BOUNDED = (
    *("em", "f1", "has_answer_em", "has_answer_f1", "no_answer_em", "no_answer_f1", "verbatim"),
    *("abstention_precision", "abstention_recall", "citation_first", "citation_any", "auroc", *RANKING_MEASURES),
)


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What to evaluate and how.

    Attributes:
        file: the evaluation set.
        index: index folder that a set about the corpus is asked of.
        given_context: read each question's own context only, without retrieval; for SQuAD-like sets.
        predictions: score this file of answers instead of asking the assistant.
        reader: name of the reader; the shipped one by default.
        threshold: score from which is answered; by default the reader's own, or 0 where contexts are given and
            every question has an answer in its own.
        top_k: number of passages that are read.
        mode: which retrieval finds them.
        split: "dev" or "test"; every question by default.
        limit: first so many of the questions only; every document stays.
        name: what to call the run; the settings by default.
        store: how a store that runs elsewhere is reached.
    """

    file: Path = Path("eval/gold.jsonl")
    index: Path = Path("index")
    given_context: bool = False
    predictions: Path | None = None
    reader: str | None = None
    threshold: float | None = None
    top_k: int = 5
    mode: Literal["hybrid", "lexical"] = "hybrid"
    split: str | None = None
    limit: int | None = None
    name: str | None = None
    store: StoreOptions = AS_RECORDED


def run_evaluation(options: EvaluationOptions, *, progress: Progress) -> Run:
    """Evaluate; Ctrl-C while questions are asked ends it early with a partial run.

    Raises:
        EvaluationError: the evaluation set or the predictions cannot be scored; nothing was.
        SzqaError: the index or a model cannot be used.
    """
    evaluation_set = read_evaluation_set(options.file)
    if options.predictions is not None:
        return _score_predictions(evaluation_set, options.predictions, options)
    if evaluation_set.documents:
        return _evaluate_contexts(evaluation_set, options, progress)
    return _evaluate_corpus(options, progress)


def compare_runs(old: Run, new: Run) -> Comparison:
    """Compare two runs.

    Raises:
        EvaluationError: they share no question.
    """
    comparison = compare(old.rows, new.rows)
    if not comparison.pairs:
        raise EvaluationError(
            [
                f"{old.name} ({old.evaluation_set}) 与 {new.name} ({new.evaluation_set}) 没有相同的问题，"
                "请用同一评测集的两次评测 (the runs share no question; compare runs of one evaluation set)"
            ]
        )
    return comparison


def write_run_files(run: Run, folder: Path, *, metrics: Metrics) -> list[Path]:
    """Write run.json, predictions.json, report.html and one .svg a plot into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = charts(metrics)
    write_run(run, folder / "run.json", metrics=metrics)
    write_predictions(run.rows, folder / "predictions.json")
    pages = {"report.html": run_page(run, metrics=metrics, charts=drawn)}
    pages |= {f"{name}.svg": str(chart) for name, chart in drawn.items()}
    for name, content in pages.items():
        (folder / name).write_text(content, "utf-8")
    return [folder / name for name in ("run.json", "predictions.json", *pages)]


def write_comparison_files(comparison: Comparison, folder: Path, *, old: Run, new: Run) -> list[Path]:
    """Write comparison.json and comparison.html into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "comparison.json", folder / "comparison.html"]
    write_json(comparison.to_json(), paths[0])
    paths[1].write_text(comparison_page(comparison, old=old, new=new), "utf-8")
    return paths


def parse_bounds(texts: Sequence[str]) -> dict[str, float]:
    """Read ``--fail-under`` options such as ``f1=0.80`` and ``noans=0.7``.

    Returns:
        Measure → the least it may be, a fraction.

    Raises:
        ConfigurationError: one is not of this form, or names no measure.
    """
    known = {name.lower(): name for name in _BOUNDED} | _ALIASES
    bounds = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            least = float(value)
        except ValueError:
            least = -1.0
        if name.strip().lower() not in known or not 0 <= least <= 1:
            raise ConfigurationError(
                f"--fail-under {text}: 应为 指标=0 到 1 之间的小数，例如 f1=0.80；指标有 {', '.join(sorted(known))} "
                "(must be measure=fraction)"
            )
        bounds[known[name.strip().lower()]] = least
    return bounds


def broken_bounds(metrics: Metrics, bounds: Mapping[str, float]) -> list[str]:
    """One line for each bound a run stays below or did not measure; empty where all are kept."""
    broken = []
    for name, least in bounds.items():
        value = metrics.auroc if name == "auroc" else metrics.value(name)
        if value is None:
            broken.append(f"{name}: 没有测量，要求至少 {least:g} (not measured, at least {least:g} is asked for)")
        elif value < least:
            broken.append(f"{name}: {value:.4f}，要求至少 {least:g} (at least {least:g} is asked for)")
    return broken


def _score_predictions(evaluation_set: EvaluationSet, path: Path, options: EvaluationOptions) -> Run:
    predictions = read_predictions(path, [question.id for question in evaluation_set.questions])
    questions = _chosen(evaluation_set, options)
    rows = score_predictions(questions, predictions, documents=evaluation_set.documents)
    settings: dict[str, Setting] = {"predictions": path.name, "split": options.split, "limit": options.limit}
    return Run(options.name or path.stem, evaluation_set.name, settings, tuple(rows), commit=current_commit())


def _evaluate_corpus(options: EvaluationOptions, progress: Progress) -> Run:
    from szqa.assistant import Assistant

    if options.given_context:
        raise ConfigurationError(
            f"--given-context 只用于自带原文的评测集，{options.file} 没有 "
            "(--given-context is for sets that bring their contexts; this one asks about the corpus)"
        )
    assistant = Assistant.load(
        options.index,
        reader=options.reader,
        threshold=options.threshold,
        top_k=options.top_k,
        store=options.store,
    )
    documents = assistant.index.documents
    evaluation_set = read_evaluation_set(options.file, documents=list(documents.values()))
    return _run(_in_mode(assistant, options), evaluation_set, options, progress)


def _evaluate_contexts(evaluation_set: EvaluationSet, options: EvaluationOptions, progress: Progress) -> Run:
    from szqa.assistant import Assistant
    from szqa.embedder import load_embedder
    from szqa.text import Segmenter

    segmenter = Segmenter()
    embedder = load_embedder(None, segmenter)
    documents = evaluation_set.documents[:1] if options.given_context else evaluation_set.documents
    index = Index.build(documents, embedder=embedder, segmenter=segmenter, progress=progress)
    threshold = options.threshold
    if threshold is None and options.given_context and all(item.answerable for item in evaluation_set.questions):
        threshold = 0.0
    assistant = Assistant.over(index, reader=options.reader, threshold=threshold, top_k=options.top_k)
    return _run(_in_mode(assistant, options), evaluation_set, options, progress)


def _run(assistant: Assistant, evaluation_set: EvaluationSet, options: EvaluationOptions, progress: Progress) -> Run:
    questions = _chosen(evaluation_set, options)
    documents = {document.id: document for document in evaluation_set.documents} or assistant.index.documents
    ask, search = _contexts_given(assistant, documents) if options.given_context else _over_all(assistant)
    asked: Iterable[Question] = progress(questions, "提问 ask")
    rows, partial = [], False
    try:
        for row in evaluate(asked, ask, search, threshold=assistant.threshold, documents=documents):
            rows.append(row)
    except KeyboardInterrupt:
        if not rows:
            raise
        partial = True
    settings: dict[str, Setting] = {
        "reader": assistant.reader.reader_id,
        "embedder": assistant.index.embedder.model_id,
        "retrieval": "given context" if options.given_context else options.mode,
        "top_k": options.top_k,
        "threshold": assistant.threshold,
        "split": options.split,
        "limit": options.limit,
    }
    manifest = options.index / MANIFEST_NAME if assistant.index.manifest else None
    return Run(
        name=options.name or f"{settings['reader']}, {settings['retrieval']}",
        evaluation_set=evaluation_set.name,
        settings=settings,
        rows=tuple(rows),
        threshold=assistant.threshold,
        index_manifest=hash_file(manifest) if manifest else None,
        commit=current_commit(),
        partial=partial,
    )


def _chosen(evaluation_set: EvaluationSet, options: EvaluationOptions) -> list[Question]:
    questions = [item for item in evaluation_set.questions if options.split in (None, item.split)]
    if not questions:
        raise EvaluationError(
            [f"{evaluation_set.name}: 没有 split 为 {options.split} 的问题 (no question of this split)"]
        )
    return questions[: options.limit]


def _in_mode(assistant: Assistant, options: EvaluationOptions) -> Assistant:
    if options.mode == "hybrid":
        return assistant
    return replace(assistant, retriever=assistant.retriever.without_meaning())


def _over_all(assistant: Assistant) -> tuple[Ask, Search]:
    """Ask over the whole index, and search it for the retrieval measures."""

    def search(question: Question) -> Sequence[Hit]:
        try:
            return assistant.search(question.text, top_k=RANKING_DEPTH)
        except QuestionError:
            return []

    return lambda question: _best_answer(assistant, question.text), search


def _contexts_given(assistant: Assistant, documents: Mapping[str, Document]) -> tuple[Ask, None]:
    """Ask over an index of the question's own context, all of which is read."""
    current: dict[str, Assistant] = {}

    def ask(question: Question) -> Answer:
        document = documents[question.document_id or ""]
        if document.id not in current:
            current.clear()
            index = Index.build([document], embedder=assistant.index.embedder, segmenter=assistant.index.segmenter)
            passages = max(1, len(index.passages))
            current[document.id] = replace(assistant, index=index, retriever=make_retriever(index), top_k=passages)
        return _best_answer(current[document.id], question.text)

    return ask, None


def _best_answer(assistant: Assistant, text: str) -> Answer:
    """The answer given, or the best candidate where none was; nothing for a question that cannot be asked."""
    try:
        answer = assistant.ask(text)
    except QuestionError:  # official files hold empty questions; they count as any other
        return Answer(text, None, 0.0)
    if not answer.abstained:
        return answer
    candidate = replace(assistant, threshold=0.0).ask(text)
    return replace(candidate, timings_ms=answer.timings_ms)
