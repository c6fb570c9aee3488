"""From options to runs, their files and their comparison, with a reader whose every choice is known."""

import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import pytest
from rich.console import Console, RenderableType

from conftest import ROOT, HashEmbedder, make_document
from szqa.assistant import Assistant
from szqa.datatypes import Hit, Span
from szqa.errors import ConfigurationError, EvaluationError
from szqa.evaluation import Excerpt, QuestionRow
from szqa.index import Index
from szqa.report import (
    EvaluationOptions,
    Run,
    broken_bounds,
    compare_runs,
    comparison_tables,
    metrics_tables,
    parse_bounds,
    read_predictions,
    read_run,
    run_evaluation,
    write_comparison_files,
    write_run_files,
)
from szqa.report.runs import current_commit
from szqa.retriever import Retriever
from szqa.text import Segmenter

_Item = TypeVar("_Item")


class NumberReader:
    """Answers with the first number of the passages, surer of a large one."""

    reader_id = "numbers"
    threshold = 0.5

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        found = [(hit.passage, match) for hit in hits for match in re.finditer(r"(\d+)家", hit.passage.text)]
        spans = [Span(p, m.start(), m.end(), 0.9 if int(m[1]) > 9 else 0.3) for p, m in found]
        return sorted(spans, key=lambda span: -span.score)


def silent(items: Sequence[_Item], label: str) -> Iterable[_Item]:
    return items


def _assistant(embedder: HashEmbedder, segmenter: Segmenter) -> Assistant:
    documents = [
        make_document("苏州有33家工厂。", title="苏州", source="suzhou.txt"),
        make_document("无锡有5家博物馆。", title="无锡", source="wuxi.txt"),
    ]
    index = Index.build(documents, embedder=embedder, segmenter=segmenter)
    return Assistant(index, Retriever(index), NumberReader(), threshold=0.5, top_k=1)


@pytest.fixture
def loaded(embedder: HashEmbedder, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> Assistant:
    assistant = _assistant(embedder, segmenter)

    def over(index: Index, **settings: object) -> Assistant:
        threshold = settings["threshold"]
        top_k = settings["top_k"]
        assert isinstance(top_k, int)
        return Assistant(
            index, Retriever(index), NumberReader(), 0.5 if threshold is None else float(str(threshold)), top_k
        )

    monkeypatch.setattr(Assistant, "load", lambda *_, **__: assistant)
    monkeypatch.setattr(Assistant, "over", over)
    monkeypatch.setattr("szqa.embedder.load_embedder", lambda *_, **__: embedder)
    return assistant


GOLD = [
    {
        "id": "q1",
        "question": "苏州有几家工厂",
        "type": "number",
        "answers": ["33家"],
        "evidence": [{"source": "suzhou.txt", "quote": "苏州有33家工厂"}],
        "split": "dev",
    },
    {
        "id": "q2",
        "question": "无锡的博物馆有几家",
        "type": "number",
        "answers": ["5家"],
        "evidence": [{"source": "wuxi.txt", "quote": "无锡有5家博物馆"}],
        "split": "test",
    },
    {"id": "q3", "question": "苏州有几家剧院", "type": "unanswerable", "answers": [], "evidence": [], "split": "test"},
]


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in GOLD), "utf-8")
    return path


@pytest.fixture
def run(loaded: Assistant, gold: Path) -> Run:
    return run_evaluation(EvaluationOptions(gold), progress=silent)


def test_a_run_over_the_corpus(run: Run) -> None:
    assert [(row.id, row.candidate, row.answered, row.outcome) for row in run.rows] == [
        ("q1", "33家", True, "right"),
        ("q2", "5家", False, "abstained"),  # right, but below the threshold
        ("q3", "33家", True, "wrong"),
    ]
    assert run.rows[1].candidate_em == 1
    assert [row.ranks for row in run.rows] == [(1,), (1,), None]
    assert run.metrics().value("em") == pytest.approx(1 / 3)
    assert run.metrics().value("verbatim") == 1
    assert run.settings["reader"] == "numbers"
    assert run.settings["retrieval"] == "hybrid"
    assert (run.threshold, run.partial, run.evaluation_set) == (0.5, False, "gold.jsonl")


