"""Single images: PNG, JPEG and BMP."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from rleseg_core.data.arrays import ArrayLike, frames_array
from rleseg_core.data.formats.base import Format, FormatNotes, ReadOptions, Series
from rleseg_core.data.formats.tiff_metadata import PER_INCH, resolution_lengths
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.units import positive
from rleseg_core.errors import DataError, DataWarning

_DTYPES = {"1": "uint8", "L": "uint8", "LA": "uint8", "P": "uint8", "I": "int32", "F": "float32"}
_OPENING = threading.Lock()


def image_series(path: Path, _options: ReadOptions, masks: bool) -> list[Series]:
    """The picture of a file; the frames of an animated one.

    Raises
    ------
    DataError
        If it is a mask in 16-bit colour, of which only 8 would be read.
    """
    with _opened(path) as image:
        mode, height, width = image.mode, image.height, image.width
        n_frames = getattr(image, "n_frames", 1)
        metadata = _metadata(image)
        is_grey = mode in _DTYPES or mode.startswith("I;16")
        if masks and not is_grey and "16" in str(getattr(image, "tile", "")):
            raise DataError(
                f"{path} is a colour image of 16 bits, from which ids cannot be read; save "
                "the mask as integer ids, one channel"
            )
    is_grey = is_grey and (masks or mode != "P")  # a palette is colours, or names of classes
    size = (height, width) if is_grey else (height, width, 3)
    shape = size if n_frames == 1 else (n_frames, *size)
    axes = "YX" if is_grey else "YXS"
    dtype = np.dtype("uint16" if mode.startswith("I;16") else _DTYPES.get(mode, "uint8"))
    return [
        Series(
            shape=shape,
            dtype=dtype,
            axes=axes if n_frames == 1 else f"T{axes}",
            read=partial(_frames, path, masks, (n_frames, *size), dtype),
            metadata=metadata,
        )
    ]


def _metadata(image: Image.Image) -> StackMetadata:
    """The pixel size of a picture, if its resolution is not that of a screen or printer."""
    dots = image.info.get("dpi")
    if not isinstance(dots, tuple) or len(dots) != 2:
        return StackMetadata()
    cols, rows = positive(dots[0]), positive(dots[1])
    return StackMetadata.of(resolution_lengths((rows, cols), PER_INCH))


def _frames(path: Path, masks: bool, shape: tuple[int, ...], dtype: np.dtype) -> ArrayLike:
    """The frames (T, ...) of an image, or the only one."""
    frames = frames_array(lambda t: read_image(path, masks, t), shape[0], shape[1:], dtype)
    return frames if shape[0] > 1 else frames[0]


def read_image(path: Path, masks: bool, frame: int = 0) -> np.ndarray:
    """An image as (Y, X) or (Y, X, 3); of a palette mask, the indices."""
    with _opened(path) as image:
        if frame:
            image.seek(frame)
        mode = image.mode
        if mode == "1":
            return np.asarray(image).astype(np.uint8)
        if mode in ("L", "I", "F") or mode.startswith("I;16") or (mode == "P" and masks):
            return np.asarray(image)
        if masks and mode in ("LA", "RGBA"):
            return _with_alpha(np.asarray(image), path)
        if mode == "LA":
            return np.asarray(image)[..., 0]
        return np.asarray(image.convert("RGB"))


def _with_alpha(pixels: np.ndarray, path: Path) -> np.ndarray:
    """A mask (Y, X) or (Y, X, 3) of an image (Y, X, 2 or 4): its colour, or its alpha channel.

    Raises
    ------
    DataError
        If both vary, and there is colour where nothing is shown: either may be the mask.
    """
    alpha, colour = pixels[..., -1], pixels[..., :-1]
    grey = colour[..., 0] if colour.shape[2] == 1 else colour
    if not alpha.any():
        return np.zeros_like(grey)
    if alpha.min() == alpha.max():
        return grey
    if (colour == colour[0, 0]).all():
        source = path if path.parent == Path() else path.parent
        warnings.warn(  # the same sentence for all frames of a folder, to be said once
            f"{source}: masks whose colour is the same everywhere are read from their alpha "
            "channel",
            DataWarning,
            stacklevel=2,
        )
        return alpha if colour.shape[2] == 1 else np.repeat(alpha[..., None], 3, axis=2)
    if colour[alpha == 0].any():
        raise DataError(
            f"{path} has ids in its colour and others in its alpha channel; save the mask as "
            "integer ids, one channel"
        )
    return grey


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image of any size: whether a frame fits into memory is checked where it is chosen."""
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


IMAGES = Format(
    label="image",
    suffixes=(".png", ".jpg", ".jpeg", ".bmp"),
    series=image_series,
    is_frame=True,
    notes=FormatNotes(
        axes="Y, X; S in colour; T if animated",
        dtypes="uint8, uint16; int32 and float32 where Pillow reads them",
        metadata="pixel size from the resolution, unless it is that of a screen or printer",
    ),
)
