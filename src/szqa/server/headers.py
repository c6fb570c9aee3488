"""Headers that every response has: what a browser may do with it, whatever wrote it.

A page of szqa's own names a policy of its own (``pages.PAGE_POLICY``); what is no page may do nothing at all. Gradio's
page brings inline scripts and compiles templates. Its scripts are allowed by their hashes, so that no other inline
script runs, and no handler in an attribute does; that it compiles templates cannot be forbidden.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["DATA_POLICY", "Headed", "chat_policy"]

DATA_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Policy of what is no page (Content Security Policy level 3): data, scripts, refusals."""

_CHAT: Final = "/"
_EMBEDDED: Final = "/embed"
# Files that pages of other sites load, and answers that CORS lets them read.
_SHARED: Final = re.compile(r"/widget\.js|/embed|/api/.*")
_COMMON: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Permitted-Cross-Domain-Policies": "none",
}
_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


class Headed:
    """Outermost middleware: sets the headers that every response has.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3.0)."""
        if scope["type"] != "http":
            # No WebSocket is served.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if _is_chat(scope, message):
                    held.append(message)
                    return
                _set_headers(message, scope["path"], DATA_POLICY)
            elif held:
                held.append(message)
                if not message.get("more_body", False):
                    await _send_chat(held, send)
                return
            await send(message)

        await self._app(scope, receive, send_with_headers)


def chat_policy(html: bytes) -> str:
    """The strictest policy that Gradio's page works under; its inline scripts are named by their hashes."""
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in _INLINE_SCRIPT.findall(html)
    )
    return (
        f"default-src 'none'; script-src 'self' 'unsafe-eval' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; "
        "base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
    )


def _is_chat(scope: Scope, start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    html = headers.get("content-type", "").startswith("text/html")
    return scope["path"] == _CHAT and html and "content-security-policy" not in headers


async def _send_chat(held: list[Message], send: Send) -> None:
    html = b"".join(message.get("body", b"") for message in held)
    _set_headers(held[0], _CHAT, chat_policy(html))
    for message in held:
        await send(message)


def _set_headers(start: Message, path: str, policy: str) -> None:
    headers = MutableHeaders(scope=start)
    for name, value in _COMMON.items():
        headers.setdefault(name, value)
    headers.setdefault("Content-Security-Policy", policy)
    headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin" if _SHARED.fullmatch(path) else "same-origin")
    if path != _EMBEDDED:
        headers.setdefault("X-Frame-Options", "SAMEORIGIN")
