"""What several pictures of docs/tokenization.md are drawn with."""

from collections.abc import Sequence

from token_examples import (
    EDGE,
    RULE,
    VIDEO,
    Colour,
    Example,
    counted,
    groups_of,
    label_colour,
)
from token_sheet import Sheet

from rleseg_core.drawing.style import FAINT, INK
from rleseg_core.tokens import RunPainted, Tokenizer

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
    sheet: Sheet, x: float, y: float, zoom: float, *, instances: bool = False, gap: float = 18
) -> float:
    """The frames of the video side by side; gives the x after them."""
    cols = VIDEO.classes.shape[-1]
    ids = VIDEO.instances if instances else VIDEO.classes
    for frame, labels in enumerate(ids):
        sheet.text(x, y - 17, f"frame {frame}", 11, FAINT)
        sheet.mask(x, y, zoom, labels, instances=instances)
        x += cols * zoom + gap
    return x
