"""Intensity jitter: grey values, sharpness and noise of patches changed at random."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rleseg_core.augment.config import Augmentation

TAIL = 0.01  # share of the pixels below the patch's black and above its white
LEAST_RANGE = 1 / 8  # of grey values, however flat the patch
_TAILS = 3  # standard deviations of the blur's kernel, each way


@dataclass(frozen=True)
class Jitter:
    """How the grey values of a window change; the defaults change nothing.

    Parameters
    ----------
    gamma, contrast, brightness : float
        Exponent of grey values in [0, 1], factor about the middle grey, and what is added.
    noise : float
        Standard deviation of Gaussian noise, for grey values in [0, 1].
    blur : float
        Standard deviation of a Gaussian blur, patch pixels.
    stretch : float
        0: grey values as they are, 1: from the window's own black to its own white.
    noise_seed : int
        Seed of the noise.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    stretch: float = 0.0
    noise_seed: int = 0


def draw_jitter(augmentation: Augmentation, rng: np.random.Generator) -> Jitter:
    """A random jitter within the amounts of an augmentation."""
    return Jitter(
        gamma=2.0 ** rng.uniform(-augmentation.gamma, augmentation.gamma),
        contrast=1 + rng.uniform(-augmentation.contrast, augmentation.contrast),
        brightness=rng.uniform(-augmentation.brightness, augmentation.brightness),
        noise=rng.uniform(0, augmentation.noise),
        blur=rng.uniform(0, augmentation.blur) if augmentation.blur else 0.0,
        stretch=rng.uniform(0, augmentation.stretch) if augmentation.stretch else 0.0,
        noise_seed=int(rng.integers(1 << 62)),
    )


def jittered(patches: Tensor, jitters: Sequence[Jitter], augmentation: Augmentation) -> Tensor:
    """Patches with the grey values of each window changed.

    Parameters
    ----------
    patches : (B, N, C, P, P) float32 tensor
        In [0, 1]; may be changed in place.
    jitters : sequence of Jitter
        B of them, drawn for the augmentation.
    augmentation : Augmentation
        Decides which changes are made at all, and how wide the blur's kernel is, so that a window
        comes out the same whatever else is in the batch.

    Returns
    -------
    (B, N, C, P, P) float32 tensor
        In [0, 1].
    """

    def each(name: str) -> Tensor:
        values = torch.tensor([getattr(jitter, name) for jitter in jitters], device=patches.device)
        return values.view(-1, 1, 1, 1, 1)

    if augmentation.blur:
        patches = _blurred(patches, each("blur").flatten(), augmentation.blur)
    if augmentation.stretch:
        stretch = each("stretch")
        low, high = (value.view_as(stretch) for value in _own_range(patches, stretch.flatten()))
        patches = patches.sub_(low).div_(high - low).clamp_(0, 1)
    if augmentation.gamma:
        patches = patches.log_().mul_(each("gamma")).exp_()  # twice as fast as a power
    if augmentation.contrast or augmentation.brightness:
        contrast = each("contrast")
        patches = patches.mul_(contrast).add_(0.5 - 0.5 * contrast + each("brightness"))
        patches = patches.clamp_(0, 1)
    if augmentation.noise:
        noise = torch.empty_like(patches)
        generator = torch.Generator(patches.device)
        for one, jitter in zip(noise, jitters, strict=True):
            one.normal_(generator=generator.manual_seed(jitter.noise_seed))
        patches = patches.addcmul_(noise, each("noise")).clamp_(0, 1)
    return patches


def _blurred(patches: Tensor, sigmas: Tensor, widest: float) -> Tensor:
    """Patches (B, N, C, P, P) under a Gaussian of its own width (B,) for each window."""
    side = patches.shape[-1]
    reach = min(int(_TAILS * widest) + 1, side - 1)
    distance = torch.arange(-reach, reach + 1, device=patches.device)
    kernels = torch.exp(-0.5 * (distance / sigmas.clamp_min(1e-3)[:, None]) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    pixels = torch.arange(side, device=patches.device)
    seen = (pixels + distance[:, None]).clamp(0, side - 1)  # the last pixel goes on beyond the edge
    takes = (seen[..., None] == pixels).float().flatten(1)  # which pixel each weight falls on
    # as a matrix product: faster than a convolution with a kernel for each window
    weights = (kernels @ takes).view(-1, 1, 1, side, side)
    return (weights @ patches @ weights.mT).clamp_(0, 1)


def _own_range(patches: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor]:
    """Grey values that become black and white, (B,) each; from every other row and column."""
    values = patches[..., ::2, ::2].flatten(1)
    n_tail = math.ceil(TAIL * values.shape[1])
    low = stretch * values.kthvalue(n_tail).values
    high = 1 - stretch * (1 - values.kthvalue(values.shape[1] - n_tail + 1).values)
    wider = (LEAST_RANGE - (high - low)).clamp_min(0) / 2
    return low - wider, high + wider
