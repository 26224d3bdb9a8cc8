"""``rleseg evaluate``: score masks against the truth."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Group, Parameter

from rleseg_core.cli.console import LiteralTable, out, print_json, progress_bar
from rleseg_core.cli.evaluate_tracks import evaluate_tracks
from rleseg_core.cli.ids import IDS, IdChoices, tell_mapping
from rleseg_core.cli.options import FLAT, NOT_NEGATIVE, Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.reading import GivenReading, GivenTruthReading, spelled_for
from rleseg_core.cli.values import classes_of, frames_of, parts_of
from rleseg_core.data import IdOptions, LabelStack, MaskStack
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.writers import recorded_class_names
from rleseg_core.drawing.charts import chart_output
from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import ImageMetric, Masks
from rleseg_core.evaluation.boundary import BoundaryScore
from rleseg_core.evaluation.registry import IMAGE_METRICS, metric_summaries
from rleseg_core.evaluation.report import (
    MEDIAN_OF_IMAGES,
    POOLED,
    WITH_BACKGROUND,
    Evaluation,
    table_output,
)
from rleseg_core.evaluation.scores import AGNOSTIC
from rleseg_core.objects.paths import objects_beside
from rleseg_core.outputs import Output

METRICS = Group("Metrics beside Dice, IoU, precision and recall", sort_key=40)


def _summaries() -> str:
    return " ".join(f"{name}: {what}." for name, what in metric_summaries().items())


@Parameter(name="*", group=METRICS)
@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """What masks are scored by, beside the classes of their pixels.

    Parameters
    ----------
    boundary : bool
        The same as --metrics boundary.
    tolerance : float or None
        Distance in pixels, 0 or more, at which boundaries still agree. It asks for boundary, too.
    objects : bool
        The same as --metrics objects,panoptic.
    concentration : bool
        The same as --metrics concentration.
    """

    metrics: Annotated[
        str,
        Parameter(
            metavar="LIST", help=f"Names of metrics, such as boundary,objects. {_summaries()}"
        ),
    ] = ""
    boundary: bool = False
    tolerance: Annotated[
        float | None, NOT_NEGATIVE, Parameter(show_default="0.75 % of the image's diagonal")
    ] = None
    objects: bool = False
    concentration: bool = False

    def chosen(self, *, with_objects: bool) -> tuple[ImageMetric, ...]:
        """The metrics asked for, in the order of their registry.

        Raises
        ------
        DataError
            If there is no metric of a name.
        """
        names = parts_of(self.metrics)
        if unknown := [name for name in names if name not in IMAGE_METRICS]:
            raise DataError(
                f"there is no metric {unknown[0]!r}; --metrics takes {', '.join(IMAGE_METRICS)}"
            )
        names += ["boundary"] * (self.boundary or self.tolerance is not None)
        names += ["concentration"] * self.concentration
        names += ["objects", "panoptic"] * (self.objects or with_objects)
        return tuple(
            BoundaryScore(tolerance=self.tolerance) if metric is BoundaryScore else metric()
            for name, metric in IMAGE_METRICS.items()
            if name in names
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Which masks are scored, and where the scores go.

    Parameters
    ----------
    classes : str or None
        Names of the classes, such as ipsc,dfc, in the order of their ids from 1 on. By default
        those that are noted in PREDICTED, else in TRUTH. Masks that note names are matched by name.
    instances : bool
        TRUTH holds the ids of objects, all of one class.
    predicted_instances : bool
        PREDICTED holds the ids of objects, all of one class.
    predicted_background : int
        The id of the background of PREDICTED, where it is another one than 0; --background is that
        of TRUTH.
    frames : str or None
        Frames to score, such as 0-9,15, counted from 0.
    agnostic : str
        Name of all classes taken for one, such as cell or ice.
    csv_file : Path or None
        Write a row for each image and class to this file.
    plot : Path or None
        Draw the Dice of the images to this .png.
    tracks : bool
        Score tracks in place of classes. Each side is a result of rleseg track, a folder of the
        Cell Tracking Challenge (res_track.txt or man_track.txt), or ids that persist.
    """

    classes: str | None = None
    instances: bool = False
    predicted_instances: bool = False
    ids: IdChoices = IdChoices()
    predicted_background: Annotated[
        int, Parameter(group=IDS, metavar="ID", allow_leading_hyphen=True)
    ] = 0
    frames: Annotated[str | None, Parameter(metavar="LIST", show_default="all")] = None
    agnostic: str = AGNOSTIC
    metrics: MetricOptions = MetricOptions()
    csv_file: Annotated[Path | None, Parameter(name="--csv")] = None
    plot: Path | None = None
    tracks: bool = False
    reading: Annotated[GivenReading, FLAT] = field(default_factory=dict)
    truth_reading: Annotated[GivenTruthReading, FLAT] = field(default_factory=dict)

    def numbers(self) -> tuple[IdOptions, IdOptions]:
        """What is known of the numbers of PREDICTED, and of TRUTH."""
        given = replace(self.ids, background=self.predicted_background)
        return given.options(), self.ids.options()


