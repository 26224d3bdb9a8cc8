"""NumPy arrays on disk, memory-mapped."""

from pathlib import Path

import numpy as np

from rleseg_core.data.formats.base import Format, FormatNotes, ReadOptions, Series
from rleseg_core.errors import DataError


def numpy_series(path: Path, _options: ReadOptions, _masks: bool) -> list[Series]:
    """The array of a ``.npy`` file; frames are read from the disk when they are looked at.

    Raises
    ------
    ValueError
        If it is no such file, or holds Python objects.
    DataError
        If it ends early.
    """
    array = _Mapped(path)
    return [Series(shape=array.shape, dtype=array.dtype, axes=None, read=lambda: array)]


class _Mapped:
    """An array on disk as dask takes it: of a `numpy.memmap` it would make a copy in memory."""

    def __init__(self, path: Path) -> None:
        try:
            self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "mmap length" not in str(error):
                raise
            raise DataError(
                f"{path} is truncated: it ends before its array does; copy or export it again"
            ) from error
        self.shape, self.dtype, self.ndim = self._array.shape, self._array.dtype, self._array.ndim

    def __getitem__(self, key: object, /) -> np.ndarray:
        return self._array[key]


NUMPY = Format(
    label="NumPy array",
    suffixes=(".npy",),
    series=numpy_series,
    notes=FormatNotes(axes="none: guessed from the shape, or `--axes`"),
)
