"""The pictures of docs/tokenization.md that show one image."""

from pathlib import Path

from token_drawing import FULL, M, flat_line, legend
from token_examples import (
    EDGE,
    LENGTH,
    START,
    STILL,
    Colour,
    coordinates,
    counted,
    groups_of,
    instance_colour,
    runs_of,
)
from token_sheet import Sheet
from token_words import text4seg_text

from rleseg_core.drawing.palette import class_rgb
from rleseg_core.drawing.style import FAINT, INK
from rleseg_core.tokens import RunPainted, preset


def draw_runs(path: Path) -> None:
    """Runs of a mask, and the mask as one line of pixels."""
    sheet, zoom = Sheet(), 25
    one = STILL.binary()
    tokenizer = one.tokenizer("binary")
    runs = runs_of(tokenizer, one)
    rows, cols = one.spec.size
    top = 34
    sheet.text(M + 8, 12, f"the mask, {rows} × {cols} pixels, and its runs", 14)
    sheet.mask(M + 8, top, zoom, one.classes[0])
    for k, run in enumerate(runs, 1):
        sheet.path(M + 8, top, zoom, coordinates(tokenizer, run), number=str(k))
    x = M + 8 + cols * zoom + 62
    sheet.text(x - 24, 12, "the same in numbers", 14)
    ends = (0, 108, 250, 312)
    for end, head in zip(ends, ("run", "begins at", "start", "length"), strict=True):
        sheet.text(x + end, top, head, 11, FAINT, "ra")
    for k, run in enumerate(runs, 1):
        row, col = coordinates(tokenizer, run)[0]
        start = f"{row} × {cols} + {col} = {run.start}"
        words = (str(k), f"row {row}, col {col}", start, str(run.length))
        for end, word in zip(ends, words, strict=True):
            sheet.text(x + end, top + 20 * k, word, 12, INK, "ra")
    y = top + rows * zoom + 22.0
    sheet.text(M, y, "one row after the other in a single line", 14)
    y = flat_line(sheet, y + 38, one, tokenizer, runs)
    sheet.save(path, y + 10)


def draw_orders(path: Path) -> None:
    """Column order; and runs split at M."""
    sheet, zoom = Sheet(), 24
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
        sheet.mask(x, 44, zoom, one.classes[0])
        for k, run in enumerate(runs, 1):
            pixels = coordinates(tokenizer, run)
            sheet.path(x, 44, zoom, pixels, number=str(k), order=tokenizer.scheme.order)
        note = f"{len(runs)} runs, lengths 1 to {max(run.length for run in runs)}"
        sheet.text(x, 44 + rows * zoom + 12, note, 12, FAINT)
    tokenizer = one.tokenizer(preset("binary", order="F"))
    y = 44 + rows * zoom + 46.0
    sheet.text(M, y, "order F in a single line", 14)
    y = flat_line(sheet, y + 38, one, tokenizer, runs_of(tokenizer, one))
    sheet.save(path, y + 10)


def draw_classes(path: Path) -> None:
    """Binary, separate class and LAC."""
    sheet, zoom = Sheet(), 12
    one = STILL.binary()
    rows, _ = STILL.spec.size
    sheet.mask(M, 14, zoom, one.classes[0])
    sheet.text(M, 20 + rows * zoom, "one class: cell", 11, FAINT)
    sheet.mask(M + 230, 14, zoom, STILL.classes[0])
    sheet.text(M + 230, 20 + rows * zoom, "two classes: ipsc and dfc", 11, FAINT)
    x, y = M + 470, 14.0
    for text, bands in (
        ("start: where a run begins", [START]),
        ("length: how many pixels", [LENGTH]),
        ("class (of ipsc, of dfc)", [class_rgb(1), class_rgb(2)]),
        ("length and class in one token", [LENGTH, class_rgb(1)]),
        ("end of the sequence", [INK]),
    ):
        y = legend(sheet, x, y, [(text, bands)]) + 1
    y = 20 + rows * zoom + 32
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
    sheet, zoom, top = Sheet(), 12, 34
    rows, _ = STILL.spec.size
    y = top + rows * zoom + 20.0
    for x, name, title in (
        (M + 6, "bac", "bac: everything is a run"),
        (M + 232, "text4seg", "text4seg: each row by itself"),
    ):
        tokenizer = STILL.tokenizer(name)
        sheet.text(x, 10, title, 12)
        sheet.mask(x, top, zoom, STILL.classes[0])
        for run in runs_of(tokenizer, STILL):
            sheet.path(x, top, zoom, coordinates(tokenizer, run), ink=INK if run.label else EDGE)
    sheet.text(M + 440, 10, "its rows as text", 12)
    for row, line in enumerate(text4seg_text().split(" | ")):
        end = " |" if row < rows - 1 else ""
        sheet.text(M + 440, top + (row + 0.5) * zoom, line + end, 9.5, INK, "lm")
    for name in ("bac", "bac-lac", "text4seg"):
        tokenizer = STILL.tokenizer(name)
        y = sheet.heading(M, y, name, counted(tokenizer.count(STILL.classes), tokenizer.vocab))
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, STILL)) + 10
    sheet.save(path, y)


def draw_changes(path: Path) -> None:
    """Differential masks."""
    sheet, zoom, top = Sheet(), 24, 34
    rows, _ = STILL.spec.size
    y = top + rows * zoom + 22.0
    for x, name, title in (
        (M + 8, "diff", "diff: what differs from the pixel before"),
        (M + 432, "diff-rows", "diff-rows: each row begins as background"),
    ):
        tokenizer = STILL.tokenizer(name)
        sheet.text(x, 10, title, 12)
        sheet.mask(x, top, zoom, STILL.classes[0])
        for group in groups_of(tokenizer, STILL):
            if isinstance(group.event, RunPainted):
                row, col = coordinates(tokenizer, group.event)[0]
                sheet.rect(x + col * zoom - 1.5, top + row * zoom + 3, 3, zoom - 6, INK)
                at = (x + (col + 0.55) * zoom, top + (row + 0.5) * zoom)
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
    sheet, zoom, top = Sheet(), 22, 34
    rows, _ = STILL.spec.size
    y = top + rows * zoom + 22.0
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
        sheet.mask(x, top, zoom, ids[0], instances=name == "iw")
        for run in runs_of(tokenizer, STILL):
            sheet.path(x, top, zoom, coordinates(tokenizer, run))
    for name in ("cw", "iw"):
        tokenizer = STILL.tokenizer(name)
        counts = tokenizer.count(STILL.classes, STILL.instances)
        note = f"{counts.n_blocks} blocks, {counted(counts, tokenizer.vocab)}"
        y = sheet.heading(M, y, name, note)
        y = sheet.strip(M, y, FULL, groups_of(tokenizer, STILL), under=below[name]) + 10
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