def test_split_limit_and_retrieval(loaded: Assistant, gold: Path) -> None:
    test = run_evaluation(EvaluationOptions(gold, split="test"), progress=silent)
    assert [row.id for row in test.rows] == ["q2", "q3"]
    first = run_evaluation(EvaluationOptions(gold, limit=1, mode="lexical"), progress=silent)
    assert [row.id for row in first.rows] == ["q1"]
    assert first.settings["retrieval"] == "lexical"
    with pytest.raises(EvaluationError, match="no question of this split"):
        run_evaluation(EvaluationOptions(gold, split="train"), progress=silent)


def test_contexts_are_for_sets_that_bring_them(loaded: Assistant, gold: Path) -> None:
    with pytest.raises(ConfigurationError, match="given-context"):
        run_evaluation(EvaluationOptions(gold, given_context=True), progress=silent)


def test_control_c_leaves_a_partial_run(loaded: Assistant, gold: Path) -> None:
    def stops(items: Sequence[_Item], label: str) -> Iterable[_Item]:
        yield from items[:2]
        raise KeyboardInterrupt

    partial = run_evaluation(EvaluationOptions(gold), progress=stops)
    assert partial.partial
    assert [row.id for row in partial.rows] == ["q1", "q2"]

    def stops_at_once(items: Sequence[_Item], label: str) -> Iterable[_Item]:
        raise KeyboardInterrupt
        yield from items

    with pytest.raises(KeyboardInterrupt):
        run_evaluation(EvaluationOptions(gold), progress=stops_at_once)


SQUAD = {
    "version": "v1.0",
    "data": [
        {
            "title": "苏州",
            "paragraphs": [
                {
                    "context": "苏州有33家工厂。",
                    "qas": [{"id": "a", "question": "几家工厂？", "answers": [{"text": "33家", "answer_start": 3}]}],
                },
                {
                    "context": "无锡有5家博物馆。",
                    "qas": [
                        {"id": "b", "question": "几家博物馆？", "answers": [{"text": "5家", "answer_start": 3}]},
                        {"id": "c", "question": " ", "answers": [{"text": "5家", "answer_start": 3}]},
                    ],
                },
            ],
        }
    ],
}


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(SQUAD, ensure_ascii=False), "utf-8")
    return path


def test_a_run_over_contexts_as_documents(loaded: Assistant, squad: Path) -> None:
    run = run_evaluation(EvaluationOptions(squad), progress=silent)
    assert [(row.candidate, row.answered, row.em) for row in run.rows] == [
        ("33家", True, 1),
        ("33家", True, 0),  # five passages are read, and the larger number wins
        (None, False, 0),
    ]
    assert [row.ranks for row in run.rows] == [(1,), (1,), (None,)]
    assert run.rows[0].cited == (True,)
    assert run.index_manifest is None


def test_a_run_over_given_contexts(loaded: Assistant, squad: Path) -> None:
    run = run_evaluation(EvaluationOptions(squad, given_context=True), progress=silent)
    # Every question has its answer in its context, so the threshold is 0.
    assert [(row.candidate, row.answered) for row in run.rows] == [("33家", True), ("5家", True), (None, False)]
    assert run.metrics().to_json()["retrieval"] is None
    assert run.settings["retrieval"] == "given context"
    careful = run_evaluation(EvaluationOptions(squad, given_context=True, threshold=0.5), progress=silent)
    assert [row.answered for row in careful.rows] == [True, False, False]


