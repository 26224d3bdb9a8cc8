"""Masks as the Cell Tracking Challenge has them: a 16-bit TIFF of ids for each frame."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rleseg_core.errors import DataError, DataWarning
from rleseg_core.objects.exports.base import Export, ExportOptions, Frames, frame_folder
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.outputs import Output, begins_with

_LARGEST = np.iinfo(np.uint16).max
_is_tiff = begins_with(b"II*\0", b"MM\0*")


def _write(stack: ObjectStack, path: Path, frames: Sequence[int], options: ExportOptions) -> Frames:
    import tifffile

    path.mkdir()
    # painted ids may be missing in the table, and those of other frames do not count
    is_renumbered = any(objects.ids.max(initial=0) > _LARGEST for objects in stack.each(frames))
    if is_renumbered:
        warnings.warn(
            f"ids go beyond {_LARGEST:,}, the highest of 16-bit masks: the objects of each frame "
            "are numbered from 1 on",
            DataWarning,
            stacklevel=2,
        )
    for frame, name in zip(frames, _names(frames), strict=True):
        objects = stack.objects(frame)
        if len(objects.table) > _LARGEST:
            raise DataError(
                f"frame {frame} has {len(objects.table):,} objects; the masks of the Cell Tracking "
                f"Challenge hold {_LARGEST:,}"
            )
        ids = objects.index if is_renumbered else objects.ids
        tifffile.imwrite(
            path / name,
            ids.astype(np.uint16),
            compression="lzw",  # which older programs read as well
            photometric="minisblack",
        )
        yield objects


def _names(frames: Sequence[int]) -> list[str]:
    digits = 3 if max(frames) < 1000 else 4
    return [f"mask{frame:0{digits}}.tif" for frame in frames]


def _output(path: Path) -> Output:
    return frame_folder(
        path, "a folder of masks of the Cell Tracking Challenge", r"mask\d{3,}\.tif", _is_tiff
    )


CTC = Export(
    summary="masks of the Cell Tracking Challenge (a folder of 16-bit TIFFs)",
    suffixes=(),
    output=_output,
    write=_write,
)
