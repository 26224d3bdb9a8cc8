"""Keys and values of unfinished sequences, so that one more token costs one decoder step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rleseg_core.model.heads import rows_of
from rleseg_core.model.layers import attend
from rleseg_core.model.pointer import PointerMemory
from rleseg_core.model.rows import RowMoves


class NewPositions:
    """The positions that the next T tokens of B sequences take; the same in every layer.

    Parameters
    ----------
    lengths : (B,) int64 tensor
        Tokens that each sequence has, from 0 to `longest`.
    longest : int
        The most tokens that any of them has.
    n_new : int
        T, tokens that come next.
    capacity : int
        Positions that the cache has memory for.
    uniform : bool
        Whether all sequences have `longest` tokens: then the new ones take one slice of the cache,
        and a single token needs no mask.
    static_keys : int or None
        Keys to attend to, at least ``longest + n_new``, for shapes that stay the same from step to
        step, as a CUDA graph needs them; None: no more than there are.
    """

    def __init__(
        self,
        lengths: Tensor,
        longest: int,
        n_new: int,
        capacity: int,
        *,
        uniform: bool,
        static_keys: int | None = None,
    ) -> None:
        fits = longest + n_new <= capacity
        self.first = longest if uniform and fits and static_keys is None else None
        self.n_keys = min(longest + n_new, capacity) if static_keys is None else static_keys
        new = torch.arange(n_new, device=lengths.device)
        self.indices = (lengths[:, None] + new).clamp(max=capacity - 1)  # (B, T)
        self.mask: Tensor | None = None
        if n_new > 1 or self.first is None:
            keys = torch.arange(self.n_keys, device=lengths.device)
            self.mask = (keys <= self.indices[..., None])[:, None]  # (B, 1, T, K)

    def attend(self, cache: "KeyValueCache", query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Self-attention of the new positions, (B, H, T, D) each, whose keys the cache takes in."""
        keys, values = cache.append(self, key, value)
        return attend(query, keys, values, mask=self.mask)

    def attend_context(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What queries (B, H, T, D) find in the context of their windows (B, H, M, D)."""
        return attend(query, keys, values)


class PackedPositions:
    """Positions that sequences take with different numbers of tokens, packed one after another.

    What follows is computed for these N positions alone, without padding; only attention goes from
    sequence to sequence.

    Parameters
    ----------
    n_before : (B,) list of int
        Tokens that each sequence has.
    n_new : (B,) list of int
        Tokens of each sequence that come next; 0 leaves it out.
    device : torch.device
        Where the positions are needed.

    Attributes
    ----------
    rows, columns, indices : (N,) int64 tensor
        The sequence of each position, its place among the new ones, and among all.
    """

    def __init__(self, n_before: Sequence[int], n_new: Sequence[int], device: torch.device) -> None:
        counts = torch.tensor(n_new, device=device)
        self.rows = torch.arange(len(n_new), device=device).repeat_interleave(counts)
        first = counts.cumsum(0) - counts
        self.columns = torch.arange(len(self.rows), device=device) - first[self.rows]
        self.indices = torch.tensor(n_before, device=device)[self.rows] + self.columns
        ends = (first + counts).tolist()
        self._spans = [
            (row, slice(end - n, end), before)
            for row, (before, n, end) in enumerate(zip(n_before, n_new, ends, strict=True))
            if n
        ]
        n_keys = max(b + n for b, n in zip(n_before, n_new, strict=True))
        self._mask = torch.full((n_keys, n_keys), -torch.inf, device=device).triu(1)

    def attend(self, cache: "KeyValueCache", query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Self-attention of the new positions, (1, H, N, D) each, whose keys the cache takes in."""
        mixed = torch.empty_like(query)
        for row, new, before in self._spans:
            n_keys = before + new.stop - new.start
            cache.keys[row, :, before:n_keys] = key[0, :, new]
            cache.values[row, :, before:n_keys] = value[0, :, new]
            mixed[:, :, new] = attend(
                query[:, :, new],
                cache.keys[row : row + 1, :, :n_keys],
                cache.values[row : row + 1, :, :n_keys],
                mask=self._mask[before:n_keys, :n_keys].to(query.dtype),
            )
        return mixed

    def attend_context(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What queries (1, H, N, D) find in the context of their windows (B, H, M, D)."""
        mixed = torch.empty_like(query)
        for row, new, _ in self._spans:
            at = slice(row, row + 1)
            mixed[:, :, new] = attend(query[:, :, new], keys[at], values[at])
        return mixed


class KeyValueCache:
    """Keys and values of one layer's self-attention, in memory of a fixed size.

    Parameters
    ----------
    keys, values : (B, H, L, D) tensor
        Memory for L positions.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def append(self, new: NewPositions, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values (B, H, T, D) of new positions; return those to attend to."""
        if new.first is not None:
            taken = slice(new.first, new.first + key.shape[2])
            self.keys[:, :, taken], self.values[:, :, taken] = key, value
        else:
            at = new.indices[:, None, :, None].expand_as(key)
            self.keys.scatter_(2, at, key)
            self.values.scatter_(2, at, value)
        return self.keys[:, :, : new.n_keys], self.values[:, :, : new.n_keys]

    def select(self, rows: Tensor) -> "KeyValueCache":
        """The cache of some of the sequences, `rows` (B',) integers."""
        return KeyValueCache(self.keys[rows], self.values[rows])

    def keep(self, moves: RowMoves, longest: int) -> "KeyValueCache":
        """The cache of some of the sequences, of at most `longest` tokens, in the same memory."""
        moves.within(self.keys[:, :, :longest])
        moves.within(self.values[:, :, :longest])
        return KeyValueCache(self.keys[: moves.n_kept], self.values[: moves.n_kept])


@dataclass
class Cache:
    """Everything that a further step needs of B unfinished sequences.

    Parameters
    ----------
    self_attention : list of KeyValueCache
        One for each decoder layer.
    context : list of (keys, values)
        Of each layer's cross-attention, (B, H, M, D / H) each.
    table : (V, D) tensor
        The vectors of the tokens.
    pointer : PointerMemory or None
        The features of windows that pointers read, if starts look at the image.
    positions : (B,) int64 tensor
        Tokens that each sequence has; what memory holds beyond them is not attended to.
    longest : int
        The most tokens that any sequence has.
    uniform : bool
        Whether all sequences have the same number of tokens.
    n_heads : int
        K: with several heads, B counts the K sequences of each window.
    cursors : (B, L + 1, 4) int64 tensor or None
        The cursor state before the first token and after each one
        (`rleseg_core.model.pointer.CursorState`), if starts look at the image.
    """

    self_attention: list[KeyValueCache]
    context: list[tuple[Tensor, Tensor]]
    table: Tensor
    pointer: PointerMemory | None
    positions: Tensor
    longest: int = 0
    uniform: bool = True
    n_heads: int = 1
    cursors: Tensor | None = None

    @property
    def capacity(self) -> int:
        """L, positions that there is memory for."""
        return self.self_attention[0].keys.shape[2]

    def new_positions(self, n_new: int, static_keys: int | None = None) -> NewPositions:
        """The positions of the next `n_new` tokens of each sequence."""
        return NewPositions(
            self.positions,
            self.longest,
            n_new,
            self.capacity,
            uniform=self.uniform,
            static_keys=static_keys,
        )

    def packed_positions(self, n_new: Sequence[int]) -> PackedPositions:
        """The positions of the next `n_new` (B,) tokens of each sequence."""
        return PackedPositions(self.positions.tolist(), n_new, self.positions.device)

    def rollback(self, positions: Tensor, longest: int) -> None:
        """Drop the last tokens: keep `positions` (B,) of each sequence, at most `longest`."""
        self.positions, self.longest, self.uniform = positions, longest, False

    def select(self, rows: Tensor) -> "Cache":
        """The cache of some of the sequences, or windows of several heads, `rows` (B',)."""
        windows = rows
        if self.n_heads > 1:
            rows = rows_of(rows, self.n_heads)
        return Cache(
            self_attention=[cache.select(rows) for cache in self.self_attention],
            context=[(keys[rows], values[rows]) for keys, values in self.context],
            table=self.table,
            pointer=None if self.pointer is None else self.pointer.select(windows),
            positions=self.positions[rows],
            longest=self.longest,
            uniform=self.uniform,
            n_heads=self.n_heads,
            cursors=None if self.cursors is None else self.cursors[rows],
        )

    def keep(self, moves: RowMoves) -> "Cache":
        """The cache of some of the sequences in the memory of all, which is no longer to be used.

        Unlike `select` it copies a sequence only where it takes the place of one that ended.
        """
        return replace(
            self,
            self_attention=[cache.keep(moves, self.longest) for cache in self.self_attention],
            context=[(moves.keep(keys), moves.keep(values)) for keys, values in self.context],
            pointer=None if self.pointer is None else self.pointer.keep(moves),
            positions=moves.keep(self.positions),
            cursors=None if self.cursors is None else moves.keep(self.cursors),
        )

    def replace(self, rows: Tensor, other: "Cache") -> None:
        """Begin the B' sequences of `other` in place of those of `rows` (B',)."""
        for (keys, values), (new_keys, new_values) in zip(self.context, other.context, strict=True):
            keys[rows], values[rows] = new_keys, new_values
        if self.pointer is not None and other.pointer is not None:
            self.pointer.replace(rows, other.pointer)
        self.positions[rows] = 0
        self.uniform = False
