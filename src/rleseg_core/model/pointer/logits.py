"""Pointer logits: what the features at mask resolution say about the next start or length."""

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig
from rleseg_core.model.pointer.cursor import CursorState, CursorTracker
from rleseg_core.model.pointer.first_hit import (
    IMPOSSIBLE,
    edge_log_odds,
    first_end,
    first_start,
    object_log_odds,
)
from rleseg_core.model.pointer.memory import PackedMemory, PointerMemory
from rleseg_core.model.pointer.object_starts import ObjectStarts
from rleseg_core.model.pointer.symbols import SymbolReader
from rleseg_core.spec import StartGrid

_START_PRIOR, _END_PRIOR = -5.0, -2.0  # log odds that a run begins, ends at a pixel, untrained


Readable = PointerMemory | PackedMemory


class Pointer(nn.Module):
    """Ties the tokens of starts and lengths to the mask pixels of the image."""

    def __init__(self, config: ModelConfig, grid: StartGrid) -> None:
        super().__init__()
        dim = config.decoder.dim
        self.grid = grid
        self.first_hit = config.pointer.starts == "first_hit"
        self.tracker = CursorTracker(grid, config)
        self.lengths = tuple(config.tokens.ordinal_ranges)
        self.query = self.key = self.end_query = self.end_key = None
        if grid.start != "implied":
            self.query = nn.Linear(dim, dim)
            self.key = nn.Linear(dim, dim, bias=False)
        self.input = nn.Linear(dim, dim, bias=False)
        if config.pointer.ends == "first_hit" and self.lengths:
            self.end_query = nn.Linear(dim, dim)
            self.end_key = nn.Linear(dim, dim, bias=False)
        # how far to trust the dense head about starts, ends and classes
        trusts = config.pointer.dense_classes and self.first_hit
        self.trust = nn.Parameter(torch.ones(3)) if trusts else None
        symbols = config.tokens.symbols
        self.symbols = None if symbols is None else SymbolReader(symbols)
        self.objects = None
        if config.pointer.object_starts:
            self.objects = ObjectStarts(dim, grid, n_labels=sum(n for _, n in grid.stops[1:]))
        offsets = list(config.pointer.affinities)
        self.beside = None  # of the affinities, those to the pixel before and to the line before
        if offsets:
            self.beside = offsets.index((0, -1)), offsets.index((-1, 0))
            self.beside = self.beside if grid.order == "C" else self.beside[::-1]

    def remember(
        self,
        features: Tensor,
        dense: Tensor | None = None,
        affinities: Tensor | None = None,
        ignored: Tensor | None = None,
    ) -> PointerMemory:
        """The memory of mask features (B, G, D), what dense heads say, and ignored mask pixels.

        The class logits are (B, G, N, C + 1), the affinities (B, G, K), the ignored pixels (B, G).
        Where a run begins or ends depends on two pixels, so those beside ignored ones are left out
        as well.
        """
        if self.objects is not None:
            features = features + self.objects.places().to(features)
        edges = classes = None
        if self.trust is not None and dense is not None:
            trust = self.trust.float()
            if self.symbols is not None:
                classes = self.symbols.log_classes(dense)
                edges = self._trusted(self.symbols.edges(classes))
                classes = self.symbols.summed(classes, ignored)
            else:
                edges = self._edges(dense.softmax(-1), affinities)
                if dense.shape[2] == 1:
                    classes = dense[:, :, 0, 1:].log_softmax(-1) * trust[2]
        no_start = no_end = None
        if ignored is not None:
            no_start = ignored | F.pad(ignored, (1, 0))[:, :-1]
            no_end = ignored | F.pad(ignored, (0, 1))[:, 1:]
        return PointerMemory(features, edges, classes, no_start, no_end)

    def _edges(self, classes: Tensor, affinities: Tensor | None) -> Tensor:
        if affinities is None or self.beside is None:
            return self._trusted(edge_log_odds(classes))
        before, above = (affinities[..., k].float().sigmoid() for k in self.beside)
        line = self.grid.cols if self.grid.order == "C" else self.grid.rows
        at = torch.arange(self.grid.size, device=before.device)
        edges = object_log_odds(classes[:, :, 0, 0], before * (at % line > 0), above * (at >= line))
        return self._trusted(edges if self.objects is not None else edges[..., :2])

    def _trusted(self, edges: Tensor) -> Tensor:
        """Log odds (B, G, 2 or 3), as far as they are trusted; for object starts three of them."""
        assert self.trust is not None
        trust = self.trust.float()[:2]
        if self.objects is not None:
            trust = torch.cat((trust, self.objects.trust.float()))
            if edges.shape[-1] == 2:  # the pixel before is all that is known
                edges = torch.cat((edges, edges[..., :1]), dim=-1)
        return edges * trust

    def embed(self, state: CursorState, memory: Readable) -> Tensor:
        """The image at the start of the run, and of its block, (B, L, D); 0 where none."""
        found = self.input(features_at(state.reads, memory))
        if self.objects is None:
            return found
        return found + self.objects.input(features_at(state.block_start, memory))

    def add_logits(self, logits: Tensor, x: Tensor, state: CursorState, memory: Readable) -> Tensor:
        """`logits` (B, L, V) of decoder states `x` (B, L, D), plus those of the pointers."""
        added = torch.zeros_like(logits)
        in_run = state.run_start >= 0
        between = ~in_run & (state.symbol_at < 0)
        if self.query is not None:
            self._add_starts(added, x, state, memory, between)
        if self.end_query is not None:
            self._add_lengths(added, x, state, memory, in_run)
        if self.symbols is not None:
            self._add_symbols(added, state, memory, between)
        return logits + added

    def _add_starts(
        self, added: Tensor, x: Tensor, state: CursorState, memory: Readable, wanted: Tensor
    ) -> None:
        first_id = self.grid.offset
        if not self.first_hit:
            scores = memory.products(_projected(x, self.query, self.key))
            _put(added, first_id, self.of_starts(scores, state.row))
            return
        _rule_out(added, ((first_id, self.grid.n_ids), *self.grid.stops))
        at = _some(wanted)
        if at is None:
            return
        part = CursorState(*(column[:, at] for column in state))
        memory = memory.at(at)
        first, none = self.first_start_at(x[:, at], part, memory)
        _put(added, first_id, self.of_starts(first, part.row), at, wanted)
        for k, (first_id, n) in enumerate(self.grid.stops):
            if self.objects is None:
                _put(added, first_id, none.expand(-1, -1, n), at, wanted)
                continue
            # the end where a block could begin, a class where one is open
            is_open = part.block_start >= 0
            values = none.expand(-1, -1, n)
            if k:
                values = values + self.objects.classes(memory, part.block_start)
            values = values.where((is_open == (k > 0))[..., None], IMPOSSIBLE)
            _put(added, first_id, values, at, wanted)

    def _add_lengths(
        self, added: Tensor, x: Tensor, state: CursorState, memory: Readable, wanted: Tensor
    ) -> None:
        _rule_out(added, self.lengths)
        at = _some(wanted)
        if at is not None:
            start = state.run_start[:, at].clamp(min=0)
            memory = memory.at(at)
            other = state.other[:, at]
            found = self.first_end_from(x[:, at], start, memory, other)
            classes = self.classes_of(start, memory, other)
            for k, (first_id, n) in enumerate(self.lengths):
                of_class = 0.0 if classes is None else classes[..., k : k + 1]
                _put(added, first_id, found[..., :n] + of_class, at, wanted)

    def _add_symbols(
        self, added: Tensor, state: CursorState, memory: Readable, between: Tensor
    ) -> None:
        """Add those of class tokens and, where runs tile the mask, that of its end."""
        assert self.symbols is not None
        if self.grid.start == "implied":
            is_over = (between & (state.cursor >= self.grid.size))[..., None]
            for first_id, n in self.grid.stops:
                added[..., first_id : first_id + n] = torch.where(is_over, 0.0, IMPOSSIBLE)
        offset, n_ids = self.symbols.tokens.offset, self.symbols.tokens.n_ids
        if offset is None:
            return
        wanted = state.symbol_at >= 0
        _rule_out(added, ((offset, n_ids),))
        at = _some(wanted)
        if at is not None:
            start = state.symbol_at[:, at].clamp(min=0)
            end = torch.maximum(state.cursor[:, at], start + 1).clamp(max=self.grid.size)
            scores = self.symbol_scores(start, end, memory.at(at), state.other[:, at])
            if scores is None:
                scores = added.new_zeros(*start.shape, n_ids)
            _put(added, offset, scores, at, wanted)

    def symbol_scores(
        self, start: Tensor, end: Tensor, memory: Readable, other: Tensor | None = None
    ) -> Tensor | None:
        """Log probabilities (B, L, n_ids) of the symbols of runs, as far as they are trusted."""
        if self.symbols is None or self.trust is None:
            return None
        scores = self.symbols.scores(memory, start, end, other)
        return None if scores is None else scores * self.trust[2].float()

    def first_start_at(
        self, x: Tensor, state: CursorState, memory: Readable
    ) -> tuple[Tensor, Tensor]:
        """Log probabilities that the next run begins at each pixel (B, L, G), or never (B, L, 1).

        On the CPU without the pixels that all sequences have passed.
        """
        passed, cursor = 0, state.cursor
        if x.device.type == "cpu":
            passed = min(int(cursor.min()), self.grid.size - 1)
        query = _projected(x, self.query, self.key)
        is_open = (state.block_start >= 0)[..., None]
        if self.objects is not None:
            query = query.where(is_open, self.objects.query(x))
        scores = memory.products(query, passed).float()
        prior: Tensor | float = _START_PRIOR
        if memory.edges is not None:
            prior = memory.of_tokens(memory.edges[:, passed:, 0])
            if self.objects is not None:
                prior = prior.where(is_open, memory.of_tokens(memory.edges[:, passed:, 2]))
        unknown = None
        if memory.no_start is not None:
            unknown = memory.of_tokens(memory.no_start[:, passed:])
        first, none = first_start(scores + prior, cursor - passed, unknown)
        return F.pad(first, (passed, 0), value=2 * IMPOSSIBLE), none

    def first_end_from(
        self, x: Tensor, start: Tensor, memory: Readable, other: Tensor | None = None
    ) -> Tensor:
        """Log probabilities (B, L, M) of each length of the run that begins at `start` (B, L).

        Few tokens score the pixels of their longest run only; many score all pixels at once.
        """
        longest = max(size for _, size in self.lengths)
        n_pixels = memory.features.shape[1]
        at = start[..., None] + torch.arange(longest, device=start.device)
        last = at.clamp(max=n_pixels - 1)
        projected = _projected(x, self.end_query, self.end_key)
        if start.numel() * longest < len(memory.features) * n_pixels:
            features = memory.pick(memory.features, last)
            scores = (features @ projected[..., None]).squeeze(-1).float()
        else:
            scores = memory.products(projected).float().gather(-1, last)
        prior: Tensor | float = _END_PRIOR
        odds = None
        if self.symbols is not None and self.trust is not None:
            odds = self.symbols.end_odds(memory, start, longest, other)
        if odds is not None and self.trust is not None:
            prior = odds * self.trust[1].float()
        elif memory.edges is not None:
            prior = memory.pick(memory.edges[..., 1], last)
        inside, cut = at < n_pixels, None
        if self.symbols is not None:
            same_line, cut = self.symbols.cut_runs(start, at)
            inside = inside & same_line
        if memory.no_end is not None:
            inside = inside & ~memory.pick(memory.no_end, last)
        return first_end(scores + prior, inside, cut)

    def classes_of(
        self, start: Tensor, memory: Readable, other: Tensor | None = None
    ) -> Tensor | None:
        """Log probabilities (B, L, K) that runs at `start` are of the class of each of K lengths.

        None where all lengths are of one class, or their class is a token of its own.
        """
        if self.symbols is not None:
            fused = self.symbols.tokens.offset is None
            return self.symbol_scores(start, start + 1, memory, other) if fused else None
        if memory.classes is None or len(self.lengths) != memory.classes.shape[-1]:
            return None
        return memory.pick(memory.classes, start)

    def of_starts(self, scores: Tensor, row: Tensor) -> Tensor:
        """Logits of the start tokens from those of the pixels (B, L, G).

        For 2D starts a row is as probable as its pixels together, and a column as its pixel given
        the row, `row` (B, L) of `CursorState`.
        """
        grid = self.grid
        if grid.start == "flat":
            return scores
        pixels = scores.unflatten(
            -1, (grid.rows, grid.cols) if grid.order == "C" else (-1, grid.rows)
        )
        if grid.order == "F":
            pixels = pixels.transpose(-1, -2)
        rows = pixels.logsumexp(dim=-1)
        if not self.first_hit:
            rows = rows - math.log(grid.cols)
        at = row.clamp(min=0)[..., None, None].expand(-1, -1, 1, grid.cols)
        cols = pixels.gather(2, at).squeeze(2)
        rows, cols = (F.pad(part, (0, grid.n_ids - part.shape[-1])) for part in (rows, cols))
        return torch.where((row >= 0)[..., None], cols, rows)


