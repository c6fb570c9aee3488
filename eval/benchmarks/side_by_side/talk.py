"""How a system is spoken to: build, one question from a cold start, or question after question.

Standard library alone: it runs in every system's environment. It knows nothing of any system.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Protocol

__all__ = ["Reply", "System", "talk"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a system found and said.

    Attributes:
        answer: the answer, empty where it has none.
        found: name of the document of the best passage.
        found_by_default: likewise, with the weights of words and vectors that the system has by default.
        retrieve_ms: milliseconds until the passages were there, 0 where the system does not say.
    """

    answer: str
    found: str
    found_by_default: str
    retrieve_ms: float = 0.0


class System(Protocol):
    """A system that is ready to be asked."""

    def ask(self, question: str) -> str:
        """The answer to a question; this is what is timed."""

    def explain(self, question: str) -> Reply:
        """What it found for the question that was asked last; not timed."""


def talk(build: Callable[[Path, Path], None], load: Callable[[Path], System]) -> None:
    """Do what the command line says.

    Args:
        build: passages and folder → the system's index in the folder.
        load: folder → the system.
    """
    match sys.argv[1:]:
        case ["build", passages, home]:
            build(Path(passages), Path(home))
        case ["ask", home, question]:
            print(load(Path(home)).ask(question))
        case ["serve", home]:
            system = load(Path(home))
            _say({"ready": "yes"})
            for line in sys.stdin:
                started, cpu_started = perf_counter(), process_time()
                system.ask(line.strip())
                times = {
                    "wall_ms": (perf_counter() - started) * 1000,
                    "cpu_ms": (process_time() - cpu_started) * 1000,
                }
                _say({**times, **asdict(system.explain(line.strip()))})
        case _:
            raise SystemExit(f"usage: {sys.argv[0]} build PASSAGES HOME | ask HOME QUESTION | serve HOME")


def _say(row: dict[str, object]) -> None:
    print(json.dumps(row, ensure_ascii=False), flush=True)
