"""Where in the mask a sequence stands, token by token.

The decoder needs it to look at the right cells: which one a start named, and from which one on the
next run may begin. It follows from the tokens alone, of a whole sequence at once or bit by bit.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig
from rleseg_core.spec import StartGrid


class Trail(NamedTuple):
    """Where sequences stand after each of their tokens.

    Parameters
    ----------
    cell : (..., T) int64 tensor
        The cell that the next length counts from; -1 where none comes next.
    cursor : (..., T) int64 tensor
        The first cell that a further run may begin at.
    row : (..., T) int64 tensor
        The row of a start whose column comes next, of 2D starts; else -1.
    """

    cell: Tensor
    cursor: Tensor
    row: Tensor

    def stacked(self) -> Tensor:
        """The three as one (..., T, 3) tensor, as caches keep them."""
        return torch.stack(self, dim=-1)


class Places(nn.Module):
    """Follows sequences of the tokens of a grid."""

    lengths: Tensor
    stops: Tensor

    def __init__(self, grid: StartGrid, config: ModelConfig) -> None:
        super().__init__()
        self.grid = grid
        lengths = torch.zeros(config.vocab_size, dtype=torch.int64)
        for offset, size in config.ramps:
            lengths[offset : offset + size] = torch.arange(1, size + 1)
        stops = torch.zeros(config.vocab_size, dtype=torch.bool)
        for offset, size in grid.stops:
            stops[offset : offset + size] = True
        self.register_buffer("lengths", lengths, persistent=False)
        self.register_buffer("stops", stops, persistent=False)

    def beginning(self, n_sequences: int) -> Tensor:
        """What `follow` is given before the first token, (B, 3) int64."""
        return torch.tensor([-1, 0, -1], device=self.lengths.device).repeat(n_sequences, 1)

    def follow(self, tokens: Tensor, before: Tensor) -> Trail:
        """Where sequences stand after each of their next tokens.

        Parameters
        ----------
        tokens : (B, T) int64 tensor
            What comes next.
        before : (B, 3) int64 tensor
            Where they stood before it: the last of `Trail.stacked`, or `beginning`.
        """
        length, stops = self.lengths[tokens], self.stops[tokens]
        if self.grid.start == "implied":
            cursor = before[:, 1:2] + length.cumsum(1)
            nowhere = torch.full_like(cursor, -1)
            return Trail(torch.where(cursor < self.grid.size, cursor, nowhere), cursor, nowhere)
        cell, row = self._named(tokens, before)
        begun = torch.cat((before[:, :1], cell[:, :-1]), dim=1)
        ends = (length > 0) & (begun >= 0)
        named = torch.where(ends, begun + length, torch.where(cell >= 0, cell + 1, 0))
        return Trail(cell, _latest(named, ends | (cell >= 0) | stops, before[:, 1:2]), row)

    def _named(self, tokens: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Cells that the tokens name, and rows whose column is still to come; else -1."""
        grid, value = self.grid, tokens - self.grid.offset
        is_place = (value >= 0) & (value < grid.n_ids)
        nowhere = torch.full_like(tokens, -1)
        if grid.start == "flat":
            return torch.where(is_place, value, nowhere), nowhere
        # rows and columns take turns, as far back as there are only such tokens
        index = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        other = torch.where(is_place, nowhere, index).cummax(dim=1).values
        n_places = index - other + ((other < 0) & (before[:, 2:] >= 0))
        row = torch.where(is_place & (n_places % 2 == 1), value, nowhere)
        above = torch.cat((before[:, 2:], row[:, :-1]), dim=1)
        is_cell = is_place & (above >= 0) & (row < 0)
        flat = above * grid.cols + value if grid.order == "C" else above + value * grid.rows
        return torch.where(is_cell, flat, nowhere).clamp(max=grid.size - 1), row


def _latest(values: Tensor, known: Tensor, before: Tensor) -> Tensor:
    """The last of the known values (B, T) at each place, `before` (B, 1) where there is none."""
    if values.shape[1] == 1:
        return torch.where(known, values, before)
    index = torch.arange(values.shape[1], device=values.device).expand_as(values)
    latest = torch.where(known, index, -1).cummax(dim=1).values
    return torch.where(latest >= 0, values.gather(1, latest.clamp(min=0)), before)
