"""The runs of a batch of planes on their device: no loop over planes, nothing read by the host.

Runs are padded: rows beyond the runs of a plane hold start P, and length and symbol 0.
"""

import torch
from torch import Tensor

from rleseg_core.tokens.runs import Runs


def find_foreground(
    planes: Tensor, line: int, max_length: int, n_runs: int
) -> tuple[Runs[Tensor], Tensor]:
    """The first runs of each plane, as `Foreground.find` gives them.

    Parameters
    ----------
    planes : (B, P) integer tensor
        Symbols, 0 = background.
    line : int
        Cells after which runs are cut.
    max_length : int
        M, cells of the longest run.
    n_runs : int
        R, runs to give for each plane; the rest are dropped from the tail.

    Returns
    -------
    Runs of (B, R) int64 tensors
        Padded.
    (B,) int64 tensor
        Runs of each plane, those dropped included.
    """
    cut = _cuts(planes, line, max_length)
    return _runs(planes, cut, cut & (planes != 0), n_runs)


def find_tiling(
    planes: Tensor, line: int, max_length: int, n_runs: int
) -> tuple[Runs[Tensor], Tensor]:
    """The first runs of anything of each plane, as `Tiling.find` gives them."""
    cut = _cuts(planes, line, max_length)
    return _runs(planes, cut, cut, n_runs)


def find_changes(planes: Tensor, line: int, n_runs: int) -> tuple[Runs[Tensor], Tensor]:
    """The first changes of each plane, as `Change.find` and `Change.first` give them."""
    n_cells = planes.shape[1]
    before = torch.zeros_like(planes)
    before[:, 1:] = planes[:, :-1]
    before[:, ::line] = 0
    n_differing = (planes != before).cumsum(1, dtype=torch.int32)
    start = _positions(n_differing, n_runs + 1)
    at = start.clamp(max=n_cells - 1)
    now = planes.gather(1, at).long()
    there = start < n_cells
    delta = (now - before.gather(1, at).long()) * there
    runs = Runs(start, there.long(), delta)
    kept = there[:, :n_runs].sum(1)
    return close_changes(runs, now, start // line, kept), n_differing[:, -1].long()


def close_changes(runs: Runs[Tensor], now: Tensor, line: Tensor, n_kept: Tensor) -> Runs[Tensor]:
    """The first `n_kept` (B,) changes of each row, so that they say whole runs; see `Change.first`.

    Parameters
    ----------
    runs : Runs of (B, R + 1) tensors
        Changes, at least one more than are kept of each row where there is one.
    now : (B, R + 1) int64 tensor
        The symbol after each change.
    line : (B, R + 1) int64 tensor
        The line of each change, of different number for different planes; padding has others.
    n_kept : (B,) int64 tensor
        At most R.

    Returns
    -------
    Runs of (B, R) tensors
        Padded with length and symbol 0, and start as it was.
    """
    rank = torch.arange(now.shape[1] - 1, device=now.device)
    last, after = (n_kept - 1).clamp(min=0)[:, None], n_kept[:, None]
    cut = (line.gather(1, last) == line.gather(1, after)) & (after > 0)  # inside a line
    closing = cut & (now.gather(1, last) != 0)
    before = (now - runs.symbol).gather(1, last)
    is_last = rank == last
    kept = (rank < after) & ~(is_last & closing & (before == 0))
    delta = torch.where(is_last & closing, -before, runs.symbol[:, :-1])
    return Runs(runs.start[:, :-1], runs.length[:, :-1] * kept, delta * kept)


def keep_longest(runs: Runs[Tensor], n_runs: int) -> Runs[Tensor]:
    """The longest runs of each row, ties to the lower symbol, then start; in order of start."""
    n_runs = min(n_runs, runs.start.shape[1])
    order = longest_first(runs)[:, :n_runs].sort(1).values
    return Runs(*(column.gather(1, order) for column in runs))


def longest_first(runs: Runs[Tensor]) -> Tensor:
    """Indices (B, R) of the runs of each row by length, then symbol, then as they come."""
    by_symbol = torch.argsort(runs.symbol, dim=1, stable=True)
    length = runs.length.gather(1, by_symbol)
    return by_symbol.gather(1, torch.argsort(length, dim=1, descending=True, stable=True))


def _cuts(planes: Tensor, line: int, max_length: int) -> Tensor:
    """Where a run of anything begins, (B, P) bool."""
    edge = torch.ones_like(planes, dtype=torch.bool)
    torch.ne(planes[:, 1:], planes[:, :-1], out=edge[:, 1:])
    edge[:, ::line] = True
    if max_length >= line:
        return edge
    cell = torch.arange(planes.shape[1], dtype=torch.int32, device=planes.device)
    last_edge = (edge * cell).cummax(1).values
    return (cell - last_edge) % max_length == 0


def _runs(planes: Tensor, cut: Tensor, begins: Tensor, n_runs: int) -> tuple[Runs[Tensor], Tensor]:
    n_cells = planes.shape[1]
    n_begun = begins.cumsum(1, dtype=torch.int32)
    start = _positions(n_begun, n_runs)  # (B, R)
    there = start < n_cells
    at = start.clamp(max=n_cells - 1)
    n_cuts = cut.cumsum(1, dtype=torch.int32)
    end = torch.searchsorted(n_cuts, n_cuts.gather(1, at) + 1)  # where the next run begins
    symbol = planes.gather(1, at).long() * there
    return Runs(start, (end - at) * there, symbol), n_begun[:, -1].long()


def _positions(counts: Tensor, width: int) -> Tensor:
    """Cells (B, width) int64 where counts (B, P) int32 first reach 1, 2, ...; P where they do not.

    A search in the counts writes as much as is asked for, where moving every cell to its place
    would write several times the plane.
    """
    rank = torch.arange(1, width + 1, dtype=counts.dtype, device=counts.device)
    return torch.searchsorted(counts, rank.expand(len(counts), width).contiguous())
