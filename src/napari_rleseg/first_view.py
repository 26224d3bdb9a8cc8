"""What the viewer shows is segmented first: by the dense heads, then by tokens (see `tasks`).

Knows neither Qt nor napari; imports torch only with a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import zarr

from rleseg_core.data import ImageStack

if TYPE_CHECKING:
    from rleseg_core.inference import PredictOptions, Segmenter


@dataclass(frozen=True, kw_only=True)
class View:
    """What the viewer shows of a stack, which is segmented first.

    Parameters
    ----------
    frame : int
        The frame.
    rows, cols : (int, int)
        The part of it that is visible, in pixels, half-open.
    """

    frame: int
    rows: tuple[int, int]
    cols: tuple[int, int]


@dataclass(frozen=True)
class Previewed:
    """A report: what the dense heads see in the view is in the result, until tokens replace it.

    Parameters
    ----------
    frame : int
        Its frame.
    """

    frame: int


class Preview:
    """What the dense heads see in a view, until its frame is segmented or the job is ended.

    Parameters
    ----------
    labels, ids : (T, Y, X) zarr array
        Class masks and ids of objects.
    """

    def __init__(self, labels: zarr.Array, ids: zarr.Array) -> None:
        self._arrays = labels, ids
        self._frame: int | None = None  # in which it is shown
        self._part = slice(0), slice(0)
        self._before: list[np.ndarray] = []

    def show(
        self, model: "Segmenter", stack: ImageStack, options: "PredictOptions", view: View
    ) -> bool:
        """Write it; False if the model has no such heads."""
        from rleseg_core.inference import first_look

        rows, cols = slice(*view.rows), slice(*view.cols)
        found = first_look(model, stack, options, view.frame, rows, cols)
        if found is None:
            return False
        self._frame, self._part = view.frame, (found.rows, found.cols)
        self._before = self._exchange([found.classes, found.objects])
        return True

    def forget(self, frames: Sequence[int]) -> None:
        """Tokens replace it in some frames."""
        if self._frame in frames:
            self._frame = None

    def close(self) -> None:
        """Write what was there before, unless there are tokens by now."""
        if self._frame is not None and self._before:
            self._exchange(self._before)
        self._frame = None

    def _exchange(self, parts: list[np.ndarray]) -> list[np.ndarray]:
        """Write masks and ids (h, w); returns what was in their place."""
        before = []
        for array, part in zip(self._arrays, parts, strict=True):
            frame = np.array(array[self._frame])
            before.append(frame[self._part].copy())
            frame[self._part] = part
            array[self._frame] = frame
        return before
