"""The runs of a batch of planes on their device: no loop over planes, nothing read by the host.

Runs are padded: rows beyond the runs of a plane hold start P, and length and symbol 0.
"""

import torch
from torch import Tensor

from rleseg_core.tokens.records import Runs


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


def cuts(planes: Tensor, line: int, max_length: int) -> Tensor:
    """Where a run of anything begins, (B, P) bool."""
    edge = torch.ones_like(planes, dtype=torch.bool)
    torch.ne(planes[:, 1:], planes[:, :-1], out=edge[:, 1:])
    edge[:, ::line] = True
    if max_length >= line:
        return edge
    pixel = torch.arange(planes.shape[1], dtype=torch.int32, device=planes.device)
    last_edge = (edge * pixel).cummax(1).values
    return (pixel - last_edge) % max_length == 0


def first_runs(
    planes: Tensor, cut: Tensor, begins: Tensor, n_runs: int
) -> tuple[Runs[Tensor], Tensor]:
    """The first runs of each plane.

    Parameters
    ----------
    planes : (B, P) integer tensor
        Symbols, 0 = background.
    cut : (B, P) bool tensor
        Where a run of anything begins.
    begins : (B, P) bool tensor
        Where a run begins that is to be given.
    n_runs : int
        R, runs to give for each plane; the rest are dropped from the tail.

    Returns
    -------
    Runs of (B, R) int64 tensors
        Padded.
    (B,) int64 tensor
        Runs of each plane, those dropped included.
    """
    n_pixels = planes.shape[1]
    n_begun = begins.cumsum(1, dtype=torch.int32)
    start = positions(n_begun, n_runs)  # (B, R)
    there = start < n_pixels
    at = start.clamp(max=n_pixels - 1)
    n_cuts = cut.cumsum(1, dtype=torch.int32)
    end = torch.searchsorted(n_cuts, n_cuts.gather(1, at) + 1)  # where the next run begins
    symbol = planes.gather(1, at).long() * there
    return Runs(start, (end - at) * there, symbol), n_begun[:, -1].long()


def positions(counts: Tensor, width: int) -> Tensor:
    """Pixels (B, width) int64 where counts (B, P) int32 first reach 1, 2, ...; P where they do not.

    A search in the counts writes as much as is asked for, where moving every pixel to its rank
    would write several times the plane.
    """
    rank = torch.arange(1, width + 1, dtype=counts.dtype, device=counts.device)
    return torch.searchsorted(counts, rank.expand(len(counts), width).contiguous())
