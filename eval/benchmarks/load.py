"""Load: many clients at once against `szqa serve` on this machine; no error, no growth of memory, how long they wait.

    python eval/benchmarks/load.py                      # 10 s of 64 clients after 5 s of warm-up
    python eval/benchmarks/load.py --seconds 60 --out eval/results/load.json

It starts the server itself, with the index and settings of `szqa serve` and a rate limit that 64 clients of one address
do not meet, asks the questions of a file in turn over connections that are kept, and reads the server's memory from
the kernel. Then it sends more than the server takes, and counts how it is refused. Exit status 1 where a question
that should have been answered was not, or memory grew by more than is allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parent.parent.parent
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it; times in milliseconds, memory in MiB.

    ``cpu_ms`` is the server's own time on a processor for one answer, and ``others`` the machine's load average at the
    end less the server's part: on a machine that is busy with other things, waits say less than these two.
    """

    clients: int
    seconds: float
    answered: int
    errors: dict[str, int]
    per_second: float
    median_ms: float
    p95_ms: float
    max_ms: float
    cpu_ms: float
    others: float
    memory_before: float
    memory_after: float
    growth: float
    shed: dict[str, int]
    shed_with_retry_after: int
    cpus: int


async def _client(url: str, questions: cycle[str], until: float, waits: list[float], errors: Counter[str]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                response = await client.post("/api/ask", json={"question": next(questions)})
            except httpx.HTTPError as error:
                errors[type(error).__name__] += 1
                continue
            waits.append((time.monotonic() - started) * 1000)
            if response.status_code != 200:
                errors[str(response.status_code)] += 1


async def _round(url: str, questions: cycle[str], *, clients: int, seconds: float) -> tuple[list[float], Counter[str]]:
    waits: list[float] = []
    errors: Counter[str] = Counter()
    until = time.monotonic() + seconds
    await asyncio.gather(*(_client(url, questions, until, waits, errors) for _ in range(clients)))
    return waits, errors


async def _flood(url: str, question: str, *, requests: int) -> tuple[Counter[str], int]:
    """More questions at once than may wait: how many are answered, refused, and told when to come again."""

    async def one(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/ask", json={"question": question})

    limits = httpx.Limits(max_connections=requests)
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits) as client:
        responses = await asyncio.gather(*(one(client) for _ in range(requests)))
    refused = [response for response in responses if response.status_code == 503]
    return Counter(str(r.status_code) for r in responses), sum("retry-after" in r.headers for r in refused)


def _start(index: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    command = [sys.executable, "-W", "ignore", "-c", "from szqa.cli import main; main()", "serve", "--port", "0"]
    command += ["--index", str(index), "--rate", "1000000/second", "--max-connections", "2048"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    deadline = time.monotonic() + 300
    while not (found := re.search(r"http://[\d.:]+", log.read_text("utf-8"))):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"服务没有启动 (the server did not start): {log.read_text('utf-8')}")
        time.sleep(0.1)
    return process, found[0]


def measure(index: Path, questions: list[str], *, clients: int, seconds: float, warm_up: float, flood: int) -> Load:
    """Start the server, load it, end it."""
    with tempfile.TemporaryDirectory() as folder:
        process, url = _start(index, Path(folder) / "log")
        try:
            memory = psutil.Process(process.pid)
            turns = cycle(questions)
            asyncio.run(_round(url, turns, clients=clients, seconds=warm_up))
            before = memory.memory_info().rss / _MIB
            spent = sum(memory.cpu_times()[:2])
            waits, errors = asyncio.run(_round(url, turns, clients=clients, seconds=seconds))
            spent = sum(memory.cpu_times()[:2]) - spent
            after = memory.memory_info().rss / _MIB
            shed, told = asyncio.run(_flood(url, questions[0], requests=flood))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    ordered = sorted(waits)
    answered = len(waits) - sum(count for kind, count in errors.items() if kind.isdigit())
    return Load(
        clients=clients,
        seconds=seconds,
        answered=answered,
        errors=dict(errors),
        per_second=round(answered / seconds, 1),
        median_ms=round(statistics.median(ordered), 1),
        p95_ms=round(ordered[int(len(ordered) * 0.95)], 1),
        max_ms=round(ordered[-1], 1),
        cpu_ms=round(spent * 1000 / max(1, answered), 1),
        others=round(max(0.0, os.getloadavg()[0] - 1), 1),
        memory_before=round(before, 1),
        memory_after=round(after, 1),
        growth=round(after - before, 1),
        shed=dict(shed),
        shed_with_retry_after=told,
        cpus=len(os.sched_getaffinity(0)),
    )


def main() -> None:
    """Parse the flags, measure, write and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, default=ROOT / "index")
    parser.add_argument("--questions", type=Path, default=ROOT / "eval" / "questions.txt")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=5)
    parser.add_argument("--flood", type=int, default=300, help="questions at once, beyond capacity")
    parser.add_argument("--max-growth", type=float, default=64, help="MiB that memory may grow by")
    parser.add_argument("--out", type=Path)
    flags = parser.parse_args()
    questions = flags.questions.read_text("utf-8").split("\n")[:-1]
    load = measure(
        flags.index,
        questions,
        clients=flags.clients,
        seconds=flags.seconds,
        warm_up=flags.warm_up,
        flood=flags.flood,
    )
    text = json.dumps(asdict(load), ensure_ascii=False, indent=1)
    print(text)
    if flags.out:
        flags.out.write_text(text + "\n", "utf-8")
    refused = load.shed.get("503", 0)
    fine = not load.errors and load.growth <= flags.max_growth and refused == load.shed_with_retry_after > 0
    sys.exit(0 if fine and set(load.shed) <= {"200", "503"} else 1)


if __name__ == "__main__":
    main()
