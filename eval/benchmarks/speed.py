"""How szqa's build, memory and answers grow with the corpus, beside what jieba alone needs to cut the same text.

Usage: python eval/benchmarks/speed.py TEXT_FOLDER [--sizes 1000 10000 100000] [--cache runs/speed] [--json]

TEXT_FOLDER holds ``*.txt.xz`` with a paragraph a line and a blank line between documents (../shared/data/text). For
each size, whole documents in a fixed order are written as files until they have about so many paragraphs; every step
runs in a process of its own, and its wall time, CPU time (children included) and peak memory are measured: jieba's
search mode over every line with as many processes as szqa builds with, the build, a cold ``szqa ask``, and warm
questions taken from the documents' own sentences. The last line gives the growth exponent of each figure: the slope
of its logarithm over the logarithm of the number of passages.
"""

from __future__ import annotations

import argparse
import json
import logging
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np

_COLD_RUNS = 7
_QUESTIONS = 60
_WARM_UP = 5
_FILES_A_TASK = 40


@dataclass(frozen=True, slots=True)
class Step:
    """What a process used: seconds by the clock, seconds of CPU, peak memory in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one size of corpus."""

    passages: int
    jieba_wall_s: float
    jieba_cpu_s: float
    build_wall_s: float
    build_cpu_s: float
    build_peak_mb: float
    cold_median_s: float
    cold_cpu_s: float
    warm_median_ms: float
    warm_p95_ms: float
    warm_cpu_ms: float
    warm_peak_mb: float


def main() -> None:
    """Measure every size and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--cache", type=Path, default=Path("runs/speed"), help="folder for corpora and indexes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = [asdict(_measure(options.text, size, options.cache / str(size))) for size in options.sizes]
    growth = {name: _exponent([(row["passages"], row[name]) for row in rows]) for name in rows[0] if name != "passages"}
    if options.json:
        print(json.dumps({"sizes": rows, "growth": growth}, indent=1))
        return
    for row in rows:
        print(*(f"{name} {value:.4g}" for name, value in row.items()), sep="\t")
    if len(rows) > 1:
        print("growth", *(f"{name} {value:.2f}" for name, value in growth.items()), sep="\t")


def _measure(text: Path, size: int, folder: Path) -> Figures:
    corpus, index, asked = folder / "corpus", folder / "index", folder / "questions.json"
    shutil.rmtree(folder, ignore_errors=True)
    corpus.mkdir(parents=True)
    questions = _write_corpus(text, size, corpus)
    asked.write_text(json.dumps(questions, ensure_ascii=False), "utf-8")
    szqa = ("-c", "from szqa.cli import main; main()")
    jieba, _ = _run(__file__, "--jieba", str(corpus))
    build, _ = _run(*szqa, "build", "--corpus", str(corpus), "--index", str(index))
    cold = [_run(*szqa, "ask", question, "--index", str(index))[0] for question in questions[:_COLD_RUNS]]
    warm, output = _run(__file__, "--warm", str(index), str(asked))
    answers = json.loads(output)
    return Figures(
        passages=answers["passages"],
        jieba_wall_s=jieba.wall_s,
        jieba_cpu_s=jieba.cpu_s,
        build_wall_s=build.wall_s,
        build_cpu_s=build.cpu_s,
        build_peak_mb=build.peak_mb,
        cold_median_s=median(step.wall_s for step in cold),
        cold_cpu_s=median(step.cpu_s for step in cold),
        warm_median_ms=float(np.median(answers["wall_ms"])),
        warm_p95_ms=float(np.percentile(answers["wall_ms"], 95)),
        warm_cpu_ms=float(np.median(answers["cpu_ms"])),
        warm_peak_mb=warm.peak_mb,
    )


def _write_corpus(text: Path, paragraphs: int, corpus: Path) -> list[str]:
    """Write documents as files until they have so many paragraphs; returns questions made of their sentences."""
    documents = []
    for path in sorted(text.glob("*.txt.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as stream:
            documents += [document.strip() for document in stream.read().split("\n\n") if document.strip()]
    rng = random.Random(0)  # noqa: S311 - a fixed order, nothing secret
    rng.shuffle(documents)
    written, count = [], 0
    for number, document in enumerate(documents):
        if count >= paragraphs:
            break
        (corpus / f"{number:06d}.txt").write_text("\n\n".join(document.split("\n")), "utf-8")
        written.append(document)
        count += document.count("\n") + 1
    if count < paragraphs:
        raise SystemExit(f"{text} holds {count} paragraphs only")
    sentences = [s for document in written[:2000] for s in re.findall(r"[\u4e00-\u9fff]{12,30}(?=，|。)", document)]
    return [f"{sentence}是什么？" for sentence in rng.sample(sentences, _QUESTIONS)]


def _run(*arguments: str) -> tuple[Step, str]:
    """Run Python with arguments; what it used, its children included, and what it printed."""
    started = perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        output = process.stdout.read() if process.stdout else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}: {arguments}")
    step = Step(perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
    return step, output.decode()


def _cut_with_jieba(corpus: Path) -> None:
    """Cut every line of a corpus in jieba's search mode, in as many processes as szqa uses by default."""
    paths = sorted(corpus.iterdir())
    tasks = [paths[start : start + _FILES_A_TASK] for start in range(0, len(paths), _FILES_A_TASK)]
    with get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        pool.map(_cut_files, tasks, chunksize=1)
        pool.close()
        pool.join()


def _cut_files(paths: list[Path]) -> None:
    import jieba

    jieba.setLogLevel(logging.ERROR)
    for path in paths:
        for line in path.read_text("utf-8").split("\n"):
            jieba.lcut_for_search(line)


def _ask_warm(index: Path, questions: Path) -> None:
    """Print the times of answers after a few to warm up."""
    from szqa import Assistant

    assistant = Assistant.load(index)
    wall_ms, cpu_ms = [], []
    for question in json.loads(questions.read_text("utf-8")):
        started, cpu_started = perf_counter(), process_time()
        assistant.ask(question)
        wall_ms.append((perf_counter() - started) * 1000)
        cpu_ms.append((process_time() - cpu_started) * 1000)
    times = {"wall_ms": wall_ms[_WARM_UP:], "cpu_ms": cpu_ms[_WARM_UP:]}
    print(json.dumps({"passages": len(assistant.index.passages), **times}))


def _exponent(points: list[tuple[int, float]]) -> float:
    """Slope of the logarithm of a figure over the logarithm of the number of passages; nan for one size."""
    if len(points) < 2:
        return float("nan")
    sizes, values = np.log([size for size, _ in points]), np.log([value for _, value in points])
    return float(np.polyfit(sizes, values, 1)[0])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--jieba", corpus]:
            _cut_with_jieba(Path(corpus))
        case ["--warm", index, questions]:
            _ask_warm(Path(index), Path(questions))
        case _:
            main()
