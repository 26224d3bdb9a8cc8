"""The pictures of docs/tokenization.md that show what masks cost: sizes, budgets, ids."""

from pathlib import Path

import numpy as np
from token_drawing import FULL, M, legend
from token_examples import (
    EDGE,
    FRAME,
    GONE,
    LENGTH,
    NAMES,
    RULE,
    STILL,
    groups_of,
    painted,
)
from token_sheet import Sheet
from token_words import FRAMES, SIDE, VOCAB_LIMIT, sizes

from rleseg_core.data.labels import subsample_labels, upsample_labels
from rleseg_core.drawing.palette import class_rgb
from rleseg_core.drawing.style import FAINT, INK
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Drop, PublishedLayout, RunPainted, Tokenizer, preset

BUDGET = 14


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
    for k, inset in ((1, 0.5 / 4), (2, 2.5 / 4)):  # the pixel that decides for its mask pixel
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
    sheet, zoom, top = Sheet(), 16, 34
    rows, _ = STILL.spec.size
    tokenizer = STILL.tokenizer("lac")
    every = groups_of(tokenizer, STILL)
    y = top + rows * zoom + 22.0
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
        sheet.mask(x, top, zoom, classes[0])
        for row, col in np.argwhere(classes[0] != STILL.classes[0]).tolist():
            sheet.rect(x + col * zoom + 1, top + row * zoom + 1, zoom - 2, zoom - 2, GONE)
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
