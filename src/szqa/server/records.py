"""Middleware that gives every request an id, a line in the log and a place in the metrics.

Paths, queries and addresses are not written: a path can be anything that somebody typed.
"""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from szqa.server.logs import REQUEST_ID, log_event
from szqa.server.metrics import Metrics
from szqa.server.problems import problem
from szqa.server.service import INTERNAL

__all__ = ["Recorded", "route_of"]

_ROUTES: Final = (
    (
        re.compile(r"/api/(?:ask|feedback|info|reload|documents|health(?:/live|/ready)?)|/metrics|/index|/docs|/embed"),
        "",
    ),
    (re.compile(r"/api/documents/[^/]+"), "/api/documents/{id}"),
    (re.compile(r"/source/[^/]+"), "/source/{id}"),
    (re.compile(r"/|/config"), "chat"),
    (re.compile(r"/gradio_api/mcp.*"), "mcp"),
    (re.compile(r"/gradio_api/.*"), "chat event"),
    (
        re.compile(r"/(?:static|assets|szqa)/.*|/widget\.js|/theme\.css|/favicon\.ico|/robots\.txt|/openapi\.json"),
        "file",
    ),
)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
# Asked for every few seconds by machines, or many at once by a page.
_UNLOGGED: Final = frozenset({"file", "chat event", "/metrics", "/api/health", "/api/health/live", "/api/health/ready"})


class Recorded:
    """Writes down every request, and answers for what nobody foresaw.

    Args:
        app: what is behind it.
        metrics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3.0)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, request_id = perf_counter(), 0, secrets.token_hex(8)
        token = REQUEST_ID.set(request_id)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 -- written down without its message, which may repeat a question
            log_event("error", level=logging.ERROR, error=error)
            if not status:
                await problem(500, INTERNAL)(scope, receive, send_with_id)
        finally:
            self._write(scope, status, perf_counter() - started)
            REQUEST_ID.reset(token)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope["path"])
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request(route=route, method=method, status=status, seconds=seconds)
        if route not in _UNLOGGED or status >= 500:
            log_event("request", {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)})


def route_of(path: str) -> str:
    """The name a path is counted and logged under, of which there are few."""
    return next((name or path for pattern, name in _ROUTES if pattern.fullmatch(path)), "other")
