"""The jobs that read and write stacks: generators that run in a thread (see `jobs`)."""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import zarr

from rleseg_core.data import ImageStack
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.description import FileDescription, describe
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.files import whole_file

if TYPE_CHECKING:
    from napari.types import LayerData


def open_images(
    path: Path, options: ReadOptions | None = None, is_last: bool = True
) -> Generator[None, None, tuple[ImageStack, tuple[float, float] | None] | FileDescription]:
    """An image stack and limits for its contrast (None for colour), or what there is to choose."""
    if options is None or not is_last:
        found = describe(path, options or ReadOptions())
        yield
        if found.is_a_choice:
            return found
    stack = ImageStack.from_source(open_source(path, options or ReadOptions()))
    yield
    return stack, (None if stack.is_colour else stack.intensity_range())


def open_session(path: Path) -> "Generator[None, None, list[LayerData]]":
    """Layer data of an earlier session."""
    from napari_rleseg.io import read_session

    yield
    return read_session(str(path))


def sample() -> "Generator[None, None, list[LayerData]]":
    """Layer data of the simulated time-lapse."""
    from napari_rleseg.sample_data import cells

    yield
    return cells()


def save_stack(
    data: np.ndarray | da.Array | zarr.Array, shape: tuple[int, int, int], target: Path
) -> Generator[int, None, Path]:
    """Write the data of a layer as zarr, one chunk a frame; it appears when it is whole.

    Parameters
    ----------
    data : (Y, X[, 3 or 4]) or (T, Y, X[, 3 or 4])
        Images or labels.
    shape : (T, Y, X)
        As which they are read.
    target : Path
        New folder, its name ending in ``.zarr``.

    Yields
    ------
    int
        Frames written.
    """
    if tuple(data.shape[:3]) != shape:  # one frame
        data = data[None]
    with whole_file(target, overwrite=False) as temporary:
        array = create_stack(temporary, (*shape, *data.shape[3:]), data.dtype)
        for frame in range(shape[0]):
            array[frame] = np.asarray(data[frame])
            yield frame + 1
    return target
