"""Fixed position codes: of a feature map (the paper's), and of the values of an ordinal range."""

import math

import torch
from torch import Tensor


def _axis_codes(angles: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, (n, dim), of coordinates in radians (n,)."""
    rates = 10000.0 ** (-2.0 * torch.arange(dim // 2, device=angles.device) / (dim))
    phases = angles[:, None] * rates  # (n, dim / 2)
    return torch.cat((phases.sin(), phases.cos()), dim=1)


def sincos_grid(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Codes of the positions of a feature map.

    Parameters
    ----------
    height, width : int
        Rows and columns of the map.
    dim : int
        Width of the code, a multiple of 4.
    device : torch.device, optional
        The device of the result.

    Returns
    -------
    (height * width, dim) float32 tensor
        Row-major; the first half tells the row, the second the column, each all sines then all
        cosines, of coordinates spread evenly over [0, 2π].

    Notes
    -----
    As in the published implementation. A map with a side of 1 gets the one-dimensional code of its
    positions.
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


def ordinal_codes(size: int, n_rates: int) -> Tensor:
    """Codes of the values 0 to size - 1 that keep their order and tell neighbours apart.

    Returns
    -------
    (size, 2 * n_rates) float32 tensor
        Sines and cosines with periods from 2 to four times the size, in even logarithmic steps.
    """
    longest = max(4.0 * size, 4.0)
    rates = torch.logspace(math.log10(2 * math.pi / longest), math.log10(math.pi), n_rates)
    angles = torch.arange(size)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)
