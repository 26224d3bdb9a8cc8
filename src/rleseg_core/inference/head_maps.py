"""What dense heads say of the pixels of a frame, from top to bottom, averaged over its windows."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from rleseg_core.data import Window
from rleseg_core.inference.memories import Encode
from rleseg_core.model import Pix2Seq
from rleseg_core.model.outlines import NEIGHBOURS

_AT_ONCE = 4 << 20  # resized pixels of a frame that are looked at together, about
_FADE = 0.5  # width of the weights of a window, in its half sides; its border counts least
_LEAST = 1e-3


class Strip(NamedTuple):
    """Rows of a frame that are parted into objects together; half-open, in resized pixels.

    Parameters
    ----------
    first, last : int
        Where its first and its last windows begin.
    stop : int
        Where its last windows end.
    seen : (int, int)
        Its rows with a margin, in which objects that reach beyond it are seen as well.
    """

    first: int
    last: int
    stop: int
    seen: tuple[int, int]


def plan_strips(
    starts: Sequence[int], patch: int, size: tuple[int, int], most: int = _AT_ONCE
) -> list[Strip]:
    """Strips that cover a frame: one, unless it is large.

    Parameters
    ----------
    starts : sequence of int
        Where rows of windows begin, ascending.
    patch : int
        Side of a window, and the margin of strips: objects are smaller than that.
    size : (int, int)
        Rows and columns of the frame.
    most : int
        Pixels of a strip with its margins, unless a single row of windows has more.
    """
    height, width = size
    if height * width <= most:
        return [Strip(starts[0], starts[-1], height, (0, height))]
    n_rows = max(patch, most // width - 2 * patch)
    strips: list[Strip] = []
    waiting = list(starts)
    while waiting:
        first = waiting[0]
        own = [start for start in waiting if start + patch <= first + n_rows]
        waiting = waiting[len(own) :]
        stop = own[-1] + patch
        seen = max(0, first - patch), min(height, stop + patch)
        strips.append(Strip(first, own[-1], stop, seen))
    return strips


class HeadMaps:
    """The maps of a frame, strip by strip, averaged where windows overlap.

    Parameters
    ----------
    model : Pix2Seq
        With heads of classes and affinities.
    encode : callable
        The memory of windows.
    windows : sequence of Window
        Of the frame, row by row; what none of them covers is 0.
    width : int
        Columns of the frame.
    top : int
        First row of the first strip that is wanted.
    """

    def __init__(
        self, model: Pix2Seq, encode: Encode, windows: Iterable[Window], width: int, top: int = 0
    ) -> None:
        self._model, self._encode, self._top = model, encode, top
        self._coming = deque(window for window in windows if window.rows[1] > top)
        n_classes, pairs = model.config.pointer.dense_classes, model.config.pointer.affinities
        n_maps = n_classes + len(pairs)
        self._corrected = [*range(n_classes), *(n_classes + pairs.index(p) for p in NEIGHBOURS)]
        self._total = np.zeros((n_maps, 0, width), np.float32)
        self._weight = np.zeros((0, width), np.float32)

    def of(self, strip: Strip, following: Strip | None, batch_size: int) -> np.ndarray:
        """What the heads say of a strip with its margins, (C + 1 + K, rows, x) float32 logits.

        Parameters
        ----------
        strip : Strip
            The one that followed at the last call.
        following : Strip or None
            The next one, if any: what is known of its rows is kept.
        batch_size : int
            Windows that are looked at together.
        """
        coming = []
        while self._coming and self._coming[0].rows[0] < strip.seen[1]:
            coming.append(self._coming.popleft())
        self._grow_to(max([strip.seen[1], *(window.rows[1] for window in coming)]))
        for window, maps in self._of_windows(coming, max(1, batch_size)):
            fade = _fade(maps.shape[-1])
            above = max(0, self._top - window.rows[0])
            rows = slice(window.rows[0] + above - self._top, window.rows[1] - self._top)
            cols = slice(*window.cols)
            self._total[:, rows, cols] += (maps * fade)[:, above:]
            self._weight[rows, cols] += fade[above:]
        total, weight = self._total, self._weight
        self._keep_from(None if following is None else following.seen[0])
        n_rows = strip.seen[1] - strip.seen[0]
        found = total[:, :n_rows]
        return np.divide(found, np.maximum(weight[:n_rows], _LEAST), out=found)

    def _grow_to(self, bottom: int) -> None:
        """Make room for rows down to this one."""
        n_before, n_rows = len(self._weight), bottom - self._top
        if n_rows > n_before:
            n_maps, _, width = self._total.shape
            total = np.zeros((n_maps, n_rows, width), np.float32)
            weight = np.zeros((n_rows, width), np.float32)
            total[:, :n_before], weight[:n_before] = self._total, self._weight
            self._total, self._weight = total, weight

    def _keep_from(self, row: int | None) -> None:
        """Forget the rows above this one, or all of them."""
        first = len(self._weight) if row is None else row - self._top
        self._total, self._weight = self._total[:, first:].copy(), self._weight[first:].copy()
        self._top += first

    def _of_windows(
        self, windows: Iterable[Window], batch_size: int
    ) -> Iterator[tuple[Window, np.ndarray]]:
        coming = iter(windows)
        while batch := list(islice(coming, batch_size)):
            patch = batch[0].rows[1] - batch[0].rows[0]
            with torch.inference_mode():
                memory = self._encode(batch)
                classes = self._model.dense_logits(memory)[:, 0]
                maps = torch.cat((classes, self._model.affinity_logits(memory)), dim=1)
                maps = F.interpolate(
                    maps.float(), (patch, patch), mode="bilinear", align_corners=False
                )
                pixels = self._model.pixel_logits(memory)
                if pixels is not None:
                    maps[:, self._corrected] = pixels.float()
            yield from zip(batch, maps.cpu().numpy(), strict=True)


@cache
def _fade(patch: int) -> np.ndarray:
    """Weights (P, P) of the pixels of a window, least at its border."""
    across = np.linspace(-1, 1, patch, dtype=np.float32)
    bell = np.exp(-0.5 * (across / _FADE) ** 2)
    return np.outer(bell, bell) + np.float32(_LEAST)
