"""Colours and fonts that charts and animations share."""

from functools import cache

from PIL import ImageFont

PAPER, INK, FAINT = (250, 250, 248), (34, 38, 46), (128, 134, 145)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A plain font of so many pixels: DejaVu Sans, or Pillow's own where that is missing."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
