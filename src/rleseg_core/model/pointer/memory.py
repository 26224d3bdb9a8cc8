"""What pointers read of windows: the features of mask pixels and what the dense heads say."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from rleseg_core.model.rows import RowMoves


class PointerMemory(NamedTuple):
    """What pointers need of a window, computed once.

    Parameters
    ----------
    features : (B, G, D) tensor
        The image at each mask pixel.
    edges : (B, G, 2 or 3) float32 tensor or None
        Log odds that a run begins, that one ends and, for object starts, that an object begins at
        each mask pixel, according to the dense heads.
    classes : (B, G, C) or (B, G + 1, N, C + 1) float32 tensor or None
        Log probabilities of the foreground classes, for one frame; for models that read the classes
        of runs off the image, of all classes, summed up over the pixels before each.
    no_start, no_end : (B, G) bool tensor or None
        In training, mask pixels at which it is unknown whether a run begins, or ends.
    """

    features: Tensor
    edges: Tensor | None = None
    classes: Tensor | None = None
    no_start: Tensor | None = None
    no_end: Tensor | None = None

    def select(self, rows: Tensor) -> "PointerMemory":
        """The memory of some of the windows, `rows` (B',) integers."""
        others = (None if part is None else part[rows] for part in self[1:])
        return PointerMemory(self.features[rows], *others)

    def keep(self, moves: RowMoves) -> "PointerMemory":
        """The memory of some of the windows, where it is."""
        others = (None if part is None else moves.keep(part) for part in self[1:])
        return PointerMemory(moves.keep(self.features), *others)

    def replace(self, rows: Tensor, other: "PointerMemory") -> None:
        """Put the memory of other windows in place of that of `rows` (B',)."""
        for part, new in zip(self, other, strict=True):
            if part is not None and new is not None:
                part[rows] = new

    def at(self, tokens: Any) -> Self:
        """What some of the tokens read, by their index along L: the same."""
        return self

    def products(self, queries: Tensor, first: int = 0) -> Tensor:
        """Products of queries (B, L, D) with the features from `first` on, (B, L, G - first)."""
        return queries @ self.features[:, first:].transpose(1, 2)

    def pick(self, values: Tensor, pixels: Tensor) -> Tensor:
        """Values (B, G, ...) of mask pixels (B, L, ...) of the tokens, (B, L, ..., ...)."""
        if pixels.ndim == 3 and not values.requires_grad:
            rows = torch.arange(len(pixels), device=pixels.device)
            return values[rows[:, None, None], pixels]
        at = pixels.flatten(1)  # faster to differentiate than indexing
        at = at.view(*at.shape, *[1] * (values.ndim - 2))
        picked = values.gather(1, at.expand(-1, -1, *values.shape[2:]))
        return picked.unflatten(1, pixels.shape[1:])

    def of_tokens(self, values: Tensor) -> Tensor:
        """Values (B, G) of all mask pixels as each token reads them, (B, 1, G)."""
        return values[:, None]


class PackedMemory(NamedTuple):
    """The memory of windows, read by tokens of all of them that lie in one row, L = N.

    Parameters
    ----------
    memory : PointerMemory
        Of B windows.
    rows : (N,) int64 tensor
        The window of each token, in increasing order.
    counts : (B,) ints
        Tokens of each window.
    """

    memory: PointerMemory
    rows: Tensor
    counts: Sequence[int]

    @classmethod
    def of(cls, memory: PointerMemory, rows: Tensor) -> Self:
        """What tokens of the windows `rows` (N,) read."""
        counts = rows.bincount(minlength=len(memory.features)).tolist()
        return cls(memory, rows, counts)

    @property
    def features(self) -> Tensor:
        """Of the windows, (B, G, D)."""
        return self.memory.features

    @property
    def edges(self) -> Tensor | None:
        """Of the windows, (B, G, 2 or 3)."""
        return self.memory.edges

    @property
    def classes(self) -> Tensor | None:
        """Of the windows, (B, G, C)."""
        return self.memory.classes

    @property
    def no_start(self) -> Tensor | None:
        """Of the windows, (B, G)."""
        return self.memory.no_start

    @property
    def no_end(self) -> Tensor | None:
        """Of the windows, (B, G)."""
        return self.memory.no_end

    def at(self, tokens: Any) -> "PackedMemory":
        """What some of the tokens read, by their index."""
        return PackedMemory.of(self.memory, self.rows[tokens])

    def products(self, queries: Tensor, first: int = 0) -> Tensor:
        """Products of queries (1, N, D) with the features from `first` on, (1, N, G - first)."""
        found = queries.new_empty(queries.shape[1], self.features.shape[1] - first)
        n_done = 0
        for row, n in enumerate(self.counts):
            if n:
                new = slice(n_done, n_done + n)
                torch.mm(queries[0, new], self.features[row, first:].T, out=found[new])
                n_done += n
        return found[None]

    def pick(self, values: Tensor, pixels: Tensor) -> Tensor:
        """Values (B, G, ...) of mask pixels (1, N, ...) of the tokens, (1, N, ..., ...)."""
        return values[self.rows.view(1, -1, *[1] * (pixels.ndim - 2)), pixels]

    def of_tokens(self, values: Tensor) -> Tensor:
        """Values (B, G) of all mask pixels as each token reads them, (1, N, G)."""
        return values[self.rows][None]
