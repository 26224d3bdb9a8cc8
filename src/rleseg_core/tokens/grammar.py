"""Which token may follow: a table for the order of the fields, and a cursor for the order of runs.

A sequence is a row of runs, each written as its K fields, then eos. State k < K expects field k,
state K is the end, where only pad follows. Beyond that, runs come in the order of their starts
without overlap and inside the plane: a start may not lie before the cursor, which is the end of
the run before, nor a length reach past the end of its line. What else there is to know of a kind
of run, such as that starts are counted from the cursor, its `GrammarRules` say.

With blocks there is one more state, before the first run of a block. A class closes a block of at
least one run, and the cursor goes back to 0. Blocks of classes come by class id, those of instances
as they like.

With a head for each field the tokens of a run are taken in turns, as if there were one sequence;
then all heads say eos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.tokens.blocks import Blocks
from rleseg_core.tokens.fields import BlockLabel
from rleseg_core.tokens.runs import GrammarRules, RunKind
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
        Pixels that a token adds to the start of its run.
    length : (Q, V) int32
        Pixels that it adds to the length.
    delta : (Q, V) int32
        What it adds to the symbol, if records say by how much the symbol changes.
    closes : (V,) int32
        The class with which a token closes a block in state 0; 0 for other tokens.
    slack : (Q,) int32
        Pixels that later fields can still add to the start.
    n_pixels : int
        Pixels of the plane.
    line : int
        Pixels after which a run must end, and the symbol before a change is the background.
    first_state : int
        Where a sequence begins.
    rules : GrammarRules
        Those of the kind of run.
    n_labels : int or None
        The highest class, if blocks come by class.
    independent : bool
        Whether runs may come in any order.
    ordered : bool
        Whether they have to come in the order of their starts without overlap.
    pad, bos, eos : int
        The special ids.
    """

    allowed: np.ndarray
    next: np.ndarray
    start: np.ndarray
    length: np.ndarray
    delta: np.ndarray
    closes: np.ndarray
    slack: np.ndarray
    n_pixels: int
    line: int
    first_state: int
    rules: GrammarRules
    n_labels: int | None
    independent: bool
    ordered: bool
    pad: int
    bos: int
    eos: int

    @classmethod
    def build(cls, vocab: Vocabulary, kind: RunKind, blocks: Blocks | None = None) -> Grammar:
        """The grammar of the records of a plane, or of those of its blocks."""
        n_fields = end = len(vocab.fields)
        more = n_fields - 1 if vocab.per_field else int(blocks is not None)
        fresh = n_fields + 1 if blocks is not None else 0
        rules = kind.rules()
        tables = _Tables(n_fields + 1 + more, vocab.size)
        tables.add_fields(vocab, with_deltas=rules.n_symbols is not None)
        if vocab.label is not None:
            tables.add_labels(vocab, vocab.label, fresh)
        tables.add_ends(vocab, fresh, end)
        most = tables.start[:n_fields].max(axis=1)
        slack = np.zeros(len(tables.allowed), np.int32)
        slack[:n_fields] = most[::-1].cumsum(dtype=np.int32)[::-1] - most
        slack[fresh] = slack[0]
        by_class = vocab.label is not None and blocks is not None and blocks.increasing
        return cls(
            allowed=tables.allowed,
            next=tables.next,
            start=tables.start,
            length=tables.length,
            delta=tables.delta,
            closes=tables.closes,
            slack=slack,
            n_pixels=kind.n_pixels,
            line=kind.line,
            first_state=fresh,
            rules=rules,
            n_labels=vocab.label.n_values if by_class and vocab.label is not None else None,
            independent=kind.independent,
            ordered=True,
            pad=vocab.pad,
            bos=vocab.bos,
            eos=vocab.eos,
        )

    def unordered(self) -> Grammar:
        """The same rules for runs in any order, which may then overlap (Sec. III-A: shuffled runs).

        Raises
        ------
        SchemeError
            If runs follow from one another.
        """
        if not self.independent:
            raise SchemeError(
                "only runs='foreground' can come in any order; the others follow one another"
            )
        return replace(self, ordered=False)

    def on(self, device: device | str) -> GrammarTables:
        """The same rules on a device, for batches of sequences."""
        from torch import as_tensor

        reach = np.where(self.allowed, self.start + self.slack[:, None], _NEVER).astype(np.int32)
        of_start = np.asarray(self.start.any(axis=1))
        of_start[[0, self.first_state]] = True
        fits = np.where(of_start[:, None] & (self.length == 0), self.start + 1, 0).astype(np.int32)
        for state in range(len(reach)):
            tokens = [self.eos, self.pad]
            if state == 0:
                tokens += np.flatnonzero(self.closes).tolist()
            for token in tokens:
                if self.allowed[state, token] and not self.length[state, token]:
                    reach[state, token], fits[state, token] = _ALWAYS, 0
        bounded = self.rules.from_cursor and bool((fits * self.allowed).any())
        return GrammarTables(
            reach=as_tensor(reach, device=device),
            fits=as_tensor(fits, device=device) if bounded else None,
            starts=as_tensor(self.start, device=device),
            lengths=as_tensor(self.length, device=device),
            deltas=as_tensor(self.delta, device=device),
            closes=as_tensor(self.closes, device=device),
            next=as_tensor(self.next, device=device),
            n_pixels=self.n_pixels,
            line=self.line,
            first_state=self.first_state,
            rules=self.rules,
            n_labels=self.n_labels,
            ordered=self.ordered,
            pad=self.pad,
            bos=self.bos,
            eos=self.eos,
        )