def evaluate(
    predicted: Path,
    truth: Path,
    /,
    options: EvaluateOptions = EvaluateOptions(),
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Score masks against the truth: Dice, IoU, precision and recall of each class.

    Parameters
    ----------
    predicted : Path
        Masks to score. The objects that rleseg predict wrote beside them are scored as well.
    truth : Path
        True masks of the same shape.
    options : EvaluateOptions
        Which masks are scored, and where the scores go.
    overwriting : Overwriting
        Whether older files are replaced.
    reporting : Reporting
        What is printed.
    """
    if options.tracks:
        _check_alone(options)
        given_ids, true_ids = options.numbers()
        evaluate_tracks(
            predicted,
            truth,
            (options.reading, given_ids),
            (options.truth_reading, true_ids),
            reporting,
        )
        return
    overwrite = overwriting.overwrite
    overwriting.check(_outputs(options), [predicted, truth])
    names, given, true = _open(predicted, truth, options)
    if given.shape != true.shape:
        raise DataError(
            f"{predicted} is {given.shape}, {truth} is {true.shape}; both must be the same "
            "(T, Y, X)"
        )
    with spelled_for(predicted, "predicted-", ("background", "instances")):
        tell_mapping(predicted, given.mapping, reporting.quiet)
    tell_mapping(truth, true.mapping, reporting.quiet)
    with_objects = given.instances is not None or true.instances is not None
    evaluation = Evaluation(
        class_names=names,
        agnostic=options.agnostic,
        metrics=options.metrics.chosen(with_objects=with_objects),
    )
    frames = frames_of(options.frames, true.n_frames) or list(range(true.n_frames))
    with progress_bar("evaluate", reporting.quiet) as bar:
        for done, frame in enumerate(frames, start=1):
            evaluation.add(
                str(frame),
                Masks(true.class_frame(frame), true.instance_frame(frame)),
                Masks(given.class_frame(frame), given.instance_frame(frame)),
            )
            bar.update(done, len(frames))
    if options.csv_file is not None:
        evaluation.write_csv(options.csv_file, overwrite=overwrite)
    if options.plot is not None:
        evaluation.save_plot(options.plot, overwrite=overwrite)
    if reporting.as_json:
        print_json({"frames": len(frames), **evaluation.to_json()})
    elif not reporting.quiet:
        out.print(scores_table(evaluation))
        out.print(_averages(evaluation), soft_wrap=True)


def _check_alone(options: EvaluateOptions) -> None:
    """Refuse options of classes beside --tracks."""
    plain, both = EvaluateOptions(), ("tracks", "reading", "ids", "predicted_background")
    names = [one.name for one in fields(plain) if not one.name.endswith(both)]
    if others := [name for name in names if getattr(options, name) != getattr(plain, name)]:
        name = {"csv_file": "csv"}.get(others[0], others[0]).replace("_", "-")
        raise DataError(f"--{name} is for scores of classes; leave it out with --tracks")


def _open(
    predicted: Path, truth: Path, options: EvaluateOptions
) -> tuple[tuple[str, ...], MaskStack, MaskStack]:
    """Names of the classes, and the masks of both sides."""
    beside = None if options.predicted_instances else objects_beside(predicted)
    if beside is not None:
        predicted = beside.masks
    classes = options.classes
    if classes is None:
        noted = recorded_class_names(predicted) or recorded_class_names(truth)
        classes = ",".join(noted)
    names = classes_of(classes, options.instances or options.predicted_instances)
    given_ids, true_ids = options.numbers()
    given = MaskStack.open(
        predicted,
        names,
        instances=options.predicted_instances,
        reading=ReadOptions(**options.reading),
        ids=given_ids,
    )
    if beside is not None:
        objects = LabelStack.open(beside.ids, **options.reading)
        given = replace(given, instances=objects, object_ids=IdOptions(ignore=()))
    with spelled_for(truth, "truth-"):
        true = MaskStack.open(
            truth,
            names,
            instances=options.instances,
            reading=ReadOptions(**options.truth_reading),
            ids=true_ids,
        )
    return names, given, true


def scores_table(evaluation: Evaluation) -> LiteralTable:
    """Scores of all images for people; a dash where there is nothing to score."""
    tables = evaluation.tables()
    pooled, medians = tables[POOLED], tables[MEDIAN_OF_IMAGES]
    columns = {"dice": "Dice", "iou": "IoU", "precision": "prec.", "recall": "recall"}
    for metric in evaluation.metrics:
        columns |= metric.headings
    table = LiteralTable("class", box=None, padding=(0, 1, 0, 0))
    for name in ("Dice", "median", *list(columns.values())[1:], "pixels"):
        table.add_column(name, justify="right")
    for name, scores in pooled.items():
        if name == WITH_BACKGROUND:
            continue
        values = [_score(scores.get(key)) for key in columns]
        values.insert(1, _score(medians[name]["dice"]))
        pixels = f"{int(scores['n_pixels']):,}" if "n_pixels" in scores else ""
        table.add_row(name, *values, pixels)
    return table


def _averages(evaluation: Evaluation) -> str:
    """A caption of the table, with the averages that have no row in it."""
    scores, noun = evaluation.pooled_scores(), "image" if evaluation.n_images == 1 else "images"
    plain, whole = scores.mean, scores.with_background
    return (
        f"All pixels of {evaluation.n_images} {noun} together; median: Dice of the median image. "
        f"Frequency-weighted: recall {_score(plain.fw_recall)}, IoU {_score(plain.fw_iou)}. "
        f"With the background: pixel accuracy {_score(scores.pixel_accuracy)}, mean recall "
        f"{_score(whole.recall)}, mean IoU {_score(whole.iou)}, frequency-weighted IoU "
        f"{_score(whole.fw_iou)}."
    )


def _score(value: float | None) -> str:
    """A score with three decimals; empty if the class has none, a dash if it is nan."""
    if value is None:
        return ""
    return "–" if np.isnan(value) else f"{value:.3f}"


def _outputs(options: EvaluateOptions) -> list[Output]:
    """The files that are written."""
    outputs = []
    if options.csv_file is not None:
        outputs.append(table_output(options.csv_file))
    if options.plot is not None:
        outputs.append(chart_output(options.plot))
    return outputs
