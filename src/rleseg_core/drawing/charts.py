"""Histograms and curves as PNG files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

from rleseg_core.drawing.palette import class_rgb
from rleseg_core.drawing.style import FAINT, INK, PAPER, font
from rleseg_core.errors import DataError
from rleseg_core.outputs import Output, begins_with, new_output

WIDTH, PANEL, MARGIN, TITLE, AXIS = 900, 84, 20, 40, 34
CURVES = 340
RULE = (214, 216, 220)


def chart_output(path: str | Path) -> Output:
    """A chart as an output, which `check_outputs` compares with the inputs of a call.

    Raises
    ------
    DataError
        If the name is not that of a PNG.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise DataError(f"a chart's file name must end in .png, got {path}")
    return Output(path, "a PNG", begins_with(b"\x89PNG\r\n"))


@dataclass(frozen=True)
class Histogram:
    """How many things lie in each of a row of bins.

    Parameters
    ----------
    title : str
        Title of the histogram.
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
    overwrite: bool = False,
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
        Title of the chart.
    marks : sequence of int
        Values at which a line is drawn and said; those beyond the bins are left out.
    letters : {'left', 'right'}
        Where the titles of the histograms are, best where the bars are low.
    overwrite : bool
        Whether it may replace an older chart, which stays until the new one is whole.

    Raises
    ------
    DataError
        If the name is not that of a PNG.
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no PNG.
    """
    output = chart_output(path)
    height = TITLE + len(histograms) * PANEL + AXIS
    chart = Image.new("RGB", (WIDTH, height), PAPER)
    pen = ImageDraw.Draw(chart)
    pen.text((MARGIN, 12), title, INK, font(15))
    scale = (WIDTH - 2 * MARGIN) / edges[-1]
    bottom = TITLE + len(histograms) * PANEL
    _draw_marks(pen, [mark for mark in marks if mark <= edges[-1]], scale, bottom)
    x, anchor = (WIDTH - MARGIN, "ra") if letters == "right" else (MARGIN + 4, "la")
    for index, histogram in enumerate(histograms):
        base = TITLE + (index + 1) * PANEL - 6
        _draw_bars(pen, histogram.counts, edges, scale, base, class_rgb(index + 1))
        pen.text((x, base - PANEL + 12), histogram.title, INK, font(13), anchor=anchor)
        pen.text((x, base - PANEL + 29), histogram.note, FAINT, font(12), anchor=anchor)
    with new_output(output, overwrite=overwrite) as temporary:
        chart.quantize(64).save(temporary, optimize=True)
    return output.path


@dataclass(frozen=True)
class Curve:
    """A value that depends on another.

    Parameters
    ----------
    title : str
        What it is.
    points : mapping of str to sequence of float
        Values at a position of the horizontal axis; the line goes through their mean, and a bar
        from the lowest to the highest.
    """

    title: str
    points: Mapping[str, Sequence[float]]


def save_curves(
    path: str | Path,
    curves: Sequence[Curve],
    positions: Sequence[str],
    *,
    title: str,
    across: str,
    limits: tuple[float, float] = (0.0, 1.0),
    overwrite: bool = False,
) -> Path:
    """Write a PNG of curves over the same positions, which are evenly spaced.

    Parameters
    ----------
    path : str or Path
        Where it goes; it must end in ``.png``.
    curves : sequence of Curve
        Values outside of the limits are drawn at them.
    positions : sequence of str
        Of the horizontal axis, from the left.
    title : str
        Title of the chart.
    across : str
        Label of the axis of positions.
    limits : (float, float)
        Of the values, tenths of which are marked.
    overwrite : bool
        Whether it may replace an older chart, which stays until the new one is whole.

    Raises
    ------
    DataError
        If the name is not that of a PNG.
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no PNG.
    """
    output = chart_output(path)
    low, high = limits
    left, top, bottom = 2 * MARGIN + 14, TITLE + 10, TITLE + CURVES
    step = (WIDTH - 2 * MARGIN - left) / max(len(positions) - 1, 1)

    def spot(position: str, value: float) -> tuple[float, float]:
        share = (min(max(value, low), high) - low) / (high - low)
        return left + 10 + step * positions.index(position), bottom - share * (bottom - top)

    chart = Image.new("RGB", (WIDTH, bottom + AXIS + 22), PAPER)
    pen = ImageDraw.Draw(chart)
    pen.text((MARGIN, 12), title, INK, font(15))
    for tenth in range(round(low * 10), round(high * 10) + 1):
        y = spot(positions[0], tenth / 10)[1]
        pen.line((left, y, WIDTH - MARGIN, y), RULE)
        pen.text((left - 8, y), f"{tenth / 10:.1f}", FAINT, font(12), anchor="rm")
    for position in positions:
        pen.text((spot(position, low)[0], bottom + 8), position, FAINT, font(12), anchor="ma")
    pen.text((WIDTH / 2, bottom + 28), across, INK, font(13), anchor="ma")
    for index, curve in enumerate(curves):
        colour = class_rgb(index + 1)
        known = [position for position in positions if position in curve.points]
        means = [spot(p, sum(curve.points[p]) / len(curve.points[p])) for p in known]
        pen.line(means, colour, 3)
        for position, (x, y) in zip(known, means, strict=True):
            ends = [spot(position, value)[1] for value in curve.points[position]]
            pen.line((x, min(ends), x, max(ends)), colour, 1)
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), colour)
        pen.text(
            (WIDTH - MARGIN - 6, bottom - 12 - 20 * (len(curves) - index - 1)),
            curve.title,
            colour,
            font(13),
            anchor="rs",
        )
    with new_output(output, overwrite=overwrite) as temporary:
        chart.quantize(64).save(temporary, optimize=True)
    return output.path


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
