"""The causal decoder: whole sequences in training, a token or a few at a time in decoding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.cache import Cache, KeyValueCache, NewPositions, PackedPositions
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import (
    NORM_EPS,
    CrossAttention,
    DropPath,
    Mlp,
    SelfAttention,
    embedding,
)
from rleseg_core.model.pointer import (
    CursorState,
    HeadPointer,
    HeadTurns,
    PackedMemory,
    Pointer,
    PointerMemory,
    TokenTable,
)

State = Any  # a CursorState, or of several heads a HeadState


@dataclass(frozen=True)
class Memory:
    """What the encoder computes of B windows, once for all their tokens.

    Parameters
    ----------
    context : (B, M, D) tensor
        What cross-attention reads.
    mask_features : (B, G, D) tensor or None
        The image at each mask pixel, if starts look at it.
    dense : (B, G, N, C + 1) tensor or None
        Class logits of each mask pixel in each frame, if there is a head for them.
    affinities : (B, G, K) tensor or None
        Log odds that each mask pixel and another belong to one object, if there is a head for it.
    ignored : (B, G) bool tensor or None
        In training, mask pixels that do not count: no run begins or ends there.
    pixels : (B, C + 1 + 2, P, P) tensor or None
        Logits of the pixels of the patch, if there is a head for outlines; see `OutlineHead`.
    """

    context: Tensor
    mask_features: Tensor | None = None
    dense: Tensor | None = None
    affinities: Tensor | None = None
    ignored: Tensor | None = None
    pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.context)

    @classmethod
    def joined(cls, memories: Sequence[Self]) -> Self:
        """One memory of the windows of several, one at least."""
        if len(memories) == 1:
            return memories[0]
        joined: dict[str, Any] = {}
        for part in fields(cls):
            own = [getattr(memory, part.name) for memory in memories]
            joined[part.name] = None if own[0] is None else torch.cat(own)
        return cls(**joined)

    def select(self, rows: Tensor | slice) -> "Memory":
        """The memory of some of the windows, `rows` (B',) integers, or a slice as views."""
        others = (self.mask_features, self.dense, self.affinities, self.ignored, self.pixels)
        return Memory(self.context[rows], *(None if x is None else x[rows] for x in others))

    def to(self, dtype: torch.dtype) -> "Memory":
        """The memory with the decoder's inputs in another precision."""
        features = None if self.mask_features is None else self.mask_features.to(dtype)
        return replace(self, context=self.context.to(dtype), mask_features=features)


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, cross-attention and MLP; the context is not normalised."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, n_heads = config.decoder.dim, config.decoder.n_heads
        self.self_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.self_attention = SelfAttention(dim, n_heads, causal=True)
        self.cross_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.cross_attention = CrossAttention(dim, n_heads)
        self.mlp = Mlp(dim, config.decoder.mlp_dim, config.dropout, config.drop_path)
        self.drop_path = DropPath(config.drop_path)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, L, D) to the same."""
        x = x + self.drop_path(self.self_attention(self.self_norm(x)))
        x = x + self.drop_path(self.cross_attention(self.cross_norm(x), keys, values))
        return self.mlp(x)

    def extend(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        cache: KeyValueCache,
        new: NewPositions | PackedPositions,
    ) -> Tensor:
        """(B, T, D) of new positions to the same; each sees the cache and those up to itself."""
        attention = self.self_attention
        mixed = new.attend(cache, *attention.project(self.self_norm(x)))
        x = x + attention.out(mixed.transpose(1, 2).flatten(2))
        x = x + self.cross_attention(self.cross_norm(x), keys, values, new.attend_context)
        return self.mlp(x)


class Decoder(nn.Module):
    """Logits of the next token from the tokens so far."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.decoder.dim
        self.tokens = TokenTable(config)
        self.positions = embedding(config.tokens.max_tokens, dim)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder.n_layers))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        grid = config.tokens.grid
        self.pointer = None
        if config.pointer.reads_image and grid is not None:
            self.pointer = (HeadPointer if config.tokens.heads else Pointer)(config, grid)

    def _stack(self) -> Iterable[DecoderLayer]:
        return cast(Iterable[DecoderLayer], self.layers)

    def _embed(
        self,
        tokens: Tensor,
        table: Tensor,
        state: State | None,
        pointer: PointerMemory | PackedMemory | None,
        positions: Tensor,
    ) -> Tensor:
        x = F.embedding(tokens, table) + positions
        if self.pointer is not None and pointer is not None and state is not None:
            x = x + self.pointer.embed(state, pointer)
        return x

    def _logits(
        self,
        x: Tensor,
        table: Tensor,
        state: State | None,
        pointer: PointerMemory | PackedMemory | None,
    ) -> Tensor:
        x = self.norm(x)
        logits = F.linear(x, table, self.tokens.bias)
        if self.pointer is not None and pointer is not None and state is not None:
            logits = self.pointer.add_logits(logits, x, state, pointer)
        return logits

    def _remember(self, memory: Memory) -> PointerMemory | None:
        if self.pointer is None or memory.mask_features is None:
            return None
        return self.pointer.remember(
            memory.mask_features, memory.dense, memory.affinities, memory.ignored
        )

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Logits (B, L, V) after each of the tokens (B, L)."""
        table, pointer = self.tokens(), self._remember(memory)
        state: State | None = None
        if isinstance(self.pointer, HeadPointer):
            state = self.pointer.states(tokens)
        elif self.pointer is not None:
            tracker = self.pointer.tracker
            state = tracker.advance(tokens, tracker.initial(len(tokens)))
        x = self._embed(tokens, table, state, pointer, self.positions[: tokens.shape[1]])
        for layer in self._stack():
            x = layer(x, *layer.cross_attention.context(memory.context))
        return self._logits(x, table, state, pointer)

    def new_cache(self, memory: Memory, max_tokens: int) -> Cache:
        """An empty cache with memory for `max_tokens` positions."""
        self_attention, context = [], []
        for layer in self._stack():
            keys, values = layer.cross_attention.context(memory.context)
            context.append((keys.contiguous(), values.contiguous()))
            b, h, _, d = keys.shape
            self_attention.append(KeyValueCache(*keys.new_zeros(2, b, h, max_tokens, d)))
        positions = torch.zeros(len(memory), dtype=torch.int64, device=memory.context.device)
        pointer = self._remember(memory)
        if pointer is not None and pointer.features is memory.mask_features:
            # `Cache.replace` writes other windows into it
            pointer = pointer._replace(features=pointer.features.clone())
        cache = Cache(self_attention, context, self.tokens(), pointer, positions)
        if self.pointer is not None and not isinstance(self.pointer, HeadPointer):
            initial = self.pointer.tracker.initial(len(memory))
            cache.cursors = initial[:, None].repeat(1, max_tokens + 1, 1)  # (B, L + 1, 4)
        return cache

    def extend(self, tokens: Tensor, cache: Cache, static_keys: int | None = None) -> Tensor:
        """Logits (B, T, V) after each of T more tokens (B, T) of every sequence.

        The cache grows by T; `Cache.rollback` drops tokens that turned out wrong.
        """
        new = cache.new_positions(tokens.shape[1], static_keys)
        state = self._advance(tokens, cache, new)
        logits = self._extend(tokens, cache, new, state, cache.pointer)
        cache.positions = cache.positions + tokens.shape[1]
        cache.longest = min(cache.longest + tokens.shape[1], cache.capacity)
        return logits

    def extend_packed(self, tokens: Tensor, n_new: Sequence[int], cache: Cache) -> Tensor:
        """Logits (N, V) after each of the first `n_new` more tokens (B, T) of every sequence.

        They come sequence by sequence, without padding. The cache grows by `n_new`, as in `extend`.
        """
        new = cache.packed_positions(n_new)
        state = self._advance_packed(tokens, cache, new)
        pointer = None if cache.pointer is None else PackedMemory.of(cache.pointer, new.rows)
        packed = tokens[new.rows, new.columns][None]
        logits = self._extend(packed, cache, new, state, pointer)[0]
        grown = [b + n for b, n in zip(cache.positions.tolist(), n_new, strict=True)]
        cache.rollback(torch.tensor(grown, device=tokens.device), max(grown))
        return logits

    def _extend(
        self,
        tokens: Tensor,
        cache: Cache,
        new: NewPositions | PackedPositions,
        state: State | None,
        pointer: PointerMemory | PackedMemory | None,
    ) -> Tensor:
        positions = F.embedding(new.indices, self.positions)
        x = self._embed(tokens, cache.table, state, pointer, positions)
        return self._logits(self._decoded(x, cache, new), cache.table, state, pointer)

    def _decoded(self, x: Tensor, cache: Cache, new: NewPositions | PackedPositions) -> Tensor:
        for layer, past, (keys, values) in zip(
            self._stack(), cache.self_attention, cache.context, strict=True
        ):
            x = layer.extend(x, keys, values, past, new)
        return x

    def turns(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, HeadTurns]:
        """Logits (B * K, 1, V) after one more token of each head, and what pointers add to them.

        The cache grows by one; it is that of a model whose heads look at the image.
        """
        assert isinstance(self.pointer, HeadPointer)
        assert cache.pointer is not None
        new = cache.new_positions(1)
        state = self.pointer.states(tokens)
        positions = F.embedding(new.indices, self.positions)
        x = self._embed(tokens, cache.table, state, cache.pointer, positions)
        x = self.norm(self._decoded(x, cache, new))
        logits = F.linear(x, cache.table, self.tokens.bias)
        cache.positions = cache.positions + 1
        cache.longest = min(cache.longest + 1, cache.capacity)
        each = x.unflatten(0, (-1, cache.n_heads))
        return logits, HeadTurns(self.pointer, each, state, cache.pointer)

    def _advance(self, tokens: Tensor, cache: Cache, new: NewPositions) -> State | None:
        """The state after each of T more tokens (B, T); the cache keeps that of a cursor."""
        if isinstance(self.pointer, HeadPointer):
            return self.pointer.states(tokens)
        if self.pointer is None or cache.cursors is None:
            return None
        width = cache.cursors.shape[-1]
        before = cache.cursors.gather(1, new.indices[:, :1, None].expand(-1, -1, width)).squeeze(1)
        state = self.pointer.tracker.advance(tokens, before)
        after = (new.indices + 1)[..., None].expand(-1, -1, width)
        cache.cursors.scatter_(1, after, state.stacked())
        return state

    def _advance_packed(
        self, tokens: Tensor, cache: Cache, new: PackedPositions
    ) -> CursorState | None:
        """The cursor state (1, N) after each of some more tokens (B, T), which the cache keeps."""
        if self.pointer is None or cache.cursors is None:
            return None
        rows = torch.arange(len(tokens), device=tokens.device)
        state = self.pointer.tracker.advance(tokens, cache.cursors[rows, cache.positions])
        packed = state.stacked()[new.rows, new.columns]
        cache.cursors[new.rows, new.indices + 1] = packed
        return CursorState(*packed.T[:, None])

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits (B, V) after one more token (B,) of each sequence."""
        return self.extend(tokens[:, None], cache)[:, 0]
