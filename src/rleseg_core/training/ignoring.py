"""What ignored pixels leave of a batch to learn from: which tokens count, against which others.

Ignored pixels are written as background, as nothing else can be written, but the loss must not
depend on what a model says of them:

* A start counts unless the pixel before it is ignored: the run may have begun there already. Starts
  at ignored pixels, and just behind one, do not compete with it.
* A length counts unless the pixel behind the run is ignored: the run may go on. Lengths that end
  at an ignored pixel, or just before one, do not compete with it.
* Where the odds of pixels are summed up (``first_hit``), ignored ones are left out, see
  `rleseg_core.model.Memory.ignored`.

That is exact for runs that name their start as one number, in one sequence without blocks: the
schemes 'binary', 'multiclass', 'lac', '3d-c', '3d-f', 'tac' and 'ltac'. In other schemes what a
token says depends on all tokens before it; there a window with any ignored pixel teaches the dense
head only, if there is one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rleseg_core.spec import IGNORED
from rleseg_core.tokens import Tokenizer

_RULED_OUT = -30.0  # a logit without a gradient: e to its power is nothing beside any other


def is_exact(tokenizer: Tokenizer) -> bool:
    """Whether single pixels can be ignored, rather than whole windows."""
    scheme = tokenizer.scheme
    return (
        scheme.runs == "foreground"
        and scheme.start == "flat"
        and scheme.lines == "joined"
        and scheme.blocks is None
        and not tokenizer.vocab.per_field
    )


def written(classes: Tensor, tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Masks as they are written as tokens, and the ignored pixels of their planes.

    Parameters
    ----------
    classes : (B, N, S, S) uint8 tensor
        Class ids, `IGNORED` where pixels do not count.
    tokenizer : Tokenizer
        It writes them.

    Returns
    -------
    (B, N, S, S) uint8 tensor
        Background where pixels are ignored; in every frame where a symbol stands for all of them.
    (B, G) bool tensor
        The ignored pixels in the order of the plane.
    """
    ignored = classes == IGNORED
    if tokenizer.flattening.n_pixels < classes[0].numel():  # one symbol for a pixel of all frames
        ignored = ignored.any(dim=1, keepdim=True).expand_as(ignored)
    plane = tokenizer.flattening.flatten(ignored.to(torch.uint8)) > 0
    return classes.masked_fill(ignored, 0), plane


@dataclass(frozen=True, eq=False)
class KnownTokens:
    """Which targets of a batch count, and which tokens compete with them.

    Parameters
    ----------
    plane : (B, G) bool tensor
        The ignored pixels in the order of the plane.
    weights : (B, L) or (B, K, L) float32 tensor
        1 for targets that count, 0 for others.
    ruled_out : (B, L, V) bool tensor or None
        Tokens that say something of ignored pixels; None where whole windows are left out.
    """

    plane: Tensor
    weights: Tensor
    ruled_out: Tensor | None

    def logits(self, logits: Tensor) -> Tensor:
        """Logits (B, L, V) without the tokens that are ruled out."""
        if self.ruled_out is None:
            return logits
        return logits.masked_fill(self.ruled_out, _RULED_OUT)

    def first(self, n: int) -> "KnownTokens":
        """Those of the first `n` windows."""
        ruled_out = None if self.ruled_out is None else self.ruled_out[:n]
        return KnownTokens(self.plane[:n], self.weights[:n], ruled_out)


def known_tokens(
    targets: Tensor, n_tokens: Tensor, plane: Tensor, tokenizer: Tokenizer
) -> KnownTokens:
    """Which targets count, in masks of which some pixels are ignored.

    Parameters
    ----------
    targets : (B, L) or (B, K, L) int64 tensor
        Tokens that a model is to say.
    n_tokens : (B,) int64 tensor
        How many of each row are not padding, the eos included.
    plane : (B, G) bool tensor
        The ignored pixels, as `written` gives them.
    tokenizer : Tokenizer
        The tokenizer that wrote them.
    """
    if not is_exact(tokenizer):
        whole = ~plane.any(dim=1)
        weights = whole.view(-1, *[1] * (targets.ndim - 1)).expand(targets.shape)
        return KnownTokens(plane, weights.float(), None)
    n_fields = tokenizer.tokens_per_run
    n_runs = targets.shape[1] // n_fields
    shape = (*targets.shape, tokenizer.vocab.size)
    ruled_out = torch.zeros(shape, dtype=torch.bool, device=targets.device)
    weights = torch.ones(targets.shape, device=targets.device)
    runs = targets[:, : n_runs * n_fields].unflatten(1, (n_runs, n_fields))
    is_run = torch.arange(n_runs, device=targets.device) < ((n_tokens - 1) // n_fields)[:, None]
    start, length = _read(runs, is_run, tokenizer)
    before = torch.nn.functional.pad(plane, (1, 0))[:, :-1]
    behind = torch.nn.functional.pad(plane, (0, 1))[:, 1:]
    for column, (field, offset) in enumerate(tokenizer.columns):
        values = torch.arange(field.n_values, device=targets.device)
        says = field.read(values)
        at = slice(column, n_runs * n_fields, n_fields)
        if field.segment == "start":
            ruled_out[:, :, offset : offset + field.n_values] = (plane | before)[:, None]
            weights[:, at] = weights[:, at].masked_fill(is_run & before.gather(1, start), 0)
        elif bool((says.length > 0).any()):
            last = start[..., None] + says.length - 1  # (B, R, values)
            inside = last < plane.shape[1]
            last = last.clamp(max=plane.shape[1] - 1)
            ends = (plane | behind).gather(1, last.flatten(1)).view_as(last)
            ruled_out[:, at, offset : offset + field.n_values] = ends & inside & is_run[..., None]
            end = (start + length - 1).clamp(0, plane.shape[1] - 1)
            weights[:, at] = weights[:, at].masked_fill(is_run & behind.gather(1, end), 0)
    return KnownTokens(plane, weights, ruled_out)


def _read(runs: Tensor, is_run: Tensor, tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Start and length of runs (B, R, K) of tokens, each (B, R); 0 where there is no run."""
    start, length = torch.zeros_like(runs[..., 0]), torch.zeros_like(runs[..., 0])
    for column, (field, offset) in enumerate(tokenizer.columns):
        values = torch.where(is_run, runs[..., column] - offset, 0)
        said = field.read(values)
        start, length = start + said.start, length + said.length
    return torch.where(is_run, start, 0), torch.where(is_run, length, 0)
