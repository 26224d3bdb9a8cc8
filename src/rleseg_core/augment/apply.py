"""Augmentation of a batch, on the device of its tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rleseg_core.augment.config import Augmentation
from rleseg_core.augment.geometry import Warp, warped
from rleseg_core.augment.intensity import Jitter, jittered


@dataclass(frozen=True, eq=False)
class Changes:
    """How one window is varied."""

    warp: Warp
    jitter: Jitter


def augment(
    images: Tensor,
    labels: Sequence[Tensor],
    changes: Sequence[Changes],
    augmentation: Augmentation,
    patch: int,
) -> tuple[Tensor, list[Tensor]]:
    """Patches out of the squares around them, each varied in its own way.

    Parameters
    ----------
    images : (B, N, Q, Q, C) uint8 tensor
        Squares with the patch in their middle; Q is P + 2 `rleseg_core.augment.geometry.margin`.
    labels : sequence of (B, N, Q, Q) integer tensor
        Ids of the same pixels: classes, objects.
    changes : sequence of Changes
        B of them. A window depends on its own alone, not on the others in the batch.
    augmentation : Augmentation
        What they were drawn from.
    patch : int
        P, the side of a patch.

    Returns
    -------
    (B, N, C, P, P) float32 tensor, list of (B, N, P, P) tensor
        Images in [0, 1], and the labels that belong to them.
    """
    patches, ids = warped(images, labels, [change.warp for change in changes], patch)
    return jittered(patches, [change.jitter for change in changes], augmentation), ids