def features_at(pixels: Tensor, memory: Readable) -> Tensor:
    """Features at mask pixels (B, L), 0 where these are -1: (B, L, D)."""
    return memory.pick(memory.features, pixels.clamp(min=0)) * (pixels >= 0)[..., None]


def _projected(x: Tensor, query: nn.Linear | None, key: nn.Linear | None) -> Tensor:
    """Queries of states (B, L, D), brought to the space of the features.

    Their products with features are those of the queries with the features' keys. There are far
    more features than queries, so this is cheaper than to compute the keys.
    """
    assert query is not None
    assert key is not None
    return (query(x) @ key.weight) * x.shape[-1] ** -0.5


def _some(wanted: Tensor) -> Any:
    """Index of the token positions that some sequence of `wanted` (B, L) needs; None if none does.

    All positions on a device, where finding out would cost a synchronization.
    """
    if wanted.device.type != "cpu":
        return slice(None)
    if wanted.shape[1] == 1:
        return slice(None) if wanted.any() else None
    at = wanted.any(dim=0).nonzero().squeeze(1)
    return at if len(at) else None


def _rule_out(added: Tensor, ids: Iterable[tuple[int, int]]) -> None:
    """Make ranges of ids (first, n) impossible until something else is put there."""
    for first, n in ids:
        added[..., first : first + n] = IMPOSSIBLE


def _put(
    added: Tensor, first: int, values: Tensor, at: Any = slice(None), where: Tensor | None = None
) -> None:
    """Write logits of the ids from `first` on after tokens `at`, impossible but `where` (B, L)."""
    values = values.to(added.dtype)
    if where is not None:
        values = values.where(where[:, at, None], IMPOSSIBLE)
    added[:, at, first : first + values.shape[-1]] = values
