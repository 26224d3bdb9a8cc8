"""The runs of the blocks of a batch of masks on their device; linear in the masks.

No plane is made for each block: the planes of all blocks together are cut into spans, each a range
of cells that belong to one block in the same frames, and spans are sorted by block. Everything is
padded to a fixed width, so the host never waits; padding has length 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rleseg_core.tokens.runs import Change, Foreground, RunKind, Runs, Tiling
from rleseg_core.tokens.runs_torch import close_changes


class Spans(NamedTuple):
    """Ranges of cells (B, W) of the planes of blocks, by block and start."""

    start: Tensor
    length: Tensor
    symbol: Tensor
    block: Tensor
    """Index of the block of each span, from 0."""
    label: Tensor
    """Class id of the block."""

    def take(self, index: Tensor) -> Spans:
        """Spans of other indices (B, W')."""
        return Spans(*(column.gather(1, index) for column in self))


def find_in_blocks(
    ids: Tensor, classes: Tensor, kind: RunKind, n_runs: int
) -> tuple[Spans, Tensor]:
    """The first `n_runs` of each mask, as `blocks.find_in_blocks` finds them.

    Parameters
    ----------
    ids : (B, F, P) integer tensor
        The block of what each cell is made of, 0 = none; see `Canvas.layers`.
    classes : (B, F, P) integer tensor
        Class ids.
    kind : RunKind
        What to find.
    n_runs : int
        R; one more is given for changes, which `close_changes` needs.

    Returns
    -------
    Spans of (B, R) tensors
        Runs; the symbol of a change is the symbol after it.
    (B,) tensor
        Runs of each mask, those dropped included.
    """
    spans = find_spans(ids, classes)
    if isinstance(kind, Foreground):
        return _cut(spans, kind.line, kind.max_length, n_runs)
    if isinstance(kind, Tiling):
        return _cut(_with_gaps(spans, kind.n_cells), kind.line, kind.max_length, n_runs)
    width = spans.start.shape[1]
    pieces, _ = _cut(spans, kind.line, kind.line, width)
    return _changes(pieces, kind, n_runs + 1)


def first_changes(spans: Spans, kind: Change, n_kept: Tensor) -> Runs[Tensor]:
    """The first `n_kept` (B,) of the changes that `find_in_blocks` gave, saying whole runs."""
    n_lines = kind.n_cells // kind.line
    line = spans.block * n_lines + spans.start // kind.line
    same = torch.zeros_like(line, dtype=torch.bool)
    same[:, 1:] = line[:, 1:] == line[:, :-1]
    before = torch.zeros_like(spans.symbol)
    before[:, 1:] = torch.where(same[:, 1:], spans.symbol[:, :-1], 0)
    line = torch.where(spans.length > 0, line, -1)
    runs = Runs(spans.start, spans.length, spans.symbol - before)
    return close_changes(runs, spans.symbol, line, n_kept)


def find_spans(ids: Tensor, classes: Tensor) -> Spans:
    """Maximal ranges of cells of one block and symbol, (B, F·P); the symbol has a bit per layer."""
    n_rows, n_layers, n_cells = ids.shape
    ids = ids.long()
    edge = torch.ones((n_rows, n_cells), dtype=torch.bool, device=ids.device)
    edge[:, 1:] = (ids[..., 1:] != ids[..., :-1]).any(1)
    bounds = _compact(edge, torch.arange(n_cells, device=ids.device).expand_as(edge), n_cells)
    start, length = bounds[:, :-1], bounds.diff(dim=1)
    at = start.clamp(max=n_cells - 1)[:, None].expand_as(ids)
    ids, classes = ids.gather(2, at), classes.long().gather(2, at)
    symbol, first = torch.zeros_like(ids), (ids > 0) & (length > 0)[:, None]
    for layer in range(n_layers):
        same = ids == ids[:, layer, None]
        symbol += same.long() << layer
        first[:, layer + 1 :] &= ~same[:, layer + 1 :]

    def of_layers(column: Tensor) -> Tensor:
        return column[:, None].expand(-1, n_layers, -1).flatten(1)

    there, ids = first.flatten(1), ids.flatten(1)
    order = of_layers(start).argsort(dim=1, stable=True)  # by block, then start
    key = torch.where(there, ids, torch.iinfo(torch.int64).max).gather(1, order)
    order = order.gather(1, key.argsort(dim=1, stable=True))
    there, ids = there.gather(1, order), ids.gather(1, order)
    start, length = of_layers(start).gather(1, order), of_layers(length).gather(1, order)
    symbol, label = symbol.flatten(1).gather(1, order), classes.flatten(1).gather(1, order)

    new_block = there.clone()
    new_block[:, 1:] &= ids[:, 1:] != ids[:, :-1]
    begins = there.clone()
    begins[:, 1:] &= (
        new_block[:, 1:]
        | (start[:, 1:] != start[:, :-1] + length[:, :-1])
        | (symbol[:, 1:] != symbol[:, :-1])
    )
    block = (new_block.cumsum(1) - 1).clamp(min=0)
    label = _compact(new_block, label, 0)[:, :-1].gather(1, block)
    rank = torch.where(there, begins.cumsum(1) - 1, there.shape[1])
    total = torch.zeros((n_rows, there.shape[1] + 1), dtype=torch.int64, device=ids.device)
    total.scatter_add_(1, rank, length)
    return Spans(
        _compact(begins, start, 0)[:, :-1],
        total[:, :-1],
        _compact(begins, symbol, 0)[:, :-1],
        _compact(begins, block, 0)[:, :-1],
        _compact(begins, label, 0)[:, :-1],
    )


def _cut(spans: Spans, line: int, limit: int, width: int) -> tuple[Spans, Tensor]:
    """Spans cut where lines end, and within them into pieces of `limit` cells; the first `width`.

    Spans of length 0 have no pieces.
    """
    start, length = spans.start, spans.length
    first = length.minimum(line - start % line)  # cells before the first line ends
    per_line, rest = -(-line // limit), length - first
    n_first = -(-first // limit)
    n_pieces = n_first + rest // line * per_line - (-(rest % line) // limit)
    index, piece, total = _expand(n_pieces, width)
    pieces = spans.take(index)
    first, n_first = first.gather(1, index), n_first.gather(1, index)
    later = piece - n_first
    offset = torch.where(
        later < 0, piece * limit, first + later // per_line * line + later % per_line * limit
    )
    start = pieces.start + offset
    room = (pieces.length - offset).minimum(line - start % line).clamp(max=limit)
    there = torch.arange(width, device=start.device) < total[:, None]
    return pieces._replace(start=start, length=room * there), total


def _with_gaps(spans: Spans, n_cells: int) -> Spans:
    """Spans with the background before each, and after the last of each block, (B, 3W)."""
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

    return Spans(
        three(before, spans.start, end),
        three((spans.start - before) * there, spans.length, (n_cells - end) * (is_last & there)),
        three(nothing, spans.symbol, nothing),
        spans.block.repeat_interleave(3, 1),
        spans.label.repeat_interleave(3, 1),
    )


def _changes(pieces: Spans, kind: Change, width: int) -> tuple[Spans, Tensor]:
    """The first `width` changes of spans that keep to lines.

    One where each begins, and one where it ends, unless another follows at once.
    """
    there = pieces.length > 0
    end = pieces.start + pieces.length
    follows = torch.zeros_like(there)
    follows[:, :-1] = (
        there[:, 1:]
        & (pieces.block[:, 1:] == pieces.block[:, :-1])
        & (pieces.start[:, 1:] == end[:, :-1])
    )
    closes = there & ~follows & (end % kind.line != 0)
    counts = torch.stack((there, closes), 2).flatten(1).long()
    index, _, total = _expand(counts, width)
    both = Spans(
        torch.stack((pieces.start, end), 2).flatten(1),
        counts,
        torch.stack((pieces.symbol, torch.zeros_like(end)), 2).flatten(1),
        pieces.block.repeat_interleave(2, 1),
        pieces.label.repeat_interleave(2, 1),
    ).take(index)
    there = torch.arange(width, device=end.device) < total[:, None]
    return both._replace(length=there.long()), total


def _expand(counts: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (B, width) with each repeated `counts` (B, W) times, which repeat it is, and sums."""
    last = counts.cumsum(1)
    slot = torch.arange(width, device=counts.device).expand(len(counts), width).contiguous()
    index = torch.searchsorted(last, slot, right=True).clamp(max=counts.shape[1] - 1)
    return index, slot - (last - counts).gather(1, index), last[:, -1]


def _compact(flags: Tensor, values: Tensor, fill: int) -> Tensor:
    """Values (B, W) where flags are, moved to the left, (B, W + 1) filled up."""
    width = flags.shape[1]
    rank = torch.where(flags, flags.cumsum(1) - 1, width)
    moved = torch.full((len(flags), width + 1), fill, dtype=torch.int64, device=flags.device)
    moved.scatter_(1, rank, values.long())
    moved[:, width] = fill
    return moved
