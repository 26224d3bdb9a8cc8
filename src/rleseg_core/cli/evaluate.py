"""``rleseg evaluate``: score masks against the truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from rleseg_core.cli.console import AsJson, Quiet, out, print_json, progress_bar
from rleseg_core.cli.predict import parse_frames
from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import ImageMetric, Masks
from rleseg_core.evaluation.boundary import BoundaryScore
from rleseg_core.evaluation.registry import IMAGE_METRICS, metric_summaries
from rleseg_core.evaluation.report import MEDIAN_OF_IMAGES, POOLED, WITH_BACKGROUND, Evaluation
from rleseg_core.evaluation.scores import AGNOSTIC
from rleseg_core.files import check_writable


def _summaries() -> str:
    return " ".join(f"{name}: {what}." for name, what in metric_summaries().items())


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
    predicted_instances: Annotated[
        bool,
        typer.Option("--predicted-instances", help="PREDICTED numbers objects of one class, too."),
    ] = False,
    frames: Annotated[
        str | None, typer.Option(help="Those to score, such as 0-9,15. All by default.")
    ] = None,
    agnostic: Annotated[
        str, typer.Option(help="Name of all classes taken for one, such as cell or ice.")
    ] = AGNOSTIC,
    metrics: Annotated[
        str, typer.Option(help=f"More to score by, as boundary,objects. {_summaries()}")
    ] = "",
    boundary: Annotated[
        bool, typer.Option("--boundary", help="Score the boundaries, too: the boundary F-score.")
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Of boundaries, in pixels; 0.75 % of the image's diagonal."),
    ] = None,
    objects: Annotated[
        bool,
        typer.Option(
            "--objects",
            help="Score the objects, too: AP of those numbered, else of connected pieces.",
        ),
    ] = False,
    concentration: Annotated[
        bool,
        typer.Option("--concentration", help="Score how much of each image column is covered."),
    ] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a row for each image and class to this.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the Dice of the images to this .png.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score masks against the truth: Dice, IoU, precision and recall of each class."""
    from rleseg_core.data import MaskStack
    from rleseg_core.data.formats.writers import recorded_class_names

    _check_outputs(csv_file, plot)
    if classes is None:
        classes = ",".join(recorded_class_names(predicted))
    names = class_names(classes, instances or predicted_instances)
    given = MaskStack.open(predicted, names, instances=predicted_instances)
    true = MaskStack.open(truth, names, instances=instances)
    if given.shape != true.shape:
        raise DataError(
            f"{predicted} is {given.shape}, {truth} is {true.shape}; both must be the same "
            "(T, Y, X)"
        )
    asked = [name.strip() for name in metrics.split(",") if name.strip()]
    asked += ["boundary"] * (boundary or tolerance is not None)
    asked += ["concentration"] * concentration
    asked += ["objects"] * (objects or instances or predicted_instances)
    evaluation = Evaluation(
        class_names=names,
        agnostic=agnostic,
        metrics=_metrics(asked, tolerance),
    )
    chosen = parse_frames(frames, true.n_frames) or list(range(true.n_frames))
    with progress_bar("evaluate", quiet) as bar:
        for done, frame in enumerate(chosen, start=1):
            evaluation.add(
                str(frame),
                Masks(true.class_frame(frame), true.instance_frame(frame)),
                Masks(given.class_frame(frame), given.instance_frame(frame)),
            )
            bar.update(done, len(chosen))
    if csv_file is not None:
        evaluation.write_csv(csv_file)
    if plot is not None:
        evaluation.save_plot(plot)
    if as_json:
        print_json({"frames": len(chosen), **evaluation.to_json()})
    elif not quiet:
        out.print(scores_table(evaluation))
        out.print(_told(evaluation), soft_wrap=True)


def _metrics(names: Sequence[str], tolerance: float | None) -> tuple[ImageMetric, ...]:
    """The metrics of some names, in the order of their registry."""
    if unknown := [name for name in names if name not in IMAGE_METRICS]:
        raise DataError(
            f"there is no metric {unknown[0]!r}; --metrics takes {', '.join(IMAGE_METRICS)}"
        )
    return tuple(
        BoundaryScore(tolerance=tolerance) if metric is BoundaryScore else metric()
        for name, metric in IMAGE_METRICS.items()
        if name in names
    )


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


def scores_table(evaluation: Evaluation) -> Table:
    """Scores of all images for people; a dash where there is nothing to score."""
    tables = evaluation.tables()
    pooled, medians = tables[POOLED], tables[MEDIAN_OF_IMAGES]
    columns = {"dice": "Dice", "iou": "IoU", "precision": "prec.", "recall": "recall"}
    for metric in evaluation.metrics:
        columns |= metric.headings
    table = Table("class", box=None, padding=(0, 1, 0, 0))
    for name in ("Dice", "median", *list(columns.values())[1:], "pixels"):
        table.add_column(name, justify="right")
    for name, figures in pooled.items():
        if name == WITH_BACKGROUND:
            continue
        values = [_figure(figures.get(key)) for key in columns]
        values.insert(1, _figure(medians[name]["dice"]))
        pixels = f"{int(figures['n_pixels']):,}" if "n_pixels" in figures else ""
        table.add_row(name, *values, pixels)
    return table


def _told(evaluation: Evaluation) -> str:
    """What the table says, and the averages that are not in it."""
    scores, noun = evaluation.pooled_scores(), "image" if evaluation.n_images == 1 else "images"
    plain, whole = scores.mean, scores.with_background
    return (
        f"All pixels of {evaluation.n_images} {noun} together; median: Dice of the median image. "
        f"Frequency-weighted: recall {_figure(plain.fw_recall)}, IoU {_figure(plain.fw_iou)}. "
        f"With the background: pixel accuracy {_figure(scores.pixel_accuracy)}, mean recall "
        f"{_figure(whole.recall)}, mean IoU {_figure(whole.iou)}, frequency-weighted IoU "
        f"{_figure(whole.fw_iou)}."
    )


def _figure(value: float | None) -> str:
    """Three decimals; nothing of what is not known of a class, a dash where it is nan."""
    if value is None:
        return ""
    return "–" if np.isnan(value) else f"{value:.3f}"


def _check_outputs(csv_file: Path | None, plot: Path | None) -> None:
    """Raise the error of a file that cannot be written before the scoring, not after it."""
    if plot is not None and plot.suffix.lower() != ".png":
        raise DataError(f"a picture's name must end in .png, got {plot}")
    for path in (csv_file, plot):
        if path is not None:
            check_writable(path)
