"""Batches made ahead of their use, by processes beside the one that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["Draw", "drawn_ahead"]

_Item = TypeVar("_Item")

Draw = Callable[[tuple[int, int]], Iterator[_Item]]
"""(k, n) → every n-th batch, from the k-th on."""


def drawn_ahead(draw: Draw[_Item], processes: int) -> Iterable[_Item]:
    """All batches in their order, drawn by some processes; 0 draws each when it is asked for.

    Args:
        draw: draws a part of them; what it holds is shared with the processes, so it need not be picklable where
            processes are forked.
        processes: how many.
    """
    if not processes:
        return draw((0, 1))
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Parts(IterableDataset[_Item]):
        def __iter__(self) -> Iterator[_Item]:
            worker = get_worker_info()
            return draw((worker.id, worker.num_workers) if worker else (0, 1))

    return DataLoader(Parts(), batch_size=None, num_workers=processes, prefetch_factor=4, collate_fn=_as_it_is)


def _as_it_is(item: _Item) -> _Item:
    return item
