"""What passes between the network and the pages: which paths exist, who may use them, how much and how often.

Gradio brings routes for files, uploads, proxies and recordings that this chat has no use for; whatever is not named
here does not exist.
"""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from szqa.server.problems import problem
from szqa.server.rates import Rates
from szqa.server.settings import Limits

__all__ = ["Gate"]

_PATHS: Final = re.compile(
    # szqa's own
    r"/api/.*|/metrics|/source/[^/]+|/index|/docs|/openapi\.json|/embed|/widget\.js|/szqa/[a-z.]+|"
    # Gradio's page, its scripts and styles, its event queue, and MCP
    r"/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/static/.*|/assets/.*|"
    r"/gradio_api/(?:queue/(?:join|data)|heartbeat/[^/]+|startup-events|info/?|reset/?|cancel|theme\.css|mcp/?)"
)
# What costs next to nothing, or is asked again and again by the page itself, is not counted.
_UNCOUNTED: Final = re.compile(
    r"/|/api/health(?:/.*)?|/openapi\.json|/embed|/widget\.js|/szqa/.*|/config|/theme\.css|/favicon\.ico|/robots\.txt|"
    r"/static/.*|/assets/.*|/gradio_api/(?:queue/data|heartbeat/[^/]+|startup-events|theme\.css)"
)
# What programs use: the API, and the same question over MCP. That the server is there is no secret.
_FOR_PROGRAMS: Final = re.compile(r"/api/(?!health(?:/|$)).*|/metrics|/gradio_api/(?:mcp.*|info/?)")


class Gate:
    """Middleware that refuses what is not served, and what is too large or too frequent.

    Args:
        app: what is behind it; it is given requests that have arrived whole.
        limits: what too large and too frequent mean.
        api_token: what programs have to know; ``None`` asks for nothing.
    """

    def __init__(self, app: ASGIApp, limits: Limits, api_token: str | None) -> None:
        self._app = app
        self._token_hash = sha256(api_token.encode()).digest() if api_token else None
        self._max_body_bytes = limits.max_body_bytes
        self._rates = Rates(limits.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3.0)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            body = await _body(receive, self._max_body_bytes)
        except _TooLargeError:
            await self._too_large()(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replayed(body, receive), send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        path = scope["path"]
        if not _PATHS.fullmatch(path):
            return problem(404, f"{path[:200]}，接口说明见 /docs (see /docs)")
        if not _UNCOUNTED.fullmatch(path):
            client = scope.get("client")
            wait_s = self._rates.wait_s(client[0] if client else "")
            if wait_s:
                detail = f"请在 {wait_s} 秒后重试 (retry after {wait_s} s)"
                return problem(429, detail, headers={"Retry-After": str(wait_s)})
        headers = Headers(scope=scope)
        if _FOR_PROGRAMS.fullmatch(path) and not self._knows_token(headers):
            detail = "请带上 Authorization: Bearer … 请求头，口令由服务器管理员设定 (send the server's API token)"
            return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        announced = (
            int(length) if length.isascii() and length.isdigit() and len(length) < 20 else self._max_body_bytes + 1
        )
        return self._too_large() if announced > self._max_body_bytes else None

    def _knows_token(self, headers: Headers) -> bool:
        if self._token_hash is None:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Hashes are of one length, and comparing them takes the same time wherever they differ.
        known = compare_digest(sha256(token.strip().encode()).digest(), self._token_hash)
        return known and scheme.lower() == "bearer"

    def _too_large(self) -> ASGIApp:
        # The rest of the body would have to be read before another request could be.
        most = self._max_body_bytes
        return problem(413, f"请求最多 {most} 字节 (at most {most} bytes)", headers={"Connection": "close"})


class _TooLargeError(Exception):
    """A body does not end where it should."""


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body; None where the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            raise _TooLargeError
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body and then what really comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
