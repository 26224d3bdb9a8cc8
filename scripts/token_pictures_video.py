"""The pictures of docs/tokenization.md that show a video."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from token_drawing import FULL, M, draw_film, strip_of
from token_examples import (
    EDGE,
    RULE,
    VIDEO,
    coordinates,
    counted,
    groups_of,
    instance_colour,
    label_colour,
    runs_of,
)
from token_sheet import Sheet

from rleseg_core.drawing.palette import class_rgb
from rleseg_core.drawing.style import FAINT, INK
from rleseg_core.tokens.flattening import TimeClass


def draw_volume(path: Path) -> None:
    """3D-C and 3D-F."""
    sheet, zoom, top, gap = Sheet(), 15, 62, 18
    n_frames, rows, cols = VIDEO.classes.shape
    tokenizer = VIDEO.tokenizer("3d-c")
    sheet.text(M, 12, "3D-C: one frame after the other, row by row", 14)
    draw_film(sheet, M, top, zoom, gap=gap)
    for run in runs_of(tokenizer, VIDEO):
        frame = int(tokenizer.run_pixels(run)[0][0])
        pixels = coordinates(tokenizer, run)
        sheet.path(M + frame * (cols * zoom + gap), top, zoom, pixels)
    y = top + rows * zoom + 16.0
    y = strip_of(sheet, y, tokenizer, VIDEO, "3d-c", 12) + 22

    tokenizer = VIDEO.tokenizer("3d-f")
    column = 4
    sheet.text(M, y, "3D-F: column by column, through all frames of each pixel", 14)
    y += 50
    draw_film(sheet, M, y, zoom, gap=gap)
    for frame in range(n_frames):
        x = M + frame * (cols * zoom + gap) + column * zoom
        sheet.rect(x - 1, y - 1, zoom + 2, rows * zoom + 2, None, INK, 2)
    x, wide = M + n_frames * (cols * zoom + gap) + 40, 22
    sheet.text(x + n_frames * wide / 2, y - 32, f"column {column} opened", 11, INK, "ma")
    for frame in range(n_frames):
        sheet.text(x + (frame + 0.5) * wide, y - 17, f"f{frame}", 11, FAINT, "ma")
    opened = VIDEO.classes[:, :, column].T
    for row in range(rows):
        sheet.text(x - 8, y + (row + 0.5) * zoom, f"r{row}", 10, FAINT, "rm")
        for frame in range(n_frames):
            colour = label_colour(int(opened[row, frame]))
            sheet.rect(x + frame * wide, y + row * zoom, wide, zoom, colour, RULE, 0.5)
    for run in runs_of(tokenizer, VIDEO):
        frames, rows_, cols_ = tokenizer.run_pixels(run)
        here = cols_ == column
        pixels = list(zip(rows_[here].tolist(), frames[here].tolist(), strict=True))
        for line in sorted({row for row, _ in pixels}):
            among = [frame for row, frame in pixels if row == line]
            at = y + (line + 0.5) * zoom
            ends = [(x + (f + 0.5) * wide, at) for f in (among[0], among[-1])]
            if (line, among[0]) != pixels[0] or not here[0]:
                ends.insert(0, (x + among[0] * wide, at))
            if (line, among[-1]) != pixels[-1] or not here[-1]:
                ends.append((x + (among[-1] + 1) * wide, at))
            sheet.line(ends, INK, 1.5)
        if pixels and here[0]:
            row, frame = pixels[0]
            sheet.dot(x + (frame + 0.5) * wide, y + (row + 0.5) * zoom, 3, INK)
        if pixels and here[-1]:
            row, frame = pixels[-1]
            sheet.dot(x + (frame + 0.5) * wide, y + (row + 0.5) * zoom, 2, INK)
    y += rows * zoom + 16
    y = strip_of(sheet, y, tokenizer, VIDEO, "3d-f", 12)
    sheet.save(path, y)


def draw_time(path: Path) -> None:
    """TAC and LTAC."""
    sheet, zoom, top = Sheet(), 12, 52
    _, rows, _ = VIDEO.classes.shape
    tokenizer = VIDEO.tokenizer("tac")
    flattening = tokenizer.flattening
    assert isinstance(flattening, TimeClass)
    sheet.text(M, 10, "three frames …", 14)
    x = draw_film(sheet, M, top, zoom, gap=12) + 26
    wide = 24.0
    sheet.text(x, 10, "… become one map of time classes", 14)
    sheet.mask(x, top, wide, VIDEO.classes)
    runs = runs_of(tokenizer, VIDEO)
    for run in runs:
        sheet.path(x, top, wide, coordinates(tokenizer, run))
    symbols = sorted({flattening_symbol(flattening, run.labels) for run in runs})
    y = top + rows * zoom + 18
    for k, symbol in enumerate(symbols):
        at_x, at_y = M + 236 * (k % 2), y + 20 * (k // 2)
        bands = [label_colour(label) for label in flattening.labels_of(symbol)]
        sheet.bands(at_x, at_y, 33, 14, bands)
        sheet.rect(at_x, at_y, 33, 14, None, EDGE, 0.5)
        sheet.text(at_x + 40, at_y + 7, f"{symbol}", 11, FAINT, "lm")
        sheet.text(at_x + 58, at_y + 7, flattening.symbol_text(symbol), 11, INK, "lm")
    y = max(y + 20 * -(-len(symbols) // 2), top + rows * wide) + 22
    for name in ("tac", "ltac"):
        y = strip_of(sheet, y, VIDEO.tokenizer(name), VIDEO, name)
    sheet.save(path, y)


def flattening_symbol(flattening: TimeClass, labels: Sequence[int]) -> int:
    plane = flattening.flatten(
        np.broadcast_to(np.array(labels)[:, None, None], flattening.spec.shape)
    )
    return int(plane[0])


def draw_tracks(path: Path) -> None:
    """Class-wise and instance-wise blocks of a video."""
    sheet, zoom, top = Sheet(), 15, 52
    sheet.text(M, 10, "the instances: each keeps its number, and colour, through the frames", 14)
    draw_film(sheet, M, top, zoom, instances=True)
    _, rows, _ = VIDEO.classes.shape
    y = top + rows * zoom + 22.0
    below = {k: instance_colour(k + 1) for k in range(3)}
    for name in ("cw-tac", "iw-tac"):
        tokenizer = VIDEO.tokenizer(name)
        counts = tokenizer.count(VIDEO.classes, VIDEO.instances)
        note = f"{counts.n_blocks} blocks, {counted(counts, tokenizer.vocab)}"
        y = sheet.heading(M, y, name, note)
        colours = below if name == "iw-tac" else {k: class_rgb(k + 1) for k in range(2)}
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, VIDEO), under=colours) + 10
    sheet.save(path, y)
