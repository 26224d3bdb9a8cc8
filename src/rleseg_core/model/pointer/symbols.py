"""Classes of runs read off the image: what a class token says, and where classes change."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.pointer.first_hit import log_odds_of
from rleseg_core.model.pointer.memory import PackedMemory, PointerMemory
from rleseg_core.spec import SymbolTokens

_NEVER = -30.0  # log probability; with minus infinity gradients would be no numbers
_LEAST, _MOST = 1e-3, 7.0  # the least probability of an end, the highest log odds
_MANY = 64  # symbols whose runs are no longer followed one by one

Readable = PointerMemory | PackedMemory


class SymbolReader(nn.Module):
    """What the dense head says of the symbols of runs, and of where these begin and end.

    Parameters
    ----------
    tokens : SymbolTokens
        Which tokens say symbols.
    """

    digits: Tensor

    def __init__(self, tokens: SymbolTokens) -> None:
        super().__init__()
        self.tokens = tokens
        base = tokens.n_classes + 1
        symbols = torch.arange(tokens.n_symbols + 1)
        digits = torch.stack([symbols // base**k % base for k in range(tokens.n_frames)], dim=1)
        self.register_buffer("digits", digits, persistent=False)  # (symbols, N)

    def log_classes(self, dense: Tensor) -> Tensor:
        """Log probabilities (B, G, N, C + 1) of what symbols tell apart, from class logits.

        In blocks these are background and object.
        """
        classes = dense.log_softmax(-1)
        if classes.shape[-1] == self.tokens.n_classes + 1:
            return classes
        return torch.stack((classes[..., 0], classes[..., 1:].logsumexp(-1)), dim=-1)

    def edges(self, log_classes: Tensor) -> Tensor:
        """Log odds that a run begins and that one ends at each mask pixel, (B, G, 2).

        A line has background before its first pixel and behind its last one.
        """
        p, line = log_classes.exp(), self.tokens.line
        at = torch.arange(p.shape[1], device=p.device)
        nothing = F.one_hot(at[:1] * 0, p.shape[-1]).to(p)
        begins_line = (at % line == 0)[:, None, None]
        ends_line = ((at + 1) % line == 0)[:, None, None]
        before = torch.where(begins_line, nothing, F.pad(p, (0, 0, 0, 0, 1, 0))[:, :-1])
        behind = torch.where(ends_line, nothing, F.pad(p, (0, 0, 0, 0, 0, 1))[:, 1:])
        begins, ends = (1 - (p * other).sum(-1).prod(-1) for other in (before, behind))
        if self.tokens.runs == "foreground":
            foreground = 1 - p[..., 0].prod(-1)
            begins, ends = foreground * begins, foreground * ends
        return log_odds_of(torch.stack((begins, ends), dim=-1))

    def summed(self, log_classes: Tensor, ignored: Tensor | None = None) -> Tensor:
        """Log probabilities (B, G + 1, N, C + 1) of classes, summed up over the pixels before each.

        So those of any run are the difference of two. Pixels that are `ignored` (B, G) add nothing.
        """
        if ignored is not None:
            log_classes = log_classes.masked_fill(ignored[..., None, None], 0.0)
        return F.pad(log_classes.cumsum(1), (0, 0, 0, 0, 1, 0))

    def scores(
        self, memory: Readable, start: Tensor, end: Tensor, other: Tensor | None = None
    ) -> Tensor | None:
        """Log probabilities (B, L, n_ids) of the symbols of runs from `start` to before `end`.

        Each (B, L), as is the symbol `other` that they do not have. Those of changes are at single
        pixels. None without a dense head.
        """
        if memory.classes is None:
            return None
        symbols = self._of_runs(memory.classes, memory, start, end)
        if self.tokens.runs != "change":
            return _without(other, symbols[..., self.tokens.first :], _NEVER).log_softmax(-1)
        before = self._of_runs(memory.classes, memory, (start - 1).clamp(min=0), start)
        background = torch.full_like(before, _NEVER)
        background[..., 0] = 0
        before = torch.where((start % self.tokens.line == 0)[..., None], background, before)
        n = self.tokens.n_symbols
        found = []
        for delta in (*range(n, 0, -1), *range(-1, -n - 1, -1)):  # as their tokens are
            up, down = max(0, delta), max(0, -delta)
            pairs = before[..., down : n + 1 - up] + symbols[..., up : n + 1 - down]
            found.append(pairs.logsumexp(-1))
        return torch.stack(found, dim=-1).log_softmax(-1)

    def _of_runs(self, summed: Tensor, memory: Readable, start: Tensor, end: Tensor) -> Tensor:
        """Mean log probabilities (B, L, symbols) of the pixels of runs."""
        total = memory.pick(summed, end) - memory.pick(summed, start)
        return self._of(total / (end - start).clamp(min=1)[..., None, None])

    def end_odds(
        self, memory: Readable, start: Tensor, longest: int, other: Tensor | None = None
    ) -> Tensor | None:
        """Log odds (B, L, M) that a run from `start` (B, L) has each length, if none below.

        A run of a symbol goes on with the probability that its next pixel has the symbol; which
        symbol it has is the more certain the more pixels it has, and it is not `other` (B, L). None
        without a dense head, or where there are too many symbols.
        """
        if memory.classes is None or self.tokens.n_symbols >= _MANY:
            return None
        at = start[..., None] + torch.arange(longest + 2, device=start.device)
        summed = memory.pick(memory.classes, at.clamp(max=memory.classes.shape[1] - 1))
        alike = self._of(summed[:, :, 1:] - summed[:, :, :1])[..., self.tokens.first :]
        stays = (alike[:, :, 1:] - alike[:, :, :-1]).clamp(max=-_LEAST)
        differs = torch.log(-torch.expm1(stays))
        other = None if other is None else other[..., None]
        alike = _without(other, alike[:, :, :-1], -1e4)
        odds = (alike + differs).logsumexp(-1) - (alike + stays).logsumexp(-1)
        return odds.clamp(-_MOST, _MOST)

    def _of(self, classes: Tensor) -> Tensor:
        """Log probabilities (..., symbols), from those of classes in each frame (..., N, C + 1)."""
        if self.tokens.n_frames == 1:
            return classes[..., 0, :]
        each = [classes[..., k, self.digits[:, k]] for k in range(self.tokens.n_frames)]
        return torch.stack(each).sum(0)

    def cut_runs(self, start: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Which pixels `at` (B, L, M) of runs from `start` (B, L) on can end them, and must."""
        line = self.tokens.line
        inside = at // line == (start // line)[..., None]
        must = (at + 1) % line == 0
        must[..., -1] = True  # the longest run
        return inside, must


def _without(other: Tensor | None, log_p: Tensor, added: float) -> Tensor:
    """Log probabilities (..., symbols), less likely for the symbol `other` (...)."""
    if other is None:
        return log_p
    symbols = torch.arange(log_p.shape[-1], device=log_p.device)
    return log_p + added * (symbols == other[..., None])