class _Tables:
    """The tables of a `Grammar` while they are filled."""

    def __init__(self, n_states: int, n_tokens: int) -> None:
        shape = (n_states, n_tokens)
        self.allowed = np.zeros(shape, np.bool_)
        self.next = np.repeat(np.arange(n_states, dtype=np.int16)[:, None], n_tokens, axis=1)
        self.start, self.length, self.delta = (np.zeros(shape, np.int32) for _ in range(3))
        self.closes = np.zeros(n_tokens, np.int32)

    def add_fields(self, vocab: Vocabulary, *, with_deltas: bool) -> None:
        """States 0 to K - 1: field k, then the next one."""
        n_fields = len(vocab.fields)
        for state, (field, offset) in enumerate(zip(vocab.fields, vocab.offsets, strict=True)):
            ids = slice(offset, offset + field.n_values)
            self.allowed[state, ids] = True
            self.next[state, ids] = (state + 1) % n_fields
            read = field.read(np.arange(field.n_values))
            self.start[state, ids], self.length[state, ids] = read.start, read.length
            if with_deltas:
                self.delta[state, ids] = read.symbol

    def add_labels(self, vocab: Vocabulary, label: BlockLabel, fresh: int) -> None:
        """State `fresh`, in which a block begins, and the classes that lead to it."""
        for table in (self.allowed, self.next, self.start, self.length, self.delta):
            table[fresh] = table[0]
        ids = slice(vocab.label_offset, vocab.label_offset + label.n_values)
        self.allowed[0, ids], self.next[0, ids] = True, fresh
        self.closes[ids] = np.arange(label.n_values) + 1

    def add_ends(self, vocab: Vocabulary, fresh: int, end: int) -> None:
        """State `end`, and what leads there: the eos of each head."""
        self.allowed[fresh, vocab.eos], self.next[fresh, vocab.eos] = True, end
        if vocab.per_field:  # the other heads say eos too
            self.next[0, vocab.eos] = end + 1
            self.allowed[end + 1 :, vocab.eos] = True
            self.next[end + 1 :, vocab.eos] = [*range(end + 2, len(self.next)), end]
        self.allowed[end, vocab.pad] = True


