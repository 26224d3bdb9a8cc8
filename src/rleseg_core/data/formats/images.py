"""Single images: PNG, JPEG and BMP."""

from pathlib import Path

import numpy as np
from PIL import Image

from rleseg_core.data.formats.base import Format, FrameFiles, Header, ReadOptions, Series
from rleseg_core.data.formats.folder import frames_series
from rleseg_core.errors import DataError

_GREY_DTYPES = {"1": "uint8", "L": "uint8", "LA": "uint8", "I": "int32", "F": "float32"}


def image_header(path: Path, masks: bool) -> Header:
    """Shape (Y, X, C) and dtype of an image, without its pixels; of a palette mask, one channel."""
    with Image.open(path) as image:
        mode = image.mode
        size = (image.height, image.width)
        if mode == "P":
            return (*size, 1 if masks else 3), np.dtype(np.uint8)
        if mode.startswith("I;16"):
            return (*size, 1), np.dtype(np.uint16)
        if mode in _GREY_DTYPES:
            return (*size, 1), np.dtype(_GREY_DTYPES[mode])
        if masks and "16" in str(image.tile):
            raise DataError(
                f"{path} is a colour image of 16 bits, from which ids cannot be read; save "
                "the mask as integer ids, one channel"
            )
        return (*size, 3), np.dtype(np.uint8)


def read_image(path: Path, masks: bool) -> np.ndarray:
    """An image as (Y, X, 1 or 3); of a palette mask, the indices."""
    with Image.open(path) as image:
        mode = image.mode
        if mode == "1":
            pixels = np.asarray(image).astype(np.uint8)
        elif mode in ("L", "I", "F") or mode.startswith("I;16") or (mode == "P" and masks):
            pixels = np.asarray(image)
        elif mode == "LA":
            pixels = np.asarray(image)[..., 0]
        else:
            pixels = np.asarray(image.convert("RGB"))
    return pixels if pixels.ndim == 3 else pixels[..., None]


_FRAMES = FrameFiles(header=image_header, read=read_image)


def _series(path: Path, options: ReadOptions, masks: bool) -> list[Series]:
    return [frames_series([(path, _FRAMES)], options, masks)]


IMAGES = Format(
    label="image",
    suffixes=(".png", ".jpg", ".jpeg", ".bmp"),
    series=_series,
    frames=_FRAMES,
)
