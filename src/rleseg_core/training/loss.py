"""The loss over tokens, weighted."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.errors import TrainingError
from rleseg_core.parallel.collectives import mean_over_processes
from rleseg_core.tokens import Vocabulary


def vocabulary_weights(
    vocab: Vocabulary, eos_weight: float, segment_weights: Mapping[str, float]
) -> Tensor:
    """Weight of each token in the loss: 0 for padding, 1 for all that are not named.

    Returns
    -------
    (V,) float32, or (K, V) with `per_field` heads

    Raises
    ------
    TrainingError
        If a segment of that name does not exist.
    """
    fields = vocab.fields if vocab.per_field else vocab.fields[:1]
    weights = torch.ones(len(fields), vocab.size)
    weights[:, vocab.pad] = 0.0
    weights[:, vocab.eos] = eos_weight
    segments = {segment.name: segment for segment in vocab.segments}
    for name, weight in segment_weights.items():
        if name not in segments:
            raise TrainingError(
                f"there is no vocabulary segment {name!r} to weigh; there are {sorted(segments)}"
            )
        segment = segments[name]
        for row, field in zip(weights, fields, strict=True):
            if not vocab.per_field or field.segment == name:
                row[segment.offset : segment.end] = weight
    return weights if vocab.per_field else weights[0]


def token_losses(
    logits: Tensor,
    targets: Tensor,
    *,
    kind: str = "xent",
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
) -> Tensor:
    """Loss of each token.

    Parameters
    ----------
    logits : (..., L, V) float
        Any float type; the loss is computed in float32.
    targets : (..., L) int64
        Token ids.
    kind : {'xent', 'focal', 'logistic'}
        Softmax cross-entropy; the same times (1 - p)^`focal_gamma`; or the sum over all ids of
        binary cross-entropies, of logits less log(L) as published.
    label_smoothing : float
        Share of the target that is spread over the vocabulary, 0 to 1; in the logistic loss, the
        distance of the targets from 0 and 1. The focal loss ignores it.
    focal_gamma : float
        Exponent of the focal loss, 0 or more.

    Returns
    -------
    (..., L) float32
    """
    logits = logits.float()
    if kind == "logistic":
        logits = logits - math.log(logits.shape[-2])
        wanted = F.one_hot(targets, logits.shape[-1]).to(logits.dtype)
        wanted = label_smoothing + wanted * (1.0 - 2.0 * label_smoothing)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1)
    losses = F.cross_entropy(
        logits.flatten(0, -2),
        targets.flatten(),
        reduction="none",
        label_smoothing=label_smoothing if kind == "xent" else 0.0,
    ).view(targets.shape)
    if kind == "focal":
        p = torch.exp(-losses)
        return -torch.log(p + 1e-8) * (1.0 - p) ** focal_gamma
    return losses


def token_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    kind: str = "xent",
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    neighbours: Tensor | None = None,
    ordinal_label_smoothing: float = 0.0,
) -> Tensor:
    """Weighted mean of the losses of all tokens of a batch (reference: Σ w·CE / Σ w).

    Parameters
    ----------
    logits, targets, kind, label_smoothing, focal_gamma
        As for `token_losses`.
    weights : (V,) float32, or (B, L) float32
        Weight of each token id, or of each target.
    neighbours : (V, 4) int64 tensor, optional
        Neighbours of each token, from `token_neighbours`; -1 for none.
    ordinal_label_smoothing : float
        Share of the target that goes to its neighbours, 0 to 1.

    Returns
    -------
    () float32
    """
    losses = token_losses(
        logits, targets, kind=kind, label_smoothing=label_smoothing, focal_gamma=focal_gamma
    )
    if neighbours is not None and ordinal_label_smoothing:
        near = neighbours[targets]
        log_p = logits.float().log_softmax(-1).gather(-1, near.clamp(min=0))
        n_near = (near >= 0).sum(-1)
        of_near = -(log_p * (near >= 0)).sum(-1) / n_near.clamp_min(1)
        share = ordinal_label_smoothing * (n_near > 0)
        losses = (1 - share) * losses + share * of_near
    token_weights = weights[targets] if weights.ndim == 1 else weights
    total = mean_over_processes(token_weights.sum())  # so that the mean of means is that of all
    return (losses * token_weights).sum() / total.clamp_min(1e-9)


def heads_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    sizes: Sequence[int],
    *,
    shares: Sequence[float] | None = None,
    kind: str = "xent",
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
) -> Tensor:
    """Weighted mean of the losses of several heads.

    Parameters
    ----------
    logits : (B, K, L, V) float
        Head k has the first ``sizes[k]`` logits.
    targets : (B, K, L) int64
        Token ids of each head.
    weights : (K, V) float32, or (B, K, L) float32
        Weight of each token id of each head, or of each target.
    sizes : sequence of int
        Number of token ids of each head.
    shares : sequence of float, optional
        Weight λ of each head, 1 by default.
    kind, label_smoothing, focal_gamma
        As for `token_losses`.

    Returns
    -------
    () float32
    """
    shares = shares or (1.0,) * len(sizes)
    total = logits.new_zeros((), dtype=torch.float32)
    for k, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        head = token_loss(
            logits[:, k, :, :size],
            targets[:, k],
            weights[k] if weights.ndim == 2 else weights[:, k],
            kind=kind,
            label_smoothing=label_smoothing,
            focal_gamma=focal_gamma,
        )
        total = total + share * head
    return total / sum(shares)
