"""The runs of a batch of planes on their device: no loop over planes, nothing read by the host."""

import torch
from torch import Tensor

from rleseg_core.tokens.runs import Runs


def find_foreground(planes: Tensor, *, max_length: int, n_runs: int) -> tuple[Runs[Tensor], Tensor]:
    """The first runs of each plane, as `Foreground.find` gives them one plane at a time.

    Parameters
    ----------
    planes : (B, P) integer tensor
        Symbols, 0 = background.
    max_length : int
        M, cells of the longest run.
    n_runs : int
        R, runs to give for each plane; the rest are dropped from the tail.

    Returns
    -------
    Runs of (B, R) int64 tensors
        Rows beyond the runs of a plane hold start P, and length and symbol 0.
    (B,) int64 tensor
        Runs of each plane, those dropped included.
    """
    n_cells = planes.shape[1]
    cell = torch.arange(n_cells, device=planes.device).expand_as(planes)
    edge = torch.ones_like(planes, dtype=torch.bool)
    torch.ne(planes[:, 1:], planes[:, :-1], out=edge[:, 1:])
    n_edges = edge.cumsum(1)  # of those up to and with each cell
    since_edge = cell - _positions(edge, n_edges, n_cells).gather(1, n_edges - 1)

    cut = since_edge % max_length == 0  # a run of anything, background too, begins here
    n_cuts = cut.cumsum(1)
    cuts = _positions(cut, n_cuts, n_cells)  # (B, P + 1)
    begins = cut & (planes != 0)
    n_begun = begins.cumsum(1)

    start = _positions(begins, n_begun, n_runs)[:, :n_runs]  # (B, R)
    there = start < n_cells
    at = start.clamp(max=n_cells - 1)
    length = (cuts.gather(1, n_cuts.gather(1, at)) - at) * there
    symbol = planes.gather(1, at).long() * there
    return Runs(start, length, symbol), n_begun[:, -1]


def _positions(flags: Tensor, counts: Tensor, width: int) -> Tensor:
    """Cells of the first `width` flags of each row, (B, width + 1), filled up with P."""
    n_rows, n_cells = flags.shape
    cell = torch.arange(n_cells, device=flags.device).expand_as(flags)
    rank = torch.where(flags, counts - 1, width).clamp(max=width)
    positions = torch.full((n_rows, width + 1), n_cells, device=flags.device)
    positions.scatter_(1, rank, cell)
    positions[:, width] = n_cells  # took whatever did not count
    return positions
