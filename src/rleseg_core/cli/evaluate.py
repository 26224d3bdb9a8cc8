"""``rleseg evaluate``: score masks against the truth."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from rleseg_core.cli.console import AsJson, Quiet, out, print_json, progress_bar
from rleseg_core.cli.predict import Frames, parse_frames
from rleseg_core.metrics import Scores, confusion_matrix, score

Classes = Annotated[str, typer.Option("--classes", help="Names of the classes, commas between.")]
Instances = Annotated[
    bool, typer.Option("--instances", help="The true masks hold instance ids of the one class.")
]


def evaluate(
    predicted: Annotated[Path, typer.Argument(help="Masks to score.")],
    truth: Annotated[Path, typer.Argument(help="True masks of the same shape.")],
    classes: Classes = "ipsc,dfc",
    instances: Instances = False,
    frames: Frames = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score masks against the truth: Dice, IoU, precision and recall of each class."""
    from rleseg_core.data import check_same_shape, open_labels

    names = tuple(name.strip() for name in classes.split(","))
    given, true = open_labels(predicted), open_labels(truth)
    check_same_shape(given, true)
    chosen = parse_frames(frames, true.n_frames) or list(range(true.n_frames))
    confusion = np.zeros((len(names) + 1, len(names) + 1), np.int64)
    with progress_bar("evaluate", quiet) as bar:
        for done, frame in enumerate(chosen, start=1):
            expected = true.frame(frame)
            if instances:
                expected = (expected > 0).astype(np.uint8)
            confusion += confusion_matrix(expected, given.frame(frame), len(names))
            bar.update(done, len(chosen))
    scores = score(confusion, names)
    if as_json:
        print_json({"frames": len(chosen), **scores.to_json()})
    elif not quiet:
        out.print(scores_table(scores))


def scores_table(scores: Scores) -> Table:
    """Scores as a table for people."""
    table = Table("class", "Dice", "IoU", "precision", "recall", "pixels")
    for row in scores.classes:
        figures = (row.dice, row.iou, row.precision, row.recall)
        table.add_row(row.name, *(f"{figure:.3f}" for figure in figures), f"{row.n_pixels:,}")
    table.add_row("mean", f"{scores.mean_dice:.3f}", "", "", "", "")
    return table
