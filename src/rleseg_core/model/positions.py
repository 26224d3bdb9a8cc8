"""Fixed codes of places: of a feature grid (the paper's), and of ids on a ramp."""

import math

import torch
from torch import Tensor


def _axis_codes(places: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, (n, dim), of places in radians (n,)."""
    rates = 10000.0 ** (-2.0 * torch.arange(dim // 2, device=places.device) / (dim))
    angles = places[:, None] * rates  # (n, dim / 2)
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def sincos_grid(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Codes of the cells of a feature grid.

    Parameters
    ----------
    height, width : int
        Cells of the grid.
    dim : int
        Width of the code, a multiple of 4.
    device : torch.device, optional
        Where to make them.

    Returns
    -------
    (height * width, dim) float32 tensor
        Row-major; the first half tells the row, the second the column, each all sines then all
        cosines, of coordinates spread evenly over [0, 2π].

    Notes
    -----
    As the published implementation. A grid with a side of 1 gets the one-dimensional code of its
    cells.
    """
    turn = 6.2831852
    if height == 1 or width == 1:
        n = height * width
        return _axis_codes(torch.linspace(0, turn if n > 1 else 0, n, device=device), dim)
    rows = _axis_codes(torch.linspace(0, turn, height, device=device), dim // 2)
    cols = _axis_codes(torch.linspace(0, turn, width, device=device), dim // 2)
    grid = (
        rows[:, None].expand(height, width, dim // 2),
        cols[None].expand(height, width, dim // 2),
    )
    return torch.cat(grid, dim=2).flatten(0, 1)


def ramp_codes(size: int, n_rates: int) -> Tensor:
    """Codes of the places 0 to size - 1 that tell neighbours apart and order the whole.

    Returns
    -------
    (size, 2 * n_rates) float32 tensor
        Sines and cosines with periods from 2 places, in even steps of their logarithm, to four
        times the size.
    """
    longest = max(4.0 * size, 4.0)
    rates = torch.logspace(math.log10(2 * math.pi / longest), math.log10(math.pi), n_rates)
    angles = torch.arange(size)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)
