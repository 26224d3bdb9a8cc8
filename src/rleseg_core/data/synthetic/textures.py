"""Random textures and light that synthetic images are made of."""

import numpy as np
from scipy import ndimage

TILE = 128  # side of periodic textures, pixels; a power of two


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Noise with mean 0 and standard deviation 1, smooth over `sigma` pixels, periodic."""
    noise = ndimage.gaussian_filter(
        rng.standard_normal(size, dtype=np.float32), sigma, mode="wrap", truncate=3
    )
    noise -= noise.mean()
    return noise / (noise.std() + 1e-6)


def dots(rng: np.random.Generator, size: tuple[int, int], share: float, sigma: float) -> np.ndarray:
    """Sparse round dots of height about 1, periodic; `share` of the pixels are centres."""
    seeds = np.where(rng.random(size) < share, rng.uniform(0.4, 1.0, size), 0).astype(np.float32)
    return ndimage.gaussian_filter(seeds, sigma, mode="wrap") * np.float32(2 * np.pi * sigma**2)


def uneven_light(
    rng: np.random.Generator, size: tuple[int, int], scale: float, strength: float
) -> np.ndarray:
    """Relative brightness (Y, X) float32: a tilted, off-centre vignette with slow stains."""
    down = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :]
    tilt = rng.normal(0, 0.5, 2)
    centre = rng.normal(0, 0.3, 2)
    bowl = (down - centre[0]) ** 2 + (right - centre[1]) ** 2
    stains = smooth_noise(rng, size, 14 * scale)
    uneven = tilt[0] * down + tilt[1] * right - 0.5 * bowl + 0.12 * stains
    field = rng.uniform(0.88, 1.15) + strength * (uneven - uneven.mean())
    return np.maximum(field, 0.2).astype(np.float32)
