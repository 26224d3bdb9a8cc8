"""The scale of objects: how wide they are, and at which size a model should see a frame.

The diameter of an object is that of the disc of its area, 2·sqrt(area/π). A model knows the
diameters of the objects that it was trained on, in resized pixels; a frame in which objects have
another diameter is resized until they agree, as Cellpose does.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from rleseg_core.errors import DataError

MOST_SIDE = 2**16
"""Largest image size that a frame is resized to, pixels."""
_LEAST_AREA = 4  # pixels; less is a speck
_NECK = 0.3  # pieces are parted where they are narrower than exp(-0.3) of both parts
_STEP = math.sqrt(2)  # from one rung of the ladder to the next
_MOST_ENLARGED = 6.0  # times that frames are enlarged to look for small objects
_AGREEMENT = 0.25  # standard deviation of the logarithm of diameters that agree
_FEW = 1.0  # objects of which a rung has half its weight
_SURENESS = 8  # power of the confidence, relative to the highest
_LEAST_SUPPORT = 0.25  # votes for a diameter, of 1 each, below which it is chance
_PLAIN = 1.5  # times that frames are enlarged, beyond which texture is soon taken for objects
_LEAST_SPREAD = 0.25  # standard deviation of the logarithm of trained diameters, at least


@dataclass(frozen=True, eq=False)
class Diameters:
    """Diameters of the objects of masks.

    Parameters
    ----------
    values : (M,) float64
        Diameters, in pixels of the masks unless said otherwise.
    weights : (M,) float64
        How many objects each stands for, above 0: the larger an object, the likelier it is cut by
        the border of its mask, and those that are cut are left out.
    """

    values: np.ndarray
    weights: np.ndarray

    @classmethod
    def of_ids(cls, ids: np.ndarray) -> Self:
        """Diameters of the objects of a mask of ids (Y, X); cut ones and specks are left out."""
        rows, cols = ids.shape
        names, dense = np.unique(ids, return_inverse=True)
        dense = dense.reshape(ids.shape) + (0 if names[0] == 0 else 1)
        areas = np.bincount(dense.ravel())
        border = np.concatenate((dense[0], dense[-1], dense[:, 0], dense[:, -1]))
        whole = areas >= _LEAST_AREA
        whole[0] = False
        whole[border] = False
        values, weights = [], []
        for index, box in enumerate(ndimage.find_objects(dense), start=1):
            if box is None or not whole[index]:
                continue
            height, width = (part.stop - part.start for part in box)
            values.append(2 * math.sqrt(areas[index] / math.pi))
            weights.append(1 / ((1 - height / (rows + 1)) * (1 - width / (cols + 1))))
        return cls(np.array(values, float), np.array(weights, float))

    @classmethod
    def of_classes(cls, classes: np.ndarray) -> Self:
        """Diameters of the pieces of a mask of classes (Y, X), touching objects parted."""
        found = [
            cls.of_ids(split_touching(classes == value)) for value in np.unique(classes) if value
        ]
        return cls.joined(found)

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Those of several masks together."""
        parts = list(parts)
        empty = np.zeros(0)
        return cls(
            np.concatenate([empty, *(part.values for part in parts)]),
            np.concatenate([empty, *(part.weights for part in parts)]),
        )

    def scaled(self, factor: float) -> Self:
        """The same objects in pixels `factor` times as fine."""
        return type(self)(self.values * factor, self.weights)

    def __len__(self) -> int:
        return len(self.values)

    def percentile(self, percent: float) -> float:
        """Weighted percentile of the diameters, 0 to 100; there must be one at least."""
        order = np.argsort(self.values)
        share = np.cumsum(self.weights[order])
        index = int(np.searchsorted(share, share[-1] * percent / 100))
        return float(self.values[order][min(index, len(order) - 1)])


def split_touching(foreground: np.ndarray) -> np.ndarray:
    """Ids of the objects of a mask, touching ones parted at their necks.

    A watershed of the distance to the background. It is good enough for the sizes of objects, not
    for their outlines.

    Parameters
    ----------
    foreground : (Y, X) bool
        Where objects are.

    Returns
    -------
    (Y, X) int32
        Ids from 1 on, 0 = background.
    """
    distance = ndimage.distance_transform_edt(np.pad(foreground, 1))[1:-1, 1:-1]
    distance = ndimage.gaussian_filter(distance, 1.0)
    width = np.log(np.maximum(distance, 0.25))  # necks count by how much narrower they are
    peaks = label(h_maxima(width, _NECK).astype(bool) & foreground)
    return watershed(-distance, peaks, mask=foreground).astype(np.int32)


