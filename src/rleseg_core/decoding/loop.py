"""The decoding loop: one token at a time of a batch of windows, as live views show it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rleseg_core.decoding.grammar import GrammarTables
from rleseg_core.decoding.sampling import GREEDY, Sampling, choose
from rleseg_core.model.decoder import Memory
from rleseg_core.model.heads import Turns
from rleseg_core.model.pix2seq import Pix2Seq

# on an accelerator, asking which rows have ended makes the host wait
_STEPS_BETWEEN_CHECKS = 16


def steps_between_checks(device: torch.device) -> int:
    """Steps after which to ask the device which rows have ended."""
    return 1 if device.type == "cpu" else _STEPS_BETWEEN_CHECKS


class Step(NamedTuple):
    """One more token of the sequences that have not ended.

    Parameters
    ----------
    tokens : (B',) int64 tensor, or (B', K) of several heads
        On the model's device; pad in a row that has ended but is still in the batch.
    rows : (B',) int64 tensor
        Index of the window that each row belongs to.
    logprobs : (B',) float32 tensor, or (B', K)
        Log-probability of each token among those the grammar allows.
    """

    tokens: Tensor
    rows: Tensor
    logprobs: Tensor


@torch.inference_mode()
def generate(
    model: Pix2Seq,
    memory: Memory,
    grammar: GrammarTables,
    *,
    max_tokens: int,
    sampling: Sampling = GREEDY,
) -> Iterator[Step]:
    """Decode a batch of windows, one token of each at a time.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    memory : Memory
        Encoded windows, from `model.encode`.
    grammar : GrammarTables
        The tokens that may follow; every sequence obeys it.
    max_tokens : int
        L, the longest sequence, eos included.
    sampling : Sampling
        How tokens are chosen; greedy by default.

    Yields
    ------
    Step
        The new tokens. Rows that have ended leave the batch: at once on a CPU, every few steps on
        an accelerator.

    Raises
    ------
    SchemeError
        If the model has fewer positions than `max_tokens`.
    """
    device = memory.context.device
    choose_from = partial(
        choose, sampling=sampling, generator=sampling.generator(device), stops=model.stops
    )
    rows = torch.arange(len(memory), device=device)
    tokens = model.first_tokens(grammar.bos, len(memory), device)
    ended = torch.zeros_like(rows, dtype=torch.bool)
    state, cache = grammar.start(len(memory)), model.new_cache(memory, max_tokens)
    interval = steps_between_checks(device)
    for n_tokens in range(1, max_tokens + 1):
        turns = model.turns(tokens, cache)
        tokens, logprobs, state = _next_tokens(turns, state, grammar, choose_from)
        yield Step(tokens, rows, logprobs)
        ended = ended | ((tokens if tokens.ndim == 1 else tokens[:, 0]) == grammar.eos)
        if n_tokens % interval == 0:
            remaining = (~ended).nonzero()[:, 0]  # the only line where the host waits
            if len(remaining) == 0:
                return
            if len(remaining) < len(rows):
                rows, tokens, ended = rows[remaining], tokens[remaining], ended[remaining]
                state, cache = grammar.select(state, remaining), cache.select(remaining)


def _next_tokens(
    turns: Turns,
    state: Tensor,
    grammar: GrammarTables,
    choose_from: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, their log-probabilities, and the state after them; heads advance it in turn."""
    chosen: list[Tensor] = []
    sure: list[Tensor] = []
    for k in range(turns.n_heads):
        allowed = grammar.allowed(state)
        logits = turns.logits(k, chosen).float()
        tokens, logprobs = choose_from(logits.where(allowed, float("-inf")))
        state = grammar.advance(state, tokens)
        chosen.append(tokens)
        sure.append(logprobs)
    if not turns.several:
        return chosen[0], sure[0], state
    return torch.stack(chosen, 1), torch.stack(sure, 1), state
