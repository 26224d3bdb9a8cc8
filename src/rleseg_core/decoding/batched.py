"""Continuous batching: whole sequences of many windows, in slots refilled as soon as one ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from rleseg_core.decoding.grammar import GrammarTables
from rleseg_core.decoding.loop import generate, steps_between_checks
from rleseg_core.decoding.queue import WindowQueue
from rleseg_core.decoding.sampling import GREEDY, Sampling
from rleseg_core.decoding.slots import DecodedSequence, Slots
from rleseg_core.decoding.speculation import Draft, Drafts
from rleseg_core.errors import SchemeError
from rleseg_core.model.decoder import Memory
from rleseg_core.model.pix2seq import Pix2Seq


@torch.inference_mode()
def decode_sequences(
    model: Pix2Seq,
    memories: Iterable[Memory],
    grammar: GrammarTables,
    *,
    max_tokens: int,
    sampling: Sampling = GREEDY,
    n_slots: int | None = None,
    drafts: Callable[[int], Draft | None] | None = None,
    static_shapes: bool | None = None,
) -> Iterator[DecodedSequence]:
    """Decode the sequences of windows, each returned as soon as it is complete.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    memories : iterable of Memory
        Encoded windows, from `model.encode`, in batches of any size; taken when slots are free.
    grammar : GrammarTables
        The tokens that may follow; every sequence obeys it.
    max_tokens : int
        L, the longest sequence, eos included.
    sampling : Sampling
        How tokens are chosen; greedy by default.
    n_slots : int, optional
        Windows that are decoded at once; by default as many as the first batch has.
    drafts : callable of int to Draft or None, optional
        A draft for each window, by its index, for speculative decoding; asked for at each pass
        while there is none, so it may be made from windows that have ended. Greedy sequences are
        the same with and without, where rounding does not decide (as it may in bf16). Models with
        several heads ignore drafts.
    static_shapes : bool, optional
        Whether steps keep the shapes of their tensors, so that a GPU can replay them as a CUDA
        graph. None: with CUDA, if there are neither drafts nor a seed. Never with drafts.

    Yields
    ------
    DecodedSequence
        In the order in which they end.

    Raises
    ------
    SchemeError
        If the model has fewer positions than `max_tokens`, `max_tokens` or `n_slots` is below 1, or
        drafts are given and the sampling is not greedy.
    """
    if max_tokens < 1 or (n_slots is not None and n_slots < 1):
        raise SchemeError(
            f"max_tokens and n_slots must be at least 1, got {max_tokens} and {n_slots}"
        )
    if drafts is not None and sampling.top_p is not None:
        raise SchemeError("drafts are checked greedily; leave top_p out or give no drafts")
    if model.config.tokens.heads:
        yield from _decode_heads(model, memories, grammar, max_tokens, sampling)
        return
    queue = WindowQueue(memories)
    windows = queue.take(n_slots or queue.n_ready())
    if windows is None:
        return
    device = windows[1].context.device
    on_gpu = device.type == "cuda"
    can_be_static = drafts is None and not (on_gpu and sampling.seed is not None)
    slots = Slots(
        model,
        grammar,
        windows,
        max_tokens,
        sampling,
        static_shapes=can_be_static and (on_gpu if static_shapes is None else static_shapes),
    )
    open_drafts = None
    if drafts is not None:
        open_drafts = Drafts(drafts, grammar.eos, model.config.tokens.vocab_size)
    interval = steps_between_checks(device)
    while len(slots):
        if open_drafts is None:
            for _ in range(interval):
                slots.step()
        else:
            slots.verify(open_drafts)
        for sequence in slots.pop_ended():
            if open_drafts is not None:
                open_drafts.forget(sequence.index)
            yield sequence
        slots.refill(queue)


def _decode_heads(
    model: Pix2Seq,
    memories: Iterable[Memory],
    grammar: GrammarTables,
    max_tokens: int,
    sampling: Sampling,
) -> Iterator[DecodedSequence]:
    """Sequences of several heads, (K, L) each: batch by batch, and without drafts."""
    first = 0
    for memory in memories:
        tokens: list[list[Tensor]] = [[] for _ in range(len(memory))]
        logprobs: list[list[Tensor]] = [[] for _ in range(len(memory))]
        steps = generate(model, memory, grammar, max_tokens=max_tokens, sampling=sampling)
        for step in list(steps):  # all are computed before any is copied to the host
            new_tokens, new_logprobs = step.tokens.cpu(), step.logprobs.cpu()
            for k, row in enumerate(step.rows.tolist()):
                if not tokens[row] or tokens[row][-1][0] != grammar.eos:
                    tokens[row].append(new_tokens[k])
                    logprobs[row].append(new_logprobs[k])
        for row, columns in enumerate(tokens):
            yield DecodedSequence(
                first + row,
                torch.stack(columns, 1).numpy(),
                torch.stack(logprobs[row], 1).numpy(),
                len(columns),
            )
        first += len(memory)


def generate_tokens(
    model: Pix2Seq,
    memory: Memory,
    grammar: GrammarTables,
    *,
    max_tokens: int,
    sampling: Sampling = GREEDY,
) -> list[np.ndarray]:
    """Greedy or sampled tokens of a batch of windows, in their order; see `decode_sequences`.

    Returns
    -------
    list of (L,) int64 array, or (K, L) of several heads
        One a window, without bos and pad, ending in eos unless it reached `max_tokens`.
    """
    sequences = decode_sequences(model, [memory], grammar, max_tokens=max_tokens, sampling=sampling)
    return [one.tokens for one in sorted(sequences, key=lambda one: one.index)]
