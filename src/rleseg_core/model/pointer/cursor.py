"""The cursor: the mask pixel that a sequence of tokens has reached, token by token.

The decoder reads the image at the mask pixel that a start names, and a further run may begin only
at the cursor or beyond. Both follow from the tokens alone, for a whole sequence or for a part.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig
from rleseg_core.spec import StartGrid


class CursorState(NamedTuple):
    """The state of sequences after each of their tokens.

    Parameters
    ----------
    run_start : (..., T) int64 tensor
        The mask pixel that the next length counts from; -1 where no length comes next.
    cursor : (..., T) int64 tensor
        The first mask pixel that a further run may begin at, 0 to G.
    row : (..., T) int64 tensor
        For 2D starts, the row of a start whose column comes next; else -1.
    """

    run_start: Tensor
    cursor: Tensor
    row: Tensor

    def stacked(self) -> Tensor:
        """The three as one (..., T, 3) tensor, as caches keep them."""
        return torch.stack(self, dim=-1)


class CursorTracker(nn.Module):
    """Computes cursor states from the tokens of a grid."""

    lengths: Tensor
    stops: Tensor

    def __init__(self, grid: StartGrid, config: ModelConfig) -> None:
        super().__init__()
        self.grid = grid
        lengths = torch.zeros(config.tokens.vocab_size, dtype=torch.int64)
        for offset, size in config.tokens.ordinal_ranges:
            lengths[offset : offset + size] = torch.arange(1, size + 1)
        stops = torch.zeros(config.tokens.vocab_size, dtype=torch.bool)
        for offset, size in grid.stops:
            stops[offset : offset + size] = True
        self.register_buffer("lengths", lengths, persistent=False)
        self.register_buffer("stops", stops, persistent=False)

    def initial(self, n_sequences: int) -> Tensor:
        """The state before the first token, as `advance` takes it, (B, 3) int64."""
        return torch.tensor([-1, 0, -1], device=self.lengths.device).repeat(n_sequences, 1)

    def advance(self, tokens: Tensor, before: Tensor) -> CursorState:
        """The state after each of the next tokens.

        Parameters
        ----------
        tokens : (B, T) int64 tensor
            The tokens that come next.
        before : (B, 3) int64 tensor
            The state before them: the last of `CursorState.stacked`, or `initial`.
        """
        length, stops = self.lengths[tokens], self.stops[tokens]
        if self.grid.start == "implied":
            cursor = before[:, 1:2] + length.cumsum(1)
            none = torch.full_like(cursor, -1)
            return CursorState(torch.where(cursor < self.grid.size, cursor, none), cursor, none)
        named, row = self._named(tokens, before)
        run_start = torch.cat((before[:, :1], named[:, :-1]), dim=1)
        ends = (length > 0) & (run_start >= 0)
        after = torch.where(ends, run_start + length, torch.where(named >= 0, named + 1, 0))
        return CursorState(named, _latest(after, ends | (named >= 0) | stops, before[:, 1:2]), row)

    def _named(self, tokens: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Mask pixels that the tokens name, and rows whose column is still to come; else -1."""
        grid, value = self.grid, tokens - self.grid.offset
        is_start = (value >= 0) & (value < grid.n_ids)
        none = torch.full_like(tokens, -1)
        if grid.start == "flat":
            return torch.where(is_start, value, none), none
        # rows and columns take turns, as far back as there are only such tokens
        index = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        other = torch.where(is_start, none, index).cummax(dim=1).values
        n_coordinates = index - other + ((other < 0) & (before[:, 2:] >= 0))
        row = torch.where(is_start & (n_coordinates % 2 == 1), value, none)
        above = torch.cat((before[:, 2:], row[:, :-1]), dim=1)
        is_col = is_start & (above >= 0) & (row < 0)
        flat = above * grid.cols + value if grid.order == "C" else above + value * grid.rows
        return torch.where(is_col, flat, none).clamp(max=grid.size - 1), row


def _latest(values: Tensor, known: Tensor, before: Tensor) -> Tensor:
    """The last known one of the values (B, T) up to each token, else `before` (B, 1)."""
    if values.shape[1] == 1:
        return torch.where(known, values, before)
    index = torch.arange(values.shape[1], device=values.device).expand_as(values)
    latest = torch.where(known, index, -1).cummax(dim=1).values
    return torch.where(latest >= 0, values.gather(1, latest.clamp(min=0)), before)
