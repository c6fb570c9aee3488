"""Who waits for an answer, counted: a place is taken or refused at once. It knows nothing of what is asked."""

from __future__ import annotations

import threading

__all__ = ["Line"]


class Line:
    """Counts those who wait; may be used from several threads.

    Args:
        places: how many may wait.

    Attributes:
        taken: how many there are.
        closed: whether no more are let in.
    """

    def __init__(self, places: int) -> None:
        self.taken = 0
        self.closed = False
        self._places = places
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether somebody who came now would be let in."""
        return not self.closed and self.taken < self._places

    def enter(self) -> bool:
        """Take a place; False where there is none."""
        with self._lock:
            entered = self.open
            self.taken += entered
        return entered

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self.taken -= 1
