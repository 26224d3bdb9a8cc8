"""Encoded windows that wait for a slot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rleseg_core.model.decoder import Memory


class WindowQueue:
    """Encoded windows in their order, taken from batches of any size as slots become free.

    Parameters
    ----------
    memories : iterable of Memory
        Batches of windows; the next one is asked for only when it is needed.
    """

    def __init__(self, memories: Iterable[Memory]) -> None:
        self._source = iter(memories)
        self._waiting: deque[Memory] = deque()
        self._next = 0

    def n_ready(self) -> int:
        """Windows that are encoded already; those of the next batch if there are none."""
        return self._fetch(1)

    def take(self, n_windows: int) -> tuple[list[int], Memory] | None:
        """Indices and memory of the next windows, at most `n_windows`; None if none are left."""
        n_windows = min(n_windows, self._fetch(n_windows))
        if n_windows == 0:
            return None
        parts: list[Memory] = []
        n_left = n_windows
        while n_left:
            memory = self._waiting.popleft()
            if len(memory) > n_left:
                self._waiting.appendleft(memory.select(slice(n_left, None)))
                memory = memory.select(slice(n_left))
            parts.append(memory)
            n_left -= len(memory)
        indices = list(range(self._next, self._next + n_windows))
        self._next += n_windows
        return indices, Memory.joined(parts)

    def _fetch(self, n_windows: int) -> int:
        """Windows that are ready, after fetching batches until there are `n_windows`."""
        while (n_ready := sum(map(len, self._waiting))) < n_windows:
            batch = next(self._source, None)
            if batch is None:
                break
            if len(batch):
                self._waiting.append(batch)
        return n_ready
