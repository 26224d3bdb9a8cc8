"""``labels.zarr``: the corrected masks for other programs to read, rebuilt whenever it is wrong."""

import logging
from pathlib import Path

import numpy as np
import zarr

from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.files import whole_file

_log = logging.getLogger(__name__)


class LabelCache:
    """The masks of a session as a zarr array that follows the log.

    Nothing in a session depends on it: what it lacks is written again, and where it cannot be
    written the session goes on without it.

    Parameters
    ----------
    path : Path
        The array's folder.
    shape : (int, int, int)
        (T, Y, X) that it must have.
    dtype : numpy dtype
        Type that it must have.

    Attributes
    ----------
    failure : str or None
        Why it could not be written last; None if it could.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: np.dtype):
        self.path = path
        self.shape, self.dtype = shape, dtype
        self.failure: str | None = None
        self._array: zarr.Array | None = None

    def read(self, frame: int) -> np.ndarray | None:
        """Labels (Y, X) of a frame; None if they are missing or damaged."""
        array = self._opened("r")
        if array is None or not self.path_of(frame).is_file():
            return None  # zarr takes a missing chunk for zeros
        try:
            return np.asarray(array[frame])
        except Exception as error:  # noqa: BLE001 whatever zarr and its codecs make of damage
            _log.warning("frame %d of %s is unreadable: %s", frame, self.path, error)
            return None

    def path_of(self, frame: int) -> Path:
        """File of a frame; there is none for a frame of background."""
        return self.path / "c" / str(frame) / "0" / "0"

    def write(self, frame: int, labels: np.ndarray) -> None:
        """Write the labels (Y, X) of a frame, if that is possible."""
        try:
            if self._array is None or self._array.read_only:
                self._array = self._opened("r+") or self._rebuilt()
            self._array[frame] = labels
            self.failure = None
        except Exception as error:  # noqa: BLE001 the log has the labels; this is a copy
            self.failure = f"{self.path} cannot be written to: {error}"
            self._array = None
            _log.warning("%s", self.failure)

    def remove_partial(self) -> None:
        """Remove the halves of files that zarr left where a program was killed; for the writer."""
        for half in self.path.rglob("*.partial"):
            half.unlink(missing_ok=True)

    def _opened(self, mode: str) -> zarr.Array | None:
        """The array, if it is what it must be."""
        if self._array is not None and not (mode == "r+" and self._array.read_only):
            return self._array
        try:
            array = zarr.open_array(self.path, mode=mode)
            fits = array.shape == self.shape and array.dtype == self.dtype
            fits = fits and array.chunks == (1, *self.shape[1:])
        except Exception as error:  # noqa: BLE001 whatever zarr makes of damaged metadata
            _log.warning("%s is unreadable and is written again: %s", self.path, error)
            return None
        self._array = array if fits else None
        return self._array

    def _rebuilt(self) -> zarr.Array:
        """A new array, without frames, in the place of a damaged one."""
        if self.path.exists() and not self.path.is_dir():
            self.path.unlink()
        with whole_file(self.path) as temporary:
            create_stack(temporary, self.shape, self.dtype)
        return zarr.open_array(self.path, mode="r+")
