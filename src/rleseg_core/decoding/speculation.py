"""Speculative decoding: drafts of sequences, of which one pass checks many tokens.

The decoder keeps the tokens of a draft that it would have chosen itself, so greedy sequences are
the same as without drafts, with fewer passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

_MIN_DRAFT, _MAX_DRAFT = 8, 128  # tokens that a pass checks


class Draft(Protocol):
    """A guess of a sequence; `rleseg_core.tokens.Draft` makes one from tokens or a mask."""

    def propose(self, written: Sequence[int], n_tokens: int) -> Sequence[int]:
        """At most `n_tokens` that may follow those decoded so far, which may differ from it."""


class Drafts:
    """The drafts of open sequences, and how many tokens of each to check in a pass.

    The number doubles after a pass in which the whole proposal was right, and falls back to the
    smallest after one in which it was not.

    Parameters
    ----------
    source : callable of int to Draft or None
        The draft of a window, by its index; asked for before each pass until there is one.
    vocab_size : int
        V; proposals end before an id that is not a token.
    """

    def __init__(self, source: Callable[[int], Draft | None], vocab_size: int) -> None:
        self._source, self._vocab_size = source, vocab_size
        self._drafts: dict[int, Draft] = {}
        self._n_tokens: dict[int, int] = {}

    def propose(self, index: int, decoded: Sequence[int], limit: int) -> list[int]:
        """At most `limit` tokens that may follow those decoded of a window."""
        draft = self._drafts.get(index)
        if draft is None:
            draft = self._source(index)
        if draft is None or limit < 1:
            return []
        self._drafts[index] = draft
        n_tokens = min(self._n_tokens.get(index, _MIN_DRAFT), limit)
        proposed = map(int, itertools.islice(draft.propose(decoded, n_tokens), n_tokens))
        return list(itertools.takewhile(self._is_token, proposed))

    def adapt(self, index: int, n_proposed: int, n_accepted: int) -> None:
        """Set the length of the next proposal by how much of this one was right."""
        if n_proposed:
            doubled = min(2 * self._n_tokens.get(index, _MIN_DRAFT), _MAX_DRAFT)
            self._n_tokens[index] = doubled if n_accepted == n_proposed else _MIN_DRAFT

    def forget(self, index: int) -> None:
        """Drop the draft of a window whose sequence has ended."""
        self._drafts.pop(index, None)
        self._n_tokens.pop(index, None)

    def _is_token(self, token: int) -> bool:
        return 0 <= token < self._vocab_size


@dataclass(frozen=True)
class Proposals:
    """What drafts propose for the rows of a batch, padded to one length.

    Parameters
    ----------
    tokens : (B, W) int64 tensor
        Proposed tokens, then padding.
    lengths : (B,) int64 tensor
        How many tokens of each row are proposed.
    """

    tokens: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, rows: Sequence[list[int]], pad: int, device: torch.device) -> Self:
        """The proposals of each row on a device."""
        width = max(map(len, rows))
        padded = [tokens + [pad] * (width - len(tokens)) for tokens in rows]
        return cls(
            torch.tensor(padded, dtype=torch.int64, device=device),
            torch.tensor([len(tokens) for tokens in rows], device=device),
        )

    @property
    def width(self) -> int:
        """W, the length of the longest proposal."""
        return self.tokens.shape[1]

    def agree(self, column: int, tokens: Tensor) -> Tensor:
        """In which rows the model's choice (B,) is the token proposed at `column`; (B,) bool."""
        return (tokens == self.tokens[:, column]) & (column < self.lengths)
