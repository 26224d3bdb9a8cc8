"""Which pixel belongs to which body, and how far it lies from the border."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from rleseg_core.data.synthetic.bodies import Body

_SMALLEST = 6  # pixels of a body that counts as seen


@dataclass(frozen=True, slots=True)
class Patch:
    """A body's own coordinates in its bounding box, all (rows, cols) float32 of that box."""

    body: Body
    box: tuple[slice, slice]
    along: np.ndarray
    across: np.ndarray
    depth: np.ndarray  # pixels, 0 on the outline, negative outside


class Drawn(NamedTuple):
    """What optics make an image of, (rows, cols) float32 each."""

    phase: np.ndarray  # optical thickness; about 1 in the middle of a typical body
    detail: np.ndarray  # added to the image as it is, in units of the contrast
    light: np.ndarray  # emission of fluorescence, 0 to about 1


def patch_of(body: Body, size: tuple[int, int]) -> Patch | None:
    """The body in its bounding box; None outside of the frame."""
    reach = int(body.reach) + 2
    row, col = body.position
    rows = slice(max(0, int(row) - reach), min(size[0], int(row) + reach + 1))
    cols = slice(max(0, int(col) - reach), min(size[1], int(col) + reach + 1))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return None
    down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(row)
    right = np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] - np.float32(col)
    cosine, sine = np.float32(np.cos(body.heading)), np.float32(np.sin(body.heading))
    along, across = right * cosine + down * sine, down * cosine - right * sine
    return Patch(body, (rows, cols), along, across, body.depth(along, across))


def deepest(
    size: tuple[int, int], parts: Iterable[tuple[tuple[slice, slice], np.ndarray, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Which of several things that overlap each pixel lies deepest in.

    Parameters
    ----------
    size : (int, int)
        Rows and columns.
    parts : iterable of (slice, slice), (h, w) float32, int
        Of each thing its box, how deep the pixels there lie in it, above 0 inside, and its id.

    Returns
    -------
    owner : (Y, X) int32
        The id, 0 = in none.
    margin : (Y, X) float32
        By how much it is deeper there than the next one.
    """
    owner = np.zeros(size, np.int32)
    best, second = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for box, depth, identity in parts:
        first, runner_up, ids = best[box], second[box], owner[box]
        wins = depth > first
        np.maximum(runner_up, np.where(wins, first, depth), out=runner_up)
        np.maximum(first, depth, out=first)
        ids[wins] = identity
    return owner, best - second


def assign(patches: list[Patch], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Owner of each pixel, and its distance from the border.

    Where outlines overlap the body in which the pixel lies deeper wins. Each keeps its largest
    piece only, and nothing if that is tiny.

    Returns
    -------
    owner : (Y, X) int32
        Body id, 0 = background.
    margin : (Y, X) float32
        About the distance from an outline or from the border of two that touch, pixels.
    """
    owner, margin = deepest(size, ((patch.box, patch.depth, patch.body.id) for patch in patches))
    for patch in patches:
        ids = owner[patch.box]
        own = ids == patch.body.id
        pieces, n_pieces = ndimage.label(own)
        if n_pieces:
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            largest = int(sizes.argmax())
            kept = pieces == largest if sizes[largest] >= _SMALLEST else np.zeros_like(own)
            ids[own & ~kept] = 0
    return owner, margin
