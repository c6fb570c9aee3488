"""szqa beside Haystack 2, txtai and jieba alone, in one run, on the same text and questions, size after size.

Usage: python eval/benchmarks/speed.py TEXT_FOLDER QUESTIONS [--sizes 1000 10000 100000] [--repeat 3]
           [--asked 200] [--without-peers] [--limit SECONDS] [--memory GB] [--out FOLDER] [--cache FOLDER]

TEXT_FOLDER holds ``*.txt.xz`` with a paragraph a line and a blank line between documents (../shared/data/text);
QUESTIONS is ``.jsonl.xz`` with "context" and "question" (../shared/data/mrc/cmrc2018_trial.jsonl.xz). A corpus has the
questions' own paragraphs and as much of the text as makes about so many passages (``side_by_side/corpus.py``).

- szqa builds from the files, with its default settings; jieba alone cuts the same files in its search mode with as many
  processes. The two take turns where they are repeated.
- The peers are given szqa's passages, so that all search the same units and none has to read and cut files. They load
  the shipped models (``side_by_side/peers.py``), read as many passages as szqa, and live in an environment of their
  own, which is made here (runs/peers). Set-up: ``side_by_side/ask_haystack.py``, ``ask_txtai.py``.
- Every step is a process of its own: wall time, CPU time, memory of the process and its children. Cold starts and warm
  questions go round: each question is put to one system after the other, so what else the machine does falls on all.
- A system that fails, or takes longer than ``--limit`` or more memory than ``--memory``, is left out from there on.

Printed: a table with ratios to szqa and growth exponents (slope of log over log); written: ``figures.json`` and plots.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from time import perf_counter

import numpy as np
from side_by_side.corpus import Asked, write_corpus
from side_by_side.peers import make_environment, write_models
from side_by_side.report import PLOTS, Figures, plot, table
from side_by_side.steps import Conversation, Step, StepError, run

_SZQA_COMMAND = [sys.executable, "-c", "from szqa.cli import main; main()"]
_ASK_SZQA = [sys.executable, "-m", "side_by_side.ask_szqa"]
_SZQA, _JIEBA = "szqa", "jieba"
_WARM_UP = 5
# Up to so many passages builds and cold starts are repeated.
_REPEATED = 20_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a step may take: seconds, and GB of memory for each of its processes."""

    limit_s: float
    memory_gb: float


