"""Runs of everything, background too: they tile the plane (BAC, Sec. VI)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.fields import Field
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import Runs, sum_within
from rleseg_core.tokens.runs.base import Cursor, DecodedRun, GrammarRules, RunDecoder, RunKind
from rleseg_core.tokens.runs.foreground import cut_at_line, length_fields
from rleseg_core.tokens.runs.planes import by_plane, segments, split_long
from rleseg_core.tokens.scheme import Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from rleseg_core.tokens.runs.spans_torch import Spans


class Tiling(RunKind):
    """Runs that follow one another without gaps, so that no starts are written.

    With `line` a row, each row is tiled by itself (Text4Seg). Records are runs; their starts are
    not looked at.
    """

    read_off: ClassVar[Literal["foreground", "tiling", "change"] | None] = "tiling"

    @classmethod
    def check(cls, scheme: Scheme, spec: MaskSpec) -> None:
        """Starts would say nothing, and the background needs a symbol."""
        if scheme.start is not None:
            raise SchemeError(
                f"start={scheme.start!r} would be written in vain: runs={scheme.runs!r} follow one "
                "another without gaps; use start=None or runs='foreground'"
            )
        if scheme.symbol is None:
            raise SchemeError(
                f"runs={scheme.runs!r} with symbol=None cannot tell the background from the rest; "
                "use symbol='token' or symbol='length'"
            )

    def fields(self, scheme: Scheme, flattening: Flattening) -> tuple[Field, ...]:
        """Length and symbol, as one token or as two."""
        return tuple(length_fields(scheme, flattening, self.max_length, first=0))

    def rules(self) -> GrammarRules:
        """Runs begin where the one before ended."""
        return GrammarRules(from_cursor=True)

    def start_tokens(self, scheme: Scheme) -> Literal["flat", "coords", "implied"] | None:
        """Implied by the lengths before, as these are counted through the whole plane."""
        return None if scheme.blocks is not None else "implied"

    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        """Runs (R,) of planes (B, n_pixels) by plane and start, and the plane of each run (R,)."""
        bounds, symbol = segments(planes, self.line)
        runs = Runs(bounds[:-1], np.diff(bounds), symbol.astype(np.int64))
        return by_plane(split_long(runs, self.max_length), len(planes), self.n_pixels)

    def find_batch(
        self, planes: Tensor, n_records: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        """The first runs of each plane."""
        from rleseg_core.tokens.runs.planes_torch import cuts, first_runs

        cut = cuts(planes, self.line, self.max_length)
        return first_runs(planes, cut, cut, n_records)

    def find_batch_in_blocks(self, spans: Spans, n_records: int) -> tuple[Spans, Tensor]:
        """The first runs of the blocks, each of which tiles the plane."""
        from rleseg_core.tokens.runs.spans_torch import cut_spans

        return cut_spans(_with_gaps(spans, self.n_pixels), self.line, self.max_length, n_records)

    def resolve(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        """The runs with their starts, unless some would cross a line or leave the plane."""
        _, length, symbol = records
        start = sum_within(length, plane) - length
        if (start % self.line + length > self.line).any() or (start >= self.n_pixels).any():
            return None
        return Runs(start, length, symbol)

    def decoder(self) -> RunDecoder:
        """Cuts runs where their line ends, and skips those after the last pixel."""
        return _Decoder(self.n_pixels, self.line)

    def continued(
        self, guess: Runs[np.ndarray], cursor: Cursor, n_records: int
    ) -> Runs[np.ndarray]:
        """What is left of the runs that end behind the cursor."""
        start, length, symbol = guess
        end = start + length
        first = int(np.searchsorted(end, cursor.position, side="right"))
        some = slice(first, first + n_records)
        start = np.maximum(start[some], cursor.position)
        return Runs(start, np.minimum(end[some] - start, self.max_length), symbol[some])


class _Decoder:
    def __init__(self, n_pixels: int, line: int) -> None:
        self._n_pixels, self._line, self._cursor = n_pixels, line, 0

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[DecodedRun], str | None, bool]:
        start = self._cursor
        if start == self._n_pixels:
            return [], f"follows the last of {start} pixels, expected no more runs", False
        length, wrong = cut_at_line(start, length, self._line)
        self._cursor += length
        return [DecodedRun(start, length, symbol, tokens)], wrong, True

    def finish(self) -> list[DecodedRun]:
        return []


def _with_gaps(spans: Spans, n_pixels: int) -> Spans:
    """Spans with the background before each, and after the last of each block, (B, 3W)."""
    import torch

    there = spans.length > 0
    end = spans.start + spans.length
    other = torch.ones_like(there)  # the span before belongs to another block
    other[:, 1:] = spans.block[:, 1:] != spans.block[:, :-1]
    before = torch.zeros_like(end)
    before[:, 1:] = torch.where(other[:, 1:], 0, end[:, :-1])
    is_last = torch.ones_like(there)
    is_last[:, :-1] = other[:, 1:] | ~there[:, 1:]
    nothing = torch.zeros_like(end)

    def three(gap: Tensor, span: Tensor, after: Tensor) -> Tensor:
        return torch.stack((gap, span, after), 2).flatten(1)

    return type(spans)(
        three(before, spans.start, end),
        three((spans.start - before) * there, spans.length, (n_pixels - end) * (is_last & there)),
        three(nothing, spans.symbol, nothing),
        spans.block.repeat_interleave(3, 1),
        spans.label.repeat_interleave(3, 1),
    )
