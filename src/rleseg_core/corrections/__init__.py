"""Corrections of predicted masks: run-length deltas in a log that survives any crash.

A correction session is a folder::

    session.json        classes, shape, path of the images, model that made the prediction
    prediction.zarr     (T, Y, X) the masks as the model predicted them; never changed
    labels.zarr         (T, Y, X) the masks being corrected
    images.zarr         (T, Y, X[, C]) the images, if they have no file of their own
    corrections.jsonl   the log: one line for each change, with a checksum; only ever appended to

The log and the prediction are the truth: ``labels.zarr`` can always be restored from them.
"""

from rleseg_core.corrections.dataset import CorrectedDataset
from rleseg_core.corrections.delta import Correction, diff_labels
from rleseg_core.corrections.log import CorrectionLog, FrameRecorded
from rleseg_core.corrections.recovery import record_changes, recover
from rleseg_core.corrections.session import FrameCopied, create_session

__all__ = [
    "CorrectedDataset",
    "Correction",
    "CorrectionLog",
    "FrameCopied",
    "FrameRecorded",
    "create_session",
    "diff_labels",
    "record_changes",
    "recover",
]