@dataclass(slots=True)
class Measured:
    """What is known of one system at one size."""

    builds: list[Step] = field(default_factory=list)
    cold: list[Step] = field(default_factory=list)
    replies: list[tuple[Asked, dict[str, float | str]]] = field(default_factory=list)
    warm: Step | None = None
    left_out: str = ""

    def figures(self, system: str, passages: int) -> Figures:
        """Medians and shares."""
        timed = [reply for _, reply in self.replies[_WARM_UP:]]
        wall = [float(reply["wall_ms"]) for reply in timed]
        retrieve = [float(reply["retrieve_ms"]) for reply in timed]
        return Figures(
            system,
            passages,
            build_s=_median([step.wall_s for step in self.builds]),
            build_cpu_s=_median([step.cpu_s for step in self.builds]),
            build_mb=_median([step.peak_mb for step in self.builds]),
            cold_s=_median([step.wall_s for step in self.cold]),
            cold_cpu_s=_median([step.cpu_s for step in self.cold]),
            warm_ms=_median(wall),
            p95_ms=float(np.percentile(wall, 95)) if wall else None,
            warm_cpu_ms=_median([float(reply["cpu_ms"]) for reply in timed]),
            retrieve_ms=_median(retrieve) if any(retrieve) else None,
            warm_mb=self.warm.peak_mb if self.warm else None,
            recall=self._recall("found"),
            recall_by_default=self._recall("found_by_default"),
            left_out=self.left_out,
        )

    def _recall(self, key: str) -> float | None:
        return fmean(reply[key] == asked.document for asked, reply in self.replies) if self.replies else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def main() -> None:
    """Measure every size; print, write and draw what is known after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--asked", type=int, default=200, help="questions asked at each size")
    parser.add_argument("--repeat", type=int, default=3, help="builds and cold starts of the smaller sizes")
    parser.add_argument("--without-peers", action="store_true", help="szqa and jieba only")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds a step of a peer may take")
    parser.add_argument("--memory", type=float, default=12.0, help="GB of memory a process may take")
    parser.add_argument("--out", type=Path, default=Path("eval/results/speed"))
    parser.add_argument("--cache", type=Path, default=Path("runs/speed"), help="folder for corpora and indexes")
    parser.add_argument("--peers", type=Path, default=Path("runs/peers"), help="folder of the peers' environment")
    options = parser.parse_args()
    limits = Limits(options.limit, options.memory)
    peers = {} if options.without_peers else _peers(options.peers)
    left_out: dict[str, str] = {}
    figures: list[Figures] = []
    for size in options.sizes:
        bench = Bench(options.cache.absolute() / str(size), peers, limits, left_out)
        figures += bench.measure(options.text, options.questions, size, asked=options.asked, repeat=options.repeat)
        _publish(figures, options.out)
    print(*table(figures), sep="\n")


def _peers(folder: Path) -> dict[str, list[str]]:
    """Name → command of each peer; makes their environment and models."""
    python = make_environment(folder / ".venv")
    write_models(folder / "models")
    os.environ["PEER_MODELS"] = str((folder / "models").absolute())
    return {
        "Haystack": [str(python), "-m", "side_by_side.ask_haystack"],
        "txtai": [str(python), "-m", "side_by_side.ask_txtai"],
    }


class Bench:
    """One size of corpus.

    Args:
        folder: for its corpus and indexes; emptied.
        peers: name → command.
        limits: what a step may take.
        left_out: peers that are out, and why; added to.
    """

    def __init__(self, folder: Path, peers: dict[str, list[str]], limits: Limits, left_out: dict[str, str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "corpus").mkdir(parents=True)
        self._folder, self._peers, self._limits, self._left_out = folder, peers, limits, left_out
        self._measured = {name: Measured() for name in (_JIEBA, _SZQA, *peers)}

    def measure(self, text: Path, questions: Path, size: int, *, asked: int, repeat: int) -> list[Figures]:
        """Build, ask cold, ask warm."""
        # Elsewhere: a process begins with its parent's peak of memory, so this one has to stay small.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            chosen = pool.submit(write_corpus, text, questions, size, self._folder / "corpus").result()[:asked]
        repeat = repeat if size <= _REPEATED else 1
        self._build_szqa(repeat)
        passages = self._write_passages()
        for name in self._peers:
            self._attempt(name, partial(self._build_peer, name))
        for number in range(repeat):
            for name in self._ready():
                self._attempt(name, partial(self._ask_cold, name, chosen[number].text))
        self._ask_warm(chosen)
        for name, reason in self._left_out.items():
            self._measured[name].left_out = self._measured[name].left_out or reason
        return [each.figures(name, passages) for name, each in self._measured.items()]

    def _build_szqa(self, repetitions: int) -> None:
        corpus, index = str(self._folder / "corpus"), self._folder / _SZQA
        for _ in range(repetitions):
            shutil.rmtree(index, ignore_errors=True)
            jieba, _said = self._run([*_ASK_SZQA, "jieba", corpus])
            self._measured[_JIEBA].builds.append(jieba)
            build, _said = self._run([*_SZQA_COMMAND, "build", "--corpus", corpus, "--index", str(index)])
            self._measured[_SZQA].builds.append(build)
            _log(f"jieba {jieba.wall_s:.1f} s, {jieba.cpu_s:.1f} s of CPU; szqa {build.wall_s:.1f}, {build.cpu_s:.1f}")

    def _write_passages(self) -> int:
        out = self._folder / "passages.jsonl"
        self._run([*_ASK_SZQA, "passages", str(self._folder / _SZQA), str(out)])
        with out.open("rb") as lines:
            return sum(1 for _ in lines)

    def _build_peer(self, name: str) -> None:
        command = [*self._peers[name], "build", str(self._folder / "passages.jsonl"), str(self._folder / name)]
        step, _said = self._run(command, limit_s=self._limits.limit_s)
        self._measured[name].builds.append(step)
        _log(f"{name} built in {step.wall_s:.1f} s, {step.cpu_s:.1f} s of CPU, {step.peak_mb:.0f} MB")

    def _ask_cold(self, name: str, question: str) -> None:
        home = str(self._folder / name)
        own = [*_SZQA_COMMAND, "ask", question, "--index", home]
        command = own if name == _SZQA else [*self._peers[name], "ask", home, question]
        step, _said = self._run(command, limit_s=self._limits.limit_s)
        self._measured[name].cold.append(step)
        _log(f"{name} answered after {step.wall_s:.2f} s, {step.cpu_s:.2f} s of CPU")

    def _ask_warm(self, asked: Sequence[Asked]) -> None:
        """Put each question to one system after the other, all of them running."""
        running: dict[str, Conversation] = {}
        for name in self._ready():
            command = [*(_ASK_SZQA if name == _SZQA else self._peers[name]), "serve", str(self._folder / name)]
            self._attempt(name, partial(self._start, running, name, command))
        spent = dict.fromkeys(running, 0.0)
        for question in asked:
            for name in [name for name in running if self._has_time(name, spent[name]) and name in self._ready()]:
                started = perf_counter()
                self._attempt(name, partial(self._ask, running[name], name, question))
                spent[name] += perf_counter() - started
        for name in [name for name in running if name in self._ready()]:
            self._attempt(name, partial(self._finish, running[name], name))
            replies = self._measured[name].replies
            if len(replies) < len(asked):
                self._measured[name].left_out = f"{len(replies)} of {len(asked)} questions in {spent[name]:.0f} s"

    def _finish(self, conversation: Conversation, name: str) -> None:
        self._measured[name].warm = conversation.finish()

    def _has_time(self, name: str, spent_s: float) -> bool:
        return name == _SZQA or spent_s < self._limits.limit_s

    def _start(self, running: dict[str, Conversation], name: str, command: Sequence[str]) -> None:
        # Over a conversation the clock counts the others' turns, too; the sum of its own is kept where it is asked.
        running[name] = Conversation(command, limit_s=8 * self._limits.limit_s, memory_gb=self._limits.memory_gb)

    def _ask(self, conversation: Conversation, name: str, question: Asked) -> None:
        self._measured[name].replies.append((question, conversation.ask(question.text)))

    def _ready(self) -> list[str]:
        return [name for name in (_SZQA, *self._peers) if name not in self._left_out]

    def _attempt(self, name: str, step: Callable[[], None]) -> None:
        """Take a step with a system; a peer that fails is left out from there on."""
        if name in self._left_out:
            return
        try:
            step()
        except StepError as error:
            if name == _SZQA:
                raise
            self._left_out[name] = str(error)
            _log(f"{name} is left out: {error}")

    def _run(self, command: Sequence[str], *, limit_s: float | None = None) -> tuple[Step, str]:
        return run(command, limit_s=limit_s or 4 * self._limits.limit_s, memory_gb=self._limits.memory_gb)


def _publish(figures: Sequence[Figures], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rounded = [
        {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(row).items()}
        for row in figures
    ]
    (out / "figures.json").write_text(json.dumps(rounded, ensure_ascii=False, indent=1) + "\n", "utf-8")
    for name in PLOTS:
        (out / f"{name}.svg").write_text(plot(figures, name), "utf-8")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
