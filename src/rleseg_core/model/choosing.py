"""Which token comes next, of what the model says of each."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.errors import SchemeError
from rleseg_core.model.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Parameters
    ----------
    rule : {'auto', 'likeliest', 'median'}
        Without `top_p`, the likeliest token or the median of starts and of lengths (see `Chooser`);
        'auto' is the median where starts are scans.
    top_p : float, optional
        None: by the rule. Otherwise one at random from the most likely tokens that
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

    rule: Literal["auto", "likeliest", "median"] = "auto"
    top_p: float | None = None
    temperature: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.rule not in ("auto", "likeliest", "median"):
            raise SchemeError(
                f"there is no rule {self.rule!r}; use 'auto', 'likeliest' or 'median'"
            )
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise SchemeError(f"top_p must be from 0 to 1, got {self.top_p}")
        if not self.temperature > 0:
            raise SchemeError(f"the temperature must be above 0, got {self.temperature}")


GREEDY = Sampling()


class Chooser:
    """Chooses tokens for a model.

    The likeliest start is not the best one. Where it is not sure in which of several cells the next
    run begins, each is less likely than that there is none, and whatever comes below is lost. The
    median is the first start, in the order of the scan, by which half of the starts and the end
    have come; it errs by the fewest cells that can be expected. Lengths are taken likewise, of the
    class whose lengths have most together.

    Parameters
    ----------
    config : ModelConfig
        Of the model.
    sampling : Sampling
        How to choose.
    device : torch.device
        Where the logits are.
    """

    def __init__(self, config: ModelConfig, sampling: Sampling, device: torch.device) -> None:
        self.sampling = sampling
        self._generator = None
        if sampling.seed is not None:
            self._generator = torch.Generator(device).manual_seed(sampling.seed)
        scans = config.starts == "scan" and not config.heads
        takes_median = sampling.rule == "median" or (sampling.rule == "auto" and scans)
        self._ordinals = _Ordinals(config, device) if takes_median and not config.heads else None

    def __call__(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B,) and their log-probabilities (B,), of logits (B, V)."""
        if self.sampling.top_p is not None:
            below = logits - logits.amax(dim=-1, keepdim=True)  # finite at any temperature
            likely = nucleus(below / self.sampling.temperature, self.sampling.top_p)
            tokens = draw_without_sync(likely, self._generator)
        elif self._ordinals is not None:
            tokens = self._ordinals.median(logits)
        else:
            tokens = logits.argmax(dim=-1)
        return tokens, logits.log_softmax(dim=-1).gather(-1, tokens[:, None])[:, 0]


class _Ordinals:
    """Ids in groups, each in the order of what its tokens say.

    Starts, and behind them what ends a scan, are one group; the lengths of each class are one; any
    other id is alone.
    """

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        grid = config.grid
        groups = [[*range(offset, offset + size)] for offset, size in config.ramps]
        self._stops = torch.tensor(
            [id_ for first, n in (grid.stops if grid else ()) for id_ in range(first, first + n)],
            dtype=torch.int64,
            device=device,
        )
        self._n_starts = grid.n_ids if grid else 0
        if grid is not None:
            starts = range(grid.offset, grid.offset + grid.n_ids)
            groups.insert(0, [*starts, *self._stops.tolist()])
        grouped = {id_ for group in groups for id_ in group}
        groups += [[id_] for id_ in range(config.vocab_size) if id_ not in grouped]
        sizes = torch.tensor([0, *map(len, groups)], device=device)
        self._order = torch.tensor([id_ for group in groups for id_ in group], device=device)
        self._bounds = sizes.cumsum(0)

    def median(self, logits: Tensor) -> Tensor:
        """Of each row (B, V), the median (B,) of the group that has most together."""
        total = logits.float()[:, self._order].softmax(dim=-1).cumsum(dim=-1)
        bounds = F.pad(total, (1, 0))[:, self._bounds]
        parts = bounds.diff(dim=-1)
        best = parts.argmax(dim=-1, keepdim=True)
        half = bounds.gather(1, best) + 0.5 * parts.gather(1, best)
        at = torch.minimum(torch.searchsorted(total, half), self._bounds[best + 1] - 1)[:, 0]
        tokens = self._order[at]
        if not len(self._stops):
            return tokens
        stopped = (best[:, 0] == 0) & (at >= self._n_starts)
        return tokens.where(~stopped, self._stops[logits[:, self._stops].argmax(dim=-1)])


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
