"""A kind of run as a newcomer would add it: starts are written as the gap since the run before.

In the project this file would lie in `rleseg_core/tokens/runs/`, with a line in `RUN_KINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.fields import Field
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import ArrayT, Runs, sum_within
from rleseg_core.tokens.runs import (
    Cursor,
    DecodedRun,
    Foreground,
    GrammarRules,
    RunDecoder,
    RunKind,
)
from rleseg_core.tokens.runs.foreground import check_symbol, cut_at_line, length_fields
from rleseg_core.tokens.scheme import Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from rleseg_core.tokens.runs.spans_torch import Spans


@dataclass(frozen=True)
class GapStart:
    """The pixels of background before a run."""

    n_values: int
    name: str = "gap"
    segment: str = "gap"
    remedy: str = "use a smaller mask"

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        return runs.start

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        nothing = values * 0
        return Runs(values, nothing, nothing)

    def text(self, value: int) -> str:
        return f"gap {value}"


class Gap(RunKind):
    """Runs of foreground; the start of a record is the distance from the end of the run before."""

    @property
    def _plain(self) -> Foreground:
        return Foreground(
            n_pixels=self.n_pixels,
            line=self.line,
            max_length=self.max_length,
            n_symbols=self.n_symbols,
        )

    @classmethod
    def check(cls, scheme: Scheme, spec: MaskSpec) -> None:
        if scheme.start != "flat":
            raise SchemeError(f"start={scheme.start!r} is no gap; use start='flat'")
        check_symbol(scheme, spec)

    @classmethod
    def for_classes(cls, scheme: Scheme, n_classes: int) -> Scheme:
        return Foreground.for_classes(scheme, n_classes)

    def fields(self, scheme: Scheme, flattening: Flattening) -> tuple[Field, ...]:
        return GapStart(self.n_pixels), *length_fields(scheme, flattening, self.max_length)

    def rules(self) -> GrammarRules:
        return GrammarRules(from_cursor=True)

    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        runs, plane = self._plain.find(planes)
        before = np.append(0, (runs.start + runs.length)[:-1])[: plane.size]
        before[np.flatnonzero(np.diff(plane, prepend=-1))] = 0
        return runs._replace(start=runs.start - before), plane

    def find_batch(
        self, planes: Tensor, n_records: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        runs, n_found = self._plain.find_batch(planes, n_records)
        return _with_gaps(runs), n_found

    def find_batch_in_blocks(self, spans: Spans, n_records: int) -> tuple[Spans, Tensor]:
        return self._plain.find_batch_in_blocks(spans, n_records)

    def keep_in_blocks(self, spans: Spans, kept: Tensor) -> Runs[Tensor]:
        same = spans.block[:, 1:] == spans.block[:, :-1]
        return _with_gaps(super().keep_in_blocks(spans, kept), same)

    def resolve(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        gap, length, symbol = records
        start = sum_within(gap + length, plane) - length
        if (start >= self.n_pixels).any() or (start % self.line + length > self.line).any():
            return None
        return Runs(start, length, symbol)

    def decoder(self) -> RunDecoder:
        return _Decoder(self.n_pixels, self.line)

    def continued(
        self, guess: Runs[np.ndarray], cursor: Cursor, n_records: int
    ) -> Runs[np.ndarray]:
        runs = self._plain.continued(guess, cursor, n_records)
        before = np.append(cursor.position, (runs.start + runs.length)[:-1])[: runs.start.size]
        return runs._replace(start=runs.start - before)


def _with_gaps(runs: Runs[Tensor], same: Tensor | None = None) -> Runs[Tensor]:
    """Runs (B, R) with gaps as starts; `same` (B, R - 1) says which follow in the same plane."""
    before = runs.start * 0
    before[:, 1:] = (runs.start + runs.length)[:, :-1]
    if same is not None:
        before[:, 1:] *= same
    return runs._replace(start=(runs.start - before) * (runs.length > 0))


class _Decoder:
    def __init__(self, n_pixels: int, line: int) -> None:
        self._n_pixels, self._line, self._cursor = n_pixels, line, 0

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[DecodedRun], str | None, bool]:
        start += self._cursor
        if start >= self._n_pixels:
            return [], f"begins at {start}, expected less than {self._n_pixels}", False
        length, wrong = cut_at_line(start, length, self._line)
        self._cursor = start + length
        return [DecodedRun(start, length, symbol, tokens)], wrong, True

    def finish(self) -> list[DecodedRun]:
        return []
