"""Windows: which parts of a stack a model sees, and what it sees there."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.data.intensity import normalise
from rleseg_core.data.labels import resize_labels
from rleseg_core.data.stack import ImageStack
from rleseg_core.errors import DataError
from rleseg_core.memory import check_room
from rleseg_core.normalisation import Normalisation
from rleseg_core.spec import WindowSpec

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Window:
    """A box of a resized stack: half-open ranges of frames, rows and columns.

    Parameters
    ----------
    frames : (int, int)
        First frame, and the one after the last: N, or all of a run of frames shorter than that.
    rows, cols : (int, int)
        In resized pixels; they reach beyond a frame that is smaller than the patch.
    """

    frames: tuple[int, int]
    rows: tuple[int, int]
    cols: tuple[int, int]

    @property
    def n_frames(self) -> int:
        """How many frames it has in the stack."""
        return self.frames[1] - self.frames[0]


def resized_shape(shape: tuple[int, ...], spec: WindowSpec) -> tuple[int, int]:
    """Rows and columns of a frame of a stack after resizing.

    Parameters
    ----------
    shape : (T, Y, X[, C])
        Of the stack, in source pixels.
    spec : WindowSpec
        With the image size I.

    Returns
    -------
    (int, int)
        The longer side is I, the other in proportion (at least 1); both as they are without I.
    """
    height, width = int(shape[1]), int(shape[2])
    if spec.image_size is None:
        return height, width
    scale = spec.image_size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def plan_windows(
    shape: tuple[int, ...], spec: WindowSpec, breaks: Sequence[int] = ()
) -> list[Window]:
    """Windows that cover a stack.

    Parameters
    ----------
    shape : (T, Y, X[, C])
        Of the stack, in source pixels.
    spec : WindowSpec
        Sizes and strides.
    breaks : sequence of int
        Frames that do not follow the one before them, as `ImageStack.breaks`.

    Returns
    -------
    list of Window
        The frames of `plan_frames` one after the other, each row by row. Every pixel of every frame
        is covered, and the last windows of a row or column end flush with the frame (Sec. III-B1).
        Only a frame smaller than the patch is exceeded.

    Raises
    ------
    DataError
        If breaks are no frames of the stack in ascending order.
    BudgetError
        If a resized frame does not fit into memory.
    """
    height, width = resized_shape(shape, spec)
    check_room(
        12 * max(height, spec.patch) * max(width, spec.patch),  # three channels, float32
        f"a frame of {height:,} x {width:,} pixels, cut into patches of {spec.patch:,},",
        "choose a smaller image size or patch",
    )
    return [
        Window(frames, (y, y + spec.patch), (x, x + spec.patch))
        for frames in plan_frames(int(shape[0]), spec, breaks)
        for y in _starts(height, spec.patch, spec.patch_stride)
        for x in _starts(width, spec.patch, spec.patch_stride)
    ]


def plan_frames(
    n_frames: int, spec: WindowSpec, breaks: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """Frames of the temporal windows that cover a stack (Sec. IV).

    Parameters
    ----------
    n_frames : int
        T, frames of the stack.
    spec : WindowSpec
        With N and the frame stride.
    breaks : sequence of int
        Frames that do not follow the one before them: no window reaches across.

    Returns
    -------
    list of (int, int)
        First frame, and the one after the last, in ascending order. Every frame is covered, and the
        last window of each run of frames between breaks ends flush with it. A run shorter than N is
        one window; `WindowReader` repeats its last frame up to N.

    Raises
    ------
    DataError
        If breaks are no frames of the stack in ascending order.
    """
    bounds = [0, *breaks, n_frames]
    if any(stop <= first for first, stop in pairwise(bounds)):
        raise DataError(
            f"breaks must be frames from 1 to {n_frames - 1} in ascending order, got {list(breaks)}"
        )
    return [
        (first + start, min(first + start + spec.n_frames, stop))
        for first, stop in pairwise(bounds)
        for start in _starts(stop - first, spec.n_frames, spec.frame_stride)
    ]


def _starts(length: int, side: int, stride: int) -> list[int]:
    last = max(length - side, 0)
    return [*range(0, last, stride), last]


def resize_image(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frame on another grid, linearly, averaged over the area of a pixel where it shrinks.

    Parameters
    ----------
    frame : (Y, X, C) float32
        Any range.
    size : (int, int)
        Rows and columns.

    Returns
    -------
    (rows, cols, C) float32
        `frame` itself where it has that size.
    """
    if frame.shape[:2] == tuple(size):
        return frame
    planes = [
        Image.fromarray(np.ascontiguousarray(frame[..., channel])).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR
        )
        for channel in range(frame.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


@dataclass(frozen=True, eq=False)
class ModelFrame:
    """A frame as models see it, but for the patches.

    Parameters
    ----------
    image : (rows, cols, 1 or 3) float32
        Resized, in [0, 1]; one channel for grey, three for colour. Sides shorter than the patch are
        filled up with their last row or column.
    no_data : (Y, X) bool or None
        Source pixels without data, which are never foreground; None where all have data.
    """

    image: np.ndarray
    no_data: np.ndarray | None = None


def normalised_frame(
    stack: ImageStack, frame: int, how: Normalisation
) -> tuple[np.ndarray, np.ndarray | None]:
    """A frame (Y, X, C) in [0, 1] at its own size, and where it has no data; see `normalise`."""
    limits = stack.intensity_range() if how.rule == "type" else (0.0, 1.0)
    return normalise(stack.picture(frame), how, limits)


def model_frame(stack: ImageStack, frame: int, spec: WindowSpec) -> ModelFrame:
    """A frame as models see it, but for the patches.

    Parameters
    ----------
    stack : ImageStack
        The images.
    frame : int
        Its index.
    spec : WindowSpec
        With the image size I and the normalisation.
    """
    image, missing = normalised_frame(stack, frame, spec.normalisation)
    image = resize_image(image, resized_shape(stack.shape, spec))
    return ModelFrame(fill_up(image, spec.patch), missing)


def model_labels(labels: np.ndarray, spec: WindowSpec) -> np.ndarray:
    """Labels (Y, X) of a frame on the grid of `model_frame`, padded the same way; same dtype."""
    return fill_up(resize_labels(labels, resized_shape((1, *labels.shape), spec)), spec.patch)


def fill_up(frame: np.ndarray, side: int) -> np.ndarray:
    """Frame (Y, X, ...) with sides of at least `side`, its last row and column repeated."""
    missing = [max(0, side - length) for length in frame.shape[:2]]
    if not any(missing):
        return frame
    widths = [(0, missing[0]), (0, missing[1]), *((0, 0) for _ in frame.shape[2:])]
    return np.pad(frame, widths, mode="edge")


class _FrameCache(Generic[Prepared]):
    """Keeps the last few prepared frames: the patches of a frame are read one after another."""

    def __init__(self, prepare: Callable[[int], Prepared], size: int) -> None:
        self._prepare, self._size = prepare, size
        self._frames: OrderedDict[int, Prepared] = OrderedDict()

    def __getitem__(self, frame: int) -> Prepared:
        if frame in self._frames:
            self._frames.move_to_end(frame)
        else:
            self._frames[frame] = self._prepare(frame)
            if len(self._frames) > self._size:
                self._frames.popitem(last=False)
        return self._frames[frame]


class WindowReader:
    """Reads the images of windows; a frame is resized once for all its patches.

    Parameters
    ----------
    stack : ImageStack
        The images.
    spec : WindowSpec
        With which the windows were planned.
    """

    def __init__(self, stack: ImageStack, spec: WindowSpec) -> None:
        self._stack, self.spec = stack, spec
        self.shape, self.region = stack.shape, stack.region
        self._frames = _FrameCache(self._prepare, size=spec.n_frames + 1)
        self._no_data: dict[int, np.ndarray | None] = {}

    def _prepare(self, frame: int) -> ModelFrame:
        prepared = model_frame(self._stack, frame, self.spec)
        self._no_data[frame] = prepared.no_data
        return prepared

    def read(self, window: Window) -> np.ndarray:
        """Images of a window, (N, 3, P, P) float32 in [0, 1]; grey is in all three channels.

        The last frame of a window of fewer frames is repeated.
        """
        rows, cols = slice(*window.rows), slice(*window.cols)
        frames = _repeated(range(*window.frames), self.spec.n_frames)
        patches = np.stack([self._frames[t].image[rows, cols] for t in frames])
        images = np.empty((len(patches), 3, *patches.shape[1:3]), np.float32)
        images[:] = patches.transpose(0, 3, 1, 2)  # one channel goes to all three
        return images

    def expected(self, frame: int) -> tuple[np.ndarray, float] | None:
        """Ids (y, x) of the objects that are expected in a frame, as it is resized, and weight."""
        if frame not in self._stack.expected:
            return None
        ids, weight = self._stack.expected[frame]
        return model_labels(ids, self.spec), weight

    def has_data(self, frames: range, rows: slice, cols: slice) -> bool:
        """Whether any pixel of a part of frames, in source pixels, has data; see `no_data`."""
        for frame in frames:
            if frame not in self._no_data:
                self._frames[frame]  # prepared, and kept for its windows
            no_data = self._no_data[frame]
            if no_data is None or not no_data[rows, cols].all():
                return True
        return False

    def clear(self, masks: np.ndarray, frames: range, rows: slice, cols: slice) -> np.ndarray:
        """Masks without foreground where a frame has no data; its windows were read before.

        What is known of earlier frames is forgotten: masks come in the order of `plan_windows`.

        Parameters
        ----------
        masks : (N, h, w) integer array
            Class ids in source pixels; changed in place.
        frames : range
            The frames of the masks.
        rows, cols : slice
            Their part of the frame, in source pixels.
        """
        for mask, frame in zip(masks, frames, strict=True):
            if frame not in self._no_data:
                self._prepare(frame)
            no_data = self._no_data[frame]
            if no_data is not None:
                mask[no_data[rows, cols]] = 0
        for earlier in [frame for frame in self._no_data if frame < frames.start]:
            del self._no_data[earlier]
        return masks


class LabelReader:
    """Reads the labels of windows, as `WindowReader` does the images.

    Parameters
    ----------
    labels : (T, Y, X) integer array
        A numpy, dask or zarr array in source pixels.
    spec : WindowSpec
        With which the windows were planned.
    """

    def __init__(self, labels: ArrayLike, spec: WindowSpec) -> None:
        self._n_frames = spec.n_frames
        self._frames = _FrameCache(
            lambda frame: model_labels(frame_of(labels, frame), spec), size=spec.n_frames + 1
        )

    def read(self, window: Window) -> np.ndarray:
        """Labels of a window, (N, P, P) in patch pixels, of the labels' dtype."""
        rows, cols = slice(*window.rows), slice(*window.cols)
        frames = _repeated(range(*window.frames), self._n_frames)
        return np.stack([self._frames[t][rows, cols] for t in frames])


def _repeated(frames: range, n_frames: int) -> list[int]:
    """Frames, the last of them repeated until there are so many."""
    return [*frames, *[frames[-1]] * (n_frames - len(frames))]
