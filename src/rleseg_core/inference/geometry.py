"""From the mask pixels of a window to the source pixels of a frame."""

import numpy as np

from rleseg_core.data import Window, upsample_labels
from rleseg_core.data.windows import resized_shape
from rleseg_core.spec import WindowSpec


def source_rectangle(
    window: Window, shape: tuple[int, ...], spec: WindowSpec
) -> tuple[slice, slice, tuple[int, int]]:
    """Part of the source frame that a window covers.

    Parameters
    ----------
    window : Window
        In resized pixels; it may reach beyond a frame smaller than the patch.
    shape : (T, Y, X[, C])
        Of the source stack.
    spec : WindowSpec
        How frames are resized.

    Returns
    -------
    rows, cols : slice
        In source pixels. Neighbouring windows meet without gap or overlap where they do so resized.
    covered : (int, int)
        Rows and columns of the patch that lie inside the frame, in resized pixels.
    """
    sides = resized_shape(shape, spec)
    slices, covered = [], []
    for (start, stop), resized, source in zip(
        (window.rows, window.cols), sides, shape[1:3], strict=True
    ):
        end = min(stop, resized)
        slices.append(slice(round(start * source / resized), round(end * source / resized)))
        covered.append(end - start)
    return slices[0], slices[1], (covered[0], covered[1])


def masks_in_source(
    masks: np.ndarray, window: Window, shape: tuple[int, ...], spec: WindowSpec
) -> tuple[slice, slice, np.ndarray]:
    """Masks of a window at the resolution of the source.

    Parameters
    ----------
    masks : (N, S, S) uint8
        Class ids in mask pixels.
    window, shape, spec
        As for `source_rectangle`.

    Returns
    -------
    rows, cols : slice
        The part of the frame that the window covers, in source pixels.
    (N, h, w) uint8
        Class ids there.
    """
    rows, cols, covered = source_rectangle(window, shape, spec)
    masks = upsample_labels(masks, (spec.patch, spec.patch), rule="smooth")
    masks = masks[:, : covered[0], : covered[1]]
    size = (rows.stop - rows.start, cols.stop - cols.start)
    if masks.shape[1:] != size:
        masks = upsample_labels(masks, size, rule="nearest")
    return rows, cols, masks
