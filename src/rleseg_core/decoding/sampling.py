"""How the next token is chosen from the logits: the likeliest one, or a draw."""

from dataclasses import dataclass
from typing import NamedTuple, Self

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

    With `stops` (S,), the tokens that end a block or a sequence, greedy decoding first asks whether
    anything follows and then what: a run that may begin at any of several neighbouring pixels is
    written although "end" is the likeliest single token.
    """
    if sampling.top_p is None:
        sides = _Sides.of(logits, stops)
        tokens, best = sides.likeliest()
        return tokens, best - sides.total()
    below = logits - logits.amax(dim=-1, keepdim=True)  # finite at any temperature
    tokens = draw_without_sync(nucleus(below / sampling.temperature, sampling.top_p), generator)
    return tokens, logits.log_softmax(dim=-1).gather(-1, tokens[:, None])[:, 0]


def choose_or_keep(
    logits: Tensor, drafted: Tensor, leniency: float, stops: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The likeliest tokens (B,), or those of a draft, and their log-probabilities (B,).

    Parameters
    ----------
    logits : (B, V) tensor
        Minus infinity for tokens that may not follow.
    drafted : (B,) int64 tensor
        Tokens of a draft; below 0 where there are none.
    leniency : float
        See `Sampling`.
    stops : (S,) int64 tensor or None
        As for `choose`: where one of the two ends and the other does not, all ends are weighed
        against all that could follow.
    """
    sides = _Sides.of(logits, stops)
    tokens, best = sides.likeliest()
    total = sides.total()
    if not leniency:
        return tokens, best - total
    own = logits.gather(-1, drafted.clamp(min=0)[:, None])[:, 0]
    kept = (drafted >= 0) & sides.keep(drafted, own, tokens, leniency)
    return drafted.where(kept, tokens), own.where(kept, best) - total


class _Sides(NamedTuple):
    """The tokens that go on and those that end, by whose mass one side is chosen first.

    Without stops all tokens are on the side that goes on.
    """

    tokens: Tensor  # (B, 2), the likeliest of each side
    best: Tensor  # (B, 2), their logits
    mass: Tensor  # (B, 2), log of the sum of exponentials of each side's logits
    stops: Tensor | None  # (S,)

    @classmethod
    def of(cls, logits: Tensor, stops: Tensor | None) -> Self:
        if stops is None or not len(stops):
            best, tokens = logits.max(dim=-1)
            none = torch.full_like(best, -torch.inf)
            mass = torch.stack((logits.logsumexp(dim=-1), none), dim=-1)
            return cls(tokens[:, None].expand(-1, 2), torch.stack((best, none), -1), mass, None)
        going, ending = logits.index_fill(-1, stops, -torch.inf), logits.index_select(-1, stops)
        best, tokens = going.max(dim=-1)
        best_end, which = ending.max(dim=-1)
        return cls(
            torch.stack((tokens, stops[which]), dim=-1),
            torch.stack((best, best_end), dim=-1),
            torch.stack((going.logsumexp(dim=-1), ending.logsumexp(dim=-1)), dim=-1),
            stops,
        )

    def likeliest(self) -> tuple[Tensor, Tensor]:
        """The likeliest tokens (B,) of the heavier side, and their logits (B,)."""
        side = (self.mass[:, 1:] >= self.mass[:, :1]).long()
        return self.tokens.gather(-1, side)[:, 0], self.best.gather(-1, side)[:, 0]

    def total(self) -> Tensor:
        """What to subtract from logits for log-probabilities, (B,)."""
        return self.mass.logsumexp(dim=-1)

    def keep(self, drafted: Tensor, own: Tensor, chosen: Tensor, leniency: float) -> Tensor:
        """Whether drafted tokens (B,) of logits `own` (B,) are nearly as probable, (B,) bool."""
        ends = self._end(drafted).long()[:, None]
        behind = self.best.gather(-1, ends)[:, 0] - own
        # what could not follow at all is at minus infinity on one side
        lighter = (self.mass.gather(-1, 1 - ends) - self.mass.gather(-1, ends))[:, 0]
        same_side = self._end(chosen) == ends[:, 0].bool()
        return (behind <= leniency) & ((lighter <= leniency) | same_side)

    def _end(self, tokens: Tensor) -> Tensor:
        if self.stops is None:
            return torch.zeros_like(tokens, dtype=torch.bool)
        return (tokens[:, None] == self.stops).any(dim=-1)
