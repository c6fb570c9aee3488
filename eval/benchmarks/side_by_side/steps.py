"""Processes that are timed: seconds by the clock and of CPU, memory of the whole tree, and an end after a time.

It knows nothing of what the processes do.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread, Timer
from time import perf_counter

import psutil

__all__ = ["Conversation", "Step", "StepError", "run"]

# Memory is looked at so often at first, and more rarely the longer a process runs: looking costs time, too.
_SAMPLED_EVERY_S = 0.2
_SAMPLED_SHARE = 0.02
_ENVIRONMENT = {
    # Every system's process finds how it is spoken to (``talk.py``) beside this package.
    "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")]))),
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads of torch that wait for each other sleep: turning idly on cores that others need takes many times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class StepError(Exception):
    """A process ended badly, or was ended because it took too long."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a process and its children used.

    Attributes:
        wall_s: seconds by the clock.
        cpu_s: seconds of CPU.
        peak_mb: MB of memory at most, shared pages counted once (sampled, and never less than the largest process).
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


class _Watched:
    """A process that is watched while it runs.

    Args:
        command: what to run.
        limit_s: seconds it may take.
        memory_gb: GB of memory that each process of it may have.
    """

    def __init__(self, command: Sequence[str], *, limit_s: float, memory_gb: float) -> None:
        self._command = command
        self._limit_s = limit_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in finish()
        self._started = perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
            env={**os.environ, **_ENVIRONMENT},
        )
        most = round(memory_gb * 2**30)
        resource.prlimit(self.process.pid, resource.RLIMIT_DATA, (most, most))
        self._late, self._ended = Event(), Event()
        self._timer = Timer(limit_s, self._stop)
        self._timer.start()
        self._sampled = 0
        self._sampler = Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def finish(self) -> Step:
        """Wait for its end; raises ``StepError`` where it is not a good one."""
        _, status, used = os.wait4(self.process.pid, 0)
        wall_s = perf_counter() - self._started
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self._timer.cancel()
        self._ended.set()
        self._sampler.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines() or [""]
        self._errors.close()
        if self._late.is_set():
            raise StepError(f"ended after {self._limit_s:.0f} s")
        if self.process.returncode:
            raise StepError(f"exit status {self.process.returncode}: {said[-1][:200]}")
        return Step(wall_s, used.ru_utime + used.ru_stime, max(used.ru_maxrss / 1024, self._sampled / 2**20))

    def _stop(self) -> None:
        self._late.set()
        os.killpg(self.process.pid, signal.SIGKILL)

    def _sample(self) -> None:
        while not self._ended.wait(max(_SAMPLED_EVERY_S, _SAMPLED_SHARE * (perf_counter() - self._started))):
            try:
                top = psutil.Process(self.process.pid)
                tree = [top, *top.children(recursive=True)]
            except psutil.Error:
                return
            if len(tree) > 1:  # of one process the system itself keeps the peak
                self._sampled = max(self._sampled, sum(map(_shared_once, tree)))


def _shared_once(process: psutil.Process) -> int:
    """Bytes of memory of a process, pages it shares with others divided among them."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has just ended
        return 0


def run(command: Sequence[str], *, limit_s: float, memory_gb: float) -> tuple[Step, str]:
    """Run a command to its end; what it used, and what it printed.

    Raises:
        StepError: it failed, or took too long.
    """
    watched = _Watched(command, limit_s=limit_s, memory_gb=memory_gb)
    output = watched.process.stdout.read() if watched.process.stdout else ""
    return watched.finish(), output


class Conversation:
    """A process that is asked line by line, and answers each with a line of JSON; the first is that it is ready.

    Raises:
        StepError: it failed, or took too long.
    """

    def __init__(self, command: Sequence[str], *, limit_s: float, memory_gb: float) -> None:
        self._watched = _Watched(command, limit_s=limit_s, memory_gb=memory_gb)
        self.ready = self._hear()

    def ask(self, line: str) -> dict[str, float | str]:
        """What it answers to a line."""
        if self._watched.process.stdin:
            try:
                self._watched.process.stdin.write(line + "\n")
                self._watched.process.stdin.flush()
            except BrokenPipeError:  # why is said when it is waited for
                self.finish()
        return self._hear()

    def finish(self) -> Step:
        """Have it end; what it used."""
        if self._watched.process.stdin:
            self._watched.process.stdin.close()
        return self._watched.finish()

    def _hear(self) -> dict[str, float | str]:
        line = self._watched.process.stdout.readline() if self._watched.process.stdout else ""
        if not line:
            self._watched.finish()
            raise StepError("ended without an answer")
        heard: dict[str, float | str] = json.loads(line)
        return heard
