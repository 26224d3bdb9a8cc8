"""Whole sequences of many windows: slots that are filled again when one ends, and drafts.

A step writes one token of every open sequence. With drafts, guesses of how sequences go on, a pass
of the decoder checks many tokens at once and keeps those that the model would have written itself,
so the result is the same with fewer passes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rleseg_core.decoding.cuda_graphs import RecordedStep
from rleseg_core.decoding.loop import (
    GREEDY,
    GrammarTables,
    Sampling,
    choose,
    generate,
    steps_between_checks,
)
from rleseg_core.errors import SchemeError
from rleseg_core.model.cache import Cache
from rleseg_core.model.decoder import Memory
from rleseg_core.model.pix2seq import Pix2Seq

_LEAST_KEYS = 256  # of shapes that stay the same
_FREE = -1  # the index of a row that has no window
_LEAST_DRAFT, _MOST_DRAFT = 8, 128


class Draft(Protocol):
    """A guess of a sequence; `rleseg_core.tokens.Draft` makes one of tokens or a mask."""

    def propose(self, written: Sequence[int], n_tokens: int) -> Sequence[int]:
        """At most `n_tokens` that may come after what is written, which need not be the guess."""


@dataclass(frozen=True)
class Written:
    """A sequence that is complete.

    Parameters
    ----------
    index : int
        Which of the windows it belongs to.
    tokens : (L,) int64 array, or (K, L) of several heads
        Ending in eos unless it ran out of room; without bos and pad.
    logprobs : (L,) float32 array, or (K, L)
        Log-probability of each token among those the grammar allows.
    n_passes : int
        Passes of the decoder while it was written.
    """

    index: int
    tokens: np.ndarray
    logprobs: np.ndarray
    n_passes: int


@torch.inference_mode()
def write_sequences(
    model: Pix2Seq,
    memories: Iterable[Memory],
    grammar: GrammarTables,
    *,
    max_tokens: int,
    sampling: Sampling = GREEDY,
    n_slots: int | None = None,
    drafts: Callable[[int], Draft | None] | None = None,
    fixed_shapes: bool | None = None,
) -> Iterator[Written]:
    """Write the sequences of windows, each as soon as it is complete.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    memories : iterable of Memory
        What `model.encode` gave for the windows, in batches of any size; taken when slots are free.
    grammar : GrammarTables
        The tokens that may follow; every sequence keeps to it.
    max_tokens : int
        L: no sequence gets longer, eos included.
    sampling : Sampling
        Greedy by default.
    n_slots : int, optional
        Windows that are written at once; by default as many as the first batch has.
    drafts : callable of int to Draft or None, optional
        A guess for each window by its index, asked for at each pass while there is none; it may
        come from windows that have ended before. Greedy sequences are the same with and without,
        where rounding does not decide (as it may in bf16). Several heads do not look at drafts.
    fixed_shapes : bool, optional
        Whether steps keep their shapes, so that a GPU records one and replays it (as a CUDA graph);
        None: with CUDA, without drafts and seeds. With drafts they never do.

    Yields
    ------
    Written
        In the order in which they end.

    Raises
    ------
    SchemeError
        If the model has fewer positions than `max_tokens`, that or `n_slots` is below 1, or drafts
        are given and the sampling is not greedy.
    """
    if max_tokens < 1 or (n_slots is not None and n_slots < 1):
        raise SchemeError(
            f"max_tokens and n_slots must be at least 1, got {max_tokens} and {n_slots}"
        )
    if drafts is not None and sampling.top_p is not None:
        raise SchemeError("drafts are checked greedily; leave top_p out or give no drafts")
    if model.config.heads:
        yield from _write_heads(model, memories, grammar, max_tokens, sampling)
        return
    queue = _Queue(memories)
    n_slots = n_slots or queue.n_ready()
    if n_slots == 0:
        return
    slots = _Slots(model, grammar, queue.take(n_slots), max_tokens, sampling)
    on_gpu = slots.device.type == "cuda"
    wanted = on_gpu if fixed_shapes is None else fixed_shapes
    can_record = drafts is None and not (on_gpu and sampling.seed is not None)
    slots.fixed_shapes = wanted and can_record
    guesses = _Guesses(drafts, model.config.vocab_size) if drafts is not None else None
    interval = steps_between_checks(slots.device)
    while True:
        if guesses is None:
            for _ in range(interval):
                slots.step()
        else:
            slots.check(guesses)
        for one in slots.ended():
            if guesses is not None:
                guesses.forget(one.index)
            yield one
        slots.fill(queue)
        if not len(slots):
            return


def _write_heads(
    model: Pix2Seq,
    memories: Iterable[Memory],
    grammar: GrammarTables,
    max_tokens: int,
    sampling: Sampling,
) -> Iterator[Written]:
    """The sequences of several heads, (K, L) each; batch by batch, and without drafts."""
    first = 0
    for memory in memories:
        tokens: list[list[Tensor]] = [[] for _ in range(len(memory))]
        logprobs: list[list[Tensor]] = [[] for _ in range(len(memory))]
        steps = generate(model, memory, grammar, max_tokens=max_tokens, sampling=sampling)
        for step in list(steps):  # all on the device before any comes to the host
            said, sure = step.tokens.cpu(), step.logprobs.cpu()
            for k, row in enumerate(step.rows.tolist()):
                if not tokens[row] or tokens[row][-1][0] != grammar.eos:
                    tokens[row].append(said[k])
                    logprobs[row].append(sure[k])
        for row, parts in enumerate(tokens):
            columns, sure = torch.stack(parts, 1), torch.stack(logprobs[row], 1)
            yield Written(first + row, columns.numpy(), sure.numpy(), len(parts))
        first += len(memory)


class _Queue:
    """Windows that wait, with what the encoder left of them."""

    def __init__(self, memories: Iterable[Memory]) -> None:
        self._source = iter(memories)
        self._waiting: deque[Memory] = deque()
        self._next = 0

    def n_ready(self) -> int:
        """Windows that are encoded; a further batch if there are none."""
        return self._wait_for(1)

    def _wait_for(self, n_windows: int) -> int:
        """Windows that are encoded: so many if there are as many, and whole batches."""
        while (n_ready := sum(map(len, self._waiting))) < n_windows:
            more = next(self._source, None)
            if more is None:
                break
            if len(more):
                self._waiting.append(more)
        return n_ready

    def take(self, n_windows: int) -> tuple[list[int], Memory] | None:
        """At most so many of the next windows; None if none are left."""
        n_windows = min(n_windows, self._wait_for(n_windows))
        if n_windows == 0:
            return None
        parts: list[Memory] = []
        n_left = n_windows
        while n_left:
            memory = self._waiting.popleft()
            if len(memory) > n_left:
                cut = torch.arange(len(memory), device=memory.context.device)
                self._waiting.appendleft(memory.select(cut[n_left:]))
                memory = memory.select(cut[:n_left])
            parts.append(memory)
            n_left -= len(memory)
        indices = list(range(self._next, self._next + n_windows))
        self._next += n_windows
        return indices, joined(parts)


def joined(memories: Sequence[Memory]) -> Memory:
    """One memory of the windows of several."""
    if len(memories) == 1:
        return memories[0]
    cells = [memory.cells for memory in memories if memory.cells is not None]
    dense = [memory.dense for memory in memories if memory.dense is not None]
    return Memory(
        torch.cat([memory.context for memory in memories]),
        torch.cat(cells) if cells else None,
        torch.cat(dense) if dense else None,
    )


class _Guesses:
    """The drafts, and how many tokens of each to check at once: more while it is right."""

    def __init__(self, drafts: Callable[[int], Draft | None], vocab_size: int) -> None:
        self._ask, self._vocab_size = drafts, vocab_size
        self._drafts: dict[int, Draft] = {}
        self._most: dict[int, int] = {}

    def of(self, index: int, written: Sequence[int], room: int) -> list[int]:
        draft = self._drafts.get(index)
        if draft is None:
            draft = self._ask(index)
        if draft is None or room < 1:
            return []
        self._drafts[index] = draft
        n_tokens = min(self._most.get(index, _LEAST_DRAFT), room)
        proposed = map(int, itertools.islice(draft.propose(written, n_tokens), n_tokens))
        return list(itertools.takewhile(self._is_token, proposed))

    def _is_token(self, token: int) -> bool:
        return 0 <= token < self._vocab_size

    def learn(self, index: int, n_proposed: int, n_right: int) -> None:
        if n_proposed:
            most = self._most.get(index, _LEAST_DRAFT)
            right = n_right == n_proposed
            self._most[index] = min(2 * most, _MOST_DRAFT) if right else _LEAST_DRAFT

    def forget(self, index: int) -> None:
        self._drafts.pop(index, None)
        self._most.pop(index, None)


class _Slots:
    """The sequences that are being written, one a row."""

    def __init__(
        self,
        model: Pix2Seq,
        grammar: GrammarTables,
        first: tuple[list[int], Memory] | None,
        max_tokens: int,
        sampling: Sampling,
    ) -> None:
        assert first is not None
        self._indices, memory = first
        self._model, self._grammar, self._sampling = model, grammar, sampling
        self._max_tokens = max_tokens
        self.device = memory.context.device
        self._generator = None
        if sampling.seed is not None:
            self._generator = torch.Generator(self.device).manual_seed(sampling.seed)
        n_rows = len(memory)
        self.fixed_shapes = False
        self._recorded = RecordedStep(self.device)
        self._cache: Cache = model.new_cache(memory, max_tokens)
        self._state = grammar.start(n_rows)
        self._tokens = torch.full((n_rows,), grammar.bos, device=self.device)
        self._ended = torch.zeros(n_rows, dtype=torch.bool, device=self.device)
        # one column more takes what rows write that have ended
        self._book = torch.full((n_rows, max_tokens + 1), grammar.pad, device=self.device)
        self._logprobs = torch.zeros((n_rows, max_tokens + 1), device=self.device)
        self._n_passes = [0] * n_rows

    def __len__(self) -> int:
        """Rows whose sequence has not been given out."""
        return len(self._indices) - self._indices.count(_FREE)

    def step(self) -> None:
        """One more token of every sequence."""
        longest = min(self._cache.longest + 1, self._cache.room)
        if self.fixed_shapes:
            n_keys = min(max(_LEAST_KEYS, 1 << (longest - 1).bit_length()), self._cache.room)
            self._recorded.run(lambda: self._step_in_place(n_keys), n_keys)
        else:
            self._step_in_place(None)
        self._cache.longest = longest
        self._n_passes = [n + 1 for n in self._n_passes]

    def _step_in_place(self, n_keys: int | None) -> None:
        """The work of a step, which leaves all tensors where they are."""
        positions = self._cache.positions
        logits = self._model.extend(self._tokens[:, None], self._cache, n_keys)[:, 0].float()
        tokens, logprobs = self._choose(logits)
        place = positions.where(~self._ended, self._max_tokens).clamp(max=self._max_tokens)
        self._book.scatter_(1, place[:, None], tokens[:, None])
        self._logprobs.scatter_(1, place[:, None], logprobs[:, None])
        self._state.copy_(self._grammar.advance(self._state, tokens))
        self._tokens.copy_(tokens)
        positions += 1
        self._cache.positions = positions
        self._ended |= (tokens == self._grammar.eos) | (positions >= self._max_tokens)

    def check(self, guesses: _Guesses) -> None:
        """What the model writes in one pass, as far as the drafts guess it, and a token more."""
        before = self._cache.positions
        done = before.tolist()
        longest = max(done)
        book = self._book.tolist()
        proposed = [
            guesses.of(index, book[row][: done[row]], self._max_tokens - longest - 1)
            for row, index in enumerate(self._indices)
        ]
        width = max(map(len, proposed))
        fill = [self._grammar.pad] * width
        padded = [(tokens + fill)[:width] for tokens in proposed]
        draft = torch.tensor(padded, dtype=torch.int64, device=self.device)
        n_proposed = torch.tensor([len(tokens) for tokens in proposed], device=self.device)
        logits = self._model.extend(torch.cat((self._tokens[:, None], draft), 1), self._cache)
        going = ~self._ended
        n_new = torch.zeros_like(before)
        for k in range(width + 1):
            tokens_k, logprobs = self._choose(logits[:, k].float())
            place = (before + k).where(going, self._max_tokens).clamp(max=self._max_tokens)
            self._book.scatter_(1, place[:, None], tokens_k[:, None])
            self._logprobs.scatter_(1, place[:, None], logprobs[:, None])
            self._tokens = tokens_k.where(going, self._tokens)
            moved = self._grammar.advance(self._state, tokens_k)
            self._state = moved.where(going[:, None], self._state)
            n_new = n_new + going
            self._ended = self._ended | (
                going & ((tokens_k == self._grammar.eos) | (before + n_new >= self._max_tokens))
            )
            if k < width:
                going = going & (tokens_k == draft[:, k]) & (k < n_proposed) & ~self._ended
                if self.device.type == "cpu" and not going.any():
                    break
        now = before + n_new
        positions = now.tolist()
        self._cache.take_back(now, max(positions))
        for row, index in enumerate(self._indices):
            guesses.learn(index, len(proposed[row]), positions[row] - done[row] - 1)
        self._n_passes = [n + 1 for n in self._n_passes]

    def ended(self) -> Iterator[Written]:
        """The sequences that are complete."""
        rows = self._ended.nonzero()[:, 0].tolist()  # here the host waits
        rows = [row for row in rows if self._indices[row] != _FREE]
        if not rows:
            return
        book, logprobs = self._book[rows].cpu().numpy(), self._logprobs[rows].cpu().numpy()
        for row, tokens, said in zip(rows, book, logprobs, strict=True):
            tokens = tokens[: self._max_tokens]
            ends = np.flatnonzero(tokens == self._grammar.eos)
            written = slice(0, int(ends[0]) + 1 if ends.size else self._max_tokens)
            yield Written(self._indices[row], tokens[written], said[written], self._n_passes[row])
            self._indices[row] = _FREE

    def fill(self, queue: _Queue) -> None:
        """Windows that wait take the place of those that were given out, whose rows else go."""
        free = [row for row, index in enumerate(self._indices) if index == _FREE]
        more = queue.take(len(free)) if free else None
        if more is not None:
            indices, memory = more
            for row, index in zip(free, indices, strict=False):
                self._indices[row], self._n_passes[row] = index, 0
            rows = torch.tensor(free[: len(indices)], device=self.device)
            self._cache.replace(rows, self._model.new_cache(memory, 1))
            self._state[rows] = self._grammar.start(len(indices))
            self._tokens[rows] = self._grammar.bos
            self._ended[rows] = False
            self._book[rows] = self._grammar.pad
        open_rows = [row for row, index in enumerate(self._indices) if index != _FREE]
        n_rows = len(self._indices)
        # recorded steps go on with rows of no use while these are few
        if 0 < len(open_rows) < (n_rows // 2 if self.fixed_shapes else n_rows):
            self._keep(torch.tensor(open_rows, device=self.device))
        if free and open_rows:
            positions = self._cache.positions.tolist()
            self._cache.longest = min(
                max(positions[row] for row, i in enumerate(self._indices) if i != _FREE),
                self._cache.room,
            )

    def _keep(self, rows: Tensor) -> None:
        """Only some rows."""
        self._cache = self._cache.select(rows)
        self._state = self._grammar.select(self._state, rows)
        self._tokens, self._ended = self._tokens[rows], self._ended[rows]
        self._book, self._logprobs = self._book[rows], self._logprobs[rows]
        kept = rows.tolist()
        self._indices = [self._indices[row] for row in kept]
        self._n_passes = [self._n_passes[row] for row in kept]
        self._recorded.forget()

    def _choose(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits.where(self._grammar.allowed(self._state), float("-inf"))
        return choose(logits, self._sampling, self._generator)


def generate_tokens(
    model: Pix2Seq,
    memory: Memory,
    grammar: GrammarTables,
    *,
    max_tokens: int,
    sampling: Sampling = GREEDY,
) -> list[np.ndarray]:
    """The whole sequence of each window, as `write_sequences` writes them, in their order.

    Returns
    -------
    list of (L,) int64 array, or (K, L) of several heads
        One a window, ending in eos unless it ran out of room; without bos and pad.
    """
    written = write_sequences(model, [memory], grammar, max_tokens=max_tokens, sampling=sampling)
    return [one.tokens for one in sorted(written, key=lambda one: one.index)]
