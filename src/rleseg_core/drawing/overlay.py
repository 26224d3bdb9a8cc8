"""Masks drawn over images."""

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from skimage.color import label2rgb
from skimage.segmentation import find_boundaries

from rleseg_core.drawing.charts import chart_output
from rleseg_core.drawing.palette import class_rgb
from rleseg_core.outputs import new_output


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float = 0.3) -> np.ndarray:
    """An image with the classes of a mask laid over it, their outlines opaque.

    Parameters
    ----------
    image : (Y, X) or (Y, X, 3) uint8
        Grey or RGB.
    labels : (Y, X) integer
        Class ids, 0 = background.
    alpha : float
        Opacity of the areas, 0 to 1.

    Returns
    -------
    (Y, X, 3) uint8
    """
    grey = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    colours = [np.array(class_rgb(k)) / 255 for k in range(1, int(labels.max(initial=0)) + 1)]
    if not colours:
        return grey.astype(np.uint8)
    present = [colours[k - 1] for k in np.unique(labels[labels > 0])]
    areas = label2rgb(labels, grey / 255, colors=present, alpha=alpha, bg_label=0, saturation=1)
    areas[labels == 0] = grey[labels == 0] / 255  # label2rgb darkens the background
    edges = find_boundaries(labels, mode="inner") & (labels > 0)
    areas[edges] = np.array(colours)[labels[edges] - 1]
    return np.round(areas * 255).astype(np.uint8)


def save_overlay(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    frames: Sequence[int],
    *,
    overwrite: bool = False,
) -> Path:
    """Write a PNG of some frames side by side, the images above, with their masks below.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    images : (T, Y, X) or (T, Y, X, 3) uint8
        The stack.
    labels : (T, Y, X) integer
        Its class ids.
    frames : sequence of int
        Which ones.
    overwrite : bool
        Whether it may replace an older PNG, which stays until the new one is whole.

    Raises
    ------
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no PNG.
    """
    blank = np.zeros(labels.shape[1:], np.uint8)
    above = np.hstack([overlay(images[frame], blank) for frame in frames])
    below = np.hstack([overlay(images[frame], labels[frame]) for frame in frames])
    with new_output(chart_output(path), overwrite=overwrite) as temporary:
        iio.imwrite(temporary, np.vstack([above, below]))
    return path
