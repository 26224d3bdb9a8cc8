"""Corrections of predicted masks: run-length deltas in a log that survives any crash.

A correction session is a folder::

    session.json        classes, shape, path of the images, checksums of the prediction
    prediction.zarr     (T, Y, X) the masks as the model predicted them; never changed
    corrections.jsonl   the log: one line for each change, with a checksum; only ever appended to
    strokes.jsonl       what was painted since the last line of the log
    marks.jsonl         what was marked as not reviewed since then
    labels.zarr         (T, Y, X) the corrected masks, for other programs to read
    images.zarr         (T, Y, X[, C]) the images, if they have no file of their own
    session.lock        held by the program that has the session open to write

The prediction, the log and the strokes are the truth; ``labels.zarr`` follows them and is written
again wherever it differs. ``docs/corrections.md`` says what survives what, and why.
"""

from rleseg_core.corrections.dataset import CorrectedDataset, with_marks
from rleseg_core.corrections.delta import Correction, diff_labels
from rleseg_core.corrections.header import SessionHeader, read_header
from rleseg_core.corrections.images import image_mark, stack_mark
from rleseg_core.corrections.labels import SessionLabels
from rleseg_core.corrections.log import CorrectionLog
from rleseg_core.corrections.logged import FrameRecorded
from rleseg_core.corrections.recovery import record_changes, record_marks, recover
from rleseg_core.corrections.session import FrameCopied, create_session

__all__ = [
    "CorrectedDataset",
    "Correction",
    "CorrectionLog",
    "FrameCopied",
    "FrameRecorded",
    "SessionHeader",
    "SessionLabels",
    "create_session",
    "diff_labels",
    "image_mark",
    "read_header",
    "record_changes",
    "record_marks",
    "recover",
    "stack_mark",
    "with_marks",
]
