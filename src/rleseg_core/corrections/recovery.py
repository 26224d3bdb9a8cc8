"""Bringing the labels of a session and its log together, after painting or after a crash."""

import logging
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
import zarr

from rleseg_core.corrections.labels import SessionLabels
from rleseg_core.corrections.log import CorrectionLog
from rleseg_core.corrections.logged import FrameRecorded

_log = logging.getLogger(__name__)


def record_changes(
    log: CorrectionLog, labels: SessionLabels | zarr.Array | np.ndarray, frames: Iterable[int]
) -> Generator[FrameRecorded, None, None]:
    """Record how `labels` (T, Y, X) differ from the log in some frames.

    Parameters
    ----------
    log : CorrectionLog
        The log.
    labels : (T, Y, X) integer array
        The labels that a person paints on, by default those of the log. A frame of other labels
        that cannot be read is restored from the log.
    frames : iterable of int
        Frames that may have changed.

    Yields
    ------
    FrameRecorded
        After each frame that could be read.
    """
    for frame in frames:
        if isinstance(labels, SessionLabels):
            yield log.record_painted(frame)
            continue
        try:
            current = np.asarray(labels[frame])
        except (OSError, RuntimeError, ValueError) as error:
            _log.warning("frame %d is unreadable and is restored from the log: %s", frame, error)
            labels[frame] = log.frame(frame)
            continue
        yield log.record(frame, current)


def record_marks(log: CorrectionLog, frames: Iterable[int]) -> Generator[int, None, None]:
    """Record what was painted on the marks of a log.

    Parameters
    ----------
    log : CorrectionLog
        The log.
    frames : iterable of int
        Frames whose marks may have changed.

    Yields
    ------
    int
        After each frame, the pixels whose mark changed.
    """
    for frame in frames:
        yield log.record_marked(frame)


def recover(
    folder: str | Path, *, read_only: bool = False
) -> Generator[FrameRecorded, None, CorrectionLog]:
    """Open a session that may have been killed, and bring its labels and its log together.

    Parameters
    ----------
    folder : str or Path
        Folder of the session.
    read_only : bool
        Only look at it; nothing is reported then.

    Yields
    ------
    FrameRecorded
        After each frame; its `n_restored` tells where ``labels.zarr`` was wrong.

    Returns
    -------
    CorrectionLog
        The open log. What was painted and not recorded is recorded in it.

    Raises
    ------
    InUseError
        If another program has the session open to write.
    DataError
        If the folder holds no session, or something in it that cannot be rebuilt is damaged.
    """
    log = CorrectionLog(folder, read_only=read_only)
    if not read_only:
        try:
            for frame in range(log.shape[0]):
                yield log.reconcile(frame)
        except BaseException:  # also when nobody asks for the rest
            log.close()
            raise
    return log
