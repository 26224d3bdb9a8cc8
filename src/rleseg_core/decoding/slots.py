"""The open sequences of a batch, one a slot, each with its cursor in the shared cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rleseg_core.decoding.cuda_graphs import CudaGraphStep
from rleseg_core.decoding.grammar import GrammarTables
from rleseg_core.decoding.queue import WindowQueue
from rleseg_core.decoding.sampling import Sampling, choose, choose_or_keep
from rleseg_core.decoding.speculation import Drafts
from rleseg_core.decoding.verification import MOST_INPUTS, MOST_LOGITS, Proposals, pads
from rleseg_core.model.cache import Cache
from rleseg_core.model.decoder import Memory
from rleseg_core.model.pix2seq import Pix2Seq
from rleseg_core.model.rows import RowMoves

_MIN_KEYS = 256  # key positions that a step of static shapes attends to, at least
_FREE = -1  # index of a slot without a window


@dataclass(frozen=True)
class DecodedSequence:
    """A complete sequence.

    Parameters
    ----------
    index : int
        Index of its window.
    tokens : (L,) int64 array, or (K, L) of several heads
        Token ids without bos and pad, ending in eos unless the sequence reached `max_tokens`.
    logprobs : (L,) float32 array, or (K, L)
        Log-probability of each token among those the grammar allows.
    n_passes : int
        Passes of the decoder that the sequence took.
    """

    index: int
    tokens: np.ndarray
    logprobs: np.ndarray
    n_passes: int


class Slots:
    """Sequences that are being decoded side by side, one a row.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode, with one head.
    grammar : GrammarTables
        The tokens that may follow.
    windows : (list of int, Memory)
        Indices and memory of the first windows; there are as many slots.
    max_tokens : int
        L, the longest sequence, eos included.
    sampling : Sampling
        How tokens are chosen.
    static_shapes : bool
        Whether steps keep the shapes of their tensors, so that a GPU can replay them.
    """

    def __init__(
        self,
        model: Pix2Seq,
        grammar: GrammarTables,
        windows: tuple[list[int], Memory],
        max_tokens: int,
        sampling: Sampling,
        *,
        static_shapes: bool = False,
    ) -> None:
        self._indices, memory = windows
        self._model, self._grammar, self._sampling = model, grammar, sampling
        self._max_tokens, self._static_shapes = max_tokens, static_shapes
        self._device = memory.context.device
        self._generator = sampling.generator(self._device)
        self._graphed = CudaGraphStep(self._device)
        n_rows = len(memory)
        self._cache: Cache = model.new_cache(memory, max_tokens)
        self._state = grammar.start(n_rows)
        self._last = torch.full((n_rows,), grammar.bos, device=self._device)
        self._ended = torch.zeros(n_rows, dtype=torch.bool, device=self._device)
        # the extra column takes what rows that have ended go on choosing
        self._tokens = torch.full((n_rows, max_tokens + 1), grammar.pad, device=self._device)
        self._logprobs = torch.zeros((n_rows, max_tokens + 1), device=self._device)
        self._n_passes = [0] * n_rows

    def __len__(self) -> int:
        """Slots whose sequence has not been returned yet."""
        return len(self._indices) - self._indices.count(_FREE)

    def step(self) -> None:
        """Decode one more token of every sequence."""
        longest = min(self._cache.longest + 1, self._cache.capacity)
        if self._static_shapes:
            n_keys = min(max(_MIN_KEYS, 1 << (longest - 1).bit_length()), self._cache.capacity)
            self._graphed.run(lambda: self._step_in_place(n_keys), n_keys)
        else:
            self._step_in_place(None)
        self._cache.longest = longest
        self._n_passes = [n + 1 for n in self._n_passes]

    def _step_in_place(self, n_keys: int | None) -> None:
        """The work of a step; all tensors keep their memory, as a CUDA graph needs."""
        positions = self._cache.positions
        logits = self._model.extend(self._last[:, None], self._cache, n_keys)[:, 0].float()
        tokens, logprobs = choose(
            self._allowed(logits), self._sampling, self._generator, self._model.stops
        )
        at = positions.where(~self._ended, self._max_tokens)
        self._store(at[:, None], tokens[:, None], logprobs[:, None])
        self._state.copy_(self._grammar.advance(self._state, tokens))
        self._last.copy_(tokens)
        positions += 1
        self._cache.positions = positions
        self._ended |= (tokens == self._grammar.eos) | (positions >= self._max_tokens)

    def verify(self, drafts: Drafts) -> None:
        """Decode the tokens of every sequence that its draft guessed, and one more if it erred."""
        before = self._cache.positions
        n_before = before.tolist()
        proposed = self._propose(drafts, n_before)
        proposals = Proposals.of(proposed, self._last.tolist(), self._device)
        states = proposals.states(self._state, self._grammar)
        tokens, logprobs = self._check(proposals, states)
        n_right = proposals.n_right(tokens)
        n_new = (n_right + 1).minimum(torch.tensor(proposals.counts, device=self._device))
        new = torch.arange(tokens.shape[1], device=self._device)
        columns = before[:, None] + new
        self._store(columns.where(new < n_new[:, None], self._max_tokens), tokens, logprobs)
        rows = torch.arange(len(tokens), device=self._device)
        self._last = tokens[rows, n_new - 1]
        self._state = self._grammar.advance(states[rows, n_new - 1], self._last)
        after = before + n_new
        self._ended = (self._last == self._grammar.eos) | (after >= self._max_tokens)
        self._cache.rollback(after, max(after.tolist()))
        for index, tokens_of_row, n in zip(self._indices, proposed, n_right.tolist(), strict=True):
            drafts.adapt(index, len(tokens_of_row), n)
        self._n_passes = [n + 1 for n in self._n_passes]

    def _check(self, proposals: Proposals, states: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens that the model writes after each input (B, T), and their log-probabilities."""
        inputs, drafted, counts = proposals.inputs, proposals.drafted, proposals.counts
        alike = min(counts) == max(counts) and inputs.numel() <= MOST_INPUTS
        if alike or pads(self._device):
            logits = self._model.extend(inputs, self._cache).flatten(0, 1)
            found = self._choose(logits, states.flatten(0, 1), drafted.flatten())
            return found[0].view(inputs.shape), found[1].view(inputs.shape)
        tokens, logprobs = torch.zeros_like(inputs), torch.zeros(inputs.shape)
        for n_new in proposals.groups(MOST_INPUTS):
            logits = self._model.extend_packed(inputs, n_new, self._cache)
            there = torch.arange(inputs.shape[1]) < torch.tensor(n_new)[:, None]
            tokens[there], logprobs[there] = self._choose(logits, states[there], drafted[there])
        return tokens, logprobs

    def _choose(self, logits: Tensor, states: Tensor, drafted: Tensor) -> tuple[Tensor, Tensor]:
        allowed = logits.float().where(self._grammar.allowed(states), float("-inf"))
        return choose_or_keep(allowed, drafted, self._sampling.leniency, self._model.stops)

    def _propose(self, drafts: Drafts, n_decoded: list[int]) -> list[list[int]]:
        """What the drafts propose for each slot, within the capacity of the sequences."""
        longest = max(n_decoded)
        limits = [self._max_tokens - n for n in n_decoded]
        if self._device.type != "cpu":  # all are padded to one length
            n_logits = len(n_decoded) * self._model.config.tokens.vocab_size
            limits = [max(1, min(self._max_tokens - longest, MOST_LOGITS // n_logits))] * len(
                limits
            )
        tokens = self._tokens[:, :longest].tolist()
        return [
            drafts.propose(index, row[:n], limit)
            for index, row, n, limit in zip(self._indices, tokens, n_decoded, limits, strict=True)
        ]

    def pop_ended(self) -> Iterator[DecodedSequence]:
        """The sequences that are complete; their slots are free from then on."""
        rows = self._ended.nonzero()[:, 0].tolist()  # here the host waits
        rows = [row for row in rows if self._indices[row] != _FREE]
        if not rows:
            return
        all_tokens, all_logprobs = self._tokens[rows].cpu().numpy(), self._logprobs[rows].cpu()
        for row, tokens, logprobs in zip(rows, all_tokens, all_logprobs.numpy(), strict=True):
            tokens = tokens[: self._max_tokens]
            ends = np.flatnonzero(tokens == self._grammar.eos)
            n_tokens = int(ends[0]) + 1 if ends.size else self._max_tokens
            yield DecodedSequence(
                self._indices[row], tokens[:n_tokens], logprobs[:n_tokens], self._n_passes[row]
            )
            self._indices[row] = _FREE

    def refill(self, queue: WindowQueue) -> None:
        """Give free slots to windows that wait; without any the free slots are removed."""
        free = [row for row, index in enumerate(self._indices) if index == _FREE]
        windows = queue.take(len(free)) if free else None
        if windows is not None:
            self._begin(free[: len(windows[0])], *windows)
        n_open = len(self)
        # steps of static shapes keep a few useless rows rather than be captured again
        if 0 < n_open < (len(self._indices) // 2 if self._static_shapes else len(self._indices)):
            self._compact()
        if free and n_open:
            positions = self._cache.positions.tolist()
            self._cache.longest = min(
                max(positions[row] for row, i in enumerate(self._indices) if i != _FREE),
                self._cache.capacity,
            )

    def _begin(self, slots: list[int], indices: list[int], memory: Memory) -> None:
        """Begin the sequences of other windows in some slots."""
        for row, index in zip(slots, indices, strict=True):
            self._indices[row], self._n_passes[row] = index, 0
        rows = torch.tensor(slots, device=self._device)
        self._cache.replace(rows, self._model.new_cache(memory, 1))
        self._state[rows] = self._grammar.start(len(indices))
        self._last[rows] = self._grammar.bos
        self._ended[rows] = False
        self._tokens[rows] = self._grammar.pad

    def _compact(self) -> None:
        """Keep only the rows of open sequences."""
        kept = [row for row, index in enumerate(self._indices) if index != _FREE]
        moves = RowMoves(kept, self._device)
        self._cache = self._cache.keep(moves)
        rows = torch.tensor(moves.order, device=self._device)
        self._state = self._grammar.select(self._state, rows)
        self._last, self._ended = self._last[rows], self._ended[rows]
        self._tokens, self._logprobs = moves.keep(self._tokens), moves.keep(self._logprobs)
        self._indices = [self._indices[row] for row in moves.order]
        self._n_passes = [self._n_passes[row] for row in moves.order]
        self._graphed.reset()

    def _store(self, positions: Tensor, tokens: Tensor, logprobs: Tensor) -> None:
        """Put tokens (B, T) of each row at their positions; at `max_tokens` they are discarded."""
        columns = positions.clamp(max=self._max_tokens)
        self._tokens.scatter_(1, columns, tokens)
        self._logprobs.scatter_(1, columns, logprobs)

    def _allowed(self, logits: Tensor) -> Tensor:
        return logits.where(self._grammar.allowed(self._state), float("-inf"))
