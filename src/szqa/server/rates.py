"""How often one client may ask; knows addresses, and nothing of what is asked."""

from __future__ import annotations

import math
import time
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

__all__ = ["Rates", "client_key"]

# What one subscriber is given whole (RFC 6177), so that all of it is one client.
_SUBSCRIBER_PREFIX: Final = 64


class Rates:
    """Counts the requests of each client over a moving window.

    Args:
        rate: how many are allowed, as ``300/minute``.
    """

    def __init__(self, rate: str) -> None:
        self._allowed = parse(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def wait_s(self, address: str) -> int:
        """Count a request; 0 where it is allowed, else the whole seconds until the next one is."""
        key = client_key(address)
        if self._limiter.hit(self._allowed, key):
            return 0
        opens = self._limiter.get_window_stats(self._allowed, key).reset_time
        return max(1, math.ceil(opens - time.time()))


def client_key(address: str) -> str:
    """What an address is counted under: an IPv4 address itself, an IPv6 address with its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a Unix socket, or a test client with a name of its own
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed.packed[:8] + bytes(8), _SUBSCRIBER_PREFIX)))
    return str(parsed)
