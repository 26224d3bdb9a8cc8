"""Intensity normalisation: from grey values of any type to the range 0 to 1 of a model."""

import math

import numpy as np

from rleseg_core.data.no_data import filled, no_data
from rleseg_core.normalisation import Normalisation

_SAMPLED_SIDE = 256  # rows and columns of a frame that are looked at, at most
_TAIL = 0.015  # share of the pixels that may be extreme at either end
_LEAST_CONTENT = 8.0  # range of medians in standard deviations of the noise; noise alone has 5
_NOISE_OF_MEDIAN = 1.35  # standard deviation over the mean distance of a pixel from its median
_EMPTY_COLOUR = 0.05  # range of a colour that shows nothing, in that of the one that shows most
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
    if how.rule == "type":
        limits = how.contrast or limits
        missing = no_data(image, constant=False)
        # version 0.1 computed in float32, and its models come out bit by bit
        scaled = _scaled(image, limits, np.float32)
    else:
        image = _without_empty_colours(image)
        missing = no_data(image)
        if missing is not None and missing.all():
            return np.full(image.shape, how.invert, np.float32), missing
        if missing is not None:
            image = filled(image, missing)
        if how.contrast is None:
            extreme = extremes(image, missing)
            if extreme is not None:
                image = filled(image, extreme)
            limits = robust_limits(image, how, missing)
        scaled = _scaled(image, how.contrast or limits, np.float64)
    return (np.subtract(1, scaled, out=scaled) if how.invert else scaled), missing


def _without_empty_colours(image: np.ndarray) -> np.ndarray:
    """A frame (Y, X, C) in which colours that show nothing repeat the one that shows most.

    Grey pictures that were saved in one colour, such as green or magenta, thus are grey again.
    """
    if image.shape[2] != 3:
        return image
    rows, cols = _grid(image.shape)
    seen = image[rows][:, cols].reshape(-1, 3).astype(np.float64)
    seen = seen[np.isfinite(seen).all(axis=1)]
    if not seen.size:
        return image
    low, high = np.percentile(seen, (0.1, 99.9), axis=0)
    spans = high - low
    empty = spans < _EMPTY_COLOUR * spans.max()
    if not empty.any():
        return image
    image = image.copy()
    image[..., empty] = image[..., [int(spans.argmax())]]
    return image


def robust_limits(
    image: np.ndarray, how: Normalisation, missing: np.ndarray | None = None
) -> tuple[float, float]:
    """Grey values of a frame that become 0 and 1 by the rule of the frame, the lower one first.

    Parameters
    ----------
    image : (Y, X, C) array
        Source pixels, finite, without extremes.
    how : Normalisation
        With the percentiles, which are those of medians of 3 × 3 pixels, and the least range.
    missing : (Y, X) bool, optional
        Pixels without data.
    """
    medians, noise = medians_and_noise(image, missing)
    percentiles = (100 - how.high, 100 - how.low) if how.invert else (how.low, how.high)
    low, high = (float(value) for value in np.percentile(medians, percentiles))
    wider = max(0.0, how.least_range * noise - (high - low)) / 2
    low, high = low - wider, high + wider
    return low, (high if high > low else low + 1)


def extremes(image: np.ndarray, missing: np.ndarray | None = None) -> np.ndarray | None:
    """Pixels far beyond the grey values of a frame, such as hot and dead ones.

    Parameters
    ----------
    image : (Y, X, C) array
        Source pixels, finite.
    missing : (Y, X) bool, optional
        Pixels without data.

    Returns
    -------
    (Y, X) bool or None
        None if there are none.

    Notes
    -----
    Up to 1.5 % of the pixels at either end are extreme if a gap without grey values parts them from
    the rest. It is wider than half the distance of the percentiles 2 and 98, and than half of the
    way from the median to the gap and a third of the way to the furthest, or twice the one and an
    eighth of the other. Few bright cells on dark ground are not: their edges leave no gap. Nor is
    anything where the rest shows nothing but noise.
    """
    rows, cols = _grid(image.shape)
    seen = image[rows][:, cols]
    if missing is not None and not missing[rows][:, cols].all():
        seen = seen[~missing[rows][:, cols]]
    values = np.sort(seen.astype(np.float64), axis=None)
    highest, lowest = _upper_end(values), -_upper_end(-values[::-1])
    if highest == np.inf and lowest == -np.inf:
        return None
    medians, noise = medians_and_noise(image, missing)
    rest = medians[(medians > lowest) & (medians < highest)]
    if not rest.size or rest[-1] - rest[0] <= _LEAST_CONTENT * noise:
        return None
    found = np.any((image > highest) | (image < lowest), axis=2)
    return found if found.any() else None


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
    rows, cols = _grid(image.shape)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    around = np.stack([padded[rows + i][:, cols + j] for i in range(3) for j in range(3)])
    around = around.astype(np.float64)  # (9, rows, cols, C)
    if missing is not None and not missing[rows][:, cols].all():
        around = around[:, ~missing[rows][:, cols]]
    around = around.reshape(9, -1)
    medians = np.median(around, axis=0)
    distances = np.sort(np.abs(around[4] - medians))[: math.ceil(0.95 * medians.size)]
    return np.sort(medians), _NOISE_OF_MEDIAN * float(distances.mean())


def _grid(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a frame that are looked at."""
    step = -(-max(shape[:2]) // _SAMPLED_SIDE)
    rows, cols = (np.arange(min(step // 2, length - 1), length, step) for length in shape[:2])
    return rows, cols


def _upper_end(values: np.ndarray) -> float:
    """The grey value, of ascending ones, beyond which they are extreme; infinite for none."""
    middle = values[values.size // 2]
    tail = values[max(values.size - int(_TAIL * values.size) - 1, 0) :]
    gaps, way, furthest = np.diff(tail), tail[:-1] - middle, tail[-1] - middle
    is_wide = (gaps > way / 2) & (gaps > furthest / 3)
    is_wide |= (gaps > 2 * way) & (gaps > furthest / 8)
    first, last = values[int(0.02 * values.size)], values[-1 - int(0.02 * values.size)]
    is_wide &= (gaps > (last - first) / 2) & (tail[:-1] > values[0])
    if not is_wide.any():
        return math.inf
    first = int(np.argmax(is_wide))
    return float(tail[first] + tail[first + 1]) / 2


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
