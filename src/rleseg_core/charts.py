"""Histograms as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

from rleseg_core.colours import class_rgb
from rleseg_core.drawing import FAINT, INK, PAPER, font
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file

WIDTH, PANEL, MARGIN, TITLE, AXIS = 900, 84, 20, 40, 34
RULE = (214, 216, 220)


@dataclass(frozen=True)
class Histogram:
    """How many things lie in each of a row of bins.

    Parameters
    ----------
    title : str
        What they are.
    note : str
        More about them, in fainter letters.
    counts : sequence of int
        One for each bin.
    """

    title: str
    note: str
    counts: Sequence[int]


def save_histograms(
    path: str | Path,
    histograms: Sequence[Histogram],
    edges: Sequence[int],
    *,
    title: str,
    marks: Sequence[int] = (),
    letters: Literal["left", "right"] = "right",
) -> Path:
    """Write a PNG of histograms over the same bins, one below the other.

    Each is as high as its fullest bin; the bars of empty bins are left out, those of others are
    a pixel high at least.

    Parameters
    ----------
    path : str or Path
        Where it goes; it must end in ``.png``.
    histograms : sequence of Histogram
        From above.
    edges : sequence of int
        Of the bins, ascending from 0, one more than there are bins.
    title : str
        Of the picture.
    marks : sequence of int
        Values at which a line is drawn and said; those beyond the bins are left out.
    letters : {'left', 'right'}
        Where the titles of the histograms are, best where the bars are low.

    Raises
    ------
    DataError
        If the name is not that of a PNG.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise DataError(f"a picture's name must end in .png, got {path}")
    height = TITLE + len(histograms) * PANEL + AXIS
    picture = Image.new("RGB", (WIDTH, height), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, 12), title, INK, font(15))
    scale = (WIDTH - 2 * MARGIN) / edges[-1]
    bottom = TITLE + len(histograms) * PANEL
    _draw_marks(pen, [mark for mark in marks if mark <= edges[-1]], scale, bottom)
    place, anchor = (WIDTH - MARGIN, "ra") if letters == "right" else (MARGIN + 4, "la")
    for index, histogram in enumerate(histograms):
        base = TITLE + (index + 1) * PANEL - 6
        _draw_bars(pen, histogram.counts, edges, scale, base, class_rgb(index + 1))
        pen.text((place, base - PANEL + 12), histogram.title, INK, font(13), anchor=anchor)
        pen.text((place, base - PANEL + 29), histogram.note, FAINT, font(12), anchor=anchor)
    with whole_file(path) as draft:
        picture.quantize(64).save(draft, optimize=True)
    return path


def _draw_marks(pen: ImageDraw.ImageDraw, marks: Sequence[int], scale: float, bottom: int) -> None:
    """Lines and their numbers; a number that would touch the one before is left out."""
    free = 0.0
    for mark in [0, *marks]:
        x = MARGIN + mark * scale
        pen.line((x, TITLE, x, bottom + 4), RULE)
        half = pen.textlength(f"{mark:,}", font(12)) / 2
        if x - half >= free:
            pen.text((x, bottom + 8), f"{mark:,}", FAINT, font(12), anchor="ma")
            free = x + half + 6


def _draw_bars(
    pen: ImageDraw.ImageDraw,
    counts: Sequence[int],
    edges: Sequence[int],
    scale: float,
    base: int,
    colour: tuple[int, int, int],
) -> None:
    most = max(max(counts), 1)
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            top = base - max(1, round((PANEL - 16) * count / most))
            left, right = MARGIN + low * scale, MARGIN + high * scale - 1
            pen.rectangle((left, top, max(left, right), base), colour)
    pen.line((MARGIN, base, WIDTH - MARGIN, base), INK)