def test_predictions_go_round(run: Run, gold: Path, tmp_path: Path) -> None:
    write_run_files(run, tmp_path / "out", metrics=run.metrics())
    predictions = tmp_path / "out" / "predictions.json"
    assert json.loads(predictions.read_text("utf-8")) == {"q1": "33家", "q2": "", "q3": "33家"}
    again = run_evaluation(EvaluationOptions(gold, predictions=predictions), progress=silent)
    assert [(row.em, row.f1) for row in again.rows] == [(row.em, row.f1) for row in run.rows]
    assert again.name == "predictions"


def test_predictions_that_cannot_be_scored(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"q1": "33家", "q9": "?", "q8": null}', "utf-8")
    with pytest.raises(EvaluationError) as caught:
        read_predictions(path, ["q1"])
    assert ["q8" in caught.value.problems[0], "q9" in caught.value.problems[1]] == [True, True]
    assert read_predictions(path, ["q1", "q8", "q9"]) == {"q1": "33家", "q8": "", "q9": "?"}
    path.write_text('{"q1": ["33家"]}', "utf-8")
    with pytest.raises(EvaluationError, match="q1"):
        read_predictions(path, ["q1"])
    with pytest.raises(EvaluationError, match="no such file"):
        read_predictions(tmp_path / "missing.json", [])


def test_a_run_is_read_back_as_it_was(run: Run, tmp_path: Path) -> None:
    write_run_files(run, tmp_path, metrics=run.metrics())
    assert read_run(tmp_path / "run.json") == run
    content = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert content["metrics"]["answers"]["has_answer"] == {"em": 0.5, "f1": 0.5, "n": 2}
    low, high = content["intervals"]["f1"]
    assert 0 <= low < 1 / 3 < high <= 1


def test_runs_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(EvaluationError, match="no such file"):
        read_run(path)
    path.write_text("{", "utf-8")
    with pytest.raises(EvaluationError, match=re.escape("run.json: JSON")):
        read_run(path)
    write_run_files(replace(run, schema=99), tmp_path, metrics=run.metrics())
    with pytest.raises(EvaluationError, match="99"):
        read_run(path)


def _text(renderable: RenderableType) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def test_tables(run: Run) -> None:
    text = _text(metrics_tables(run, run.metrics()))
    assert "numbers, hybrid · gold.jsonl · 3 题" in text
    assert re.search(r"精确匹配 EM\s*│\s*33\.3% \[0\.0, 100\.0\]\s*│\s*3 ", text)
    assert re.search(r"数量 number\s*│\s*50\.0%", text)
    assert "partial" not in text
    assert "partial" in _text(metrics_tables(replace(run, partial=True), run.metrics()))


def _improved(run: Run) -> Run:
    second = replace(run.rows[1], answered=True)
    third = replace(run.rows[2], answered=False)
    return replace(run, name="better", rows=(run.rows[0], second, third))


def test_comparison(run: Run, tmp_path: Path) -> None:
    better = _improved(run)
    comparison = compare_runs(run, better)
    text = _text(comparison_tables(comparison, old=run.name, new=better.name))
    assert re.search(
        r"精确匹配 EM\s*│\s*33\.3%\s*│\s*100\.0%\s*│\s*\+66\.7 .*│\s*0\.5000\s*│\s*2\s*│\s*0\s*│\s*1 ", text
    )
    assert "答案有变的 2 题" in text
    paths = write_comparison_files(comparison, tmp_path, old=run, new=better)
    content = json.loads(paths[0].read_text("utf-8"))
    assert content["measures"]["em"]["won"] == 2
    assert [row["id"] for row in content["changed"]] == ["q2", "q3"]
    page = paths[1].read_text("utf-8")
    assert page.count('<tr data-change="won">') == 2
    _check_page(page)


def test_runs_without_a_common_question(run: Run) -> None:
    other = replace(run, rows=tuple(replace(row, id=row.id + "x") for row in run.rows))
    with pytest.raises(EvaluationError, match="share no question"):
        compare_runs(run, other)


