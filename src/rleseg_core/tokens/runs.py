"""Runs of equal symbols in a flat plane, and the plane they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple

import numpy as np

from rleseg_core.tokens.canvas import ArrayT

if TYPE_CHECKING:
    from torch import Tensor


class Runs(NamedTuple, Generic[ArrayT]):
    """R runs of a plane, or a padded batch of them; see `Foreground`.

    Attributes
    ----------
    start : (R,) or (B, R) integers
        First cell of each run.
    length : (R,) or (B, R) integers
        Cells of each run.
    symbol : (R,) or (B, R) integers
        What each cell of a run holds.
    """

    start: ArrayT
    length: ArrayT
    symbol: ArrayT


@dataclass(frozen=True)
class Foreground:
    """Maximal runs of equal symbols, leaving out the background (Sec. II).

    Runs are not cut where a row or a frame ends: they go on in the next. A run longer than
    `max_length` is chopped from its own start into max_length, max_length, ..., remainder.

    Parameters
    ----------
    n_cells : int
        Cells of the plane.
    max_length : int
        M, cells of the longest run.
    """

    n_cells: int
    max_length: int

    def find(self, plane: np.ndarray) -> Runs[np.ndarray]:
        """Runs of a plane (n_cells,) of symbols, in the order of their starts."""
        edges = np.flatnonzero(plane[1:] != plane[:-1])
        edges += 1
        bounds = np.concatenate(([0], edges, [self.n_cells]))  # of runs, background among them
        symbol = plane[bounds[:-1]]
        index = np.flatnonzero(symbol)
        start = bounds[index]
        return self._chop(start, bounds[index + 1] - start, symbol[index].astype(np.int64))

    def _chop(self, start: np.ndarray, length: np.ndarray, symbol: np.ndarray) -> Runs[np.ndarray]:
        limit = self.max_length
        if not length.size or length.max() <= limit:
            return Runs(start, length, symbol)
        n_pieces = -(-length // limit)
        last = np.cumsum(n_pieces)
        done = (np.arange(last[-1]) - np.repeat(last - n_pieces, n_pieces)) * limit
        return Runs(
            np.repeat(start, n_pieces) + done,
            np.minimum(np.repeat(length, n_pieces) - done, limit),
            np.repeat(symbol, n_pieces),
        )

    def find_batch(self, planes: Tensor, n_runs: int) -> tuple[Runs[Tensor], Tensor]:
        """The first `n_runs` runs of each plane (B, n_cells); see `runs_torch.find_foreground`."""
        from rleseg_core.tokens.runs_torch import find_foreground

        return find_foreground(planes, max_length=self.max_length, n_runs=n_runs)

    def draw(self, runs: Runs[np.ndarray], dtype: np.dtype) -> np.ndarray:
        """The plane (n_cells,) of some runs within it; where they overlap, the later one shows."""
        start, length, symbol = runs
        end = start + length
        if (start[1:] < end[:-1]).any():
            return self._draw_over(runs, dtype)
        values = np.zeros(
            2 * start.size + 1, dtype
        )  # background, run, background, run, ..., background
        values[1::2] = symbol
        counts = np.empty(values.size, np.int64)
        counts[0] = start[0] if start.size else self.n_cells
        counts[1::2] = length
        counts[2:-1:2] = start[1:] - end[:-1]
        if start.size:
            counts[-1] = self.n_cells - end[-1]
        return np.repeat(values, counts)

    def _draw_over(self, runs: Runs[np.ndarray], dtype: np.dtype) -> np.ndarray:
        start, length, symbol = runs
        last = np.cumsum(length)
        cells = np.arange(last[-1]) + np.repeat(start - last + length, length)
        plane = np.zeros(self.n_cells, dtype)
        plane[cells] = np.repeat(symbol.astype(dtype), length)  # the last of equal indices counts
        return plane
