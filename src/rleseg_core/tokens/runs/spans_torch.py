"""The runs of the blocks of a batch of masks on their device; linear in the masks.

No plane is made for each block: the planes of all blocks together are cut into spans, each a range
of pixels that belong to one block in the same frames, and spans are sorted by block. Everything is
padded to a fixed width, so the host never waits; padding has length 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Spans(NamedTuple):
    """Ranges of pixels (B, W) of the planes of blocks, by block and start."""

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


def find_spans(ids: Tensor, classes: Tensor) -> Spans:
    """Maximal ranges of pixels of one block and symbol, (B, F·P); the symbol has a bit per layer.

    Parameters
    ----------
    ids : (B, F, P) integer tensor
        The block of the mask pixels behind each position, 0 = none; see `Flattening.layers`.
    classes : (B, F, P) integer tensor
        Class ids.
    """
    n_rows, n_layers, n_pixels = ids.shape
    ids = ids.long()
    edge = torch.ones((n_rows, n_pixels), dtype=torch.bool, device=ids.device)
    edge[:, 1:] = (ids[..., 1:] != ids[..., :-1]).any(1)
    bounds = _compact(edge, torch.arange(n_pixels, device=ids.device).expand_as(edge), n_pixels)
    start, length = bounds[:, :-1], bounds.diff(dim=1)
    at = start.clamp(max=n_pixels - 1)[:, None].expand_as(ids)
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


def cut_spans(spans: Spans, line: int, limit: int, width: int) -> tuple[Spans, Tensor]:
    """Spans cut where lines end, and within them into pieces of `limit` pixels; the first `width`.

    Spans of length 0 have no pieces.
    """
    start, length = spans.start, spans.length
    first = length.minimum(line - start % line)  # pixels before the first line ends
    per_line, rest = -(-line // limit), length - first
    n_first = -(-first // limit)
    n_pieces = n_first + rest // line * per_line - (-(rest % line) // limit)
    index, piece, total = expand(n_pieces, width)
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


def expand(counts: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
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
