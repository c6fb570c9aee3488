"""How long a connection may dawdle, how many there may be, and how they end; knows nothing of what is said on them.

uvicorn drops a connection that is idle between two requests. It waits for ever, though, for one that never finishes
its first request ("slowloris") and for one that does not read its answer.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Final, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from szqa.server.problems import RETRY_AFTER_S, problem
from szqa.server.rates import client_key
from szqa.server.service import Service
from szqa.server.settings import Limits

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

__all__ = ["PatientServer", "protocol_class"]

# Of all connections, what one address may hold, so that one client alone cannot take them all.
_SHARE: Final = 4
# A long text over a slow line takes its time; one that is not read at all does not arrive.
_LEAST_BYTES_PER_S: Final = 1024
# Longer than a full line of questions takes; whoever runs the server kills it in the end (systemd after 90 s).
_DRAIN_S: Final = 30.0
_SENDING: Final = (h11.IDLE, h11.SEND_BODY)


def protocol_class(limits: Limits) -> type[H11Protocol]:
    """A protocol for uvicorn that keeps to the limits."""
    # Behind a proxy everybody comes from the proxy's address.
    share = limits.max_connections if limits.trusted_proxies else max(1, limits.max_connections // _SHARE)

    class PatientProtocol(_PatientProtocol):
        _limits = limits
        _share = share

    return PatientProtocol


class PatientServer(uvicorn.Server):
    """A server that answers the questions it has taken before it ends; new ones are refused meanwhile.

    Args:
        config: uvicorn's.
        service: answers the questions.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; a second signal ends it at once."""
        self._service.close()
        deadline = time.monotonic() + _DRAIN_S
        while self._service.busy and not self.force_exit and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


class _PatientProtocol(H11Protocol):
    """One connection, cut where its client is too slow and answered with 503 where there are too many."""

    _limits: Limits
    _share: int
    _key = ""
    _sending: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _left = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._key = client_key(self.client[0]) if self.client else ""
        held = sum(1 for other in self.connections if getattr(other, "_key", "") == self._key)
        if len(self.connections) > self._limits.max_connections or held > self._share:
            refusal = problem(
                503,
                "连接太多，请稍后重试 (too many connections; please retry)",
                headers={"Retry-After": RETRY_AFTER_S, "Connection": "close"},
            )
            self.app = cast("ASGI3Application", refusal)
        self._watch_sending()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_sending()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._sending, self._taking):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _watch_sending(self) -> None:
        """Time a request from the connection's or its own first byte; every further byte gains it nothing."""
        if self.conn.their_state in _SENDING:
            if self._sending is None:
                self._sending = self.loop.call_later(self._limits.patience_s, self._sent_too_slowly)
        elif self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _sent_too_slowly(self) -> None:
        if self.conn.their_state in _SENDING:
            self.transport.abort()

    def _watch_taking(self) -> None:
        self._left = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self._limits.patience_s, self._taken_too_slowly)

    def _taken_too_slowly(self) -> None:
        taken = self._left - self.transport.get_write_buffer_size()
        if taken < self._limits.patience_s * _LEAST_BYTES_PER_S:
            self.transport.abort()
        else:
            self._watch_taking()
