"""What passes between the network and the pages: which paths exist, how large a request may be, who may frame a page.

Gradio brings routes for files, uploads, proxies and recordings that this chat has no use for; whatever is not named
here does not exist.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from szqa.server.problems import problem

__all__ = ["MAX_BODY_BYTES", "Gate"]

MAX_BODY_BYTES: Final = 1_000_000

_PATHS: Final = re.compile(
    # szqa's own
    r"/api/.*|/source/[^/]+|/index|/docs|/openapi\.json|/embed|/widget\.js|/szqa/[a-z.]+|"
    # Gradio's page, its scripts and styles, its event queue, and MCP
    r"/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/static/.*|/assets/.*|"
    r"/gradio_api/(?:queue/(?:join|data)|heartbeat/[^/]+|startup-events|info/?|reset/?|cancel|theme\.css|mcp/?)"
)
# Gradio's page has inline scripts and compiles templates; it gets nothing from anywhere else all the same.
_POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_COMMON_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class Gate:
    """Middleware that refuses what is not served and sets the headers every response has.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3.0)."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _COMMON_HEADERS.items():
                    headers.setdefault(name, value)
                if "content-security-policy" not in headers:
                    headers["Content-Security-Policy"] = _POLICY
            await send(message)

        if not _PATHS.fullmatch(path):
            await problem(404, f"{path[:200]}，接口说明见 /docs (see /docs)")(scope, receive, send_with_headers)
        elif _size(Headers(scope=scope)) > MAX_BODY_BYTES:
            detail = f"请求最多 {MAX_BODY_BYTES} 字节 (at most {MAX_BODY_BYTES} bytes)"
            await problem(413, detail)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _size(headers: Headers) -> int:
    """Size that a request announces; one that announces none is taken for too large if it has a body at all."""
    if "chunked" in headers.get("transfer-encoding", ""):
        return MAX_BODY_BYTES + 1
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else MAX_BODY_BYTES + 1
