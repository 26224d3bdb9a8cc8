"""Weighted cross-entropy over tokens."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.errors import TrainingError
from rleseg_core.tokens import Vocabulary


def vocabulary_weights(
    vocab: Vocabulary, eos_weight: float, segment_weights: Mapping[str, float]
) -> Tensor:
    """Weight of each token in the loss: 0 for padding, 1 where nothing else is said.

    Returns
    -------
    (V,) float32

    Raises
    ------
    TrainingError
        If a segment of that name does not exist.
    """
    weights = torch.ones(vocab.size)
    weights[vocab.pad] = 0.0
    weights[vocab.eos] = eos_weight
    segments = {segment.name: segment for segment in vocab.segments}
    for name, weight in segment_weights.items():
        if name not in segments:
            raise TrainingError(
                f"there is no vocabulary segment {name!r} to weigh; there are {sorted(segments)}"
            )
        segment = segments[name]
        weights[segment.offset : segment.offset + segment.size] = weight
    return weights


def token_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Weighted mean of the cross-entropy of all tokens of a batch (reference: Σ w·CE / Σ w).

    Parameters
    ----------
    logits : (B, L, V) float
        Any float type; the loss is computed in float32.
    targets : (B, L) int64
        Token ids.
    weights : (V,) float32
        Weight of each token id.
    label_smoothing : float
        Share of the target spread over the vocabulary.

    Returns
    -------
    () float32
    """
    losses = F.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        reduction="none",
        label_smoothing=label_smoothing,
    )
    token_weights = weights[targets.flatten()]
    return (losses * token_weights).sum() / token_weights.sum().clamp_min(1e-9)
