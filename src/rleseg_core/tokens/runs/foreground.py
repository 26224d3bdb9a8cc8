"""Runs of foreground: what no run covers is background (Sec. II)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.blocks import FoundInBlocks
from rleseg_core.tokens.fields import Field, Length, LengthSymbol, Symbol
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.runs.base import (
    Cursor,
    DecodedRun,
    GrammarRules,
    RunDecoder,
    RunKind,
    start_fields,
)
from rleseg_core.tokens.runs.planes import by_plane, segments, split_long
from rleseg_core.tokens.scheme import Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from rleseg_core.tokens.runs.spans_torch import Spans


class Foreground(RunKind):
    """Maximal runs of equal symbols, leaving out the background.

    If `line` is the whole plane, runs are not cut where a row or a frame ends: they go on in the
    next. A run longer than `max_length` is split, from its own start, into max_length, max_length,
    ..., remainder. Records are runs as they are.
    """

    independent: ClassVar[bool] = True
    read_off: ClassVar[Literal["foreground", "tiling", "change"] | None] = "foreground"

    @classmethod
    def check(cls, scheme: Scheme, spec: MaskSpec) -> None:
        """Runs need a start, and a symbol where there are several."""
        if scheme.start is None:
            raise SchemeError(
                f"runs={scheme.runs!r} cannot be placed with start=None; use start='flat', "
                "start='coords' or runs='tiling'"
            )
        check_symbol(scheme, spec)

    @classmethod
    def for_classes(cls, scheme: Scheme, n_classes: int) -> Scheme:
        """LAC becomes binary for a single class, and binary LAC for several."""
        if scheme.blocks is not None or scheme.time == "class":
            return scheme
        if n_classes == 1:
            return replace(scheme, symbol=None)
        return scheme if scheme.symbol is not None else replace(scheme, symbol="length")

    def fields(self, scheme: Scheme, flattening: Flattening) -> tuple[Field, ...]:
        """Start, length and symbol; the last two are one token with ``symbol="length"``."""
        start = start_fields(scheme, flattening)
        return (*start, *length_fields(scheme, flattening, self.max_length))

    def rules(self) -> GrammarRules:
        """None beyond those of all runs."""
        return GrammarRules()

    def start_tokens(self, scheme: Scheme) -> Literal["flat", "coords", "implied"] | None:
        """One token, or a row and a column, as `Scheme.start` chooses."""
        return scheme.start

    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        """Runs (R,) of planes (B, n_pixels) by plane and start, and the plane of each run (R,)."""
        bounds, symbol = segments(planes, self.line)
        index = symbol.nonzero()[0]
        start = bounds[index]
        runs = Runs(start, bounds[index + 1] - start, symbol[index].astype(np.int64))
        return by_plane(split_long(runs, self.max_length), len(planes), self.n_pixels)

    def find_in_blocks(
        self, ids: np.ndarray, classes: np.ndarray, flattening: Flattening
    ) -> FoundInBlocks:
        """Runs of the blocks; where a pixel has one block, they are the runs of equal ids."""
        if flattening.n_layers > 1:
            return super().find_in_blocks(ids, classes, flattening)
        runs, row = self.find(flattening.flatten(np.maximum(ids, 0)))
        order = np.lexsort((runs.symbol, row))  # stable: by start within a block
        start, length, block_id = (column[order] for column in runs)
        row = row[order]
        begins = np.ones(row.size, np.bool_)
        begins[1:] = (row[1:] != row[:-1]) | (block_id[1:] != block_id[:-1])
        first = begins.nonzero()[0]
        labels = flattening.flatten(classes)[row[first], start[first]].astype(np.int64)
        runs = Runs(start, length, np.ones_like(length))
        return FoundInBlocks(runs, begins.cumsum() - 1, row[first], labels)

    def find_batch(
        self, planes: Tensor, n_records: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        """The first, or the longest, runs of each plane."""
        from rleseg_core.tokens.runs.planes_torch import cuts, first_runs, keep_longest

        cut = cuts(planes, self.line, self.max_length)
        most = self.n_pixels if longest else n_records
        runs, n_found = first_runs(planes, cut, cut & (planes != 0), most)
        return keep_longest(runs, n_records) if longest else runs, n_found

    def find_batch_in_blocks(self, spans: Spans, n_records: int) -> tuple[Spans, Tensor]:
        """The first runs of the blocks; there are no more than pixels."""
        from rleseg_core.tokens.runs.spans_torch import cut_spans

        most = min(n_records, spans.start.shape[1])
        return cut_spans(spans, self.line, self.max_length, most)

    def resolve(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        """The records, if all lie within their line."""
        start, length, _ = records
        first = start if self.line == self.n_pixels else start % self.line
        if np.count_nonzero(first + length > self.line):
            return None
        return records

    def decoder(self) -> RunDecoder:
        """Cuts runs where their line ends."""
        return _Decoder(self.line)

    def continued(
        self, guess: Runs[np.ndarray], cursor: Cursor, n_records: int
    ) -> Runs[np.ndarray]:
        """The runs that start at the cursor or behind it."""
        first = int(np.searchsorted(guess.start, cursor.position))
        return Runs(*(column[first : first + n_records] for column in guess))


class _Decoder:
    def __init__(self, line: int) -> None:
        self._line = line

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[DecodedRun], str | None, bool]:
        length, wrong = cut_at_line(start, length, self._line)
        return [DecodedRun(start, length, symbol, tokens)], wrong, True

    def finish(self) -> list[DecodedRun]:
        return []


def cut_at_line(start: int, length: int, line: int) -> tuple[int, str | None]:
    """A length that keeps to its line, and what is wrong if it had to be cut."""
    room = line - start % line
    if length <= room:
        return length, None
    return room, f"has {length} pixels from {start}, expected at most {room}"


def length_fields(
    scheme: Scheme, flattening: Flattening, max_length: int, first: Literal[0, 1] = 1
) -> Iterator[Field]:
    """The fields of a length and a symbol; `first` is the lowest symbol there is."""
    if scheme.symbol == "length":
        yield LengthSymbol(flattening, max_length, first)
    elif scheme.symbol == "token":
        yield Length(max_length)
        yield Symbol(flattening, first)
    else:
        yield Length(max_length, symbol=1)


def check_symbol(scheme: Scheme, spec: MaskSpec) -> None:
    """Raise unless the symbol of a scheme is what runs of foreground need, and no more."""
    if scheme.time == "class":
        if scheme.symbol is None:
            raise SchemeError(
                "time='class' with symbol=None cannot tell when a pixel is covered; use "
                "symbol='token' (preset 'tac') or symbol='length' (preset 'ltac')"
            )
        return
    if scheme.blocks is not None:
        if scheme.symbol is not None:
            raise SchemeError(
                f"symbol={scheme.symbol!r} would say with every run what closes its block: "
                f"blocks={scheme.blocks!r} write the class once; use symbol=None or blocks=None"
            )
        return
    if spec.n_classes == 1 and scheme.symbol is not None:
        raise SchemeError(
            f"symbol={scheme.symbol!r} would write the only class, {spec.class_names[0]!r}, "
            "with every run and so say nothing; use symbol=None (preset 'binary')"
        )
    if spec.n_classes > 1 and scheme.symbol is None:
        raise SchemeError(
            f"symbol=None cannot tell {spec.n_classes} classes apart; use symbol='length' (preset "
            "'lac'), symbol='token' (preset 'multiclass') or blocks='class' (preset 'cw')"
        )
