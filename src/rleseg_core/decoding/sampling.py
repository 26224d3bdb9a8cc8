"""How the next token is chosen from the logits: the likeliest one, or a draw."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rleseg_core.checks import NotNegative, Positive, Seed, Share, check_fields
from rleseg_core.errors import SchemeError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Parameters
    ----------
    top_p : float, optional
        From 0 to 1. Draw from the likeliest tokens whose probabilities add up to at most this, and
        at least from the first (nucleus sampling; the paper's code uses 0.4). None: always take the
        likeliest token (greedy).
    temperature : float
        Above 0; logits are divided by it before a draw.
    seed : int, optional
        Seed of the draws, which makes them repeatable.
    leniency : float
        0 or more, for greedy decoding with drafts: the token of a draft is kept unless another is
        more than e^leniency times as probable. With 0, drafts do not change what is written.

    Raises
    ------
    SchemeError
        If a number is out of range.
    """

    top_p: Share | None = None
    temperature: Positive = 1.0
    seed: Seed | None = None
    leniency: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_fields(self, SchemeError)

    def generator(self, device: torch.device) -> torch.Generator | None:
        """Source of the draws on a device; None: torch's own, which is not seeded here."""
        return None if self.seed is None else torch.Generator(device).manual_seed(self.seed)


GREEDY = Sampling()


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits with all but the likeliest tokens at minus infinity.

    Parameters
    ----------
    logits : (B, V) tensor
        Any scale.
    top_p : float
        The longest list of tokens, likeliest first, whose probabilities add up to at most this is
        kept, with those as likely as its last; at least the first token is kept.

    Returns
    -------
    (B, V) tensor
        Unchanged where a token is kept.

    Notes
    -----
    The published implementation counts inclusively, so with 0.4 a token of probability 0.41 stands
    alone. Other implementations also keep the first token that exceeds the limit.
    """
    if top_p >= 1:
        return logits  # sums that round to more than 1 would lose the least likely tokens
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
    logits: Tensor,
    sampling: Sampling,
    generator: torch.Generator | None,
    stops: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Tokens (B,) chosen from logits (B, V), and their log-probabilities (B,).

    With `stops` (V,) bool, the tokens that end a block or a sequence, greedy decoding first asks
    whether anything follows and then what: a run that may begin at any of several neighbouring
    pixels is written although "end" is the likeliest single token.
    """
    if sampling.top_p is None:
        tokens = _likeliest(logits, stops)
    else:
        below = logits - logits.amax(dim=-1, keepdim=True)  # finite at any temperature
        tokens = draw_without_sync(nucleus(below / sampling.temperature, sampling.top_p), generator)
    return tokens, logits.log_softmax(dim=-1).gather(-1, tokens[:, None])[:, 0]


def keeps_draft(
    logits: Tensor, chosen: Tensor, drafted: Tensor, leniency: float, stops: Tensor | None
) -> Tensor:
    """Whether drafted tokens (B,) are kept in place of those chosen (B,), (B,) bool.

    Parameters
    ----------
    logits : (B, V) tensor
        Minus infinity for tokens that may not follow.
    chosen, drafted : (B,) int64 tensor
        Tokens of `choose`, and of a draft.
    leniency : float
        See `Sampling`.
    stops : (V,) bool tensor or None
        As for `choose`: where one of the two ends and the other does not, all ends are weighed
        against all that could follow.
    """
    least = -leniency
    own = logits.gather(-1, drafted[:, None])[:, 0]
    if stops is None:
        return own - logits.gather(-1, chosen[:, None])[:, 0] >= least
    going, ending = logits.masked_fill(stops, float("-inf")), logits.masked_fill(~stops, -torch.inf)
    ends = stops[drafted]
    best = torch.where(ends, ending.amax(-1), going.amax(-1))
    mass, other = going.logsumexp(-1), ending.logsumexp(-1)
    mass, other = torch.where(ends, other, mass), torch.where(ends, mass, other)
    # what could not follow at all is at minus infinity on one side
    return (own - best >= least) & ((mass - other >= least) | (stops[chosen] == ends))


def _likeliest(logits: Tensor, stops: Tensor | None) -> Tensor:
    if stops is None:
        return logits.argmax(dim=-1)
    going, ending = logits.masked_fill(stops, float("-inf")), logits.masked_fill(~stops, -torch.inf)
    goes = going.logsumexp(dim=-1) > ending.logsumexp(dim=-1)
    return torch.where(goes, going.argmax(dim=-1), ending.argmax(dim=-1))
