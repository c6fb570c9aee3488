"""The command line: ``szqa build | ask | chat | serve | info | eval | feedback | train``.

It parses arguments and prints; everything else is done below. Errors meant for users end in exit status 1 and one
message on standard error, wrong usage in 2; abstaining is an answer, so its status is 0.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from szqa.errors import ConfigurationError, QuestionError, SzqaError

if TYPE_CHECKING:
    from szqa.assistant import Assistant
    from szqa.building import Maker
    from szqa.datatypes import Answer
    from szqa.progress import ProgressBars
    from szqa.ray_workers import RayWorkers
    from szqa.store import StoreOptions

__all__ = ["app", "main"]

_Item = TypeVar("_Item")

app = typer.Typer(
    help="szqa：向中文文档提问，得到逐字引用的答案 (questions in Chinese, answered verbatim from documents)",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
train_app = typer.Typer(help="重新训练随包发布的模型 (train the shipped models again)", no_args_is_help=True)
app.add_typer(train_app, name="train")
feedback_app = typer.Typer(help="用户反馈 (feedback of users)", no_args_is_help=True)
app.add_typer(feedback_app, name="feedback")

_REPORT_QUESTIONS = Path("eval/reports.jsonl")

_WAITING = "{index}: 另一个构建正在进行，最多等待 {wait:g} 秒 (another build is running; waiting up to {wait:g} s)"

_out = Console(highlight=False, markup=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

IndexOption = Annotated[Path, typer.Option("--index", help="索引文件夹 (index folder)")]
CorpusOption = Annotated[Path, typer.Option("--corpus", help="语料文件夹 (corpus folder)")]
JsonOption = Annotated[bool, typer.Option("--json", help="输出 JSON (print JSON)")]
TopKOption = Annotated[int, typer.Option("--top-k", min=1, help="阅读的段落数 (passages to read)")]
ReaderOption = Annotated[str | None, typer.Option("--reader", help="阅读器名称 (name of the reader)")]
ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", min=0, max=1, help="低于此分数则不作答 (abstain below this score)")
]
DataOption = Annotated[Path, typer.Option("--data", help="训练数据文件夹 (folder of training data)")]
SeedOption = Annotated[int, typer.Option("--seed", help="随机种子 (random seed)")]
MilvusUriOption = Annotated[
    str | None,
    typer.Option(
        "--milvus-uri",
        envvar="SZQA_MILVUS_URI",
        help="Milvus 的地址或 .db 文件 (address of Milvus, or a .db file)",
    ),
]
MilvusTimeoutOption = Annotated[
    float,
    typer.Option(
        "--milvus-timeout",
        envvar="SZQA_MILVUS_TIMEOUT",
        min=0.1,
        help="等待 Milvus 的秒数 (seconds to wait for Milvus)",
    ),
]
SplitOption = Annotated[str | None, typer.Option("--split", help="只评测 dev 或 test (this split only)")]
QuestionsOption = Annotated[
    Path, typer.Option("--questions", help="逐题写成的报告问题集 (questions written over reports, one by one)")
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="只用前 N 条 (the first N only)")]


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="显示版本 (show the version)")] = False,
) -> None:
    if show_version:
        _out.print(version("szqa"))
        raise typer.Exit


@app.command()
def build(
    corpus: CorpusOption = Path("corpus"),
    index: IndexOption = Path("index"),
    embedder: Annotated[str | None, typer.Option(help="sentence-transformers 模型 (model name or folder)")] = None,
    query_prefix: Annotated[str, typer.Option(help="提问前缀 (put before a question when embedding)")] = "",
    store: Annotated[str, typer.Option(help="向量库：faiss 或 milvus (vector store)")] = "faiss",
    milvus_uri: MilvusUriOption = None,
    milvus_timeout: MilvusTimeoutOption = 5.0,
    if_stale: Annotated[bool, typer.Option("--if-stale", help="仅在需要时重建 (only when stale)")] = False,
    full: Annotated[bool, typer.Option("--full", help="不沿用旧索引，全部重读 (read every file again)")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="进程数，默认每核一个 (processes; one a core by default)")
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="跳过并列出读不了的文件 (leave out unreadable files, list them)")
    ] = False,
    max_file_mb: Annotated[float, typer.Option(min=0, help="单个文件的上限，MiB (largest source file)")] = 64,
    wait: Annotated[
        float, typer.Option(min=0, help="等待另一个构建的秒数，0 为不等 (seconds to wait for another build)")
    ] = 600,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="由谁来做：本机进程或 Ray (who does the work: this machine or Ray)")
    ] = "local",
) -> None:
    """读取语料，建立索引；只重读有改动的文件 (build the index; reads only files that changed)."""
    from szqa.building import Maker
    from szqa.chunker import ChunkerSettings
    from szqa.corpus import Limits, user_dictionary
    from szqa.embedder import load_embedder
    from szqa.engine import engine_class
    from szqa.generations import build_lock
    from szqa.index import stale_reasons
    from szqa.ray_workers import RayWorkers
    from szqa.text import Segmenter

    _stay_offline(embedder)
    segmenter = Segmenter(user_dictionary(corpus))
    model = load_embedder(embedder, segmenter, query_prefix=query_prefix)
    limits = Limits(file_bytes=int(max_file_mb * 2**20))
    maker = Maker(corpus, model, segmenter, ChunkerSettings(), limits, with_terms=engine_class(store) is None)
    options = _store_options(milvus_uri, milvus_timeout)
    with build_lock(index, wait_s=wait, waiting=lambda: _err.print(_WAITING.format(index=index, wait=wait))):
        if if_stale:
            reasons = stale_reasons(index, corpus, embedder=model, segmenter=segmenter)
            if not reasons:
                _err.print(f"索引 {index} 已是最新 (up to date)")
                return
            _err.print("重建索引 (building the index): " + "；".join(reasons[:3]))
        cores = processes or _cores()
        # RAY_ADDRESS is what Ray's own tools read.
        ray = RayWorkers(index / "blocks", cores, os.environ.get("RAY_ADDRESS")) if engine == "ray" else None
        _build(maker, index, store=store, options=options, cores=cores, ray=ray, full=full, skip=skip_unreadable)
        if ray:
            ray.clear()


def _build(
    maker: Maker,
    index: Path,
    *,
    store: str,
    options: StoreOptions,
    cores: int,
    ray: RayWorkers | None,
    full: bool,
    skip: bool,
) -> None:
    from szqa.building import build_index
    from szqa.engine import engine_class
    from szqa.engine_building import build_engine_index

    skipped = _print_skipped if skip else None
    with _progress() as progress:
        if engine_class(store):
            built = build_engine_index(
                maker,
                index,
                store_name=store,
                options=options if options.uri else replace(options, uri=str(index / f"{store}.db")),
                processes=cores,
                workers=ray,
                full=full,
                skip=skipped,
                progress=progress,
            )
        else:
            built = build_index(
                maker,
                index,
                store_name=store,
                processes=cores,
                workers=ray,
                full=full,
                skip=skipped,
                progress=progress,
            )
    manifest = built.manifest
    _err.print(
        f"索引 {index}: {manifest.documents} 篇文档 (documents), {manifest.passages} 条段落 (passages); "
        f"读取 {built.read} 篇 (read), 沿用 {built.kept} 篇 (unchanged)"
    )


def _print_skipped(problem: str) -> None:
    _err.print(Text(f"跳过 (skipped) {problem}", style="yellow"))


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(help="问题 (the question)")] = None,
    batch: Annotated[
        Path | None, typer.Option(help="每行一个问题的文件，- 为标准输入 (a question a line; - is standard input)")
    ] = None,
    index: IndexOption = Path("index"),
    as_json: JsonOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="显示每个段落的命中词与分数 (why each hit)")] = False,
    top_k: TopKOption = 5,
    reader: ReaderOption = None,
    threshold: ThresholdOption = None,
    milvus_uri: MilvusUriOption = None,
    milvus_timeout: MilvusTimeoutOption = 5.0,
) -> None:
    """提一个问题 (ask a question)."""
    if (question is None) == (batch is None):
        raise typer.BadParameter("给出一个问题，或用 --batch 给出文件 (give a question, or --batch FILE)")
    questions = _read_questions(batch) if batch else [question or ""]
    assistant = _load(
        index, reader=reader, threshold=threshold, top_k=top_k, store=_store_options(milvus_uri, milvus_timeout)
    )
    for asked in questions:
        try:
            answer = assistant.ask(asked)
        except QuestionError as error:
            if batch is None:
                raise
            _print_refusal(asked, error, as_json=as_json)
            continue
        _print_answer(assistant, answer, as_json=as_json, explain=explain)


@app.command()
def chat(
    index: IndexOption = Path("index"),
    reader: ReaderOption = None,
    threshold: ThresholdOption = None,
    milvus_uri: MilvusUriOption = None,
    milvus_timeout: MilvusTimeoutOption = 5.0,
) -> None:
    """在终端里连续提问，Ctrl-D 结束 (ask one question after another; Ctrl-D ends)."""
    assistant = _load(index, reader=reader, threshold=threshold, store=_store_options(milvus_uri, milvus_timeout))
    _err.print("请提问，Ctrl-D 结束 (ask away, Ctrl-D ends)")
    while True:
        try:
            asked = _out.input("问> ")
        except EOFError:
            _out.print()
            return
        try:
            _print_answer(assistant, assistant.ask(asked), as_json=False, explain=False)
        except QuestionError as error:
            _err.print(str(error))


@app.command()
def info(
    index: IndexOption = Path("index"),
    text: Annotated[str | None, typer.Option(help="打印该文档的全文 (print the text of this document id)")] = None,
    as_json: JsonOption = False,
    milvus_uri: MilvusUriOption = None,
    milvus_timeout: MilvusTimeoutOption = 5.0,
) -> None:
    """显示索引的内容与来历 (show what the index holds and what it was made with)."""
    assistant = _load(index, store=_store_options(milvus_uri, milvus_timeout))
    documents = assistant.index.documents
    if text is not None:
        if text not in documents:
            raise ConfigurationError(f"没有编号为 {text!r} 的文档，见 szqa info (no such document id; see: szqa info)")
        sys.stdout.write(documents[text].text)
        return
    manifest = assistant.index.manifest
    if manifest is None:
        raise AssertionError("an index that was loaded has a manifest")
    rows = [{"id": d.id, "title": d.title, "source": d.source, "characters": len(d.text)} for d in documents.values()]
    summary = {
        "version": version("szqa"),
        "index": str(index),
        "created": manifest.created,
        "embedder": f"{manifest.embedder} ({manifest.dimension}, {manifest.embedder_fingerprint[:12]})",
        "reader": assistant.reader.reader_id,
        "threshold": assistant.threshold,
        "segmenter": manifest.segmenter,
        "store": f"{manifest.store_kind} ({manifest.metric})",
        "documents": manifest.documents,
        "passages": manifest.passages,
    }
    if as_json:
        _print_json({**summary, "documents": rows})
        return
    for name, value in summary.items():
        _out.print(f"{name:<10} {value}")
    for row in rows:
        _out.print(f"{row['id']}  {row['title']}  ({row['source']}, {row['characters']} 字)")


@app.command()
def serve(
    index: IndexOption = Path("index"),
    host: Annotated[str, typer.Option(help="监听地址 (address to listen on)")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="端口 (port)")] = 7860,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="可嵌入挂件的网站，可重复 (origin that may embed the widget; repeatable)")
    ] = None,
    feedback: Annotated[
        Path | None, typer.Option(help="收集反馈的 SQLite 文件 (SQLite file that collects feedback)")
    ] = None,
    api_token: Annotated[
        str | None,
        typer.Option(envvar="SZQA_API_TOKEN", help="调用 API 的口令，最好用环境变量给出 (token for the API)"),
    ] = None,
    pages: Annotated[bool, typer.Option("--pages/--no-pages", help="聊天页与原文页 (chat and source pages)")] = True,
    log_questions: Annotated[
        bool, typer.Option("--log-questions", help="日志里写入问题与答案 (write questions and answers to the log)")
    ] = False,
    rate: Annotated[str, typer.Option(help="每个客户端的请求频率上限 (requests of one client)")] = "300/minute",
    max_body: Annotated[int, typer.Option(help="请求体上限，字节 (largest request body, bytes)")] = 1_000_000,
    max_waiting: Annotated[int, typer.Option(help="排队的问题上限 (questions that may wait)")] = 100,
    max_connections: Annotated[int, typer.Option(help="连接数上限 (open connections)")] = 512,
    patience: Annotated[float, typer.Option(help="等待慢客户端的秒数 (seconds a slow client is given)")] = 15.0,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="反向代理地址，可重复 (proxy whose X-Forwarded-For counts; repeatable)"),
    ] = None,
    milvus_uri: MilvusUriOption = None,
    milvus_timeout: MilvusTimeoutOption = 5.0,
) -> None:
    """启动聊天页面、API 与挂件 (serve the chat, the API and the widget)."""
    from szqa import server

    _stay_offline(None)
    limits = server.Limits(rate, max_body, max_waiting, max_connections, patience, tuple(trusted_proxy or ()))
    settings = server.ServerSettings(
        host=host,
        port=port,
        allow_origins=tuple(allow_origin or ()),
        feedback=feedback,
        limits=limits,
        api_token=api_token,
        pages=pages,
        log_questions=log_questions,
    )
    store = _store_options(milvus_uri, milvus_timeout)
    assistant = _load(index, store=store)
    server.serve(assistant, settings, report=_err.print, load=lambda: _load(index, store=store))


@feedback_app.command("export")
def export_feedback(path: Annotated[Path, typer.Argument(help="收集反馈的 SQLite 文件 (SQLite file)")]) -> None:
    """把反馈转成金标准草稿，每行一条 (turn feedback into draft gold lines)."""
    from szqa.feedback import FeedbackStore, draft_gold_lines

    if not path.is_file():
        raise ConfigurationError(f"{path}: 没有这个文件，见 szqa serve --feedback (no such file)")
    for line in draft_gold_lines(list(FeedbackStore(path))):
        sys.stdout.write(line + "\n")


@feedback_app.command("purge")
def purge_feedback(
    path: Annotated[Path, typer.Argument(help="收集反馈的 SQLite 文件 (SQLite file)")],
    everything: Annotated[bool, typer.Option("--all", help="全部删除 (delete everything)")] = False,
    older_than: Annotated[
        int | None, typer.Option("--older-than", min=0, metavar="DAYS", help="只删除早于 N 天的 (older than N days)")
    ] = None,
) -> None:
    """彻底删除反馈 (delete feedback for good)."""
    from szqa.feedback import FeedbackStore

    if everything == (older_than is not None):
        raise typer.BadParameter("给出 --all 或 --older-than 天数 (give --all, or --older-than DAYS)")
    if not path.is_file():
        raise ConfigurationError(f"{path}: 没有这个文件，见 szqa serve --feedback (no such file)")
    before = None if older_than is None else datetime.now(UTC) - timedelta(days=older_than)
    deleted = FeedbackStore(path).purge(before=before)
    _err.print(f"{path}: 删除了 {deleted} 条反馈 (opinions deleted)")


@app.command("eval")
def eval_command(
    file: Annotated[Path, typer.Argument(help="评测集：JSONL 或 SQuAD/CMRC/DRCD JSON (evaluation set)")] = Path(
        "eval/gold.jsonl"
    ),
    index: IndexOption = Path("index"),
    given_context: Annotated[
        bool, typer.Option("--given-context", help="给定原文，只评测阅读 (contexts given: reading only)")
    ] = False,
    predictions: Annotated[
        Path | None, typer.Option(help="评测其他系统的 {id: 答案} (score a file of answers)")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="OLD NEW", help="比较两次评测的 run.json (compare two runs)")
    ] = None,
    output: Annotated[Path | None, typer.Option("--out", help="写入报告的文件夹 (folder for the report)")] = None,
    fail_under: Annotated[
        list[str] | None, typer.Option(metavar="f1=0.80", help="低于此值则以 1 退出 (exit 1 below it; repeatable)")
    ] = None,
    as_json: JsonOption = False,
    split: SplitOption = None,
    limit: LimitOption = None,
    reader: ReaderOption = None,
    threshold: ThresholdOption = None,
    top_k: TopKOption = 5,
    mode: Annotated[Literal["hybrid", "lexical"], typer.Option(help="检索方式 (retrieval)")] = "hybrid",
    name: Annotated[str | None, typer.Option(help="报告里的名称 (what to call the run)")] = None,
    milvus_uri: MilvusUriOption = None,
    milvus_timeout: MilvusTimeoutOption = 5.0,
) -> None:
    """评测问答质量，或比较两次评测 (measure the answers, or compare two runs)."""
    from szqa import report

    bounds = report.parse_bounds(fail_under or [])
    if compare is not None:
        _compare(*compare, output=output, as_json=as_json)
        return
    _stay_offline(None)
    options = report.EvaluationOptions(
        file=file,
        index=index,
        given_context=given_context,
        predictions=predictions,
        reader=reader,
        threshold=threshold,
        top_k=top_k,
        mode=mode,
        split=split,
        limit=limit,
        name=name,
        store=_store_options(milvus_uri, milvus_timeout),
    )
    with _progress() as progress:
        run = report.run_evaluation(options, progress=progress)
    metrics = run.metrics()
    if output is not None:
        for path in report.write_run_files(run, output, metrics=metrics):
            _err.print(str(path))
    if as_json:
        _print_json(metrics.to_json())
    else:
        _out.print(report.metrics_tables(run, metrics))
    broken = report.broken_bounds(metrics, bounds)
    for line in broken:
        _err.print(Text(line, style="red"))
    if run.partial:
        _err.print(f"已中断，完成 {len(run.rows)} 题 (stopped after {len(run.rows)} questions)")
        raise typer.Exit(130)
    if broken:
        raise typer.Exit(1)


@train_app.command("embedder")
def train_embedder_command(
    data: DataOption,
    output: Annotated[Path, typer.Option(help="写入模型的文件夹 (folder for the model)")],
    seed: SeedOption = 0,
    limit: LimitOption = None,
) -> None:
    """训练向量模型 (train the embedder)."""
    from szqa.training.embedder import train_embedder

    _stay_offline(None)
    train_embedder(data, output, seed=seed, limit=limit, report=_err.print)


@train_app.command("ranker")
def train_ranker_command(
    data: DataOption,
    output: Annotated[Path, typer.Option(help="写入模型的文件夹 (folder for the model)")],
    questions: QuestionsOption = _REPORT_QUESTIONS,
    seed: SeedOption = 0,
    limit: LimitOption = None,
) -> None:
    """训练候选片段排序器 (train the span ranker)."""
    from szqa.training.ranker import train_ranker

    train_ranker(data, output, questions=questions, seed=seed, limit=limit, report=_err.print)


@train_app.command("reader")
def train_reader_command(
    data: DataOption,
    output: Annotated[Path, typer.Option(help="写入模型的文件夹 (folder for the model)")],
    work_dir: Annotated[Path, typer.Option(help="存放中间数据与检查点 (folder for arrays and checkpoints)")] = Path(
        "runs/reader"
    ),
    questions: QuestionsOption = _REPORT_QUESTIONS,
    preset: Annotated[str, typer.Option(help="small：两核 CPU；large：加速器 (small or large)")] = "small",
    stage: Annotated[str, typer.Option(help="到此阶段为止 (stop after this stage)")] = "",
    seed: SeedOption = 1,
) -> None:
    """训练阅读器的神经网络，可中断续训 (train the reader's network; resumes)."""
    from szqa.training.reader import train_reader

    _stay_offline(None)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    train_reader(data, output, work_dir=work_dir, questions=questions, preset_name=preset, seed=seed, last_stage=stage)


@train_app.command("combination")
def train_combination_command(
    data: DataOption,
    output: Annotated[Path, typer.Option(help="写入校准的文件夹 (folder for the calibration)")],
    models: Annotated[Path, typer.Option(help="含 ranker、reader 两个文件夹 (holds the folders ranker and reader)")],
    questions: QuestionsOption = _REPORT_QUESTIONS,
    seed: SeedOption = 0,
    limit: LimitOption = None,
) -> None:
    """校准排序树与神经网络的合并结果 (calibrate trees and network together)."""
    from szqa.training.combination import train_combination

    train_combination(data, output, models_dir=models, questions=questions, seed=seed, limit=limit, report=_err.print)


@train_app.command("calibration")
def train_calibration_command(
    output: Annotated[Path, typer.Option(help="写入校准的文件夹 (folder for the calibration)")],
    reader: ReaderOption = None,
    gold: Annotated[Path, typer.Option(help="金标准；只用 dev (gold set; its dev split is used)")] = Path(
        "eval/gold.jsonl"
    ),
    data: Annotated[
        Path | None, typer.Option(help="训练数据，使校准更稳 (training data, which steadies the calibration)")
    ] = None,
    questions: QuestionsOption = _REPORT_QUESTIONS,
    index: IndexOption = Path("index"),
    seed: SeedOption = 0,
) -> None:
    """用金标准的 dev 部分校准阅读器 (calibrate the reader on the gold set's dev split)."""
    from szqa.training.calibration import train_calibration

    assistant = _load(index, reader=reader)
    scores = train_calibration(assistant, output, gold_file=gold, data_dir=data, questions=questions, seed=seed)
    _err.print(str(scores))


def main() -> None:
    """Run the command line; the entry point of ``szqa``."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        app()
    except SzqaError as error:
        _err.print(Text(f"错误: {error}", style="red"))
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _err.print(Text(f"错误: 无法读写 (cannot read or write): {error}", style="red"))
        sys.exit(1)


def _stay_offline(embedder: str | None) -> None:
    """Keep the hub client offline unless the user names a hub model; before anything imports it."""
    if embedder is None or embedder == "szqa" or Path(embedder).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "1"


def _cores() -> int:
    """Cores that this process may use."""
    # Python 3.13 has os.process_cpu_count; macOS has no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load(
    index: Path,
    *,
    reader: str | None = None,
    threshold: float | None = None,
    top_k: int = 5,
    store: StoreOptions | None = None,
) -> Assistant:
    from szqa.assistant import Assistant
    from szqa.store import StoreOptions

    return Assistant.load(index, reader=reader, threshold=threshold, top_k=top_k, store=store or StoreOptions())


def _store_options(uri: str | None, timeout_s: float) -> StoreOptions:
    """How Milvus is reached; its token comes from the environment, where other users of the machine do not see it."""
    from szqa.store import StoreOptions

    return StoreOptions(uri, timeout_s, os.environ.get("SZQA_MILVUS_TOKEN", ""))


def _compare(old_path: Path, new_path: Path, *, output: Path | None, as_json: bool) -> None:
    from szqa import report

    old, new = report.read_run(old_path), report.read_run(new_path)
    comparison = report.compare_runs(old, new)
    if output is not None:
        for path in report.write_comparison_files(comparison, output, old=old, new=new):
            _err.print(str(path))
    if as_json:
        _print_json(comparison.to_json())
    else:
        _out.print(report.comparison_tables(comparison, old=old.name, new=new.name))


def _read_questions(batch: Path) -> list[str]:
    try:
        content = sys.stdin.read() if str(batch) == "-" else batch.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{batch}: 不是 UTF-8 文本，请转换编码 (not UTF-8 text: {error})") from error
    return [line for line in content.splitlines() if line.strip()]


def _progress() -> ProgressBars:
    from szqa.progress import ProgressBars

    return ProgressBars(_err)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _print_answer(assistant: Assistant, answer: Answer, *, as_json: bool, explain: bool) -> None:
    from szqa.rendering import NOT_FOUND, answer_json, location, segments

    if as_json:
        _print_json(answer_json(answer))
        return
    if answer.text is None:
        _out.print(Text(NOT_FOUND, style="yellow"))
    else:
        _out.print(Text(answer.text, style="bold green"), f"({answer.score:.0%})")
    for citation in answer.citations:
        quote = Text.assemble(*[(piece, "bold reverse" if marked else "") for piece, marked in segments(citation)])
        _out.print(Text(f"[{citation.n}] "), quote, sep="")
        _out.print(Text(f"    {location(citation)}  [{citation.start}:{citation.end}]", style="dim"))
    if explain:
        for line in _explanation(assistant, answer):
            _out.print(line)


def _explanation(assistant: Assistant, answer: Answer) -> Iterator[str]:
    from szqa.retriever import matched_words

    for hit in answer.hits:
        words = " ".join(matched_words(assistant.index.segmenter, answer.question, hit.passage)) or "—"
        yield (
            f"#{hit.rank} {hit.passage.id}  总分 score {hit.score:.3f}  BM25 {hit.lexical_score:.2f}  "
            f"余弦 cosine {hit.dense_score:.3f}\n   命中词 matched: {words}\n   {hit.passage.text}"
        )


def _print_refusal(question: str, error: QuestionError, *, as_json: bool) -> None:
    if as_json:
        empty: dict[str, object] = {"answer": None, "score": 0.0, "citations": [], "passages": [], "timings_ms": {}}
        _print_json({"question": question, **empty, "error": str(error)})
    else:
        _err.print(str(error))
