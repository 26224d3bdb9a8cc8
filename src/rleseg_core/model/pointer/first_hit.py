"""First-hit probabilities: from the odds of each mask pixel to the odds of being the first.

A discrete-time hazard model. Each mask pixel has the odds that a run begins there if none has begun
since the cursor; the next start is the first hit from the cursor on, and there is none if no pixel
is hit. The end of a run is the first hit from its start on, in the same way.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IMPOSSIBLE = -10.0  # logit of a token that cannot come next
_LEAST = 1e-3  # the least probability that the dense head may claim


def first_start(
    log_odds: Tensor, cursor: Tensor, unknown: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Log probabilities that each mask pixel is the first hit from the cursor on, and of no hit.

    Parameters
    ----------
    log_odds : (B, L, G) float32 tensor
        Log odds that a run begins at each mask pixel.
    cursor : (B, L) int64 tensor
        The first pixel that may be hit, 0 to G.
    unknown : (B, 1, G) bool tensor, optional
        Pixels that are left out, as if they could not be hit.

    Returns
    -------
    first : (B, L, G) float32 tensor
        Log probabilities; far below `IMPOSSIBLE` for pixels before the cursor.
    none : (B, L, 1) float32 tensor
        Log probability that no pixel is hit.
    """
    ahead = torch.arange(log_odds.shape[-1], device=log_odds.device) >= cursor[..., None]
    if unknown is not None:
        ahead = ahead & ~unknown
    survival = (F.logsigmoid(-log_odds) * ahead).cumsum(-1)
    # log p + log survival before = log odds + log survival up to here
    return torch.where(ahead, log_odds + survival, 2 * IMPOSSIBLE), survival[..., -1:]


def first_end(log_odds: Tensor, inside: Tensor, cut: Tensor | None = None) -> Tensor:
    """Log probabilities (..., M) that each of the next M mask pixels is the first to end a run.

    Parameters
    ----------
    log_odds : (..., M) float32 tensor
        Log odds that a run ends at each of these pixels.
    inside : (..., M) bool tensor
        Which of them can end a run: those inside the mask, of which it is known.
    cut : (..., M) bool tensor, optional
        Pixels at which a run ends in any case.
    """
    survival = (F.logsigmoid(-log_odds) * inside).cumsum(-1)
    ends = log_odds + survival
    if cut is not None:
        ends = torch.where(cut, survival - F.logsigmoid(-log_odds), ends)
    return torch.where(inside, ends, 2 * IMPOSSIBLE)


def object_log_odds(background: Tensor, before: Tensor, above: Tensor) -> Tensor:
    """Log odds that a run of an object begins, ends, and that an object begins, (B, G, 3).

    Parameters
    ----------
    background : (B, G) tensor
        Probability that a mask pixel is background.
    before, above : (B, G) tensor
        Probability that it and the pixel before it, or the one beside it in the line before, belong
        to the same object; 0 where there is none.
    """
    begins = (1 - background) * (1 - before)
    ends = (1 - background) * (1 - F.pad(before, (0, 1))[:, 1:])
    p = torch.stack((begins, ends, begins * (1 - above)), dim=-1)
    return log_odds_of(p)


def edge_log_odds(classes: Tensor) -> Tensor:
    """Log odds that a run begins and that one ends at each mask pixel, (B, G, 2).

    Parameters
    ----------
    classes : (B, G, N, C + 1) tensor
        Class probabilities of each mask pixel in each frame, background first. The first pixel has
        background before it, and the last has background behind it.
    """
    outside = F.one_hot(torch.zeros(1, dtype=torch.int64, device=classes.device), classes.shape[-1])
    outside = outside.to(classes).expand(len(classes), 1, classes.shape[2], -1)
    padded = torch.cat((outside, classes, outside), dim=1)
    same = (padded[:, 1:] * padded[:, :-1]).sum(-1).prod(-1)  # (B, G + 1)
    foreground = 1 - classes[..., 0].prod(-1)
    p = torch.stack((foreground * (1 - same[:, :-1]), foreground * (1 - same[:, 1:])), dim=-1)
    return log_odds_of(p)


def log_odds_of(p: Tensor) -> Tensor:
    """Log odds of probabilities, none of which is sure."""
    return p.clamp(_LEAST, 1 - _LEAST).logit()
