"""From the mask pixels of a window to the source pixels of a frame."""

import numpy as np

from rleseg_core.data import Window, WindowReader, resize_labels, upsample_labels
from rleseg_core.data.upsampling import FinePixels, upsample_ids
from rleseg_core.data.windows import resize_image, resized_shape
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


def weights_in_source(
    weights: np.ndarray, window: Window, shape: tuple[int, ...], spec: WindowSpec
) -> np.ndarray:
    """Weights of the pixels of a window at the resolution of the source.

    Parameters
    ----------
    weights : (N, S, S) float32
        In mask pixels.
    window, shape, spec
        As for `source_rectangle`.

    Returns
    -------
    (N, h, w) float32
        Those of the mask pixels that source pixels lie in, for the part of `masks_in_source`.
    """
    rows, cols, covered = source_rectangle(window, shape, spec)
    weights = resize_labels(weights, (spec.patch, spec.patch))[:, : covered[0], : covered[1]]
    return resize_labels(weights, (rows.stop - rows.start, cols.stop - cols.start))


def ids_in_source(
    ids: np.ndarray, window: Window, shape: tuple[int, ...], spec: WindowSpec
) -> tuple[slice, slice, np.ndarray]:
    """Ids of the objects of a window at the resolution of the source, with smooth outlines.

    Parameters
    ----------
    ids : (N, S, S) integer
        Ids in mask pixels, 0 = background.
    window, shape, spec
        As for `source_rectangle`.

    Returns
    -------
    rows, cols : slice
        The part of the frame that the window covers, in source pixels.
    (N, h, w) of the same dtype
        Ids there, interpolated once, from mask pixels to source pixels.
    """
    rows, cols, _ = source_rectangle(window, shape, spec)
    fine = [
        FinePixels.at(
            (np.arange(part.start, part.stop) + 0.5) * resized / source - 0.5 - start,
            n_mask,
            spec.patch,
        )
        for part, resized, source, start, n_mask in zip(
            (rows, cols),
            resized_shape(shape, spec),
            shape[1:3],
            (window.rows[0], window.cols[0]),
            ids.shape[-2:],
            strict=True,
        )
    ]
    return rows, cols, upsample_ids(ids, fine[0], fine[1])


def foreground_in_source(
    log_odds: np.ndarray, window: Window, reader: WindowReader
) -> tuple[np.ndarray, float]:
    """Log odds of foreground at the resolution of the source, and how far a mask pixel reaches.

    Parameters
    ----------
    log_odds : (P, P) float32
        Of the pixels of a window.
    window : Window
        The window.
    reader : WindowReader
        It knows the frames, and how they are resized.

    Returns
    -------
    (h, w) float32
        Log odds there, interpolated.
    float
        Source pixels in one resized pixel.
    """
    rows, cols, covered = source_rectangle(window, reader.shape, reader.spec)
    size = (rows.stop - rows.start, cols.stop - cols.start)
    inside = np.ascontiguousarray(log_odds[: covered[0], : covered[1]], np.float32)
    return resize_image(inside[..., None], size)[..., 0], size[0] / max(covered[0], 1)
