"""Loading files in a process of its own, so that no file can take more time or memory than it may.

What reads PDF, Word and HTML is large and trusts what it reads: a file may send it round in circles, fill the memory or
crash it. It then dies alone, and its file is named. One process loads file after file; it is started when it is needed,
and again after it died. This module knows nothing of formats; it runs ``module:function``, as a loader is called.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from szqa.errors import MissingExtraError
from szqa.formats import Content, Limits, Loader, UnreadableError
from szqa.layout import Part

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Isolation"]

# Seconds after its time that a loading process ends itself, where the one that should stop it is gone.
_GRACE_S = 5


class Isolation:
    """Loads files in a process of its own; a context manager that ends it.

    On Windows, where a process cannot be limited in this way, files are loaded here.

    Args:
        limits: what a file may take.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def load(self, loader: Loader, path: Path) -> Content:
        """What ``loader(path, limits)`` returns.

        Raises:
            UnreadableError: as the loader does, or where it took too long, needed too much memory or crashed.
            MissingExtraError: as the loader does.
            OSError: as the loader does.
        """
        name = f"{loader.__module__}:{loader.__qualname__}"
        if sys.platform == "win32" or not name.startswith("szqa."):  # somebody's own, known to this process only
            return loader(path, self._limits)
        line = self._line or self._start()
        try:
            line.send_bytes(json.dumps({"loader": name, "path": str(path.absolute())}).encode())
            if not line.poll(self._limits.seconds):
                self._stop()
                raise UnreadableError(
                    f"{self._limits.seconds:g} 秒内没有读完，可能有意做成这样或已损坏，请重新导出或移走 "
                    f"(not read in {self._limits.seconds:g} s: damaged or made so; export it again or remove it)"
                )
            reply: dict[str, object] = json.loads(line.recv_bytes().decode("utf-8", "surrogatepass"))
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._stop()
            raise UnreadableError(
                "读取时程序崩溃，文件可能已损坏，请重新导出或移走 (reading it crashed: export it again or remove it)"
            ) from error
        return _content(reply)

    def _start(self) -> Connection:
        line, other = Pipe()
        settings = json.dumps(asdict(self._limits))
        # This package, wherever it was imported from, and whatever else is importable here.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        serve = "from szqa.isolation import _serve; _serve()"
        self._process = subprocess.Popen(  # noqa: S603 - no shell
            [sys.executable, "-P", "-c", serve, str(other.fileno()), settings],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # how it crashed means nothing to who reads the message
            env={**os.environ, "PYTHONPATH": path},
        )
        other.close()
        self._line = line
        return line

    def _stop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _content(reply: dict[str, object]) -> Content:
    if "unreadable" in reply:
        raise UnreadableError(str(reply["unreadable"]))
    if "extra" in reply:
        raise MissingExtraError(str(reply["extra"]), str(reply["purpose"]))
    if "errno" in reply:
        raise OSError(reply["errno"], str(reply["strerror"]))
    parts = cast("list[dict[str, object]]", reply["parts"])
    return Content(str(reply["title"]), tuple(Part(**part) for part in parts))  # type: ignore[arg-type]


def _serve() -> None:
    """What the other process does, until the line is closed."""
    limits = Limits(**json.loads(sys.argv[2]))
    _restrict(limits)
    with Connection(int(sys.argv[1])) as line:
        while True:
            try:
                asked = json.loads(line.recv_bytes())
            except EOFError:
                return
            signal.alarm(int(limits.seconds) + _GRACE_S)
            reply = _reply(asked["loader"], Path(asked["path"]), limits)
            signal.alarm(0)
            line.send_bytes(json.dumps(reply, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _restrict(limits: Limits) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = limits.memory_bytes if hard == resource.RLIM_INFINITY else min(limits.memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _reply(name: str, path: Path, limits: Limits) -> dict[str, object]:
    module, _, function = name.partition(":")
    loader = cast("Loader", getattr(import_module(module), function))
    try:
        content = loader(path, limits)
    except UnreadableError as error:
        return {"unreadable": str(error)}
    except MissingExtraError as error:
        return {"extra": error.extra, "purpose": error.purpose}
    except MemoryError:
        return {
            "unreadable": f"读取需要超过 {limits.memory_bytes >> 20} MiB 内存，请拆分或移走 "
            f"(needs more than {limits.memory_bytes >> 20} MiB of memory: split or remove it)"
        }
    except OSError as error:
        return {"errno": error.errno, "strerror": error.strerror or str(error)}
    return {"title": content.title, "parts": [_fields(part) for part in content.parts]}


def _fields(part: Part) -> dict[str, object]:
    # As asdict does for plain values, ten times as fast.
    return {"kind": part.kind, "text": part.text, "level": part.level, "tight": part.tight}
