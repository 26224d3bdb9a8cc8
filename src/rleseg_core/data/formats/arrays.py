"""NumPy arrays on disk, memory-mapped."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.data.arrays import as_dask, image_data
from rleseg_core.data.formats.base import Format

if TYPE_CHECKING:
    import dask.array as da


def open_numpy(path: Path, axes: str | None = None) -> "da.Array":
    """Lazy array of a ``.npy`` file; frames are read from the disk when they are looked at.

    Parameters
    ----------
    path : Path
        The file; it stays mapped as long as the array lives.
    axes : str, optional
        A letter for each axis; guessed as for `ImageStack.from_array` by default.

    Returns
    -------
    (T, Y, X, C) dask array
        One chunk per frame.

    Raises
    ------
    DataError
        If the axes or the values cannot be those of images.
    ValueError
        If it is no such file, ends early, or holds Python objects.
    """
    return image_data(as_dask(_Mapped(path)), axes, str(path))


class _Mapped:
    """An array on disk as dask takes it: of a `numpy.memmap` it would make a copy in memory."""

    def __init__(self, path: Path) -> None:
        self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        self.shape, self.dtype, self.ndim = self._array.shape, self._array.dtype, self._array.ndim

    def __getitem__(self, key: object, /) -> np.ndarray:
        return self._array[key]


NUMPY = Format(label="NumPy array", suffixes=(".npy",), open_images=open_numpy)
