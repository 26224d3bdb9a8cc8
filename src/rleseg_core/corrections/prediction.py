"""The prediction of a session: read with its checksums, and repaired from the corrected masks."""

import collections
import logging
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import zarr

from rleseg_core.corrections.cache import LabelCache
from rleseg_core.corrections.header import SessionHeader
from rleseg_core.corrections.history import History
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file

N_CACHED = 8

_log = logging.getLogger(__name__)


def checksum(labels: np.ndarray) -> int:
    """CRC-32 of the labels (Y, X) of a frame."""
    return zlib.crc32(np.ascontiguousarray(labels).astype(labels.dtype.newbyteorder("<")).data)


class Prediction:
    """The masks of a session as the model predicted them.

    A frame that is missing or damaged is worked out from ``labels.zarr``: the changes of the log
    are taken back there, and the checksum tells whether that gave the prediction.

    Parameters
    ----------
    path : Path
        The array's folder.
    header : SessionHeader
        Shape, type and checksums that the array must have.
    cache : LabelCache
        The corrected masks.
    history : History
        All changes that were ever made.
    repair : bool
        Whether what was worked out is written back.

    Attributes
    ----------
    array : zarr.Array
        (T, Y, X), open to read.

    Raises
    ------
    DataError
        If the array does not fit the header, or is unreadable and not to be repaired.
    """

    def __init__(
        self,
        path: Path,
        header: SessionHeader,
        cache: LabelCache,
        history: History,
        *,
        repair: bool,
    ):
        self._path, self._header = path, header
        self._cache, self._history, self._repair = cache, history, repair
        self._frames: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self.array = self._opened()

    def frame(self, frame: int) -> np.ndarray:
        """Labels (Y, X) of a frame, not to be changed.

        Raises
        ------
        DataError
            If they are damaged and nothing holds what is needed to work them out.
        """
        if frame not in self._frames:
            labels = self._read(frame)
            self._frames[frame] = self._worked_out(frame) if labels is None else labels
            while len(self._frames) > N_CACHED:
                self._frames.popitem(last=False)
        return self._frames[frame]

    def _read(self, frame: int) -> np.ndarray | None:
        """Labels of a frame, or None if they are missing or damaged."""
        sums = self._header.checksums
        if sums is None and not self._has_chunk(frame):
            return None
        try:
            labels = np.asarray(self.array[frame])
        except Exception as error:  # noqa: BLE001 whatever zarr and its codecs make of damage
            _log.warning("frame %d of %s is unreadable: %s", frame, self._path, error)
            return None
        return labels if sums is None or checksum(labels) == sums[frame] else None

    def _worked_out(self, frame: int) -> np.ndarray:
        labels, sums = self._cache.read(frame), self._header.checksums
        if labels is None:  # neither array writes a frame of background
            labels = np.zeros(self._header.shape[1:], self._header.dtype)
            known = sums is not None or not (self._broken or self._cache.path_of(frame).exists())
        else:
            for correction in reversed(self._history.all_of_frame(frame)):
                correction.revert(labels)
            known = True
        if not known or (sums is not None and checksum(labels) != sums[frame]):
            raise DataError(
                f"frame {frame} of {self._path} is damaged, and {self._cache.path.name} does not "
                "hold what is needed to restore it; put the folder back from a copy"
            )
        if self._repair and labels.any():
            self._write(frame, labels)
        return labels

    def _write(self, frame: int, labels: np.ndarray) -> None:
        try:
            zarr.open_array(self._path, mode="r+")[frame] = labels
            _log.warning("frame %d of %s was damaged and is restored", frame, self._path)
        except Exception as error:  # noqa: BLE001 it is worked out again when it is needed
            _log.warning("frame %d of %s cannot be restored: %s", frame, self._path, error)

    def _has_chunk(self, frame: int) -> bool:
        return (self._path / "c" / str(frame) / "0" / "0").is_file()

    def _opened(self) -> zarr.Array:
        self._broken = False
        try:
            array = zarr.open_array(self._path, mode="r")
        except Exception as error:  # noqa: BLE001 whatever zarr makes of damaged metadata
            self._broken = True
            array = self._with_new_metadata(error)
        header = self._header
        if (array.shape, array.dtype) != (header.shape, header.dtype):
            raise DataError(
                f"{self._path} is {array.shape} {array.dtype}, the session's header says "
                f"{header.shape} {header.dtype}; put the folder back from a copy"
            )
        return array

    def _with_new_metadata(self, reason: Exception) -> zarr.Array:
        """The array with the metadata that it was made with, over the frames that are there."""
        damage = f"{self._path} is damaged ({type(reason).__name__}: {reason})"
        if not self._repair:
            raise DataError(f"{damage}; open the session to write, which restores it if it can")
        pattern = self._path.with_name(f".{self._path.name}-pattern.zarr")
        try:
            with whole_file(self._path / "zarr.json") as temporary:
                create_stack(pattern, self._header.shape, self._header.dtype)
                os.replace(pattern / "zarr.json", temporary)
            return zarr.open_array(self._path, mode="r")
        except OSError as error:
            raise DataError(f"{damage}, and cannot be restored: {error}") from error
        finally:
            shutil.rmtree(pattern, ignore_errors=True)
