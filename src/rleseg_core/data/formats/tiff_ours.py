"""Whether a TIFF could be masks, which may be replaced, rather than images, which may not."""

from pathlib import Path

import numpy as np

from rleseg_core.outputs import begins_with

_RECORD = "rleseg"  # in the description or ImageJ's information of all that this program writes
_LEAST_FLAT = 0.5  # share of pixels that equal the next one of their row; in images, it is less
_is_tiff = begins_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def could_be_masks(path: Path) -> bool:
    """Whether a file is a TIFF that could hold masks: with our record, or flat whole numbers.

    Masks of other programs count as well, and so do damaged files that begin as ours do.
    """
    import tifffile

    if not _is_tiff(path):
        return False
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        info = str((tiff.imagej_metadata or {}).get("Info", ""))
        if _RECORD in page.description or _RECORD in info:
            return True
        if page.dtype is None or page.dtype.kind not in "biu" or page.samplesperpixel > 1:
            return False
        frame = page.asarray()
    rows = np.atleast_2d(frame)
    return rows.shape[-1] < 2 or float((rows[..., 1:] == rows[..., :-1]).mean()) >= _LEAST_FLAT
