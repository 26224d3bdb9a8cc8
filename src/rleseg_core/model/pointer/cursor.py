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
    block_start : (..., T) int64 tensor
        The first mask pixel of the block that is open; -1 where none has begun.
    symbol_at : (..., T) int64 tensor
        The first mask pixel of the run whose class comes next; -1 where no class comes next, and in
        models that do not read classes off the image.
    other : (..., T) int64 tensor
        The symbol that the next run does not have, as the last one of a tiling had it, counted from
        the first symbol that has a token; -1 where it may have any.
    """

    run_start: Tensor
    cursor: Tensor
    row: Tensor
    block_start: Tensor
    symbol_at: Tensor
    other: Tensor

    @property
    def reads(self) -> Tensor:
        """The mask pixel (..., T) that the next token depends on, -1 where it is still open.

        Of a run whose class comes next, the one in its middle.
        """
        middle = (self.symbol_at + self.cursor - 1) // 2
        return torch.where(self.symbol_at >= 0, middle.maximum(self.symbol_at), self.run_start)

    def stacked(self) -> Tensor:
        """The six as one (..., T, 6) tensor, as caches keep them."""
        return torch.stack(self, dim=-1)


class CursorTracker(nn.Module):
    """Computes cursor states from the tokens of a grid."""

    lengths: Tensor
    said: Tensor
    stops: Tensor
    stop_ids: Tensor
    closing: Tensor

    def __init__(self, grid: StartGrid, config: ModelConfig) -> None:
        super().__init__()
        self.grid, self.in_order = grid, config.pointer.object_starts
        self.symbols = symbols = config.tokens.symbols
        self.symbols_after = None  # what a class token comes after
        if symbols is not None and symbols.offset is not None:
            self.symbols_after = "start" if symbols.runs == "change" else "length"
        self.longest = max((size for _, size in config.tokens.ordinal_ranges), default=0)
        lengths = torch.zeros(config.tokens.vocab_size, dtype=torch.int64)
        for offset, size in config.tokens.ordinal_ranges:
            lengths[offset : offset + size] = torch.arange(1, size + 1)
        stops = torch.zeros(config.tokens.vocab_size, dtype=torch.bool)
        closing = torch.zeros_like(stops)
        for offset, size in grid.stops:
            stops[offset : offset + size] = True
        for offset, size in grid.stops[1:]:
            closing[offset : offset + size] = True
        self.register_buffer("lengths", lengths, persistent=False)
        self.register_buffer("said", _symbols_said(config), persistent=False)
        self.register_buffer("stops", stops, persistent=False)
        stop_ids = [offset + k for offset, size in grid.stops for k in range(size)]
        self.register_buffer(
            "stop_ids", torch.tensor(stop_ids, dtype=torch.int64), persistent=False
        )
        self.register_buffer("closing", closing, persistent=False)

    def initial(self, n_sequences: int) -> Tensor:
        """The state before the first token, as `advance` takes it, (B, 6) int64."""
        return torch.tensor([-1, 0, -1, -1, -1, -1], device=self.lengths.device).repeat(
            n_sequences, 1
        )

    def advance(self, tokens: Tensor, before: Tensor) -> CursorState:
        """The state after each of the next tokens.

        Parameters
        ----------
        tokens : (B, T) int64 tensor
            The tokens that come next.
        before : (B, 6) int64 tensor
            The state before them: the last of `CursorState.stacked`, or `initial`.
        """
        length, stops = self.lengths[tokens], self.stops[tokens]
        if self.grid.start == "implied":
            cursor = before[:, 1:2] + length.cumsum(1)
            none = torch.full_like(cursor, -1)
            run_start = torch.where(cursor < self.grid.size, cursor, none)
            symbol_at = none
            if self.symbols_after is not None:
                begun = cursor - length
                symbol_at = torch.where((length > 0) & (begun < self.grid.size), begun, none)
                run_start = run_start.where(symbol_at < 0, none)
                length = length.where(symbol_at >= 0, 0)
            other = self._other(tokens, length, cursor, before)
            return CursorState(run_start, cursor, none, none, symbol_at, other)
        named, row = self._named(tokens, before)
        run_start = torch.cat((before[:, :1], named[:, :-1]), dim=1)
        ends = (length > 0) & (run_start >= 0)
        block_start = self._block_start(named, self.closing[tokens], before[:, 3:4])
        # a further block begins behind the first pixel of the last one, where blocks have an order
        again = torch.cat((before[:, 3:4], block_start[:, :-1]), dim=1) + 1 if self.in_order else 0
        after = torch.where(named >= 0, named + 1, again)
        after = torch.where(ends, run_start + length, after)
        cursor = _latest(after, ends | (named >= 0) | stops, before[:, 1:2])
        symbol_at = torch.full_like(named, -1)
        if self.symbols_after is not None:
            symbol_at = named if self.symbols_after == "start" else run_start.where(ends, symbol_at)
        other = torch.full_like(named, -1)
        return CursorState(named, cursor, row, block_start, symbol_at, other)

    def _other(self, tokens: Tensor, length: Tensor, cursor: Tensor, before: Tensor) -> Tensor:
        """The symbol (B, T) of the last run of a tiling, -1 where the next may have it, too."""
        if self.symbols is None:
            return torch.full_like(tokens, -1)
        said = self.said[tokens]
        if self.symbols_after is not None:  # the length is one token before
            last = torch.where(before[:, 4] >= 0, before[:, 1] - before[:, 4], 0)
            length = torch.cat((last[:, None], length[:, :-1]), dim=1)
        differs = (length < self.longest) & (cursor % self.symbols.line > 0)
        return _latest(said.where(differs, -1), said >= 0, before[:, 5:6])

    def _block_start(self, named: Tensor, closing: Tensor, before: Tensor) -> Tensor:
        """The first pixel of the open block after each token (B, T), -1 where there is none."""
        starts = named >= 0
        if named.shape[1] == 1:
            first = torch.where(starts & (before < 0), named, before)
            return torch.where(closing, -1, first)
        index = torch.arange(named.shape[1], device=named.device).expand_as(named)
        closed = torch.where(closing, index, -1).cummax(dim=1).values
        n_starts = starts.cumsum(1)
        n_before = torch.where(
            closed >= 0, n_starts.gather(1, closed.clamp(min=0)), -(before >= 0).long()
        )
        is_first = starts & (n_starts - n_before == 1)
        return _latest(torch.where(is_first, named, -1), is_first | closing, before)

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
        n_coordinates = index - other + ((other < 0) & (before[:, 2:3] >= 0))
        row = torch.where(is_start & (n_coordinates % 2 == 1), value, none)
        above = torch.cat((before[:, 2:3], row[:, :-1]), dim=1)
        is_col = is_start & (above >= 0) & (row < 0)
        flat = above * grid.cols + value if grid.order == "C" else above + value * grid.rows
        return torch.where(is_col, flat, none).clamp(max=grid.size - 1), row


def _symbols_said(config: ModelConfig) -> Tensor:
    """The symbol that each token says, (V,), counted from the first with a token; -1 for none."""
    said = torch.full((config.tokens.vocab_size,), -1)
    symbols = config.tokens.symbols
    if symbols is not None and symbols.offset is not None:
        said[symbols.offset : symbols.offset + symbols.n_ids] = torch.arange(symbols.n_ids)
    elif symbols is not None:
        for k, (offset, size) in enumerate(config.tokens.ordinal_ranges):
            said[offset : offset + size] = k
    return said


def _latest(values: Tensor, known: Tensor, before: Tensor) -> Tensor:
    """The last known one of the values (B, T) up to each token, else `before` (B, 1)."""
    if values.shape[1] == 1:
        return torch.where(known, values, before)
    index = torch.arange(values.shape[1], device=values.device).expand_as(values)
    latest = torch.where(known, index, -1).cummax(dim=1).values
    return torch.where(latest >= 0, values.gather(1, latest.clamp(min=0)), before)
