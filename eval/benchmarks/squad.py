"""Open-domain figures on a SQuAD, CMRC 2018 or DRCD file: every context is a document of one in-memory index.

Usage: python eval/benchmarks/squad.py FILE [--limit N] [--json] [--store milvus [--milvus-uri URI]]

Retrieval is measured by documents (the rank of the first passage of the question's own context) for lexical, dense
and hybrid search; answers by EM and F1 over all contexts, and reading with the context given. The reader answers
every question here (threshold 0), as the official script expects; "at the threshold" is the product's own behaviour.
"own" is the share of questions whose answer is taken from their own context: recall@1 where the reader has the choice.
With another store than FAISS, only retrieval is measured: reading is the same.
CMRC 2018 dev is for reporting: nothing may be tuned on these figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from szqa.batches import make_batch
from szqa.chunker import ChunkerSettings
from szqa.datatypes import Hit
from szqa.embedder import load_embedder
from szqa.engine import ENGINES
from szqa.engine_index import EngineIndex, write_engine_index
from szqa.evaluation import RANKING_MEASURES, QuestionRow, ranking_scores
from szqa.goldset import EvaluationSet, Question, read_evaluation_set
from szqa.index import Index
from szqa.report import EvaluationOptions, run_evaluation
from szqa.retriever import AnyRetriever, Mode, make_retriever
from szqa.store import STORES, StoreOptions
from szqa.text import Segmenter

_Item = TypeVar("_Item")
_MODES: tuple[Mode, ...] = ("lexical", "dense", "hybrid")
# Passages searched to find ten documents: a context longer than a passage takes more than one of them.
_PASSAGES = 40
_DEPTH = 10


def main() -> None:
    """Measure one file and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=int, help="first so many questions only; every context stays")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--store", choices=sorted(STORES), default="faiss", help="what is searched")
    parser.add_argument("--milvus-uri", help="a server; milvus-lite in a temporary folder by default")
    options = parser.parse_args()
    if options.store in ENGINES:
        figures = {"retrieval": _retrieval_by_engine(options.file, options.limit, options.store, options.milvus_uri)}
    else:
        figures = {
            "retrieval": _retrieval(options.file, options.limit),
            "answers": _answers(options.file, options.limit),
        }
    if options.json:
        print(json.dumps({"file": options.file.name, **figures}, ensure_ascii=False, indent=1))
        return
    for part, by_name in figures.items():
        for name, scores in by_name.items():
            print(part, name, *(f"{measure} {value:.4f}" for measure, value in scores.items()), sep="\t")


def _retrieval(file: Path, limit: int | None) -> dict[str, dict[str, float]]:
    """Mode → measure → mean over the questions."""
    evaluation_set = read_evaluation_set(file)
    segmenter = Segmenter()
    index = Index.build(
        evaluation_set.documents, embedder=load_embedder(None, segmenter), segmenter=segmenter, progress=_progress
    )
    return _ranked(evaluation_set, make_retriever(index), limit)


def _retrieval_by_engine(file: Path, limit: int | None, store: str, uri: str | None) -> dict[str, dict[str, float]]:
    """The same, searched by an engine."""
    evaluation_set = read_evaluation_set(file)
    segmenter = Segmenter()
    embedder, settings = load_embedder(None, segmenter), ChunkerSettings()
    with TemporaryDirectory() as name:
        options = StoreOptions(uri or str(Path(name) / "milvus.db"), timeout_s=60)
        batch = make_batch(
            evaluation_set.documents, segmenter=segmenter, embedder=embedder, settings=settings, with_terms=False
        )
        write_engine_index(
            Path(name),
            [batch],
            sources={},
            embedder=embedder,
            segmenter=segmenter,
            store_name=store,
            options=options,
            settings=settings,
        )
        index = EngineIndex.load(Path(name), make_embedder=lambda _, __: embedder, options=options)
        figures = _ranked(evaluation_set, make_retriever(index), limit)
        index.engine.drop()
        return figures


def _ranked(evaluation_set: EvaluationSet, retriever: AnyRetriever, limit: int | None) -> dict[str, dict[str, float]]:
    questions = [question for question in evaluation_set.questions[:limit] if question.text.strip()]
    figures: dict[str, dict[str, float]] = {}
    for mode in _MODES:
        ranks = [
            (_document_rank(question, retriever.search(question.text, top_k=_PASSAGES, mode=mode)),)
            for question in _progress(questions, mode)
        ]
        scores = ranking_scores(ranks)
        figures[mode] = {name: fmean(scores[name]) for name in RANKING_MEASURES}
    return figures


def _document_rank(question: Question, hits: Sequence[Hit]) -> int | None:
    """Rank of the question's own context among the distinct documents, ``None`` beyond the tenth."""
    documents = list(dict.fromkeys(hit.passage.document_id for hit in hits))[:_DEPTH]
    return documents.index(question.document_id) + 1 if question.document_id in documents else None


def _answers(file: Path, limit: int | None) -> dict[str, dict[str, float]]:
    """Way of asking → measure → figure."""
    always = run_evaluation(EvaluationOptions(file, limit=limit, threshold=0.0), progress=_progress)
    open_domain = run_evaluation(EvaluationOptions(file, limit=limit), progress=_progress)
    given = run_evaluation(EvaluationOptions(file, limit=limit, given_context=True, threshold=0.0), progress=_progress)
    return {
        "open domain": _means(always.rows),
        "open domain, at the threshold": _means(open_domain.rows),
        "context given": _means(given.rows),
    }


def _means(rows: Sequence[QuestionRow]) -> dict[str, float]:
    answered = fmean(row.answered for row in rows)
    own = fmean(bool(row.cited) and row.cited[0] for row in rows)
    return {"em": fmean(row.em for row in rows), "f1": fmean(row.f1 for row in rows), "answered": answered, "own": own}


def _progress(items: Sequence[_Item], label: str) -> Iterable[_Item]:
    return track(items, description=label, console=Console(stderr=True))


if __name__ == "__main__":
    main()
