"""What drafts propose for the rows of a batch, and how much of it the model writes, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rleseg_core.decoding.grammar import GrammarTables

MOST_INPUTS = 512  # tokens that a pass of the decoder computes together, on a CPU
MOST_LOGITS = 2**27  # that a pass computes on other devices
_NONE = -1  # no token is proposed


@dataclass(frozen=True)
class Proposals:
    """Tokens that are checked together: after each input the model says what comes next.

    Parameters
    ----------
    inputs : (B, T) int64 tensor
        The last decoded token of each row, then the proposed ones without the last.
    drafted : (B, T) int64 tensor
        The proposed tokens; -1 behind them.
    counts : (B,) list of int
        Inputs of each row, at least 1; what lies behind them is padding.
    """

    inputs: Tensor
    drafted: Tensor
    counts: list[int]

    @classmethod
    def of(cls, proposed: Sequence[list[int]], last: list[int], device: torch.device) -> Self:
        """The proposals of each row on a device."""
        counts = [max(1, len(tokens)) for tokens in proposed]
        width = max(counts)
        drafted = torch.tensor([row + [_NONE] * (width - len(row)) for row in proposed])
        inputs = torch.cat((torch.tensor(last)[:, None], drafted[:, :-1].clamp(min=0)), dim=1)
        return cls(inputs.to(device), drafted.to(device), counts)

    def select(self, rows: slice) -> Self:
        """The proposals of some of the rows."""
        counts = self.counts[rows]
        longest = max(counts)
        inputs, drafted = self.inputs[rows, :longest], self.drafted[rows, :longest]
        return type(self)(inputs, drafted, counts)

    def states(self, state: Tensor, grammar: GrammarTables) -> Tensor:
        """States (B, T, …) of a grammar after each input, from those (B, …) after the first."""
        states = [state]
        for column in self.inputs.unbind(1)[1:]:
            states.append(grammar.advance(states[-1], column))
        return torch.stack(states, dim=1)

    def groups(self, most: int) -> Iterator[list[int]]:
        """The counts in parts of at most `most` inputs, or one row; 0 for the rows of others."""
        none = [0] * len(self.counts)
        group, total = list(none), 0
        for row, n in enumerate(self.counts):
            if total and total + n > most:
                yield group
                group, total = list(none), 0
            group[row] = n
            total += n
        yield group

    def n_right(self, tokens: Tensor) -> Tensor:
        """How many drafted tokens of each row (B,) are the tokens (B, T) that the model writes."""
        return (tokens == self.drafted).cumprod(dim=1).sum(dim=1)


def pads(device: torch.device) -> bool:
    """Whether rows are padded to one length, where launches cost more than that."""
    return device.type != "cpu"
