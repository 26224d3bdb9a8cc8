"""What is written of a flat plane: runs of foreground, runs of everything, or changes only.

Each of the three finds its records in planes, and says which runs of pixels records paint: all at
once where they are in order (`settle`), or one by one whatever comes (`painter`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, Self

import numpy as np

from rleseg_core.tokens.canvas import ArrayT, Canvas

if TYPE_CHECKING:
    from torch import Tensor


class Runs(NamedTuple, Generic[ArrayT]):
    """R runs of a plane, or a padded batch of them.

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


class Painted(NamedTuple):
    """One run of pixels, and the tokens that said so."""

    start: int
    length: int
    symbol: int
    tokens: tuple[int, ...]


class Painter(Protocol):
    """Turns the records of one plane into runs of pixels, one record at a time."""

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[Painted], str | None, bool]:
        """The runs that are now complete, what is wrong with the record, and whether it counts."""

    def finish(self) -> list[Painted]:
        """The runs that were waiting for another record."""


@dataclass(frozen=True)
class Foreground:
    """Maximal runs of equal symbols, leaving out the background (Sec. II).

    Runs are not cut where a row or a frame ends, if `line` is the whole plane: they go on in the
    next. A run longer than `max_length` is chopped from its own start into max_length, max_length,
    ..., remainder.

    Parameters
    ----------
    n_cells : int
        Cells of the plane.
    line : int
        Cells after which runs are cut; it divides `n_cells`.
    max_length : int
        M, cells of the longest run.
    """

    n_cells: int
    line: int
    max_length: int

    @classmethod
    def on(cls, canvas: Canvas, line: int, max_length: int) -> Self:
        """The kind for the planes of a canvas."""
        return cls(canvas.n_cells, line, max_length)

    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        """Runs (R,) of planes (B, n_cells) by plane and start, and the plane of each run (R,)."""
        bounds, symbol = _segments(planes, self.line)
        index = symbol.nonzero()[0]
        start = bounds[index]
        runs = Runs(start, bounds[index + 1] - start, symbol[index].astype(np.int64))
        return _by_plane(_chopped(runs, self.max_length), len(planes), self.n_cells)

    def find_batch(
        self, planes: Tensor, n_runs: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        """The first, or longest, `n_runs` of each plane (B, n_cells); see `runs_torch`."""
        from rleseg_core.tokens.runs_torch import find_foreground, keep_longest

        if not longest:
            return find_foreground(planes, self.line, self.max_length, n_runs)
        runs, n_found = find_foreground(planes, self.line, self.max_length, self.n_cells)
        return keep_longest(runs, n_runs), n_found

    def settle(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        """The records, if all lie within their line; None if some must be cut."""
        start, length, _ = records
        first = start if self.line == self.n_cells else start % self.line
        if np.count_nonzero(first + length > self.line):
            return None
        return records

    def painter(self) -> Painter:
        """For the records of one plane."""
        return _ForegroundPainter(self.line)


@dataclass(frozen=True)
class Tiling:
    """Runs of everything, background too: they tile the plane, so starts go without saying (BAC).

    Parameters
    ----------
    n_cells, line, max_length : int
        As in `Foreground`; with `line` a row, each row is tiled by its own (Text4Seg).
    """

    n_cells: int
    line: int
    max_length: int

    @classmethod
    def on(cls, canvas: Canvas, line: int, max_length: int) -> Self:
        """The kind for the planes of a canvas."""
        return cls(canvas.n_cells, line, max_length)

    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        """Runs (R,) of planes (B, n_cells) by plane and start, and the plane of each run (R,)."""
        bounds, symbol = _segments(planes, self.line)
        runs = Runs(bounds[:-1], np.diff(bounds), symbol.astype(np.int64))
        return _by_plane(_chopped(runs, self.max_length), len(planes), self.n_cells)

    def find_batch(
        self, planes: Tensor, n_runs: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        """The first `n_runs` of each plane (B, n_cells); see `runs_torch`."""
        from rleseg_core.tokens.runs_torch import find_tiling

        return find_tiling(planes, self.line, self.max_length, n_runs)

    def settle(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        """The runs with their starts; None if some must be cut or have no place."""
        _, length, symbol = records
        start = sum_within(length, plane) - length
        if (start % self.line + length > self.line).any() or (start >= self.n_cells).any():
            return None
        return Runs(start, length, symbol)

    def painter(self) -> Painter:
        """For the records of one plane."""
        return _TilingPainter(self.n_cells, self.line)


@dataclass(frozen=True)
class Change:
    """The cells where a symbol differs from the one before, and by how much (differential).

    The symbol before the first cell of a line is the background. A record's symbol is the
    difference, its length 1.

    Parameters
    ----------
    n_cells : int
        Cells of the plane.
    line : int
        Cells after which the background is taken as the symbol before; it divides `n_cells`.
    n_symbols : int
        The highest symbol.
    """

    n_cells: int
    line: int
    n_symbols: int

    @classmethod
    def on(cls, canvas: Canvas, line: int, max_length: int) -> Self:
        """The kind for the planes of a canvas; changes have no lengths."""
        return cls(canvas.n_cells, line, canvas.n_symbols)

    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        """Changes (R,) of planes (B, n_cells) by plane and cell, and the plane of each (R,)."""
        bounds, symbol = _segments(planes, self.line)
        start, symbol = bounds[:-1], symbol.astype(np.int64)
        before = np.concatenate(([0], symbol[:-1]))
        before[start % self.line == 0] = 0
        delta = symbol - before
        index = np.flatnonzero(delta)
        changes = Runs(start[index], np.ones_like(index), delta[index])
        return _by_plane(changes, len(planes), self.n_cells)

    def find_batch(
        self, planes: Tensor, n_runs: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        """The first `n_runs` changes of each plane (B, n_cells); see `runs_torch`."""
        from rleseg_core.tokens.runs_torch import find_changes

        return find_changes(planes, self.line, n_runs)

    def settle(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        """The runs from each change to the next; None if some changes make no sense."""
        start, _, delta = records
        if not start.size:
            return records
        cell = plane * self.n_cells + start
        line = cell // self.line
        symbol = sum_within(delta, line)
        if (np.diff(cell) <= 0).any() or symbol.min() < 0 or symbol.max() > self.n_symbols:
            return None
        end = (line + 1) * self.line
        end[:-1] = np.minimum(end[:-1], cell[1:])
        return Runs(start, end - cell, symbol)

    def painter(self) -> Painter:
        """For the records of one plane."""
        return _ChangePainter(self.line, self.n_symbols)


RunKind = Foreground | Tiling | Change

RUN_KINDS: dict[str, type[RunKind]] = {
    "foreground": Foreground,
    "tiling": Tiling,
    "change": Change,
}
"""The kind of each `Scheme.runs`: what is here can be chosen."""


def draw(runs: Runs[np.ndarray], n_cells: int, dtype: np.dtype) -> np.ndarray:
    """The plane (n_cells,) of some runs within it; where they overlap, the later one shows."""
    try:
        return _draw_in_order(runs, n_cells, dtype)
    except ValueError:  # repeats may not be negative: runs are not in order, or overlap
        order = runs.start.argsort(kind="stable")
        start, length, symbol = (column[order] for column in runs)
        if np.count_nonzero(start[1:] < start[:-1] + length[:-1]):
            return _draw_over(runs, n_cells, dtype)
        return _draw_in_order(Runs(start, length, symbol), n_cells, dtype)


def _draw_in_order(runs: Runs[np.ndarray], n_cells: int, dtype: np.dtype) -> np.ndarray:
    start, length, symbol = runs
    if not start.size:
        return np.zeros(n_cells, dtype)
    end = start + length
    # background, run, background, run, ..., background
    values = np.zeros(2 * start.size + 1, dtype)
    values[1::2] = symbol
    counts = np.empty(values.size, np.int64)
    counts[0] = start[0]
    counts[1::2] = length
    np.subtract(start[1:], end[:-1], out=counts[2:-1:2])
    counts[-1] = n_cells - end[-1]
    return values.repeat(counts)


def _draw_over(runs: Runs[np.ndarray], n_cells: int, dtype: np.dtype) -> np.ndarray:
    plane = np.zeros(n_cells, dtype)
    for start, length, symbol in zip(*(column.tolist() for column in runs), strict=True):
        plane[start : start + length] = symbol
    return plane


def _segments(planes: np.ndarray, line: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (R + 1,) of the runs of anything in the joined planes, and their symbols (R,)."""
    flat = planes.reshape(-1)
    edge = flat[1:] != flat[:-1]
    edge[line - 1 :: line] = True  # where lines end, planes end too
    inner = edge.nonzero()[0]
    bounds = np.empty(inner.size + 2, np.int64)
    bounds[0], bounds[-1] = 0, flat.size
    np.add(inner, 1, out=bounds[1:-1])
    return bounds, flat[bounds[:-1]]


def _chopped(runs: Runs[np.ndarray], limit: int) -> Runs[np.ndarray]:
    start, length, symbol = runs
    if not length.size or length.max() <= limit:
        return runs
    n_pieces = -(-length // limit)
    last = n_pieces.cumsum()
    done = (np.arange(last[-1]) - np.repeat(last - n_pieces, n_pieces)) * limit
    return Runs(
        np.repeat(start, n_pieces) + done,
        np.minimum(np.repeat(length, n_pieces) - done, limit),
        np.repeat(symbol, n_pieces),
    )


def _by_plane(
    runs: Runs[np.ndarray], n_planes: int, n_cells: int
) -> tuple[Runs[np.ndarray], np.ndarray]:
    if n_planes == 1:
        return runs, np.zeros(runs.start.size, np.int64)
    planes = np.arange(n_planes)
    first = runs.start.searchsorted(planes * n_cells)
    plane = planes.repeat(np.diff(first, append=runs.start.size))
    return runs._replace(start=runs.start - plane * n_cells), plane


def sum_within(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Running sums (R,) of values that begin again with each group; groups are sorted."""
    total = values.cumsum()
    if not group.size or group[0] == group[-1]:
        return total
    first = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
    before = total[first] - values[first]
    return total - np.repeat(before, np.diff(np.append(first, group.size)))


class _ForegroundPainter:
    def __init__(self, line: int) -> None:
        self._line = line

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[Painted], str | None, bool]:
        room = self._line - start % self._line
        wrong = None
        if length > room:
            wrong = f"has {length} pixels from {start}, expected at most {room}"
        return [Painted(start, min(length, room), symbol, tokens)], wrong, True

    def finish(self) -> list[Painted]:
        return []


class _TilingPainter:
    def __init__(self, n_cells: int, line: int) -> None:
        self._n_cells, self._line, self._cursor = n_cells, line, 0

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[Painted], str | None, bool]:
        start = self._cursor
        if start == self._n_cells:
            return [], f"follows the last of {start} pixels, expected no more runs", False
        room = self._line - start % self._line
        wrong = None
        if length > room:
            wrong = f"has {length} pixels from {start}, expected at most {room}"
            length = room
        self._cursor += length
        return [Painted(start, length, symbol, tokens)], wrong, True

    def finish(self) -> list[Painted]:
        return []


class _ChangePainter:
    def __init__(self, line: int, n_symbols: int) -> None:
        self._line, self._n_symbols = line, n_symbols
        self._open: Painted | None = None  # its length reaches to the end of the line

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[Painted], str | None, bool]:
        last = self._open
        if last is not None and start <= last.start:
            return [], f"is at {start}, expected a change after {last.start}", False
        same_line = last is not None and start < last.start + last.length
        now = symbol + (last.symbol if last is not None and same_line else 0)
        if not 0 <= now <= self._n_symbols:
            return [], f"makes {now}, expected 0 to {self._n_symbols}", False
        self._open = Painted(start, self._line - start % self._line, now, tokens)
        if last is None:
            return [], None, True
        return [last._replace(length=min(last.length, start - last.start))], None, True

    def finish(self) -> list[Painted]:
        last, self._open = self._open, None
        return [last] if last is not None else []