def image_size_for(
    shape: Sequence[int], diameter: float, trained: float, *, patch: int
) -> int:  # fmt: skip
    """Image size at which objects are as wide as a model knows them.

    Parameters
    ----------
    shape : (T, Y, X[, C])
        Of the stack, in source pixels.
    diameter : float
        Median diameter of the objects, in source pixels.
    trained : float
        Median diameter of those that the model was trained on, in resized pixels.
    patch : int
        Side P of the model's patches; frames are not made smaller than one.

    Returns
    -------
    int
        I, the longer side of a frame after resizing, in pixels.

    Raises
    ------
    DataError
        If frames would have to be enlarged beyond `MOST_SIDE`.
    """
    longer = max(int(shape[1]), int(shape[2]))
    size = round(longer * trained / diameter)
    if size > MOST_SIDE:
        raise DataError(
            f"for objects {diameter:g} pixels wide, frames of {longer:,} pixels would be enlarged "
            f"to {size:,}, and {MOST_SIDE:,} is the most; give a larger diameter, or parts of the "
            "frames"
        )
    return max(size, patch)


def ladder(shape: Sequence[int], patch: int, own: float) -> list[float]:
    """Scales to look at, resized pixels per source pixel, ascending in steps of √2.

    From about that at which a patch shows the whole frame to that at which pixels are enlarged six
    times; the own scale of a model is always there.

    Parameters
    ----------
    shape : (T, Y, X[, C])
        Of the stack, in source pixels.
    patch : int
        Side P of the model's patches.
    own : float
        The scale at which the model sees frames of this shape if nothing else is known.
    """
    longer = max(int(shape[1]), int(shape[2]))
    first, last = min(patch / longer, 1.0), min(_MOST_ENLARGED, MOST_SIDE / longer)
    below = max(0, math.floor(math.log(own / first, _STEP) + 0.5))
    above = max(0, math.floor(math.log(last / own, _STEP)))
    return [own * _STEP**step for step in range(-below, above + 1)]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What a model sees in some windows at one scale.

    Parameters
    ----------
    scale : float
        Resized pixels per source pixel.
    diameter : float
        Median diameter of the objects found, in source pixels; 0 without any.
    n_objects : int
        Objects found whole.
    foreground : float
        Share of pixels that are foreground, 0 to 1.
    confidence : float
        How sure the model is of the foreground, 0 to 1; 0 without any.
    """

    scale: float
    diameter: float
    n_objects: int
    foreground: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class DiameterEstimate:
    """The diameter of the objects of a stack, as a model sees them.

    Parameters
    ----------
    diameter : float or None
        Median, in source pixels; None where no scale shows objects like those that the model knows.
    image_size : int or None
        Image size at which they are as wide as those; None without a diameter.
    n_objects : int
        Objects that it was estimated from.
    rungs : tuple of Rung
        What was seen, by scale.
    """

    diameter: float | None
    image_size: int | None
    n_objects: int
    rungs: tuple[Rung, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class TrainedDiameters:
    """The diameters of the objects that a model was trained on, in resized pixels.

    Parameters
    ----------
    median : float
        Their median.
    low, high : float
        Their 5th and 95th percentiles.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Diameters) -> Self:
        """Those of objects, of which there must be one at least."""
        low, median, high = (round(found.percentile(percent), 2) for percent in (5, 50, 95))
        return cls(median=median, low=low, high=high)

    @property
    def spread(self) -> float:
        """Standard deviation of their logarithm, if that were normal; 0.25 at least."""
        return max(_LEAST_SPREAD, math.log(self.high / self.low) / (2 * 1.645))


def diameter_of(rungs: Sequence[Rung], trained: TrainedDiameters) -> float | None:
    """The diameter of objects that the scales agree on, in source pixels.

    Each scale votes for the median diameter that was found at it, the more so the surer the model
    was of what it saw, the more objects there were, and the nearer they come to those that the
    model was trained on. Where the scale is right, and at the scales near it, the same diameter is
    found; noise, texture and clumps look as large in resized pixels at any scale, and disagree.

    Parameters
    ----------
    rungs : sequence of Rung
        What was seen at each scale.
    trained : TrainedDiameters
        What the model knows.

    Returns
    -------
    float or None
        None where nothing was found.
    """
    found = [rung for rung in rungs if rung.n_objects]
    if not found:
        return None
    logs = np.log([rung.diameter for rung in found])
    surest = max(rung.confidence for rung in found)
    weights = np.array([_weight(rung, trained, surest) for rung in found])
    agreement = np.exp(-((logs[:, None] - logs) ** 2) / (2 * _AGREEMENT**2))
    support = agreement @ weights
    best = int(np.argmax(support))
    votes = agreement[best] * weights
    if support[best] < _LEAST_SUPPORT:
        return None
    return float(np.exp((votes @ logs) / votes.sum()))


def _weight(rung: Rung, trained: TrainedDiameters, surest: float) -> float:
    """How much a scale's diameter counts, 0 to 1."""
    away = math.log(rung.diameter * rung.scale / trained.median) / trained.spread
    enough = rung.n_objects / (rung.n_objects + _FEW)
    sure = (rung.confidence / surest) ** _SURENESS if surest else 0.0
    plain = min(1.0, _PLAIN / rung.scale)
    return enough * sure * plain * math.exp(-(away**2) / 2)
