"""Structured logs: one JSON object a line on standard error, with the id of the request it belongs to.

No line holds what somebody asked or was answered, nor an address, unless the operator asked for questions: an error is
told by its type and where it was raised, because its message may repeat a question.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["LOGGER", "REQUEST_ID", "JsonLines", "configure_logs", "log_event"]

LOGGER: Final = logging.getLogger("szqa.server")
REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("szqa_request_id", default=None)
"""Id of the request that is being handled; also sent to the client as ``X-Request-ID``."""


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object.

    Args:
        messages: whether messages of errors are written, which may repeat questions.
    """

    def __init__(self, *, messages: bool) -> None:
        super().__init__()
        self._messages = messages

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": str(record.msg) if record.name == LOGGER.name else record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            fields["request_id"] = request_id
        fields |= getattr(record, "szqa_fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            fields |= self._error(record.exc_info[1])
        return json.dumps(fields, ensure_ascii=False)

    def _error(self, error: BaseException) -> dict[str, object]:
        frames = traceback.extract_tb(error.__traceback__)
        told: dict[str, object] = {
            "error": f"{type(error).__module__}.{type(error).__qualname__}",
            "stack": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
        }
        return told | ({"message": str(error)} if self._messages else {})


def log_event(
    event: str,
    fields: Mapping[str, str | float | None] | None = None,
    *,
    level: int = logging.INFO,
    error: BaseException | None = None,
) -> None:
    """Write what happened, with its particulars; an error goes without its message."""
    LOGGER.log(level, event, exc_info=error, extra={"szqa_fields": fields or {}})


def configure_logs(*, requests: bool, questions: bool) -> None:
    """Send everything that is logged in this process to standard error as JSON lines.

    Args:
        requests: whether every request and answer is a line, or only what went wrong.
        questions: whether lines may hold questions and answers.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(messages=questions))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(logging.INFO if requests else logging.WARNING)
