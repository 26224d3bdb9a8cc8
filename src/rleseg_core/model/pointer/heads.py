"""Pointers of several heads: each field of a run has a sequence, and is read off the image.

A step writes one token of each head, which together are a run. The next run begins behind the last
one, whose start and length the tokens of one step say. The fields of a run are written in turn:
where its row is known, its column is that of the first hit in this row; where its start is known,
its length and class are read off the image there.
"""

from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

from rleseg_core.model.config import ModelConfig
from rleseg_core.model.pointer.cursor import CursorState
from rleseg_core.model.pointer.first_hit import IMPOSSIBLE
from rleseg_core.model.pointer.logits import Pointer, features_at
from rleseg_core.model.pointer.memory import PointerMemory
from rleseg_core.spec import StartGrid


class Run(NamedTuple):
    """What tokens of one step say, each (B, L) int64.

    Parameters
    ----------
    row, start : tensor
        The row and the first mask pixel of a run, as far as they are said; else -1.
    length : tensor
        Its length, or 0.
    ends : bool tensor
        Whether they say that no further run comes.
    """

    row: Tensor
    start: Tensor
    length: Tensor
    ends: Tensor


class HeadState(NamedTuple):
    """The runs before and after each step.

    Parameters
    ----------
    last : Run
        What the tokens that were written last say.
    following : Run
        What is known of those that come next.
    """

    last: Run
    following: Run

    @property
    def cursor(self) -> Tensor:
        """The first mask pixel (B, L) that a further run may begin at."""
        last = self.last
        return torch.where(last.length > 0, last.start + last.length, 0)

    def given(self, following: Run) -> Self:
        """The same where more is known of what comes next."""
        return self._replace(following=following)


class HeadPointer(Pointer):
    """Ties the tokens of all heads to the mask pixels of the image."""

    def __init__(self, config: ModelConfig, grid: StartGrid) -> None:
        super().__init__(config, grid)
        self.heads = config.tokens.heads

    def states(self, tokens: Tensor) -> HeadState:
        """The states after each of the tokens (B * K, L) of the common table."""
        offsets = torch.tensor([head.offset for head in self.heads], device=tokens.device)
        own = tokens.unflatten(0, (-1, len(self.heads))) - offsets[:, None]
        last = self.read(list(own.unbind(1)))
        unknown = torch.full_like(last.row[:, :1], -1)
        row, start, length = (
            torch.cat((part[:, 1:], unknown), dim=1) for part in (last.row, last.start, last.length)
        )
        ends = torch.cat((last.ends[:, 1:], unknown < 0), dim=1)
        return HeadState(last, Run(row, start, length, ends))

    def read(self, tokens: list[Tensor]) -> Run:
        """What tokens (B, L) of the first heads say, each in ids of its head."""
        grid, said = self.grid, {}
        for head, own in zip(self.heads, tokens, strict=False):
            assert head.field is not None
            first, n_values = self.ids_of(head.field)
            value = own - first
            said[head.field] = value.where((value >= 0) & (value < n_values), -1)
        none = torch.full_like(tokens[0], -1)
        row, col = said.get("row", none), said.get("col", none)
        flat = row * grid.cols + col if grid.order == "C" else row + col * grid.rows
        start = said.get("start", flat.where((row >= 0) & (col >= 0), none))
        length = said.get("length", none)
        longest = max(n for _, n in self.lengths)
        length = torch.where((length >= 0) & (start >= 0), length % longest + 1, 0)
        ends = torch.stack([tokens[0] == first for first, _ in grid.stops]).any(0)
        return Run(row, start, length, ends)

    def ids_of(self, field: str) -> tuple[int, int]:
        """Own id of the first value of a head, and how many values there are."""
        grid, symbols = self.grid, self.symbols
        if field == "length":
            head = next(head for head in self.heads if head.field == "length")
            return self.lengths[0][0] - head.offset, sum(n for _, n in self.lengths)
        if field == "symbol":
            assert symbols is not None
            assert symbols.tokens.offset is not None
            return symbols.tokens.offset, symbols.tokens.n_ids
        return grid.offset, {"start": grid.size, "row": grid.rows, "col": grid.cols}[field]

    def embed(self, state: HeadState, memory: PointerMemory) -> Tensor:  # type: ignore[override]
        """The image at the start of the run that was written last, for all heads (B * K, L, D)."""
        found = self.input(features_at(state.last.start, memory))
        return found.repeat_interleave(len(self.heads), dim=0)

    def add_logits(  # type: ignore[override]
        self, logits: Tensor, x: Tensor, state: HeadState, memory: PointerMemory
    ) -> Tensor:
        """`logits` (B * K, L, V) of decoder states `x` (B * K, L, D), plus those of the pointers.

        Those of a head depend on what heads before it say of the same run.
        """
        turns = HeadTurns(self, x.unflatten(0, (-1, len(self.heads))), state, memory)
        added = torch.zeros_like(logits).unflatten(0, (-1, len(self.heads)))
        for k, head in enumerate(self.heads):
            ids = slice(head.offset, head.offset + head.size)
            added[:, k, :, ids] = turns.of_head(k, state).to(added.dtype)
        return logits + added.flatten(0, 1)


