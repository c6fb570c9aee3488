"""How the server is run: where it listens, who may call it from another site, where feedback is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from szqa.errors import ConfigurationError

__all__ = ["ANY_ORIGIN", "ServerSettings", "check_origins"]

ANY_ORIGIN: Final = "any"
"""What has to be asked for by name where every site may call the server."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of one server.

    Attributes:
        host: address to listen on.
        port: port to listen on, 0 for a free one.
        allow_origins: sites that may use the API and the widget from their own pages, as ``https://host[:port]``;
            ``("any",)`` for every site.
        feedback: SQLite file for feedback; ``None`` keeps none.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    allow_origins: tuple[str, ...] = ()
    feedback: Path | None = None

    def __post_init__(self) -> None:
        check_origins(self.allow_origins)

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
