"""Patches lit otherwise: grey values, sharpness and noise changed at random."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from rleseg_core.augment.config import Augmentation

TAIL = 0.01  # share of the pixels below the patch's black and above its white
LEAST_RANGE = 1 / 8  # of grey values, however flat the patch


@dataclass(frozen=True)
class Light:
    """How a window is lit; the defaults change nothing.

    Parameters
    ----------
    gamma, contrast, brightness : float
        Exponent, factor about the middle grey, and what is added.
    noise : float
        Standard deviation, in [0, 1] grey values.
    blur : float
        Standard deviation, patch pixels.
    stretch : float
        0: grey values as they are, 1: from the window's own black to its own white.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    stretch: float = 0.0


def random_light(augmentation: Augmentation, rng: np.random.Generator) -> Light:
    """Light within the amounts of an augmentation."""
    gamma = 2.0 ** rng.uniform(-augmentation.gamma, augmentation.gamma)
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast)
    brightness = rng.uniform(-augmentation.brightness, augmentation.brightness)
    noise = rng.uniform(0, augmentation.noise)
    blur = rng.uniform(0, augmentation.blur) if augmentation.blur else 0.0
    stretch = rng.uniform(0, augmentation.stretch) if augmentation.stretch else 0.0
    return Light(gamma, contrast, brightness, noise, blur, stretch)


def relight(patches: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Patches (N, P, P, C) uint8 in another light; `rng` gives the noise."""
    if light.blur:
        sigmas = (0, light.blur, light.blur, 0)
        patches = gaussian_filter(patches, sigmas, mode="nearest", output=np.float32)
        patches = np.rint(patches).astype(np.uint8)
    levels = np.linspace(0, 1, 256)
    if light.stretch:
        low, high = _own_range(patches, light.stretch)
        levels = np.clip((levels - low) / (high - low), 0, 1)
    levels = (levels**light.gamma - 0.5) * light.contrast + 0.5 + light.brightness
    table = np.clip(255 * levels, 0, 255).astype(np.float32)
    if light.noise == 0:
        return np.rint(table).astype(np.uint8)[patches]
    lit = rng.standard_normal(patches.shape, dtype=np.float32)
    lit *= np.float32(255 * light.noise)
    lit += table[patches]
    lit += np.float32(0.5)
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


def _own_range(patches: np.ndarray, stretch: float) -> tuple[float, float]:
    """Grey values in [0, 1] that become black and white."""
    counts = np.bincount(patches.ravel(), minlength=256).cumsum()
    n_tail = int(np.ceil(TAIL * patches.size))
    low = stretch * int(np.searchsorted(counts, n_tail)) / 255
    high = 1 - stretch * (1 - int(np.searchsorted(counts, patches.size - n_tail + 1)) / 255)
    wider = max(0.0, LEAST_RANGE - (high - low)) / 2
    return low - wider, high + wider
