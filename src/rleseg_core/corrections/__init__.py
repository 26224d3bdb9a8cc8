"""What a person changed in a prediction: run-length deltas in a log that survives any crash.

A correction session is a folder::

    session.json        classes, shape, where the images are, which model made the prediction
    prediction.zarr     (T, Y, X) the masks as the model wrote them; never changed
    labels.zarr         (T, Y, X) the masks being corrected
    images.zarr         (T, Y, X[, C]) the images, where they have no file of their own
    corrections.jsonl   the log: one line a change, each with its checksum, only ever appended to

The log and the prediction are the truth: whatever becomes of ``labels.zarr``, they give it back.
"""

from rleseg_core.corrections.dataset import CorrectedDataset
from rleseg_core.corrections.delta import Correction, diff_labels
from rleseg_core.corrections.log import (
    CorrectionLog,
    FrameRecorded,
    record_changes,
    recover,
)
from rleseg_core.corrections.session import FrameKept, keep_prediction

__all__ = [
    "CorrectedDataset",
    "Correction",
    "CorrectionLog",
    "FrameKept",
    "FrameRecorded",
    "diff_labels",
    "keep_prediction",
    "record_changes",
    "recover",
]
