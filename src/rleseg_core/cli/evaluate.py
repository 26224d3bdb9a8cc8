"""``rleseg evaluate``: score masks against the truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from rleseg_core.cli.console import AsJson, Quiet, out, print_json, progress_bar
from rleseg_core.cli.predict import parse_frames
from rleseg_core.errors import DataError
from rleseg_core.metrics import Scores, confusion_matrix, score

if TYPE_CHECKING:
    from rleseg_core.data import LabelStack

Classes = Annotated[str, typer.Option("--classes", help="Names of the classes, as ipsc,dfc.")]
Instances = Annotated[
    bool,
    typer.Option("--instances", help="The true masks number the objects of one class."),
]


def evaluate(
    predicted: Annotated[Path, typer.Argument(help="Masks to score.")],
    truth: Annotated[Path, typer.Argument(help="True masks of the same shape.")],
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the classes, as ipsc,dfc; those noted in PREDICTED by default."
        ),
    ] = None,
    instances: Instances = False,
    frames: Annotated[
        str | None, typer.Option(help="Those to score, such as 0-9,15. All by default.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score masks against the truth: Dice, IoU, precision and recall of each class."""
    from rleseg_core.data import classes_from_instances, open_labels
    from rleseg_core.data.writers import recorded_class_names

    if classes is None:
        classes = ",".join(recorded_class_names(predicted))
    names = class_names(classes, instances)
    given, true = open_labels(predicted), open_labels(truth)
    if given.shape != true.shape:
        raise DataError(
            f"{predicted} is {given.shape}, {truth} is {true.shape}; both must be the same "
            "(T, Y, X)"
        )
    chosen = parse_frames(frames, true.n_frames) or list(range(true.n_frames))
    confusion = np.zeros((len(names) + 1, len(names) + 1), np.int64)
    with progress_bar("evaluate", quiet) as bar:
        for done, frame in enumerate(chosen, start=1):
            if instances:
                expected = classes_from_instances(true.frame(frame))
            else:
                expected = _class_frame(true, frame, len(names))
            confusion += confusion_matrix(
                expected, _class_frame(given, frame, len(names)), len(names)
            )
            bar.update(done, len(chosen))
    scores = score(confusion, names)
    if as_json:
        print_json({"frames": len(chosen), **scores.to_json()})
    elif not quiet:
        out.print(scores_table(scores))


def class_names(text: str, instances: bool) -> tuple[str, ...]:
    """Names of the classes of a text such as 'ipsc,dfc'.

    Raises
    ------
    DataError
        If there is no name, or masks of instance ids, which are of one class, are given more names.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise DataError("the masks do not say their classes; name them, for example --classes cell")
    if instances and len(names) > 1:
        raise DataError(
            f"masks of instance ids have one class, got the names {', '.join(names)}; name it, "
            "for example --classes cell"
        )
    return names


def _class_frame(labels: "LabelStack", frame: int, n_classes: int) -> np.ndarray:
    """Class ids (Y, X) uint8 of a frame; grey levels of pictures of masks are understood."""
    from rleseg_core.data import class_ids

    try:
        return class_ids(labels.frame(frame), n_classes)
    except DataError as error:
        raise DataError(f"{labels.path}, frame {frame}: {error}") from error


def scores_table(scores: Scores) -> Table:
    """Scores as a table for people."""
    table = Table("class", "Dice", "IoU", "precision", "recall", "pixels")
    for row in scores.classes:
        figures = (row.dice, row.iou, row.precision, row.recall)
        table.add_row(row.name, *(f"{figure:.3f}" for figure in figures), f"{row.n_pixels:,}")
    table.add_row("mean", f"{scores.mean_dice:.3f}", "", "", "", "")
    return table
