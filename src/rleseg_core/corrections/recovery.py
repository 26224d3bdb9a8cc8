"""Bringing the labels of a session and its log together, after painting or after a crash."""

import logging
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
import zarr

from rleseg_core.corrections.log import CorrectionLog, FrameRecorded

_log = logging.getLogger(__name__)


def record_changes(
    log: CorrectionLog, labels: zarr.Array | np.ndarray, frames: Iterable[int]
) -> Generator[FrameRecorded, None, None]:
    """Record how `labels` (T, Y, X) differ from the log in some frames.

    A frame whose chunk on the disk cannot be read is restored from the log. Applied to all frames,
    this brings log and labels together after a crash.

    Parameters
    ----------
    log : CorrectionLog
        The log.
    labels : (T, Y, X) integer array
        The labels that a person paints on.
    frames : iterable of int
        Frames that may have changed.

    Yields
    ------
    FrameRecorded
        After each frame that could be read.
    """
    for frame in frames:
        try:
            current = np.asarray(labels[frame])
        except (OSError, RuntimeError, ValueError) as error:
            _log.warning("frame %d is unreadable and is restored from the log: %s", frame, error)
            labels[frame] = log.frame(frame)
            continue
        yield log.record(frame, current)


def recover(folder: str | Path) -> Generator[FrameRecorded, None, CorrectionLog]:
    """Open a session that may have been killed, and bring its labels and its log together.

    Parameters
    ----------
    folder : str or Path
        Folder of the session.

    Yields
    ------
    FrameRecorded
        After each frame.

    Returns
    -------
    CorrectionLog
        The open log, in which what had reached only the labels is recorded too.

    Raises
    ------
    DataError
        If the folder holds no session.
    """
    log = CorrectionLog(folder)
    yield from record_changes(log, log.labels, range(log.shape[0]))
    return log
