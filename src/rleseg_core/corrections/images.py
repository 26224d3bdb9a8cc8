"""The images that a session corrects: whether they are still those that were segmented."""

import zlib
from pathlib import Path

import numpy as np

from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.stack import ImageStack
from rleseg_core.errors import RlesegError


def image_mark(path: Path) -> str | None:
    """What a file of images contains, in short: shape, type and a checksum of three frames.

    Parameters
    ----------
    path : Path
        File or folder of images.

    Returns
    -------
    str or None
        Equal for equal images, wherever they are; None if they cannot be read.
    """
    try:
        return stack_mark(ImageStack.from_source(open_source(path, ReadOptions())))
    except (RlesegError, OSError, ValueError):
        return None


def stack_mark(stack: ImageStack) -> str:
    """The mark of images that are open; see `image_mark`.

    Raises
    ------
    DataError
        If a frame cannot be read.
    """
    total = 0
    for frame in sorted({0, stack.n_frames // 2, stack.n_frames - 1} & set(range(stack.n_frames))):
        pixels = stack.frame(frame)
        total = zlib.crc32(pixels.astype(pixels.dtype.newbyteorder("<"), order="C").data, total)
    shape = "x".join(str(side) for side in stack.shape)
    return f"{shape} {np.dtype(stack.dtype).name} {total:08x}"
