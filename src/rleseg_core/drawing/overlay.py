"""Masks drawn over images."""

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import center_of_mass
from skimage.color import label2rgb
from skimage.segmentation import find_boundaries

from rleseg_core.drawing.charts import chart_output
from rleseg_core.drawing.palette import class_rgb
from rleseg_core.outputs import new_output

_NUMBERS = 9  # height of the numbers of objects, pixels


def overlay(
    image: np.ndarray, labels: np.ndarray, alpha: float = 0.3, ids: np.ndarray | None = None
) -> np.ndarray:
    """An image with the classes of a mask laid over it, their outlines opaque.

    Parameters
    ----------
    image : (Y, X) or (Y, X, 3) uint8
        Grey or RGB.
    labels : (Y, X) integer
        Class ids, 0 = background.
    alpha : float
        Opacity of the areas, 0 to 1.
    ids : (Y, X) integer, optional
        Ids of objects, 0 = background, which are outlined and numbered one by one.

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
    outlined = labels if ids is None else ids
    edges = find_boundaries(outlined, mode="inner") & (labels > 0)
    areas[edges] = np.array(colours)[labels[edges] - 1]
    drawn = np.round(areas * 255).astype(np.uint8)
    return drawn if ids is None else _numbered(drawn, ids)


def _numbered(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """An RGB image with the id of each object written on it."""
    picture = Image.fromarray(image)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_NUMBERS)
    numbers = np.unique(ids[ids > 0]).tolist()
    for number, (row, col) in zip(numbers, center_of_mass(ids > 0, ids, numbers), strict=True):
        draw.text((col, row), str(number), "white", font, "mm", stroke_width=1, stroke_fill="black")
    return np.asarray(picture)


def save_overlay(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    frames: Sequence[int],
    *,
    ids: np.ndarray | None = None,
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
    ids : (T, Y, X) integer, optional
        Ids of objects, as `overlay` takes them.
    overwrite : bool
        Whether it may replace an older PNG, which stays until the new one is whole.

    Raises
    ------
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no PNG.
    """
    blank = np.zeros(labels.shape[1:], np.uint8)
    above = np.hstack([overlay(images[frame], blank) for frame in frames])
    masks = [
        overlay(images[frame], labels[frame], ids=None if ids is None else ids[frame])
        for frame in frames
    ]
    with new_output(chart_output(path), overwrite=overwrite) as temporary:
        iio.imwrite(temporary, np.vstack([above, np.hstack(masks)]))
    return path
