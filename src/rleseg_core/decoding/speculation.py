"""Speculative decoding: drafts of sequences, of which one pass checks many tokens.

The decoder keeps the tokens of a draft that it would have chosen itself, so greedy sequences are
the same as without drafts, with fewer passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

_AFTER_A_REJECTION = 8  # tokens that the next pass checks


class Draft(Protocol):
    """A guess of a sequence; `rleseg_core.tokens.Draft` makes one from tokens or a mask."""

    def propose(self, written: Sequence[int], n_tokens: int) -> Sequence[int]:
        """At most `n_tokens` that may follow those decoded so far, which may differ from it."""


class Drafts:
    """The drafts of open sequences, and how many tokens of each to check in a pass.

    First the whole draft is proposed. After a token that the model would not have chosen a few are,
    and twice as many after each pass in which the whole proposal was right.

    Parameters
    ----------
    source : callable of int to Draft or None
        The draft of a window, by its index; asked for before each pass until there is one.
    eos : int
        The token with which proposals end.
    vocab_size : int
        V; proposals end before an id that is not a token.
    """

    def __init__(self, source: Callable[[int], Draft | None], eos: int, vocab_size: int) -> None:
        self._source, self._eos, self._vocab_size = source, eos, vocab_size
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
        n_tokens = min(self._n_tokens.get(index, limit), limit)
        proposed: list[int] = []
        for token in map(int, itertools.islice(draft.propose(decoded, n_tokens), n_tokens)):
            if not 0 <= token < self._vocab_size:
                break
            proposed.append(token)
            if token == self._eos:
                break
        return proposed

    def adapt(self, index: int, n_proposed: int, n_accepted: int) -> None:
        """Set the length of the next proposal by how much of this one was right."""
        if n_accepted < n_proposed:
            self._n_tokens[index] = _AFTER_A_REJECTION
        elif n_proposed and index in self._n_tokens:
            self._n_tokens[index] *= 2

    def forget(self, index: int) -> None:
        """Drop the draft of a window whose sequence has ended."""
        self._drafts.pop(index, None)
        self._n_tokens.pop(index, None)
