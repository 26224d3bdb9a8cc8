"""``rleseg measure``: size, shape, place and intensities of objects, as a table."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rleseg_core.cli.console import LiteralTable, out, print_json, print_line, progress_bar
from rleseg_core.cli.objects import ObjectChoices, ObjectPath, found_in
from rleseg_core.cli.options import FLAT, Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.reading import GivenImageReading, spelled_for
from rleseg_core.cli.values import frames_of
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.reports import product_of

if TYPE_CHECKING:
    from rleseg_core.data import ImageStack
    from rleseg_core.objects.feature_table import FeatureSummary


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """What is measured, and where it goes.

    Parameters
    ----------
    output : Path
        The table to write, a row for each object.
    images : Path or None
        The images, to measure intensities in each of their channels.
    frames : str or None
        Frames to measure, such as 0-9,15, counted from 0.
    """

    output: Annotated[
        Path,
        Parameter(
            name=("--out", "-o"), help="The table to write: a new .csv with a row for each object."
        ),
    ]
    images: Annotated[
        Path | None,
        Parameter(
            help="The images, to measure intensities in each of their channels. One of: "
            f"{input_kinds()}."
        ),
    ] = None
    frames: Annotated[str | None, Parameter(metavar="LIST", show_default="all")] = None
    objects: ObjectChoices = ObjectChoices()
    image_reading: Annotated[GivenImageReading, FLAT] = field(default_factory=dict)


def measure(
    ids: ObjectPath,
    /,
    options: MeasureOptions,
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Measure objects: size, shape, place and intensities, in pixels and physical units.

    Parameters
    ----------
    ids : Path
        Ids of objects.
    options : MeasureOptions
        What is measured, and where it goes.
    overwriting : Overwriting
        Whether an older table is replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.objects.feature_table import feature_output, measure_to_file

    overwriting.check([feature_output(options.output)], [ids, options.images])
    images = _images(options)
    stack = options.objects.open(ids, reporting.quiet)
    run = measure_to_file(
        stack,
        options.output,
        images,
        frames=frames_of(options.frames, stack.n_frames),
        overwrite=overwriting.overwrite,
    )
    with progress_bar("measure", reporting.quiet) as bar:
        summary = product_of(run, lambda done: bar.update(done.n_done, done.n_frames))
    if reporting.as_json:
        print_json(summary.to_json())
    elif not reporting.quiet:
        out.print(summary_table(summary))
        found = found_in(summary.n_objects, summary.n_frames, are_pieces=summary.are_pieces)
        print_line(f"Medians of {found}: {options.output}")


def _images(options: MeasureOptions) -> "ImageStack | None":
    if options.images is None:
        return None
    from rleseg_core.data import ImageStack

    with spelled_for(options.images, "image-"):
        return ImageStack.open(options.images, **options.image_reading)


def summary_table(summary: "FeatureSummary") -> LiteralTable:
    """Counts and medians of each class, for people."""
    medians = next((one.medians for one in summary.classes if one.medians), {})
    table = LiteralTable("class", box=None, padding=(0, 1, 0, 0))
    table.add_column("objects", justify="right")
    for name in medians:
        table.add_column(name.removeprefix("equivalent_").replace("_", " "), justify="right")
    for one in summary.classes:
        shown = [f"{one.medians[name]:.4g}" if one.medians else "–" for name in medians]
        table.add_row(one.name, f"{one.n_objects:,}", *shown)
    return table
