"""How the server is run: where it listens, who may call it and how much of it, where feedback is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from szqa.errors import ConfigurationError

__all__ = ["ANY_ORIGIN", "Limits", "ServerSettings", "check_origins"]

_LEAST_TOKEN_CHARS: Final = 16
_TOKEN: Final = re.compile(rf"[A-Za-z0-9._~+/-]{{{_LEAST_TOKEN_CHARS},}}=*")

ANY_ORIGIN: Final = "any"
"""What has to be asked for by name where every site may call the server."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the server takes on. How long a question and a history may be is part of the API itself (``/docs``).

    Attributes:
        rate: requests one client may make, in the notation of the ``limits`` package: ``300/minute``. Static files, the
            health of the server and its metrics are not counted.
        max_body_bytes: the largest body of a request.
        max_waiting: questions that wait or are being answered; more are refused with 503.
        max_connections: open connections; more are refused with 503, and so is more than a quarter from one address.
        patience_s: seconds within which a client has to send a request whole, and to take what it was sent.
        trusted_proxies: addresses or networks whose ``X-Forwarded-For`` is believed; none by default, because anyone
            can write that header.
    """

    rate: str = "300/minute"
    max_body_bytes: int = 1_000_000
    max_waiting: int = 100
    max_connections: int = 512
    patience_s: float = 15.0
    trusted_proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        for option, value in (
            ("--max-body", self.max_body_bytes),
            ("--max-waiting", self.max_waiting),
            ("--max-connections", self.max_connections),
            ("--patience", self.patience_s),
        ):
            if value <= 0:
                raise ConfigurationError(f"{option} {value:g}: 应大于 0 (must be more than 0)")
        for proxy in self.trusted_proxies:
            _check_network(proxy)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of one server.

    Attributes:
        host: address to listen on.
        port: port to listen on, 0 for a free one.
        allow_origins: sites that may use the API and the widget from their own pages, as ``https://host[:port]``;
            ``("any",)`` for every site.
        feedback: SQLite file for feedback; ``None`` keeps none.
        limits: how much it takes on.
        api_token: what a caller of the API has to know; ``None`` asks for nothing. The chat and the source pages are
            for people and stay open.
        log_requests: whether every request and answer is logged, without its words, or only what went wrong.
        log_questions: whether the log may hold what was asked and answered.
        pages: whether there are a chat, source pages and an index page at all, or only the API and the widget.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    allow_origins: tuple[str, ...] = ()
    feedback: Path | None = None
    limits: Limits = field(default_factory=Limits)
    api_token: str | None = field(default=None, repr=False)
    pages: bool = True
    log_requests: bool = True
    log_questions: bool = False

    def __post_init__(self) -> None:
        check_origins(self.allow_origins)
        if self.api_token is not None:
            _check_token(self.api_token)

    @property
    def cors_origins(self) -> list[str]:
        """The origins as the CORS protocol writes them."""
        return ["*"] if ANY_ORIGIN in self.allow_origins else list(self.allow_origins)

    @property
    def frame_ancestors(self) -> str:
        """The value of the ``frame-ancestors`` directive (CSP level 3, section 6.4.2) for the embeddable page."""
        return "*" if ANY_ORIGIN in self.allow_origins else " ".join(("'self'", *self.allow_origins))


def check_origins(origins: tuple[str, ...]) -> None:
    """Refuse what is not an origin, and a wildcard that was not asked for by name.

    Raises:
        ConfigurationError: says which one, and what to write instead.
    """
    for origin in origins:
        if origin == ANY_ORIGIN:
            continue
        if "*" in origin:
            raise ConfigurationError(
                f"--allow-origin {origin!r}: 不接受通配符；若确要允许所有网站，请写 --allow-origin any "
                f"(no wildcards; to allow every site, ask for it by name: --allow-origin any)"
            )
        if not _is_origin(origin):
            raise ConfigurationError(
                f"--allow-origin {origin!r}: 不是网站来源，应形如 https://example.com 或 http://localhost:8000，"
                f"不带路径 (not an origin: scheme, host and port without a path)"
            )


def _check_rate(rate: str) -> None:
    from limits import parse

    try:
        parse(rate)
    except ValueError as error:
        raise ConfigurationError(
            f"--rate {rate!r}: 应形如 300/minute 或 10/second (write it as 300/minute or 10/second): {error}"
        ) from error


def _check_token(token: str) -> None:
    """Refuse what cannot be sent in a header (RFC 6750, section 2.1) or be guessed; the message does not repeat it."""
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            f"--api-token: 有 {len(token)} 个字符；至少要 {_LEAST_TOKEN_CHARS} 个字母、数字或 -._~+/ ，"
            f"可用 openssl rand -hex 24 生成 (needs at least {_LEAST_TOKEN_CHARS} letters, digits or -._~+/)"
        )


def _check_network(proxy: str) -> None:
    try:
        ip_network(proxy)
    except ValueError as error:
        raise ConfigurationError(
            f"--trusted-proxy {proxy!r}: 不是 IP 地址或网段 (not an address or network): {error}"
        ) from error


def _is_origin(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    whole = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    plain = origin.isascii() and origin.isprintable() and not set(" ;,'\"<>\\") & set(origin)
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and whole == origin
