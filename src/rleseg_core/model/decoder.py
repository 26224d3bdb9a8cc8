"""The causal decoder: whole sequences for training, one token at a time for writing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.cache import Cache, KeyValueCache, Place
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import (
    NORM_EPS,
    CrossAttention,
    DropPath,
    Mlp,
    SelfAttention,
    embedding,
)
from rleseg_core.model.places import Trail
from rleseg_core.model.pointer import Pointer, PointerMemory, TokenTable


@dataclass(frozen=True)
class Memory:
    """What the encoder leaves of B windows.

    Parameters
    ----------
    context : (B, M, D) tensor
        What cross-attention reads.
    cells : (B, G, D) tensor or None
        The image at each cell of the mask, if starts look at it.
    dense : (B, G, N, C + 1) tensor or None
        Logits of the classes of each cell in each frame, if there is a head for them.
    """

    context: Tensor
    cells: Tensor | None = None
    dense: Tensor | None = None

    def __len__(self) -> int:
        return len(self.context)

    def select(self, rows: Tensor) -> "Memory":
        """That of some of the windows, `rows` (B',) integers."""
        cells, dense = (None if x is None else x[rows] for x in (self.cells, self.dense))
        return Memory(self.context[rows], cells, dense)

    def to(self, dtype: torch.dtype) -> "Memory":
        """With what the decoder computes with in another precision."""
        cells = None if self.cells is None else self.cells.to(dtype)
        return Memory(self.context.to(dtype), cells, self.dense)


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, cross-attention and MLP; the context is taken as it is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, n_heads = config.decoder_dim, config.decoder_heads
        self.self_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.self_attention = SelfAttention(dim, n_heads, causal=True)
        self.cross_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.cross_attention = CrossAttention(dim, n_heads)
        self.mlp = Mlp(dim, config.decoder_ff, config.dropout, config.drop_path)
        self.drop_path = DropPath(config.drop_path)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, L, D) to the same."""
        x = x + self.drop_path(self.self_attention(self.self_norm(x)))
        x = x + self.drop_path(self.cross_attention(self.cross_norm(x), keys, values))
        return self.mlp(x)

    def extend(
        self, x: Tensor, keys: Tensor, values: Tensor, cache: KeyValueCache, place: Place
    ) -> Tensor:
        """New positions alone, (B, T, D); each sees those in the cache and those up to itself."""
        attention = self.self_attention
        q, k, v = attention.project(self.self_norm(x))
        k, v = cache.append(place, k, v)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=place.mask)
        x = x + attention.out(mixed.transpose(1, 2).flatten(2))
        x = x + self.cross_attention(self.cross_norm(x), keys, values)
        return self.mlp(x)


class Decoder(nn.Module):
    """From the tokens so far to the logits of the next."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        self.tokens = TokenTable(config)
        self.positions = embedding(config.max_tokens, dim)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        pointing = config.points and config.grid is not None
        self.pointer = Pointer(config, config.grid) if pointing and config.grid else None

    def _stack(self) -> Iterable[DecoderLayer]:
        return cast(Iterable[DecoderLayer], self.layers)

    def _embed(
        self,
        tokens: Tensor,
        table: Tensor,
        trail: Trail | None,
        pointer: PointerMemory | None,
        positions: Tensor,
    ) -> Tensor:
        x = F.embedding(tokens, table) + positions
        if self.pointer is not None and pointer is not None and trail is not None:
            x = x + self.pointer.embed(trail, pointer)
        return x

    def _logits(
        self, x: Tensor, table: Tensor, trail: Trail | None, pointer: PointerMemory | None
    ) -> Tensor:
        x = self.norm(x)
        logits = F.linear(x, table, self.tokens.bias)
        if self.pointer is not None and pointer is not None and trail is not None:
            logits = self.pointer.add_logits(logits, x, trail, pointer)
        return logits

    def _remember(self, memory: Memory) -> PointerMemory | None:
        if self.pointer is None or memory.cells is None:
            return None
        return self.pointer.remember(memory.cells, memory.dense)

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Logits (B, L, V) after each of the tokens (B, L)."""
        table, pointer, trail = self.tokens(), self._remember(memory), None
        if self.pointer is not None:
            places = self.pointer.places
            trail = places.follow(tokens, places.beginning(len(tokens)))
        x = self._embed(tokens, table, trail, pointer, self.positions[: tokens.shape[1]])
        for layer in self._stack():
            x = layer(x, *layer.cross_attention.context(memory.context))
        return self._logits(x, table, trail, pointer)

    def new_cache(self, memory: Memory, max_tokens: int) -> Cache:
        """A cache with room for `max_tokens` positions."""
        own, context = [], []
        for layer in self._stack():
            keys, values = layer.cross_attention.context(memory.context)
            context.append((keys.contiguous(), values.contiguous()))
            b, h, _, d = keys.shape
            own.append(KeyValueCache(*keys.new_zeros(2, b, h, max_tokens, d)))
        nowhere = torch.zeros(len(memory), dtype=torch.int64, device=memory.context.device)
        pointer = self._remember(memory)
        if pointer is not None:  # other windows will take their place
            pointer = pointer._replace(cells=pointer.cells.clone())
        cache = Cache(own, context, self.tokens(), pointer, nowhere)
        if self.pointer is not None:
            begun = self.pointer.places.beginning(len(memory))
            cache.trails = begun[:, None].repeat(1, max_tokens + 1, 1)
        return cache

    def extend(self, tokens: Tensor, cache: Cache, fixed: int | None = None) -> Tensor:
        """Logits (B, T, V) after each of T more tokens (B, T) of every sequence.

        The cache moves on by T; `Cache.take_back` returns from tokens that turned out wrong.
        """
        place = cache.place(tokens.shape[1], fixed)
        trail = self._follow(tokens, cache, place)
        positions = F.embedding(place.rows, self.positions)
        x = self._embed(tokens, cache.table, trail, cache.pointer, positions)
        for layer, own, (keys, values) in zip(self._stack(), cache.own, cache.context, strict=True):
            x = layer.extend(x, keys, values, own, place)
        cache.positions = cache.positions + tokens.shape[1]
        cache.longest = min(cache.longest + tokens.shape[1], cache.room)
        return self._logits(x, cache.table, trail, cache.pointer)

    def _follow(self, tokens: Tensor, cache: Cache, place: Place) -> Trail | None:
        """Where sequences stand after each of T more tokens (B, T), which the cache notes."""
        if self.pointer is None or cache.trails is None:
            return None
        before = cache.trails.gather(1, place.rows[:, :1, None].expand(-1, -1, 3)).squeeze(1)
        trail = self.pointer.places.follow(tokens, before)
        cache.trails.scatter_(1, (place.rows + 1)[..., None].expand(-1, -1, 3), trail.stacked())
        return trail

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits (B, V) after one more token (B,) of each sequence; moves the cache on."""
        return self.extend(tokens[:, None], cache)[:, 0]