class _Page(HTMLParser):
    """Tags that are never closed, and whatever a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "input"):
            self.open.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _check_page(page: str) -> None:
    parser = _Page()
    parser.feed(page)
    assert parser.open == []
    assert parser.loads == []
    assert "prefers-color-scheme" in page
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_the_report_page(run: Run, tmp_path: Path) -> None:
    paths = write_run_files(run, tmp_path, metrics=run.metrics())
    assert [path.name for path in paths] == [
        *("run.json", "predictions.json", "report.html"),
        *("by_type.svg", "risk_coverage.svg", "reliability.svg", "latency.svg"),
    ]
    page = (tmp_path / "report.html").read_text("utf-8")
    _check_page(page)
    assert '<tr data-outcome="right" data-type="number">' in page
    assert '苏州有<mark class="">33家</mark>工厂。' in page
    assert '苏州有<mark class="gold">33家</mark>工厂' in page
    assert "33.3% [0.0, 100.0]" in page
    for path in paths[3:]:
        ElementTree.parse(path)  # noqa: S314 - our own file


def test_the_report_page_escapes_everything(run: Run, tmp_path: Path) -> None:
    evil = "<script>alert('坏')</script>&\"{{ 1 }}"
    row = replace(
        run.rows[0], id=evil, question=evil, type=evil, candidate=evil, answers=(evil,), shown=Excerpt(evil, evil, 0, 8)
    )
    hostile = replace(run, name=evil, evaluation_set=evil, settings={evil: evil}, rows=(row,), commit=evil)
    write_run_files(hostile, tmp_path, metrics=hostile.metrics())
    page = (tmp_path / "report.html").read_text("utf-8")
    _check_page(page)
    assert page.count("<script>") == 1
    assert '<mark class="">&lt;script&gt;</mark>alert' in page
    assert "{{ 1 }}" in page
    ElementTree.parse(tmp_path / "by_type.svg")  # noqa: S314 - our own file
    other = replace(hostile, rows=(replace(row, candidate="别的"),))
    write_comparison_files(compare_runs(hostile, other), tmp_path, old=hostile, new=other)
    comparison = (tmp_path / "comparison.html").read_text("utf-8")
    _check_page(comparison)
    assert comparison.count("<script>") == 1


def test_a_report_of_bare_predictions(tmp_path: Path) -> None:
    row = QuestionRow("q1", "几家", "number", "", ("5家",), None, None, False, 0.0, 0.0)
    bare = Run("其他系统", "gold.jsonl", {}, (row,))
    paths = write_run_files(bare, tmp_path, metrics=bare.metrics())
    assert [path.name for path in paths[2:]] == ["report.html", "by_type.svg"]
    _check_page(paths[2].read_text("utf-8"))
    assert "没有候选" in paths[2].read_text("utf-8")


def test_bounds(run: Run) -> None:
    bounds = parse_bounds(["f1=0.80", "NoAns=0", "ndcg@10=1", "auroc = 0.9"])
    assert bounds == {"f1": 0.8, "no_answer_f1": 0, "nDCG@10": 1, "auroc": 0.9}
    broken = broken_bounds(run.metrics(), bounds)
    assert [line.split(",")[0] for line in broken] == [
        "f1: 0.3333，要求至少 0.8 (at least 0.8 is asked for)",
        "auroc: 0.2500，要求至少 0.9 (at least 0.9 is asked for)",
    ]
    unmeasured = replace(run, rows=tuple(replace(row, ranks=None) for row in run.rows)).metrics()
    assert "not measured" in broken_bounds(unmeasured, {"recall@1": 0.0})[0]


@pytest.mark.parametrize("text", ["f1", "f1=", "f1=80", "f1=-1", "f2=0.5", "=0.5", "f1=nan"])
def test_bounds_that_mean_nothing(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--fail-under"):
        parse_bounds([text])


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not run in a git checkout")
def test_the_commit_is_known_in_a_checkout_of_another_owner_and_within_a_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.run(
        ["git", "-c", "safe.directory=*", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert (current_commit() or "").removesuffix("-dirty") == head.stdout.strip()
