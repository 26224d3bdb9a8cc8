"""What unfinished sequences have behind them, so that a further token costs no more than itself."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rleseg_core.model.heads import rows_of
from rleseg_core.model.pointer import PointerMemory


class Place:
    """Where the next T tokens of B sequences go, the same in every layer.

    Parameters
    ----------
    positions : (B,) int64 tensor
        How many tokens each sequence has.
    longest : int
        The most that one of them has.
    n_new : int
        T.
    room : int
        Positions that there is memory for.
    alike : bool
        All sequences have `longest` tokens: new ones go to one place, and one token sees all there
        is.
    fixed : int or None
        Positions to look at, at least ``longest + n_new``; None: no more than needed. Shapes that
        stay the same can be recorded once and replayed.
    """

    def __init__(
        self,
        positions: Tensor,
        longest: int,
        n_new: int,
        room: int,
        *,
        alike: bool,
        fixed: int | None = None,
    ) -> None:
        fits = longest + n_new <= room
        self.first = longest if alike and fits and fixed is None else None
        self.n_keys = min(longest + n_new, room) if fixed is None else fixed
        new = torch.arange(n_new, device=positions.device)
        self.rows = (positions[:, None] + new).clamp(max=room - 1)  # (B, T)
        self.mask: Tensor | None = None
        if n_new > 1 or self.first is None:
            keys = torch.arange(self.n_keys, device=positions.device)
            self.mask = (keys <= self.rows[..., None])[:, None]  # (B, 1, T, K)


class KeyValueCache:
    """Keys and values of the positions so far, in memory of a fixed size.

    Parameters
    ----------
    keys, values : (B, H, L, D) tensor
        Room for L positions.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def append(self, place: Place, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put in new positions, (B, H, T, D) each; the keys and values to look at come back."""
        if place.first is not None:
            new = slice(place.first, place.first + key.shape[2])
            self.keys[:, :, new], self.values[:, :, new] = key, value
        else:
            at = place.rows[:, None, :, None].expand_as(key)
            self.keys.scatter_(2, at, key)
            self.values.scatter_(2, at, value)
        return self.keys[:, :, : place.n_keys], self.values[:, :, : place.n_keys]

    def select(self, rows: Tensor) -> "KeyValueCache":
        """That of some of the sequences, `rows` (B',) integers."""
        return KeyValueCache(self.keys[rows], self.values[rows])


@dataclass
class Cache:
    """Everything of B unfinished sequences that a further step needs.

    Parameters
    ----------
    own : list of KeyValueCache
        Of each layer's self-attention.
    context : list of (keys, values)
        Of each layer's cross-attention, (B, H, M, D / H) each.
    table : (V, D) tensor
        The vectors of the tokens.
    pointer : PointerMemory or None
        If starts look at the image.
    positions : (B,) int64 tensor
        How many tokens each sequence has; what lies behind in memory is not looked at.
    longest : int
        The most that one of them has.
    alike : bool
        Whether all have as many.
    n_heads : int
        K: with several heads, B counts the K sequences of each window.
    trails : (B, L + 1, 3) int64 tensor or None
        Where each sequence stood before its first token and after each one (`Trail`), if starts
        look at the image.
    """

    own: list[KeyValueCache]
    context: list[tuple[Tensor, Tensor]]
    table: Tensor
    pointer: PointerMemory | None
    positions: Tensor
    longest: int = 0
    alike: bool = True
    n_heads: int = 1
    trails: Tensor | None = None

    @property
    def room(self) -> int:
        """Positions that there is memory for."""
        return self.own[0].keys.shape[2]

    def place(self, n_new: int, fixed: int | None = None) -> Place:
        """Where the next tokens go."""
        return Place(self.positions, self.longest, n_new, self.room, alike=self.alike, fixed=fixed)

    def take_back(self, positions: Tensor, longest: int) -> None:
        """Go back to `positions` (B,) of each sequence, `longest` at most."""
        self.positions, self.longest, self.alike = positions, longest, False

    def select(self, rows: Tensor) -> "Cache":
        """That of some of the sequences, or windows of several heads, `rows` (B',) integers."""
        if self.n_heads > 1:
            rows = rows_of(rows, self.n_heads)
        return Cache(
            own=[cache.select(rows) for cache in self.own],
            context=[(keys[rows], values[rows]) for keys, values in self.context],
            table=self.table,
            pointer=None if self.pointer is None else self.pointer.select(rows),
            positions=self.positions[rows],
            longest=self.longest,
            alike=self.alike,
            n_heads=self.n_heads,
            trails=None if self.trails is None else self.trails[rows],
        )

    def replace(self, rows: Tensor, other: "Cache") -> None:
        """Begin other sequences in place of some, `rows` (B',), with what `other` has of B'."""
        for (keys, values), (new_keys, new_values) in zip(self.context, other.context, strict=True):
            keys[rows], values[rows] = new_keys, new_values
        if self.pointer is not None and other.pointer is not None:
            self.pointer.replace(rows, other.pointer)
        self.positions[rows] = 0
        self.alike = False
