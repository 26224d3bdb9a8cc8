"""Intensity normalisation: from grey values of any type to the range 0 to 1 of a model."""

import math

import numpy as np

from rleseg_core.data.no_data import filled, no_data
from rleseg_core.normalisation import Normalisation

_SAMPLED_SIDE = 256  # rows and columns of a frame that are looked at, at most
_TAIL = 0.015  # share of the sample that may be extreme at either end
_NOISE_OF_MEDIAN = 1.35  # standard deviation over the mean distance of a pixel from its median
_BLOCK = 1 << 20  # values converted at once


def normalise(
    image: np.ndarray, how: Normalisation, limits: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray | None]:
    """A frame as a model sees it, and where it shows nothing.

    Parameters
    ----------
    image : (Y, X, C) array
        Source pixels of any real type; the channels of a colour picture are scaled together.
    how : Normalisation
        The rule.
    limits : (float, float)
        Grey values that become 0 and 1 by the rule of the type; see `ImageStack.intensity_range`.

    Returns
    -------
    (Y, X, C) float32
        In [0, 1]. Pixels without data repeat the nearest one with data.
    (Y, X) bool or None
        Pixels without data; see `no_data`. None where all have data. By the rule of the type, only
        NaN and infinite pixels count.
    """
    by_type = how.rule == "type"
    missing = no_data(image, constant=not by_type)
    if missing is not None and not by_type:
        image = filled(image, missing)
    if how.contrast is not None:
        limits = how.contrast
    elif not by_type:
        limits = robust_limits(image, how, missing)
    # version 0.1 computed in float32, in which its models come out bit by bit
    scaled = _scaled(image, limits, np.float32 if by_type else np.float64)
    return (np.subtract(1, scaled, out=scaled) if how.invert else scaled), missing


def robust_limits(
    image: np.ndarray, how: Normalisation, missing: np.ndarray | None = None
) -> tuple[float, float]:
    """Grey values of a frame that become 0 and 1 by the rule of the frame, the lower one first.

    Parameters
    ----------
    image : (Y, X, C) array
        Source pixels, finite.
    how : Normalisation
        With the percentiles and the least range.
    missing : (Y, X) bool, optional
        Pixels without data.

    Notes
    -----
    Medians of 3 × 3 pixels remove isolated extremes. Then up to 1.5 % at either end are left out
    where a gap parts them from the rest that is wider than half of the way from the median to the
    gap, and than a third of the way to the extreme. The percentiles are those of what is left.
    Bright cells that cover less of the frame stay, as their edges leave no gap.
    """
    medians, noise = medians_and_noise(image, missing)
    inner = _without_tail(medians)
    inner = -_without_tail(-inner[::-1])[::-1]
    percentiles = (100 - how.high, 100 - how.low) if how.invert else (how.low, how.high)
    low, high = (float(value) for value in np.percentile(inner, percentiles))
    wider = max(0.0, how.least_range * noise - (high - low)) / 2
    low, high = low - wider, high + wider
    return low, (high if high > low else low + 1)


def medians_and_noise(
    image: np.ndarray, missing: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Medians of 3 × 3 pixels on a grid, and the standard deviation of the noise.

    Parameters
    ----------
    image : (Y, X, C) array
        Finite values.
    missing : (Y, X) bool, optional
        Pixels to leave out.

    Returns
    -------
    (n,) float64
        Ascending; of all channels together, at least one.
    float
        In grey values, for Gaussian noise; edges and extreme pixels hardly count.
    """
    step = -(-max(image.shape[:2]) // _SAMPLED_SIDE)
    rows, cols = (np.arange(min(step // 2, n - 1), n, step) for n in image.shape[:2])
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    around = np.stack([padded[rows + i][:, cols + j] for i in range(3) for j in range(3)])
    around = around.astype(np.float64)  # (9, rows, cols, C)
    if missing is not None and not missing[rows][:, cols].all():
        around = around[:, ~missing[rows][:, cols]]
    around = around.reshape(9, -1)
    medians = np.median(around, axis=0)
    distances = np.sort(np.abs(around[4] - medians))[: math.ceil(0.95 * medians.size)]
    return np.sort(medians), _NOISE_OF_MEDIAN * float(distances.mean())


def _without_tail(values: np.ndarray) -> np.ndarray:
    """Ascending values without those at the upper end that a wide gap parts from the rest."""
    middle = values[values.size // 2]
    first = max(values.size - int(_TAIL * values.size) - 1, 0)
    tail = values[first:]
    gaps, way = np.diff(tail), tail[:-1] - middle
    is_wide = (gaps > 0.5 * way) & (gaps > (tail[-1] - middle) / 3) & (tail[:-1] > values[0])
    return values[: first + int(np.argmax(is_wide)) + 1] if is_wide.any() else values


def _scaled(image: np.ndarray, limits: tuple[float, float], dtype: type[np.floating]) -> np.ndarray:
    """A frame (Y, X, C) with its limits at 0 and 1, clipped, float32; computed in `dtype`."""
    low, high = limits
    scaled = np.empty(image.shape, np.float32)
    n_rows = max(1, _BLOCK // max(1, image[0].size))
    for first in range(0, len(image), n_rows):
        rows = slice(first, first + n_rows)
        values = image[rows].astype(dtype)
        values -= dtype(low)
        values *= dtype(1 / (high - low))
        scaled[rows] = np.clip(np.nan_to_num(values, copy=False), 0, 1, out=values)
    return scaled
