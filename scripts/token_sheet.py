"""A picture of masks, runs and tokens."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw
from token_examples import (
    EDGE,
    LENGTH,
    OBJECT,
    RULE,
    SEGMENTS,
    WHITE,
    Chip,
    Colour,
    Group,
    instance_colour,
    label_colour,
)

from rleseg_core.drawing.palette import class_rgb
from rleseg_core.drawing.style import FAINT, INK, PAPER, font
from rleseg_core.files import whole_file
from rleseg_core.tokens import BlockClosed, Vocabulary
from rleseg_core.tokens.fields import LengthSymbol


class Sheet:
    """A picture that grows downwards, drawn four times as large as it is said, saved twice so."""

    WIDTH, MARGIN = 860, 20
    DRAWN, SAVED = 4, 2

    def __init__(self) -> None:
        self.image = Image.new("RGB", (self.WIDTH * self.DRAWN, 1400 * self.DRAWN), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        thick: float = 1,
    ) -> None:
        box = [round(v * self.DRAWN) for v in (x, y, x + width, y + height)]
        box[2:] = box[2] - 1, box[3] - 1
        if box[2] >= box[0] and box[3] >= box[1]:
            self.pen.rectangle(box, fill, outline, round(thick * self.DRAWN))

    def bands(
        self, x: float, y: float, width: float, height: float, colours: Sequence[Colour]
    ) -> None:
        """A rectangle of stripes from left to right."""
        each = width / len(colours)
        for k, colour in enumerate(colours):
            self.rect(x + k * each, y, each, height, colour)

    def text(
        self, x: float, y: float, text: str, size: float = 12, ink: Colour = INK, anchor: str = "la"
    ) -> None:
        place = (x * self.DRAWN, y * self.DRAWN)
        self.pen.text(place, text, ink, font(round(size * self.DRAWN)), anchor=anchor)

    def width_of(self, text: str, size: float) -> float:
        return font(round(size * self.DRAWN)).getlength(text) / self.DRAWN

    def line(self, points: Iterable[tuple[float, float]], ink: Colour, thick: float = 1) -> None:
        scaled = [(x * self.DRAWN, y * self.DRAWN) for x, y in points]
        self.pen.line(scaled, ink, round(thick * self.DRAWN), joint="curve")

    def dot(
        self, x: float, y: float, radius: float, fill: Colour, outline: Colour | None = None
    ) -> None:
        box = [v * self.DRAWN for v in (x - radius, y - radius, x + radius, y + radius)]
        self.pen.ellipse(box, fill, outline, self.DRAWN)

    def save(self, path: Path, height: float) -> None:
        whole = self.image.crop((0, 0, self.image.width, round(height) * self.DRAWN))
        small = whole.reduce(self.DRAWN // self.SAVED)
        with whole_file(path) as temporary:
            small.quantize(28, dither=Image.Dither.NONE).save(temporary, optimize=True)

    # masks

    def mask(
        self,
        x: float,
        y: float,
        zoom: float,
        labels: np.ndarray,
        *,
        instances: bool = False,
    ) -> None:
        """Cells of ids (rows, cols), or (N, rows, cols) with a stripe for each frame."""
        rows, cols = labels.shape[-2:]
        colour_of = instance_colour if instances else label_colour
        for row in range(rows):
            for col in range(cols):
                ids = labels[..., row, col].reshape(-1)  # one, or one for each frame
                self.bands(x + col * zoom, y + row * zoom, zoom, zoom, [*map(colour_of, ids)])
        self.grid(x, y, zoom, rows, cols)

    def grid(self, x: float, y: float, zoom: float, rows: int, cols: int) -> None:
        thin = 0.5 if zoom < 12 else 1
        for row in range(rows + 1):
            self.rect(x, y + row * zoom - thin / 2, cols * zoom, thin, RULE)
        for col in range(cols + 1):
            self.rect(x + col * zoom - thin / 2, y, thin, rows * zoom, RULE)

    def path(
        self,
        x: float,
        y: float,
        zoom: float,
        pixels: Sequence[tuple[int, int]],
        *,
        number: str = "",
        ink: Colour = INK,
        order: Literal["C", "F"] = "C",
    ) -> None:
        """A run through pixels (row, col): a dot where it begins, stubs at the edge of the mask."""
        pieces: list[list[tuple[int, int]]] = [[pixels[0]]]
        for before, now in pairwise(pixels):
            if abs(now[0] - before[0]) + abs(now[1] - before[1]) == 1:
                pieces[-1].append(now)
            else:
                pieces.append([now])
        for index, piece in enumerate(pieces):
            points = [(x + (col + 0.5) * zoom, y + (row + 0.5) * zoom) for row, col in piece]
            dx, dy = (0.85 * zoom, 0.0) if order == "C" else (0.0, 0.85 * zoom)
            if index:
                points.insert(0, (points[0][0] - dx, points[0][1] - dy))
            if index < len(pieces) - 1:
                points.append((points[-1][0] + dx, points[-1][1] + dy))
            self.line(points, ink, max(1.5, zoom / 11))
        first_row, first_col = pixels[0]
        last_row, last_col = pixels[-1]
        if len(pixels) > 1:
            self.dot(
                x + (last_col + 0.5) * zoom, y + (last_row + 0.5) * zoom, min(zoom / 8, 2.5), ink
            )
        cx, cy = x + (first_col + 0.5) * zoom, y + (first_row + 0.5) * zoom
        if number:
            self.dot(cx, cy, zoom * 0.38, WHITE, ink)
            self.text(cx, cy, number, zoom * (0.45 if len(number) < 2 else 0.4), ink, "mm")
        else:
            self.dot(cx, cy, min(zoom / 5, 3.5), ink)

    # tokens

    def strip(
        self,
        x: float,
        y: float,
        width: float,
        groups: Sequence[Group],
        *,
        n_more: int = 0,
        under: dict[int, Colour] | None = None,
        gone: Container[int] = (),
    ) -> float:
        """Chips of tokens, wrapped at `width`; gives the y below them."""
        columns: dict[int, float] = {}
        for chip in (chip for group in groups for chip in group.chips):
            needed = max(self.width_of(chip.text, 10), self.width_of(str(chip.token), 8.5)) + 7
            columns[chip.column] = max(columns.get(chip.column, 26), needed)
        left, step = x, 36 if under is None else 42
        for index, group in enumerate(groups):
            needed = sum(columns[chip.column] for chip in group.chips)
            if x + needed > left + width:
                x, y = left, y + step
            for chip in group.chips:
                if under is not None and group.block in under:
                    owner = under[group.block]
                    bands = tuple(owner if band == OBJECT else band for band in chip.bands)
                    chip = replace(chip, bands=bands)
                self.chip(x, y, columns[chip.column], chip, gone=index in gone)
                x += columns[chip.column]
            if under is not None and group.block in under:
                more = 0 if isinstance(group.event, BlockClosed) else 5
                self.rect(x - needed, y + 33, needed + more, 4, under[group.block])
            x += 5
        if n_more:
            self.text(x + 4, y + 15, f"… {n_more} more", 11, FAINT, "lm")
        return y + step

    def chip(self, x: float, y: float, width: float, chip: Chip, gone: bool = False) -> None:
        ink = WHITE if chip.bands == (INK,) else INK
        if gone:
            self.rect(x, y, width, 30, PAPER, RULE)
            ink = FAINT
        else:
            self.bands(x, y, width, 30, chip.bands)
            self.rect(x, y, width, 30, None, EDGE, 0.5)
        self.text(x + width / 2, y + 10.5, chip.text, 10, ink, "mm")
        self.text(x + width / 2, y + 23, str(chip.token), 8.5, ink, "mm")

    def heading(self, x: float, y: float, name: str, note: str) -> float:
        self.text(x, y, name, 14)
        self.text(x + self.width_of(name, 14) + 10, y + 2, note, 12, FAINT)
        return y + 22

    def vocabulary(
        self, x: float, y: float, vocab: Vocabulary, scale: float, *, ids: bool = False
    ) -> float:
        """The segments of a vocabulary to scale, with their sizes and maybe ids below."""
        height = 13
        free = 0.0
        for segment in sorted(vocab.segments, key=lambda segment: segment.offset):
            left, width = x + segment.offset * scale, max(1.5, segment.size * scale)
            part = next((p for p in vocab.parts if p.segment == segment.name), None)
            if segment.name in SEGMENTS or part is None:
                self.rect(left, y, width, height, SEGMENTS.get(segment.name, INK))
            else:
                n_classes = part.n_values // getattr(part, "max_length", 1)
                self.bands(left, y, width, height, [class_rgb(k + 1) for k in range(n_classes)])
                if isinstance(part, LengthSymbol):
                    self.rect(left, y, width, height / 2, LENGTH)
            self.rect(left, y, width, height, None, EDGE, 0.5)
            if part is None and segment.name != "special":
                continue  # ids here and there, which the heading says
            text = f"{segment.name} {segment.size:,}"
            text += f": {segment.offset} … {segment.end - 1}" if ids else ""
            at = max(left, x + free)
            self.text(at, y + height + 3, text, 10, FAINT)
            free = at - x + self.width_of(text, 10) + 9
        return y + height + 20
