"""Changes only: where the symbol differs from the one before, and by how much (Sec. VI)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.fields import Delta, Field
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import Runs, sum_within
from rleseg_core.tokens.runs.base import (
    Cursor,
    DecodedRun,
    GrammarRules,
    RunDecoder,
    RunKind,
    start_fields,
)
from rleseg_core.tokens.runs.planes import by_plane, segments
from rleseg_core.tokens.scheme import Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from rleseg_core.tokens.runs.spans_torch import Spans


class Change(RunKind):
    """The pixels where a symbol differs from the one before, and by how much (differential).

    The symbol before the first pixel of a line is the background. The symbol of a record is the
    difference, its length is 1. A budget keeps the first changes so that they say whole runs:
    where the next one would have come in the same line, the last one turns to the background, or
    is left out if that was before it.
    """

    has_lengths: ClassVar[bool] = False
    read_off: ClassVar[Literal["foreground", "tiling", "change"] | None] = "change"

    @classmethod
    def check(cls, scheme: Scheme, spec: MaskSpec) -> None:
        """Changes need a start and a token of their own."""
        if scheme.start is None:
            raise SchemeError(
                f"runs={scheme.runs!r} cannot be placed with start=None; use start='flat', "
                "start='coords' or runs='tiling'"
            )
        if scheme.symbol != "token":
            what = "has no length to fuse" if scheme.symbol else "must say what changes"
            raise SchemeError(
                f"runs={scheme.runs!r} with symbol={scheme.symbol!r}: a change {what}; use "
                "symbol='token'"
            )

    def fields(self, scheme: Scheme, flattening: Flattening) -> tuple[Field, ...]:
        """Start and difference."""
        return (*start_fields(scheme, flattening), Delta(flattening))

    def rules(self) -> GrammarRules:
        """Changes may not lead below the background or above the highest symbol."""
        return GrammarRules(n_symbols=self.n_symbols)

    def start_tokens(self, scheme: Scheme) -> Literal["flat", "coords", "implied"] | None:
        """One token, or a row and a column, as `Scheme.start` chooses."""
        return scheme.start

    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        """Changes (R,) of planes (B, n_pixels) by plane and pixel, and the plane of each (R,)."""
        bounds, symbol = segments(planes, self.line)
        start, symbol = bounds[:-1], symbol.astype(np.int64)
        before = np.concatenate(([0], symbol[:-1]))
        before[start % self.line == 0] = 0
        delta = symbol - before
        index = np.flatnonzero(delta)
        changes = Runs(start[index], np.ones_like(index), delta[index])
        return by_plane(changes, len(planes), self.n_pixels)

    def truncate(
        self, records: Runs[np.ndarray], block: np.ndarray, kept: np.ndarray
    ) -> tuple[Runs[np.ndarray], np.ndarray]:
        """The first changes of each mask, so that they say whole runs."""
        first, kept = super().truncate(records, block, kept)
        if kept.size == block.size or not kept.size:
            return first, kept
        line = block * (self.n_pixels // self.line) + records.start // self.line
        now = sum_within(records.symbol, line)
        after = np.minimum(kept + 1, block.size - 1)
        is_last = np.append(np.diff(kept) > 1, kept[-1] + 1 < block.size)  # dropped ones follow
        closing = is_last & (line[after] == line[kept]) & (now[kept] != 0)
        before = now[kept] - first.symbol
        symbol = np.where(closing, -before, first.symbol)
        says = np.flatnonzero(~closing | (before != 0))
        return Runs(*(column[says] for column in first._replace(symbol=symbol))), kept[says]

    def find_batch(
        self, planes: Tensor, n_records: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        """The first changes of each plane."""
        import torch

        from rleseg_core.tokens.runs.planes_torch import positions

        before = torch.zeros_like(planes)
        before[:, 1:] = planes[:, :-1]
        before[:, :: self.line] = 0
        n_differing = (planes != before).cumsum(1, dtype=torch.int32)
        start = positions(n_differing, n_records + 1)
        at = start.clamp(max=self.n_pixels - 1)
        now = planes.gather(1, at).long()
        there = start < self.n_pixels
        delta = (now - before.gather(1, at).long()) * there
        records = Runs(start, there.long(), delta)
        n_kept = there[:, :n_records].sum(1)
        closed = _closed(records, now, start // self.line, n_kept)
        return closed, n_differing[:, -1].long()

    def find_batch_in_blocks(self, spans: Spans, n_records: int) -> tuple[Spans, Tensor]:
        """Changes whose symbol is the one after them; one more than asked for, to close the last.

        There is one where each span begins, and one where it ends, unless another follows at once.
        """
        import torch

        from rleseg_core.tokens.runs.spans_torch import cut_spans, expand

        width = n_records + 1
        pieces, _ = cut_spans(spans, self.line, self.line, spans.start.shape[1])
        there = pieces.length > 0
        end = pieces.start + pieces.length
        follows = torch.zeros_like(there)
        follows[:, :-1] = (
            there[:, 1:]
            & (pieces.block[:, 1:] == pieces.block[:, :-1])
            & (pieces.start[:, 1:] == end[:, :-1])
        )
        closes = there & ~follows & (end % self.line != 0)
        counts = torch.stack((there, closes), 2).flatten(1).long()
        index, _, total = expand(counts, width)
        both = type(spans)(
            torch.stack((pieces.start, end), 2).flatten(1),
            counts,
            torch.stack((pieces.symbol, torch.zeros_like(end)), 2).flatten(1),
            pieces.block.repeat_interleave(2, 1),
            pieces.label.repeat_interleave(2, 1),
        ).take(index)
        there = torch.arange(width, device=end.device) < total[:, None]
        return both._replace(length=there.long()), total

    def keep_in_blocks(self, spans: Spans, kept: Tensor) -> Runs[Tensor]:
        """The first changes, saying whole runs."""
        import torch

        n_lines = self.n_pixels // self.line
        line = spans.block * n_lines + spans.start // self.line
        same = torch.zeros_like(line, dtype=torch.bool)
        same[:, 1:] = line[:, 1:] == line[:, :-1]
        before = torch.zeros_like(spans.symbol)
        before[:, 1:] = torch.where(same[:, 1:], spans.symbol[:, :-1], 0)
        line = torch.where(spans.length > 0, line, -1)
        records = Runs(spans.start, spans.length, spans.symbol - before)
        return _closed(records, spans.symbol, line, kept[:, :-1].sum(1))

    def resolve(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        """The runs from each change to the next, unless some go back or lead out of the symbols."""
        start, _, delta = records
        if not start.size:
            return records
        pixel = plane * self.n_pixels + start
        line = pixel // self.line
        symbol = sum_within(delta, line)
        if (np.diff(pixel) <= 0).any() or symbol.min() < 0 or symbol.max() > self.n_symbols:
            return None
        end = (line + 1) * self.line
        end[:-1] = np.minimum(end[:-1], pixel[1:])
        return Runs(start, end - pixel, symbol)

    def decoder(self) -> RunDecoder:
        """Skips changes that go back or lead out of the symbols."""
        return _Decoder(self.line, self.n_symbols)

    def cursor(self, records: Runs[np.ndarray]) -> Cursor:
        """The pixel after the last change, and the symbol there."""
        runs = self.resolve(records, np.zeros(records.start.size, np.int64))
        if runs is None:
            return Cursor(self.n_pixels)
        return Cursor(int(runs.start[-1]) + 1, int(runs.symbol[-1]))

    def continued(
        self, guess: Runs[np.ndarray], cursor: Cursor, n_records: int
    ) -> Runs[np.ndarray]:
        """Changes to the runs that end behind the cursor, from the symbol in front of it."""
        start, length, symbol = guess
        end = start + length
        first = int(np.searchsorted(end, cursor.position, side="right"))
        some = slice(first, first + n_records + 1)  # the first may say what is there already
        start, symbol = np.maximum(start[some], cursor.position), symbol[some]
        line = start // self.line
        line_before = np.append((cursor.position - 1) // self.line, line[:-1])[: line.size]
        before = np.append(cursor.symbol, symbol[:-1])[: line.size] * (line == line_before)
        delta = symbol - before
        says = delta != 0
        return Runs(start[says], np.ones_like(start[says]), delta[says])


class _Decoder:
    def __init__(self, line: int, n_symbols: int) -> None:
        self._line, self._n_symbols = line, n_symbols
        self._open: DecodedRun | None = None  # its length reaches to the end of the line

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[DecodedRun], str | None, bool]:
        last = self._open
        if last is not None and start <= last.start:
            return [], f"is at {start}, expected a change after {last.start}", False
        same_line = last is not None and start < last.start + last.length
        now = symbol + (last.symbol if last is not None and same_line else 0)
        if not 0 <= now <= self._n_symbols:
            return [], f"makes {now}, expected 0 to {self._n_symbols}", False
        self._open = DecodedRun(start, self._line - start % self._line, now, tokens)
        if last is None:
            return [], None, True
        return [last._replace(length=min(last.length, start - last.start))], None, True

    def finish(self) -> list[DecodedRun]:
        last, self._open = self._open, None
        return [last] if last is not None else []


def _closed(records: Runs[Tensor], now: Tensor, line: Tensor, n_kept: Tensor) -> Runs[Tensor]:
    """The first `n_kept` (B,) changes of each row, so that they say whole runs.

    Parameters
    ----------
    records : Runs of (B, R + 1) tensors
        Changes, at least one more than are kept of each row where there is one.
    now : (B, R + 1) int64 tensor
        The symbol after each change.
    line : (B, R + 1) int64 tensor
        The line of each change, of different number for different planes; padding has others.
    n_kept : (B,) int64 tensor
        At most R.

    Returns
    -------
    Runs of (B, R) tensors
        Padded with length and symbol 0, and start as it was.
    """
    import torch

    rank = torch.arange(now.shape[1] - 1, device=now.device)
    last, after = (n_kept - 1).clamp(min=0)[:, None], n_kept[:, None]
    cut = (line.gather(1, last) == line.gather(1, after)) & (after > 0)  # inside a line
    closing = cut & (now.gather(1, last) != 0)
    before = (now - records.symbol).gather(1, last)
    is_last = rank == last
    kept = (rank < after) & ~(is_last & closing & (before == 0))
    delta = torch.where(is_last & closing, -before, records.symbol[:, :-1])
    return Runs(records.start[:, :-1], records.length[:, :-1] * kept, delta * kept)
