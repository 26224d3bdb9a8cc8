"""Which token may follow: a table for the order of the fields, and a cursor for the order of runs.

A sequence is a row of runs, each written as its K fields, then eos. State k < K expects field k,
state K is the end, where only pad follows. Beyond that, runs come in the order of their starts
without overlap and inside the plane: a start may not lie before the cursor, which is the end of
the run before, nor a length reach past the last cell. Since each run moves the cursor on, every
sequence that keeps to the grammar ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.tokens.vocab import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor, device

_NEVER = -(2**30)
_ALWAYS = 2**30


@dataclass(frozen=True, eq=False)
class Grammar:
    """The rules as dense tables over Q states and V tokens.

    Parameters
    ----------
    allowed : (Q, V) bool
        Whether a token can follow in a state at all.
    next : (Q, V) int16
        The state it leads to; tokens that are not allowed lead nowhere.
    start : (Q, V) int32
        Cells that a token adds to the start of its run.
    length : (Q, V) int32
        Cells that it adds to the length.
    slack : (Q,) int32
        Cells that later fields can still add to the start.
    n_cells : int
        Cells of the plane.
    pad, bos, eos : int
        The special ids.
    """

    allowed: np.ndarray
    next: np.ndarray
    start: np.ndarray
    length: np.ndarray
    slack: np.ndarray
    n_cells: int
    pad: int
    bos: int
    eos: int

    @classmethod
    def build(cls, vocab: Vocabulary, n_cells: int) -> Grammar:
        """The grammar of runs over a plane of `n_cells` cells."""
        n_fields = len(vocab.fields)
        end = n_fields
        shape = (n_fields + 1, vocab.size)
        allowed = np.zeros(shape, np.bool_)
        follow = np.repeat(np.arange(shape[0], dtype=np.int16)[:, None], vocab.size, axis=1)
        start, length = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        for state, (field, offset) in enumerate(zip(vocab.fields, vocab.offsets, strict=True)):
            ids = slice(offset, offset + field.n_values)
            allowed[state, ids] = True
            follow[state, ids] = (state + 1) % n_fields
            start[state, ids], length[state, ids], _ = field.read(np.arange(field.n_values))
        allowed[0, vocab.eos], follow[0, vocab.eos] = True, end
        allowed[end, vocab.pad] = True
        most = start.max(axis=1)
        slack = most[::-1].cumsum(dtype=np.int32)[::-1] - most
        return cls(
            allowed, follow, start, length, slack, n_cells, vocab.pad, vocab.bos, vocab.eos
        )  # fmt: skip

    def on(self, device: device | str) -> GrammarTables:
        """The same rules on a device, for batches of sequences."""
        from torch import as_tensor

        reach = np.where(self.allowed, self.start + self.slack[:, None], _NEVER).astype(np.int32)
        reach[:, self.eos] = np.where(self.allowed[:, self.eos], _ALWAYS, _NEVER)
        reach[:, self.pad] = np.where(self.allowed[:, self.pad], _ALWAYS, _NEVER)
        return GrammarTables(
            reach=as_tensor(reach, device=device),
            step=as_tensor(self.start + self.length, device=device),
            next=as_tensor(self.next, device=device),
            n_cells=self.n_cells,
            pad=self.pad,
            bos=self.bos,
            eos=self.eos,
        )


@dataclass(frozen=True, eq=False)
class GrammarTables:
    """A grammar on a device; no method makes the host wait for it.

    The state of B sequences is one (B, 3) int64 tensor: the state of the table, the cursor, and
    the cells that the fields of the current run have added up to.

    Parameters
    ----------
    reach : (Q, V) int32 tensor
        The furthest start that can follow from a token; far below 0 where it is not allowed.
    step : (Q, V) int32 tensor
        Cells that a token adds to the start or length of its run.
    next : (Q, V) int16 tensor
        The state that a token leads to.
    n_cells : int
        Cells of the plane.
    pad, bos, eos : int
        The special ids.
    """

    reach: Tensor
    step: Tensor
    next: Tensor
    n_cells: int
    pad: int
    bos: int
    eos: int

    def start(self, batch: int) -> Tensor:
        """The state (batch, 3) of sequences that are about to begin."""
        return self.next.new_zeros((batch, 3)).long()

    def allowed(self, state: Tensor) -> Tensor:
        """Which tokens may follow, (B, V) bool; at least one in each row."""
        expects, cursor, reached = state.unbind(1)
        far_enough = self.reach[expects] >= (cursor - reached)[:, None]
        inside = self.step[expects] <= (self.n_cells - reached)[:, None]
        return far_enough & inside

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """The state (B, 3) after one more token of each sequence, (B,) integers.

        A token that was not allowed changes nothing.
        """
        from torch import stack

        expects, cursor, reached = state.unbind(1)
        reached = reached + self.step[expects, tokens]
        expects = self.next[expects, tokens].long()
        begins = expects == 0  # a run is complete
        cursor = cursor.where(~begins, cursor.maximum(reached))
        return stack((expects, cursor, reached.where(~begins, 0)), dim=1)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """The state of some of the sequences, `rows` of (B',) integers."""
        return state[rows]
