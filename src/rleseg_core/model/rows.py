"""Rows of tensors that move within their memory, so that those in use lie together."""

from collections.abc import Sequence

import torch
from torch import Tensor


class RowMoves:
    """Which rows of a batch stay, and where: the last ones fill the gaps of those that leave.

    Parameters
    ----------
    kept : sequence of int
        Rows that stay, in increasing order.
    device : torch.device
        Of the tensors.

    Attributes
    ----------
    order : list of int
        The former row of each that is left.
    """

    def __init__(self, kept: Sequence[int], device: torch.device) -> None:
        self.n_kept = len(kept)
        staying = {row for row in kept if row < self.n_kept}
        moving = [row for row in kept if row >= self.n_kept]
        gaps = [row for row in range(self.n_kept) if row not in staying]
        self.order = list(range(self.n_kept))
        for gap, row in zip(gaps, moving, strict=True):
            self.order[gap] = row
        self._gaps, self._moving = (torch.tensor(rows, device=device) for rows in (gaps, moving))

    def within(self, rows: Tensor) -> None:
        """Move rows (B, ...) in place."""
        if len(self._gaps):
            rows[self._gaps] = rows[self._moving]

    def keep(self, rows: Tensor) -> Tensor:
        """The rows (B', ...) that stay, in the memory of all (B, ...)."""
        self.within(rows)
        return rows[: self.n_kept]