@dataclass(frozen=True, eq=False)
class GrammarTables:
    """A grammar on a device; no method makes the host wait for it.

    The state of B sequences is one (B, 5) int64 tensor: the state of the table, the cursor, the
    position that the fields of the current run have added up to, the symbol after the last change,
    and the class of the last block.

    Parameters
    ----------
    reach : (Q, V) int32 tensor
        The furthest start that can follow from a token; far below 0 where it is not allowed.
    fits : (Q, V) int32 tensor or None
        Pixels that must be left of the plane for a token of a start; None where all starts lie in
        the plane.
    starts, lengths, deltas : (Q, V) int32 tensor
        What a token adds to the start, length and symbol of its run.
    closes : (V,) int32 tensor
        The class with which a token closes a block in state 0; 0 for other tokens.
    next : (Q, V) int16 tensor
        The state that a token leads to.
    n_pixels, line, first_state, rules, n_labels, ordered, pad, bos, eos
        As in `Grammar`.
    """

    reach: Tensor
    fits: Tensor | None
    starts: Tensor
    lengths: Tensor
    deltas: Tensor
    closes: Tensor
    next: Tensor
    n_pixels: int
    line: int
    first_state: int
    rules: GrammarRules
    n_labels: int | None
    ordered: bool
    pad: int
    bos: int
    eos: int

    def start(self, batch: int) -> Tensor:
        """The state (batch, 5) of sequences that are about to begin."""
        from torch import tensor

        first = [self.first_state, 0, 0, 0, 0]
        return tensor(first, device=self.next.device).expand(batch, -1).clone()

    def allowed(self, state: Tensor) -> Tensor:
        """Which tokens may follow, (B, V) bool; at least one in each row."""
        expects, cursor, reached, symbol, label = state.unbind(1)
        can = self.reach[expects] >= (cursor - reached)[:, None]
        room = (self.line - reached % self.line).minimum(self.n_pixels - reached)
        can &= self.lengths[expects] <= room[:, None]
        if self.fits is not None:
            can &= self.fits[expects] <= (self.n_pixels - reached)[:, None]
        if self.rules.n_symbols is not None:
            now = self._symbol_before(cursor, reached, symbol)[:, None] + self.deltas[expects]
            can &= (now >= 0) & (now <= self.rules.n_symbols)
        if self.n_labels is not None:
            earlier = (self.closes > 0) & (self.closes <= label[:, None])
            can &= ~(earlier & (expects == 0)[:, None])
            all_closed = (expects == self.first_state) & (label == self.n_labels)
            can[:, : self.eos] &= ~all_closed[:, None]
            can[:, self.eos + 1 :] &= ~all_closed[:, None]
        return can

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """The state (B, 5) after one more token of each sequence, (B,) integers.

        A token that was not allowed changes nothing.
        """
        from torch import stack

        before, cursor, reached, symbol, label = state.unbind(1)
        added = self.starts[before, tokens] + self.lengths[before, tokens]
        if self.rules.n_symbols is not None:
            delta = self.deltas[before, tokens]
            symbol = symbol.where(delta == 0, self._symbol_before(cursor, reached, symbol) + delta)
        reached = reached + added
        expects = self.next[before, tokens].long()
        begins = expects == 0  # a run is complete
        if self.ordered:
            cursor = cursor.where(~begins, cursor.maximum(reached))
        if self.first_state:
            closed = (before == 0) & (expects == self.first_state)
            label = label.where(~closed, self.closes[tokens].long())
            cursor, symbol = cursor.where(~closed, 0), symbol.where(~closed, 0)
            begins = begins | closed
        base = cursor if self.rules.from_cursor else cursor * 0
        return stack((expects, cursor, reached.where(~begins, base), symbol, label), dim=1)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """The state of some of the sequences, `rows` of (B',) integers."""
        return state[rows]

    def _symbol_before(self, cursor: Tensor, reached: Tensor, symbol: Tensor) -> Tensor:
        """The symbol in front of the pixel `reached`: the background where a line begins."""
        same_line = (cursor > 0) & ((cursor - 1) // self.line == reached // self.line)
        return symbol.where(same_line, 0)
