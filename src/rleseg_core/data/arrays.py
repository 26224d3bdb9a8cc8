"""Arrays of any kind, brought to lazy frames (T, Y, X, C)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rleseg_core.data.axes import arrange, guess_axes
from rleseg_core.errors import DataError, RlesegError

if TYPE_CHECKING:
    import dask.array as da


class ArrayLike(Protocol):
    """What numpy, dask and zarr arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""

    def __getitem__(self, key: int, /) -> object:
        """Part of the array, convertible by `numpy.asarray`."""


class Shaped(Protocol):
    """Anything with axes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Turn whatever a decoder raises into a `DataError` that names what was read."""
    try:
        yield
    except (RlesegError, MemoryError):
        raise
    except Exception as error:  # each library has errors of its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"cannot read {what}: {reason}") from error


def frame_of(labels: ArrayLike, frame: int) -> np.ndarray:
    """One frame of a (T, Y, X) array of any kind, in memory."""
    with reading(f"frame {frame} of the labels"):
        return np.asarray(labels[frame])


def as_dask(array: ArrayLike) -> "da.Array":
    """Dask array over anything array-like, not copied."""
    import dask.array as da

    if isinstance(array, da.Array):
        return array
    chunks = -1 if isinstance(array, np.ndarray) else "auto"
    return da.from_array(array, chunks=getattr(array, "chunks", None) or chunks, name=False)


def frames_array(
    read: Callable[[int], np.ndarray], n_frames: int, shape: tuple[int, ...], dtype: np.dtype
) -> "da.Array":
    """Dask array (T, *shape), one chunk per frame, over a function that reads a frame."""
    import dask.array as da

    def block(block_info: dict) -> np.ndarray:
        return read(int(block_info[None]["chunk-location"][0]))[None]

    return da.map_blocks(
        block,
        chunks=((1,) * n_frames, *((length,) for length in shape)),
        dtype=dtype,
        meta=np.empty((0,) * (1 + len(shape)), dtype),
    )


def image_data(data: "da.Array", axes: str | None, what: str) -> "da.Array":
    """Array of real numbers as (T, Y, X, C), one chunk per frame at least; bool becomes uint8."""
    if data.dtype.kind not in "buif":
        raise DataError(f"{what} holds {data.dtype} values; images and masks need real numbers")
    data = arrange(data, axes or guess_axes(data.shape, str(data.dtype)), what).rechunk({0: 1})
    return data.astype(np.uint8) if data.dtype == bool else data


def grey_of_colour(labels: np.ndarray, what: str) -> np.ndarray:
    """Ids (...) of a mask (..., C) whose colour channels are equal; a fourth channel is ignored."""
    first = labels[..., 0]
    for channel in range(1, min(labels.shape[-1], 3)):
        if not np.array_equal(first, labels[..., channel]):
            raise DataError(
                f"{what} is a colour image, from which ids cannot be read; save the mask as "
                "integer ids, one channel, 0 = background"
            )
    return first


def check_same_shape(images: Shaped, labels: Shaped) -> None:
    """Check that two stacks, channels aside, have the same (T, Y, X).

    Raises
    ------
    DataError
        If they do not; the message gives both.
    """
    if images.shape[:3] != labels.shape[:3]:
        raise DataError(
            f"the mask is {labels.shape[:3]}, the image is {images.shape[:3]}; both must be the "
            "same (T, Y, X)"
        )
