"""Make the pictures, tables and token strings of docs/tokenization.md from the code itself.

python scripts/make_token_pictures.py            # docs/images/tokens-*.png, and fill in the page
python scripts/make_token_pictures.py --out DIR  # the pictures only, somewhere else
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from token_examples import (
    EDGE,
    FRAME,
    GONE,
    LENGTH,
    NAMES,
    RULE,
    START,
    STILL,
    VIDEO,
    Colour,
    Example,
    counted,
    groups_of,
    instance_colour,
    label_colour,
    painted,
    places,
    runs_of,
)
from token_sheet import Sheet
from token_words import FRAMES, SIDE, VOCAB_LIMIT, filled, sizes, text4seg_text

from rleseg_core.data.labels import subsample_labels, upsample_labels
from rleseg_core.drawing.palette import class_rgb
from rleseg_core.drawing.style import FAINT, INK
from rleseg_core.files import whole_file
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Drop, PublishedLayout, RunPainted, Tokenizer, preset
from rleseg_core.tokens.flattening import TimeClass

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "tokenization.md"

BUDGET = 14
M = Sheet.MARGIN
FULL = Sheet.WIDTH - 2 * M


def legend(
    sheet: Sheet, x: float, y: float, items: Sequence[tuple[str, Sequence[Colour]]]
) -> float:
    for text, bands in items:
        sheet.bands(x, y, 18, 12, bands)
        sheet.rect(x, y, 18, 12, None, EDGE, 0.5)
        sheet.text(x + 24, y + 6, text, 11, INK, "lm")
        x += 24 + sheet.width_of(text, 11) + 16
    return y + 22


def draw_runs(path: Path) -> None:
    """Runs of a mask, and the mask as one line of pixels."""
    sheet, cell = Sheet(), 25
    one = STILL.binary()
    tokenizer = one.tokenizer("binary")
    runs = runs_of(tokenizer, one)
    rows, cols = one.spec.size
    top = 34
    sheet.text(M + 8, 12, f"the mask, {rows} × {cols} pixels, and its runs", 14)
    sheet.mask(M + 8, top, cell, one.classes[0])
    for k, run in enumerate(runs, 1):
        sheet.path(M + 8, top, cell, places(tokenizer, run), number=str(k))
    x = M + 8 + cols * cell + 62
    sheet.text(x - 24, 12, "the same in numbers", 14)
    ends = (0, 108, 250, 312)
    for end, head in zip(ends, ("run", "begins at", "start", "length"), strict=True):
        sheet.text(x + end, top, head, 11, FAINT, "ra")
    for k, run in enumerate(runs, 1):
        row, col = places(tokenizer, run)[0]
        start = f"{row} × {cols} + {col} = {run.start}"
        words = (str(k), f"row {row}, col {col}", start, str(run.length))
        for end, word in zip(ends, words, strict=True):
            sheet.text(x + end, top + 20 * k, word, 12, INK, "ra")
    y = top + rows * cell + 22.0
    sheet.text(M, y, "one row after the other in a single line", 14)
    y = flat_line(sheet, y + 38, one, tokenizer, runs)
    sheet.save(path, y + 10)


def flat_line(
    sheet: Sheet, y: float, example: Example, tokenizer: Tokenizer, runs: Sequence[RunPainted]
) -> float:
    plane = tokenizer.flattening.flatten(example.classes).tolist()
    each = FULL / len(plane)
    line = tokenizer.flattening.line
    for k, label in enumerate(plane):
        sheet.rect(M + k * each, y, each, 16, label_colour(label))
    for k in range(len(plane) + 1):
        at_end = k % line == 0
        sheet.rect(M + k * each - 0.25, y, 0.5, 22 if at_end else 16, EDGE if at_end else RULE)
    what = "row" if tokenizer.scheme.order == "C" else "col"
    for k in range(len(plane) // line):
        name = f"{what} {k}" if line * each > 50 else str(k)
        sheet.text(M + (k + 0.5) * line * each, y + 19, name, 9, FAINT, "ma")
    for k, run in enumerate(runs, 1):
        left, right = M + run.start * each, M + (run.start + run.length) * each
        sheet.line(
            [(left + 1, y - 3), (left + 1, y - 7), (right - 1, y - 7), (right - 1, y - 3)], INK
        )
        sheet.text((left + right) / 2, y - 9, str(k), 9, INK, "ms")
    return y + 34


def draw_orders(path: Path) -> None:
    """Column order; and runs split at M."""
    sheet, cell = Sheet(), 24
    one = STILL.binary()
    rows, _ = one.spec.size
    limit = 4
    for x, scheme, name in (
        (M + 8, preset("binary", order="F"), "order F: along columns"),
        (M + 432, preset("binary", max_length=limit), f"order C, M = {limit}: long runs are split"),
    ):
        tokenizer = one.tokenizer(scheme)
        runs = runs_of(tokenizer, one)
        sheet.text(x, 12, name, 14)
        sheet.mask(x, 44, cell, one.classes[0])
        for k, run in enumerate(runs, 1):
            pixels = places(tokenizer, run)
            sheet.path(x, 44, cell, pixels, number=str(k), order=tokenizer.scheme.order)
        note = f"{len(runs)} runs, lengths 1 to {max(run.length for run in runs)}"
        sheet.text(x, 44 + rows * cell + 12, note, 12, FAINT)
    tokenizer = one.tokenizer(preset("binary", order="F"))
    y = 44 + rows * cell + 46.0
    sheet.text(M, y, "order F in a single line", 14)
    y = flat_line(sheet, y + 38, one, tokenizer, runs_of(tokenizer, one))
    sheet.save(path, y + 10)


def draw_classes(path: Path) -> None:
    """Binary, separate class and LAC."""
    sheet, cell = Sheet(), 12
    one = STILL.binary()
    rows, _ = STILL.spec.size
    sheet.mask(M, 14, cell, one.classes[0])
    sheet.text(M, 20 + rows * cell, "one class: cell", 11, FAINT)
    sheet.mask(M + 230, 14, cell, STILL.classes[0])
    sheet.text(M + 230, 20 + rows * cell, "two classes: ipsc and dfc", 11, FAINT)
    x, y = M + 470, 14.0
    for text, bands in (
        ("start: where a run begins", [START]),
        ("length: how many pixels", [LENGTH]),
        ("class (of ipsc, of dfc)", [class_rgb(1), class_rgb(2)]),
        ("length and class in one token", [LENGTH, class_rgb(1)]),
        ("end of the sequence", [INK]),
    ):
        y = legend(sheet, x, y, [(text, bands)]) + 1
    y = 20 + rows * cell + 32
    for name, example in (("binary", one), ("multiclass", STILL), ("lac", STILL)):
        tokenizer = example.tokenizer(name)
        counts = tokenizer.count(example.classes)
        k = tokenizer.tokens_per_run
        y = sheet.heading(M, y, name, f"{k} tokens a run: {counted(counts, tokenizer.vocab)}")
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, example))
        y = sheet.vocabulary(M, y + 4, tokenizer.vocab, FULL / 195) + 10
    sheet.save(path, y)


def draw_starts(path: Path) -> None:
    """1D and 2D starts."""
    sheet, y = Sheet(), 12.0
    for name, start in (
        ("one token, start='flat' (1D)", "flat"),
        ("row and column, start='coords' (2D)", "coords"),
    ):
        tokenizer = STILL.tokenizer(preset("lac", start=start))
        y = sheet.heading(M, y, name, counted(tokenizer.count(STILL.classes), tokenizer.vocab))
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, STILL))
        y = sheet.vocabulary(M, y + 4, tokenizer.vocab, FULL / 195) + 10
    sheet.save(path, y)


def draw_tiling(path: Path) -> None:
    """BAC, BAC with LAC, and rows by themselves."""
    sheet, cell, top = Sheet(), 12, 34
    rows, _ = STILL.spec.size
    y = top + rows * cell + 20.0
    for x, name, title in (
        (M + 6, "bac", "bac: everything is a run"),
        (M + 232, "text4seg", "text4seg: each row by itself"),
    ):
        tokenizer = STILL.tokenizer(name)
        sheet.text(x, 10, title, 12)
        sheet.mask(x, top, cell, STILL.classes[0])
        for run in runs_of(tokenizer, STILL):
            sheet.path(x, top, cell, places(tokenizer, run), ink=INK if run.label else EDGE)
    sheet.text(M + 440, 10, "its rows as text", 12)
    for row, line in enumerate(text4seg_text().split(" | ")):
        end = " |" if row < rows - 1 else ""
        sheet.text(M + 440, top + (row + 0.5) * cell, line + end, 9.5, INK, "lm")
    for name in ("bac", "bac-lac", "text4seg"):
        tokenizer = STILL.tokenizer(name)
        y = sheet.heading(M, y, name, counted(tokenizer.count(STILL.classes), tokenizer.vocab))
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, STILL)) + 10
    sheet.save(path, y)


def draw_changes(path: Path) -> None:
    """Differential masks."""
    sheet, cell, top = Sheet(), 24, 34
    rows, _ = STILL.spec.size
    y = top + rows * cell + 22.0
    for x, name, title in (
        (M + 8, "diff", "diff: what differs from the pixel before"),
        (M + 432, "diff-rows", "diff-rows: each row begins as background"),
    ):
        tokenizer = STILL.tokenizer(name)
        sheet.text(x, 10, title, 12)
        sheet.mask(x, top, cell, STILL.classes[0])
        for group in groups_of(tokenizer, STILL):
            if isinstance(group.event, RunPainted):
                row, col = places(tokenizer, group.event)[0]
                sheet.rect(x + col * cell - 1.5, top + row * cell + 3, 3, cell - 6, INK)
                at = (x + (col + 0.55) * cell, top + (row + 0.5) * cell)
                sheet.text(*at, group.chips[-1].text, 10, INK, "mm")
    for name in ("diff", "diff-rows"):
        tokenizer = STILL.tokenizer(name)
        counts = tokenizer.count(STILL.classes)
        note = counted(counts, tokenizer.vocab).replace("runs", "changes")
        y = sheet.heading(M, y, name, note)
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, STILL)) + 10
    sheet.save(path, y)


def draw_blocks(path: Path) -> None:
    """Class-wise and instance-wise blocks."""
    sheet, cell, top = Sheet(), 22, 34
    rows, _ = STILL.spec.size
    y = top + rows * cell + 22.0
    below: dict[str, dict[int, Colour]] = {
        "cw": {k: class_rgb(k + 1) for k in range(2)},
        "iw": {k: instance_colour(k + 1) for k in range(3)},
    }
    for x, name, title in (
        (M + 8, "cw", "cw: a block for each class"),
        (M + 432, "iw", "iw: a block for each instance"),
    ):
        tokenizer = STILL.tokenizer(name)
        sheet.text(x, 10, title, 12)
        ids = STILL.instances if name == "iw" else STILL.classes
        sheet.mask(x, top, cell, ids[0], instances=name == "iw")
        for run in runs_of(tokenizer, STILL):
            sheet.path(x, top, cell, places(tokenizer, run))
    for name in ("cw", "iw"):
        tokenizer = STILL.tokenizer(name)
        counts = tokenizer.count(STILL.classes, STILL.instances)
        note = f"{counts.n_blocks} blocks, {counted(counts, tokenizer.vocab)}"
        y = sheet.heading(M, y, name, note)
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, STILL), under=below[name]) + 10
    sheet.save(path, y)


def strip_of(
    sheet: Sheet, y: float, tokenizer: Tokenizer, example: Example, name: str, n_shown: int = 10**6
) -> float:
    """A heading and the first tokens of an example."""
    groups = groups_of(tokenizer, example)
    counts = tokenizer.count(example.classes, example.instances)
    y = sheet.heading(M, y, name, counted(counts, tokenizer.vocab))
    n_more = sum(len(group.chips) for group in groups[n_shown:])
    return sheet.strip(M, y, FULL, groups[:n_shown], n_more=n_more) + 8


def draw_film(
    sheet: Sheet, x: float, y: float, cell: float, *, instances: bool = False, gap: float = 18
) -> float:
    """The frames of the video side by side; gives the x after them."""
    cols = VIDEO.classes.shape[-1]
    ids = VIDEO.instances if instances else VIDEO.classes
    for frame, labels in enumerate(ids):
        sheet.text(x, y - 17, f"frame {frame}", 11, FAINT)
        sheet.mask(x, y, cell, labels, instances=instances)
        x += cols * cell + gap
    return x


def draw_volume(path: Path) -> None:
    """3D-C and 3D-F."""
    sheet, cell, top, gap = Sheet(), 15, 62, 18
    n_frames, rows, cols = VIDEO.classes.shape
    tokenizer = VIDEO.tokenizer("3d-c")
    sheet.text(M, 12, "3D-C: one frame after the other, row by row", 14)
    draw_film(sheet, M, top, cell, gap=gap)
    for run in runs_of(tokenizer, VIDEO):
        frame = int(tokenizer.run_pixels(run)[0][0])
        pixels = places(tokenizer, run)
        sheet.path(M + frame * (cols * cell + gap), top, cell, pixels)
    y = top + rows * cell + 16.0
    y = strip_of(sheet, y, tokenizer, VIDEO, "3d-c", 12) + 22

    tokenizer = VIDEO.tokenizer("3d-f")
    column = 4
    sheet.text(M, y, "3D-F: column by column, through all frames of each pixel", 14)
    y += 50
    draw_film(sheet, M, y, cell, gap=gap)
    for frame in range(n_frames):
        x = M + frame * (cols * cell + gap) + column * cell
        sheet.rect(x - 1, y - 1, cell + 2, rows * cell + 2, None, INK, 2)
    x, wide = M + n_frames * (cols * cell + gap) + 40, 22
    sheet.text(x + n_frames * wide / 2, y - 32, f"column {column} opened", 11, INK, "ma")
    for frame in range(n_frames):
        sheet.text(x + (frame + 0.5) * wide, y - 17, f"f{frame}", 11, FAINT, "ma")
    opened = VIDEO.classes[:, :, column].T
    for row in range(rows):
        sheet.text(x - 8, y + (row + 0.5) * cell, f"r{row}", 10, FAINT, "rm")
        for frame in range(n_frames):
            colour = label_colour(int(opened[row, frame]))
            sheet.rect(x + frame * wide, y + row * cell, wide, cell, colour, RULE, 0.5)
    for run in runs_of(tokenizer, VIDEO):
        frames, rows_, cols_ = tokenizer.run_pixels(run)
        here = cols_ == column
        cells = list(zip(rows_[here].tolist(), frames[here].tolist(), strict=True))
        for line in sorted({row for row, _ in cells}):
            among = [frame for row, frame in cells if row == line]
            at = y + (line + 0.5) * cell
            ends = [(x + (f + 0.5) * wide, at) for f in (among[0], among[-1])]
            if (line, among[0]) != cells[0] or not here[0]:
                ends.insert(0, (x + among[0] * wide, at))
            if (line, among[-1]) != cells[-1] or not here[-1]:
                ends.append((x + (among[-1] + 1) * wide, at))
            sheet.line(ends, INK, 1.5)
        if cells and here[0]:
            row, frame = cells[0]
            sheet.dot(x + (frame + 0.5) * wide, y + (row + 0.5) * cell, 3, INK)
        if cells and here[-1]:
            row, frame = cells[-1]
            sheet.dot(x + (frame + 0.5) * wide, y + (row + 0.5) * cell, 2, INK)
    y += rows * cell + 16
    y = strip_of(sheet, y, tokenizer, VIDEO, "3d-f", 12)
    sheet.save(path, y)


def draw_time(path: Path) -> None:
    """TAC and LTAC."""
    sheet, cell, top = Sheet(), 12, 52
    _, rows, _ = VIDEO.classes.shape
    tokenizer = VIDEO.tokenizer("tac")
    flattening = tokenizer.flattening
    assert isinstance(flattening, TimeClass)
    sheet.text(M, 10, "three frames …", 14)
    x = draw_film(sheet, M, top, cell, gap=12) + 26
    wide = 24.0
    sheet.text(x, 10, "… become one map of time classes", 14)
    sheet.mask(x, top, wide, VIDEO.classes)
    runs = runs_of(tokenizer, VIDEO)
    for run in runs:
        sheet.path(x, top, wide, places(tokenizer, run))
    symbols = sorted({flattening_symbol(flattening, run.labels) for run in runs})
    y = top + rows * cell + 18
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
    sheet, cell, top = Sheet(), 15, 52
    sheet.text(M, 10, "the instances: each keeps its number, and colour, through the frames", 14)
    draw_film(sheet, M, top, cell, instances=True)
    _, rows, _ = VIDEO.classes.shape
    y = top + rows * cell + 22.0
    below = {k: instance_colour(k + 1) for k in range(3)}
    for name in ("cw-tac", "iw-tac"):
        tokenizer = VIDEO.tokenizer(name)
        counts = tokenizer.count(VIDEO.classes, VIDEO.instances)
        note = f"{counts.n_blocks} blocks, {counted(counts, tokenizer.vocab)}"
        y = sheet.heading(M, y, name, note)
        colours = below if name == "iw-tac" else {k: class_rgb(k + 1) for k in range(2)}
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, VIDEO), under=colours) + 10
    sheet.save(path, y)


def draw_heads(path: Path) -> None:
    """One sequence for each field."""
    sheet, y = Sheet(), 12.0
    one = STILL.tokenizer(preset("multiclass", start="coords"))
    many = STILL.tokenizer("multihead")
    counts = one.count(STILL.classes)
    y = sheet.heading(M, y, "one head", counted(counts, one.vocab))
    y = sheet.strip(M, y, FULL, groups_of(one, STILL)) + 12
    counts = many.count(STILL.classes)
    note = f"{counts.n_runs} runs, {many.tokens_per_run} × {counts.n_tokens} tokens"
    note += f", V = {many.vocab.size} at most"
    y = sheet.heading(M, y, "multihead", note)
    groups = groups_of(many, STILL)
    for head, field in enumerate(many.vocab.fields):
        sheet.text(M, y + 15, field.name, 12, INK, "lm")
        x = M + 62.0
        for group in groups:
            chip = group.chips[min(head, len(group.chips) - 1)]
            sheet.chip(x, y, 58, chip)
            x += 63
        y += 36
    sheet.save(path, y + 8)


def thin_patch() -> np.ndarray:
    """A patch (1, 32, 32): a round cell and a thin filament."""
    row, col = np.mgrid[:32, :32]
    patch = np.zeros((1, 32, 32), np.uint8)
    patch[0][(row - 19) ** 2 + (col - 11) ** 2 < 72] = 1
    curve = 6 + 10 * (col / 31) ** 2
    patch[0][(np.abs(row - curve) < 0.9) & (col > 3)] = 2
    return patch


def draw_subsampling(path: Path) -> None:
    """Rules of subsampling and supersampling."""
    sheet, side, gap = Sheet(), 190, 20
    patch = thin_patch()
    size = (8, 8)

    def at(k: int) -> float:
        return M + k * (side + gap)

    sheet.text(at(0), 10, "patch, 32 × 32", 13)
    sheet.mask(at(0), 32, side / 32, patch[0])
    for k, rule in enumerate(("corner", "centre", "max"), 1):
        mask = subsample_labels(patch, size, rule)  # type: ignore[arg-type]
        sheet.text(at(k), 10, f"mask, 8 × 8: {rule}", 13)
        sheet.mask(at(k), 32, side / 8, mask[0])
        tokenizer = Tokenizer.build(preset("lac"), MaskSpec(size=size, class_names=NAMES))
        note = f"{tokenizer.count(mask).n_tokens} tokens"
        sheet.text(at(k), 32 + side + 8, note, 11, FAINT)
    for k, inset in ((1, 0.5 / 4), (2, 2.5 / 4)):  # the pixel that speaks for its cell
        for row, col in np.ndindex(size):
            x, y = at(k) + (col + inset) * side / 8, 32 + (row + inset) * side / 8
            sheet.dot(x, y, 1.5, EDGE)
    y = 32 + side + 44.0
    for k, (rule, how) in enumerate(
        (("centre", "smooth"), ("corner", "nearest"), ("centre", "nearest"), ("max", "nearest"))
    ):
        mask = subsample_labels(patch, size, rule)  # type: ignore[arg-type]
        labels = upsample_labels(mask, (32, 32), how)  # type: ignore[arg-type]
        sheet.text(at(k), y - 4, f"{rule}, then {how}", 13)
        sheet.mask(at(k), y + 18, side / 32, labels[0])
        scores = (f"{name} {dice(labels == c, patch == c):.2f}" for c, name in enumerate(NAMES, 1))
        sheet.text(at(k), y + 18 + side + 8, f"Dice: {', '.join(scores)}", 11, FAINT)
    sheet.save(path, y + 18 + side + 36)


def dice(ours: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (ours & truth).sum() / (ours.sum() + truth.sum()))


def draw_budget(path: Path) -> None:
    """What a budget drops."""
    sheet, cell, top = Sheet(), 16, 34
    rows, _ = STILL.spec.size
    tokenizer = STILL.tokenizer("lac")
    every = groups_of(tokenizer, STILL)
    y = top + rows * cell + 22.0
    drops: tuple[Drop, ...] = ("tail", "shortest")
    for k, drop in enumerate((None, *drops)):
        x = M + 282 * k
        budget = None if drop is None else BUDGET
        tokens = tokenizer.encode(STILL.classes, budget=budget, drop=drop or "tail")
        classes = tokenizer.decode(tokens).classes
        title = (
            f"no budget: {tokens.size} tokens" if drop is None else f"L = {BUDGET}, drop='{drop}'"
        )
        sheet.text(x, 10, title, 13)
        sheet.mask(x, top, cell, classes[0])
        for row, col in np.argwhere(classes[0] != STILL.classes[0]).tolist():
            sheet.rect(x + col * cell + 1, top + row * cell + 1, cell - 2, cell - 2, GONE)
    for drop in drops:
        tokens = tokenizer.encode(STILL.classes, budget=BUDGET, drop=drop)
        kept = {run.start for run in painted(tokenizer, tokens)}
        gone = {
            index: group.event.length
            for index, group in enumerate(every)
            if isinstance(group.event, RunPainted) and group.event.start not in kept
        }
        note = f"{len(gone)} runs dropped, {sum(gone.values())} pixels lost: {tokens.size} tokens"
        y = sheet.heading(M, y, f"drop='{drop}'", note)
        y = sheet.strip(M, y, FULL, every, gone=gone) + 8
    sheet.save(path, y)


def draw_vocabulary(path: Path) -> None:
    """V over N, stacked."""
    sheet, top, height, most = Sheet(), 66, 260, 68_000
    scale = height / most
    legend(
        sheet,
        M,
        12,
        [
            ("starts", [FRAME]),
            ("lengths", [LENGTH]),
            ("classes, or classes over time", [class_rgb(1)]),
            ("both in one token", [LENGTH, class_rgb(1)]),
        ],
    )
    base = top + height
    for left, n_classes in ((M + 36, 1), (M + 446, 2)):
        width = 372
        what = "one class" if n_classes == 1 else "two classes"
        sheet.text(left, 40, f"{what}, masks of {SIDE} × {SIDE}", 13)
        for tick in range(0, 70_000, 10_000):
            y = base - tick * scale
            sheet.rect(left, y - 0.25, width, 0.5, RULE)
            sheet.text(left - 5, y, f"{tick // 1000}k" if tick else "0", 9, FAINT, "rm")
        each = width / len(FRAMES)
        for k, n_frames in enumerate(FRAMES):
            x = left + k * each + 4
            for column, name in enumerate(("3d-c", "tac", "ltac")):
                parts = sizes(name, n_classes, n_frames)
                at = x + column * 15
                done = 0.0
                for segment, size in parts.items():
                    high = min(size * scale, height + 8 - done)
                    box = (at, base - done - high, 13, high)
                    if segment == "start":
                        sheet.rect(*box, FRAME)
                    elif segment == "length":
                        sheet.rect(*box, LENGTH)
                    elif segment in ("ltac", "lac"):
                        sheet.bands(*box, [LENGTH, class_rgb(1)])
                    else:
                        sheet.rect(*box, class_rgb(1))
                    done += high
                total = sum(parts.values())
                if total > most:
                    text = f"{total / 1e6:.1f}M" if total >= 1e6 else f"{total // 1000}k"
                    sheet.text(at + 6.5, base - height - 11, text, 9, INK, "ms")
                sheet.text(at + 6.5, base + 4, "CTL"[column], 8, FAINT, "ma")
            sheet.text(x + 22, base + 15, f"N = {n_frames}", 10, INK, "ma")
        y = base - VOCAB_LIMIT * scale
        sheet.rect(left, y - 0.75, width, 1.5, class_rgb(6))
        sheet.text(left + 3, y - 3, f"{VOCAB_LIMIT:,}", 10, class_rgb(6), "ls")
    sheet.text(M, base + 36, "C = 3D-C, T = TAC, L = LTAC. N is the number of frames.", 11, FAINT)
    sheet.save(path, base + 58)


def draw_published(path: Path) -> None:
    """Ours and the authors' ids."""
    sheet, y = Sheet(), 12.0
    for name, layout in (("CompactLayout (ours)", None), ("PublishedLayout", PublishedLayout())):
        tokenizer = STILL.tokenizer("lac", layout)
        vocab = tokenizer.vocab
        y = sheet.heading(
            M,
            y,
            name,
            f"V = {vocab.size:,}, pad = {vocab.pad}, end = {vocab.eos}, begins with {vocab.bos}",
        )
        y = sheet.vocabulary(M, y, vocab, FULL / 1170, ids=True) + 4
        groups = groups_of(tokenizer, STILL)
        y = sheet.strip(M, y, FULL, groups) + 10
    sheet.save(path, y)


PICTURES = {
    "runs": draw_runs,
    "orders": draw_orders,
    "classes": draw_classes,
    "starts": draw_starts,
    "tiling": draw_tiling,
    "changes": draw_changes,
    "blocks": draw_blocks,
    "heads": draw_heads,
    "volume": draw_volume,
    "time": draw_time,
    "tracks": draw_tracks,
    "subsampling": draw_subsampling,
    "budget": draw_budget,
    "vocabulary": draw_vocabulary,
    "published": draw_published,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="folder of the pictures; the page is left alone")
    arguments = parser.parse_args()
    folder = arguments.out or DOCS / "images"
    for name, draw in PICTURES.items():
        path = folder / f"tokens-{name}.png"
        draw(path)
        print(path, f"{path.stat().st_size / 1000:.0f} kB")
    if arguments.out is None:
        text = filled(PAGE.read_text(encoding="utf-8"))
        with whole_file(PAGE) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
