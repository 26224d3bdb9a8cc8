"""The decoding loop: where the model meets the grammar."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rleseg_core.errors import SchemeError
from rleseg_core.model.decoder import Memory
from rleseg_core.model.pix2seq import Pix2Seq

# on an accelerator, asking which rows have ended makes the host wait
_STEPS_BETWEEN_CHECKS = 16


def steps_between_checks(device: torch.device) -> int:
    """Steps after which to ask which rows have ended."""
    return 1 if device.type == "cpu" else _STEPS_BETWEEN_CHECKS


class GrammarTables(Protocol):
    """Which token may follow, on a device; `rleseg_core.tokens.Grammar.on` makes one.

    A state is one (B, …) tensor; no method makes the host wait.
    """

    @property
    def bos(self) -> int:
        """Id that begins."""

    @property
    def eos(self) -> int:
        """Id that ends."""

    @property
    def pad(self) -> int:
        """Id that follows the end."""

    def start(self, batch: int) -> Tensor:
        """State of sequences that are about to begin."""

    def allowed(self, state: Tensor) -> Tensor:
        """Which tokens may follow, (B, V) bool."""

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """State after one more token (B,) of each."""

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """State of some of the sequences."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Parameters
    ----------
    top_p : float, optional
        None: the most likely token. Otherwise one at random from the most likely tokens that
        together have at most this probability, and at least the first. The paper's code has 0.4.
    temperature : float
        Logits are divided by it.
    seed : int, optional
        For draws that can be repeated.

    Raises
    ------
    SchemeError
        If a number is out of range.
    """

    top_p: float | None = None
    temperature: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise SchemeError(f"top_p must be from 0 to 1, got {self.top_p}")
        if not self.temperature > 0:
            raise SchemeError(f"the temperature must be above 0, got {self.temperature}")


class Step(NamedTuple):
    """One more token of the sequences that are still open.

    Parameters
    ----------
    tokens : (B',) int64 tensor, or (B', K) of several heads
        On the model's device; pad for a row that has ended but is still carried along.
    rows : (B',) int64 tensor
        Which of the windows each belongs to.
    logprobs : (B',) float32 tensor, or (B', K)
        Log-probability of each token among those the grammar allows.
    """

    tokens: Tensor
    rows: Tensor
    logprobs: Tensor


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits with all but the most likely tokens at minus infinity.

    Parameters
    ----------
    logits : (B, V) tensor
        Any scale.
    top_p : float
        The longest run of tokens, most likely first, whose probabilities add up to at most this
        stays, with those as likely as its last; at least the first token stays.

    Returns
    -------
    (B, V) tensor
        The same where a token stays.

    Notes
    -----
    The published implementation counts inclusively, so with 0.4 a token of probability 0.41 stands
    alone. Elsewhere the first token to pass the limit stays too.
    """
    if top_p >= 1:
        return logits  # sums that round to more than 1 would cost the least likely
    ordered, _ = logits.sort(dim=-1, descending=True)
    total = ordered.softmax(dim=-1).cumsum(dim=-1)
    n_kept = (total <= top_p).sum(dim=-1, keepdim=True).clamp(min=1)
    least = ordered.gather(-1, n_kept - 1)
    return logits.masked_fill(logits < least, float("-inf"))


def draw_without_sync(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One token (B,) from each row of logits; `torch.multinomial` would make the host wait."""
    noise = torch.empty_like(logits).exponential_(1, generator=generator)
    return (logits.softmax(dim=-1) / noise).argmax(dim=-1)


def choose(
    logits: Tensor, sampling: Sampling, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Tokens (B,) and their log-probabilities (B,)."""
    if sampling.top_p is None:
        tokens = logits.argmax(dim=-1)
    else:
        below = logits - logits.amax(dim=-1, keepdim=True)  # finite at any temperature
        tokens = draw_without_sync(nucleus(below / sampling.temperature, sampling.top_p), generator)
    return tokens, logits.log_softmax(dim=-1).gather(-1, tokens[:, None])[:, 0]


def _next_tokens(
    logits: Tensor,
    state: Tensor,
    grammar: GrammarTables,
    sampling: Sampling,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, their log-probabilities, and the state after them; heads take their turns."""
    chosen = []
    for head in logits[:, None].unbind(1) if logits.ndim == 2 else logits.unbind(1):
        allowed = grammar.allowed(state)
        tokens, logprobs = choose(head.where(allowed, float("-inf")), sampling, generator)
        state = grammar.advance(state, tokens)
        chosen.append((tokens, logprobs))
    if logits.ndim == 2:
        return (*chosen[0], state)
    return torch.stack([t for t, _ in chosen], 1), torch.stack([p for _, p in chosen], 1), state


GREEDY = Sampling()


@torch.inference_mode()
def generate(
    model: Pix2Seq,
    memory: Memory,
    grammar: GrammarTables,
    *,
    max_tokens: int,
    sampling: Sampling = GREEDY,
) -> Iterator[Step]:
    """Write the sequences of a batch of windows, one token of each at a time.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    memory : Memory
        What `model.encode` gave.
    grammar : GrammarTables
        The tokens that may follow; every sequence keeps to it.
    max_tokens : int
        L: no sequence gets longer, eos included.
    sampling : Sampling
        Greedy by default.

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
    generator = None
    if sampling.seed is not None:
        generator = torch.Generator(device).manual_seed(sampling.seed)
    rows = torch.arange(len(memory), device=device)
    tokens = model.first_tokens(grammar.bos, len(memory), device)
    ended = torch.zeros_like(rows, dtype=torch.bool)
    state, cache = grammar.start(len(memory)), model.new_cache(memory, max_tokens)
    interval = steps_between_checks(device)
    for n_tokens in range(1, max_tokens + 1):
        logits = model.step(tokens, cache).float()
        tokens, logprobs, state = _next_tokens(logits, state, grammar, sampling, generator)
        yield Step(tokens, rows, logprobs)
        ended = ended | ((tokens if tokens.ndim == 1 else tokens[:, 0]) == grammar.eos)
        if n_tokens % interval == 0:
            still = (~ended).nonzero()[:, 0]  # the only place where the host waits
            if len(still) == 0:
                return
            if len(still) < len(rows):
                rows, tokens, ended = rows[still], tokens[still], ended[still]
                state, cache = grammar.select(state, still), cache.select(still)