class HeadTurns:
    """The pointers' logits of one step, head after head.

    Parameters
    ----------
    pointer : HeadPointer
        The pointer.
    x : (B, K, L, D) tensor
        States of the decoder.
    state : HeadState
        The runs before.
    memory : PointerMemory
        Of B windows.
    """

    def __init__(
        self, pointer: HeadPointer, x: Tensor, state: HeadState, memory: PointerMemory
    ) -> None:
        self.pointer, self.x, self.state, self.memory = pointer, x, state, memory

    @cached_property
    def first(self) -> tuple[Tensor, Tensor]:
        """Log probabilities that the next run begins at each pixel (B, L, G), or never."""
        none = torch.full_like(self.state.cursor, -1)
        cursor = CursorState(none, self.state.cursor, none, none, none, none)
        return self.pointer.first_start_at(self.x[:, 0], cursor, self.memory)

    def of_head(self, k: int, state: HeadState) -> Tensor:
        """Logits (B, L, V) of a head's ids, given what the heads before it say."""
        pointer, following = self.pointer, state.following
        head, x = pointer.heads[k], self.x[:, k]
        assert head.field is not None
        first_id, n_values = pointer.ids_of(head.field)
        added = x.new_full((*x.shape[:2], head.size), IMPOSSIBLE, dtype=torch.float32)
        values = self._values(head.field, x, following)[..., :n_values]
        ends = following.ends[..., None]
        added[..., first_id : first_id + n_values] = (
            values if k == 0 else values.where(~ends, IMPOSSIBLE)
        )
        for stop, n in pointer.grid.stops:
            over = self.first[1] if k == 0 else torch.where(ends, 0.0, IMPOSSIBLE)
            added[..., stop : stop + n] = over
        return added

    def _values(self, field: str, x: Tensor, following: Run) -> Tensor:
        pointer, start = self.pointer, following.start.clamp(min=0)
        if field in ("start", "row", "col"):
            row = torch.full_like(following.row, -1) if field == "row" else following.row
            return pointer.of_starts(self.first[0], row)
        if field == "symbol":
            assert pointer.symbols is not None
            end = (start + following.length.clamp(min=1)).clamp(max=pointer.grid.size)
            scores = pointer.symbol_scores(start, end, self.memory)
            n_ids = pointer.symbols.tokens.n_ids
            return scores if scores is not None else x.new_zeros(*start.shape, n_ids)
        if pointer.end_query is None:
            return x.new_zeros(*start.shape, sum(n for _, n in pointer.lengths))
        there = x + pointer.input(features_at(following.start, self.memory))
        found = pointer.first_end_from(there, start, self.memory)
        classes = pointer.classes_of(start, self.memory)
        parts = [
            found[..., :n] if classes is None else found[..., :n] + classes[..., k : k + 1]
            for k, (_, n) in enumerate(pointer.lengths)
        ]
        return torch.cat(parts, dim=-1)
