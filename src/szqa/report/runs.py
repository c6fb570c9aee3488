"""A run: the rows of an evaluation with all that is needed to know what was measured; its files.

It knows how runs and predictions are written and read, nothing of tables or plots.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from szqa.errors import EvaluationError
from szqa.evaluation import Metrics, QuestionRow, summarise

__all__ = [
    "Run",
    "Setting",
    "current_commit",
    "read_predictions",
    "read_run",
    "write_json",
    "write_predictions",
    "write_run",
]

_SCHEMA = 1
# Set within a hook, they name another repository than the one of this code.
_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")

Setting = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked, of what, with which result.

    Attributes:
        name: what to call it beside another run.
        evaluation_set: name of the file of questions.
        settings: every setting the answers depend on.
        rows: one a question.
        threshold: score from which was answered, ``None`` for another system's answers.
        index_manifest: SHA-256 of the index's manifest, ``None`` where the index was only in memory.
        commit: the commit of the code, with ``-dirty`` where it was changed, ``None`` outside a checkout.
        partial: whether it was stopped before every question was asked.
        created: time, ISO 8601, UTC.
        szqa: version of the package.
        schema: version of the file's layout.
    """

    name: str
    evaluation_set: str
    settings: Mapping[str, Setting]
    rows: tuple[QuestionRow, ...]
    threshold: float | None = None
    index_manifest: str | None = None
    commit: str | None = None
    partial: bool = False
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    szqa: str = field(default_factory=lambda: version("szqa"))
    schema: int = _SCHEMA

    def metrics(self) -> Metrics:
        """Its figures, computed from its rows."""
        return summarise(self.rows, threshold=self.threshold)


def write_run(run: Run, path: Path, *, metrics: Metrics) -> None:
    """Write a run as JSON: the figures first, then all else, then the rows."""
    content = asdict(run)
    rows = content.pop("rows")
    content = {"metrics": metrics.to_json(), "intervals": metrics.intervals_json(), **content, "rows": rows}
    write_json(content, path)


def write_json(content: Mapping[str, object], path: Path) -> None:
    """Write a JSON object, readable in a diff."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


def read_run(path: Path) -> Run:
    """Read a run written by ``write_run``.

    Raises:
        EvaluationError: it is none, or of another version.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        run = TypeAdapter(Run).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise EvaluationError([f"{path}: 没有这个文件，请检查路径 (no such file; check the path)"]) from error
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, fault['loc'])) or 'JSON'}: {fault['msg']}" for fault in error.errors()]
        raise EvaluationError(problems) from error
    if run.schema != _SCHEMA:
        raise EvaluationError(
            [f"{path}: 格式版本为 {run.schema}，本版本读取 {_SCHEMA}，请重新评测 (another schema; run szqa eval again)"]
        )
    return run


def read_predictions(path: Path, ids: Sequence[str]) -> dict[str, str]:
    """Read another system's answers in the official form, ``{id: text}``.

    Args:
        path: the JSON file.
        ids: the questions asked; an answer to another question is a fault, a missing answer counts as abstaining.

    Raises:
        EvaluationError: it has another form, or answers questions that were not asked.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        predictions = TypeAdapter(dict[str, str | None]).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise EvaluationError([f"{path}: 没有这个文件，请检查路径 (no such file; check the path)"]) from error
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, fault['loc'])) or 'JSON'}: {fault['msg']}" for fault in error.errors()]
        raise EvaluationError(problems) from error
    unknown = sorted(predictions.keys() - set(ids))
    if unknown:
        raise EvaluationError([f"{path}: 评测集中没有问题 {name!r} (no such question in the set)" for name in unknown])
    return {name: text or "" for name, text in predictions.items()}


def write_predictions(rows: Sequence[QuestionRow], path: Path) -> None:
    """Write what was answered in the official form, ``{id: text}``, empty where the system abstained."""
    answers = {row.id: row.candidate if row.answered else "" for row in rows}
    write_json(answers, path)


def current_commit() -> str | None:
    """The commit of this code, ``-dirty`` behind it where files differ; ``None`` where it runs outside a checkout."""
    git = shutil.which("git")
    if git is None or not _git(git, "ls-files", Path(__file__).name):  # installed below somebody else's checkout
        return None
    return _git(git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None


def _git(git: str, *arguments: str) -> str:
    # A checkout of another owner is refused by default (CVE-2022-24765), for its settings may name commands to run.
    # The code that asks is of that very checkout, so it runs already.
    command = [git, "-c", "safe.directory=*", "-C", str(Path(__file__).parent), *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 - no shell
    return done.stdout.strip()
