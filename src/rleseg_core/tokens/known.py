"""The block of an object that is known in some frames: which tokens may say the rest of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.tokens.fields import CoordStart, FlatStart
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.stages import Stages

UNKNOWN = -1
"""Of a pixel of which it is not known whether it belongs to the object."""


class BlockState(NamedTuple):
    """Where a sequence stands.

    Attributes
    ----------
    expects : int
        State of the grammar: the field that comes next, K at the end, K + 1 before a block.
    cursor : int
        End of the run before, a position in the plane.
    reached : int
        What the fields of the current run have added up to.
    start : int
        Where the current run begins, once that is written.
    label : int
        Class of the last block that was closed, 0 = none.
    """

    expects: int
    cursor: int
    reached: int
    start: int
    label: int


class _Column(NamedTuple):
    """One field of a run: its ids, what they add, and whether it says a start."""

    ids: slice
    adds: Runs[np.ndarray]
    is_start: bool
    slack: int  # positions that later fields can still add to the start


class KnownBlock:
    """Rules for one block, which must agree with what is known of its object.

    They come on top of those of the grammar. A sequence that obeys both has one block, and
    that has the known pixels in the known frames, no more and no less.

    Parameters
    ----------
    stages : Stages
        A compiled scheme of blocks of instances, with runs of foreground and one head.
    known : (N, S, S) integer
        1 where a pixel belongs to the object, 0 where it does not, `UNKNOWN` where nobody knows;
        in mask pixels.
    begins : (N, S, S) bool, optional
        Where the first run may begin, besides the first known pixel; None: anywhere.

    Raises
    ------
    SchemeError
        If the scheme is of another kind.
    """

    def __init__(self, stages: Stages, known: np.ndarray, begins: np.ndarray | None = None) -> None:
        check_follows(stages)
        self._vocab, flattening = stages.vocab, stages.flattening
        self._n_pixels, self._n_fields = flattening.n_pixels, stages.tokens_per_run
        allows = _allowed_symbols(flattening, known)
        self._allows = allows[:, 1:]
        required = np.append(np.flatnonzero(~allows[:, 0]), self._n_pixels)
        self._required = required[np.searchsorted(required, np.arange(self._n_pixels + 1))]
        can_start: np.ndarray = np.any(self._allows, axis=1)
        self._starts = _cumulated(can_start)
        may_begin = can_start
        if begins is not None:
            may_begin = can_start & flattening.layers(begins).any(axis=0)
            may_begin[required[0] : required[0] + 1] = True
        self._first_starts = _cumulated(may_begin)
        self._columns = _columns(stages)

    @property
    def first_token(self) -> int | None:
        """The first token of a block that begins with the first known pixel, if there is one."""
        at = self._required[:1]
        if at[0] == self._n_pixels:
            return None
        column = self._columns[0]
        adds = column.adds.start
        fits = np.flatnonzero((adds <= at[0]) & (adds + column.slack >= at[0]))
        return int(fits[0]) + column.ids.start

    def allowed(self, state: BlockState) -> np.ndarray:
        """Which tokens (V,) bool may follow, as far as what is known goes."""
        vocab = self._vocab
        may = np.zeros(vocab.size, np.bool_)
        is_fresh = state.expects > self._n_fields
        if state.expects == self._n_fields:
            may[vocab.pad] = True
            return may
        if is_fresh and state.label:
            may[vocab.eos] = True
            return may
        column = self._columns[0 if is_fresh else state.expects]
        if column.is_start:
            may[column.ids] = self._may_start(column, state)
        else:
            may[column.ids] = self._may_cover(column, state)
        if state.expects == 0:  # a class may close the block
            assert vocab.label is not None
            labels = slice(vocab.label_offset, vocab.label_offset + vocab.label.n_values)
            may[labels] = self._required[state.cursor] == self._n_pixels
        return may

    def says_start(self, expects: int) -> bool:
        """Whether the field that is expected says where a run begins."""
        if expects == self._n_fields:
            return False
        return self._columns[0 if expects > self._n_fields else expects].is_start

    def _may_start(self, column: _Column, state: BlockState) -> np.ndarray:
        """Which starts leave no known pixel out; later fields may add to them."""
        first = state.reached + column.adds.start
        last = np.minimum(first + column.slack, self._required[state.cursor])
        first = np.maximum(first, state.cursor).clip(max=self._n_pixels)
        end = np.maximum((last + 1).clip(max=self._n_pixels), first)
        counts = self._starts if state.cursor else self._first_starts
        return counts[end] > counts[first]

    def _may_cover(self, column: _Column, state: BlockState) -> np.ndarray:
        """Which lengths and symbols agree with all known pixels of the run."""
        length, symbol = column.adds.length, column.adds.symbol
        length = np.where(length > 0, length, state.reached - state.start)
        most = min(int(length.max()), self._n_pixels - state.start)
        run = self._allows[state.start : state.start + most]
        agreeing = np.logical_and.accumulate(run, axis=0)
        inside = length <= most
        at = np.minimum(length, most) - 1
        any_symbol: np.ndarray = np.any(agreeing, axis=1)
        this_symbol = agreeing[at, np.maximum(symbol, 1) - 1]
        return inside & np.where(symbol > 0, this_symbol, any_symbol[at])


def check_follows(stages: Stages) -> None:
    """Raise `SchemeError` unless blocks of a scheme can be written from what is known of them."""
    scheme = stages.scheme
    if scheme.blocks != "instance" or scheme.runs != "foreground" or scheme.heads != "one":
        raise SchemeError(
            "a known object is written on by schemes with blocks='instance', runs='foreground' and "
            f"heads='one', got {scheme.blocks!r}, {scheme.runs!r} and {scheme.heads!r}"
        )


def _allowed_symbols(flattening: Flattening, known: np.ndarray) -> np.ndarray:
    """Which symbols, the background first, each position may have, (n_pixels, 1 + n) bool."""
    symbols = np.arange(flattening.n_symbols + 1)
    allows = np.ones((flattening.n_pixels, symbols.size), np.bool_)
    for of_layer, digits in zip(flattening.layers(known), flattening.digits(symbols), strict=True):
        says = of_layer[:, None]
        allows &= (says == UNKNOWN) | ((digits > 0) == (says > 0))
    return allows


def _columns(stages: Stages) -> list[_Column]:
    columns: list[_Column] = []
    slack = 0
    for field, offset in reversed(stages.columns):
        adds = field.read(np.arange(field.n_values))
        is_start = isinstance(field, FlatStart | CoordStart)
        columns.append(_Column(slice(offset, offset + field.n_values), adds, is_start, slack))
        slack += int(adds.start.max())
    return columns[::-1]


def _cumulated(values: np.ndarray) -> np.ndarray:
    """How many of the values (n,) come before each position, (n + 1,)."""
    return np.concatenate(([0], np.cumsum(values)))
