"""``rleseg predict``: segment a stack with a model."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from rleseg_core.checks import Within
from rleseg_core.cli.console import Bar, err, print_json, print_line, progress_bar
from rleseg_core.cli.each import objects_found, plan_each, predict_each
from rleseg_core.cli.greys import GreyValues
from rleseg_core.cli.options import FLAT, POSITIVE, Device, ImageSize, Reporting, within
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.reading import GivenReading
from rleseg_core.cli.values import diameter_of, frames_of
from rleseg_core.data.formats.registry import input_kinds, output_suffixes
from rleseg_core.errors import DataError
from rleseg_core.reports import product_of

if TYPE_CHECKING:
    from rleseg_core.inference.block_links import BlockLinks
    from rleseg_core.inference.options import PredictOptions
    from rleseg_core.inference.results import WindowResult
    from rleseg_core.tracks.writing import TrackFiles

OVERLAPS = Group("Overlapping windows", sort_key=40)
SPEED = Group("Speed", sort_key=50)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """What is segmented, with what, and how.

    Parameters
    ----------
    output : Path
        The masks to write.
    model : str
        A model file, or the name of an installed model; `rleseg models` lists them.
    stitch : {'centre', 'last', 'vote', 'weighted', 'or', 'and', 'min', 'max'}
        Which patch decides where several overlap: the one whose centre is nearest, the last one, or
        the majority, plain or weighted by how sure the model is; foreground if any (or) or all
        (and) say so; the smallest or the largest class.
    stitch_time : {'centre', 'last', 'vote', 'or', 'and', 'min', 'max'}
        The same for windows of several frames that overlap in time.
    frame_stride : int or None
        Frames from one window of several frames to the next; with fewer than the model sees at a
        time, windows overlap.
    sampling : {'greedy', 'nucleus'}
        How the next token is chosen: the most likely one, or at random among the likely ones.
    frames : str or None
        Frames to segment, such as 0-9,15, counted from 0; the others stay background.
    update : bool
        In a result for the same stack that exists, replace --frames and keep the others.
    each : bool
        Segment each file, and each file of the folders, by itself, whatever its size. --out is a
        folder then, with a file of masks named after each. Those that are there are left.
    diameter : str or None
        Median diameter of the objects, pixels: frames are resized so that they are as wide as those
        that the model was trained on. With auto it is estimated; without, only where the model's
        own size does not fit.
    batch_size : int or None
        Windows that are decoded at once.
    draft : {'auto', 'none', 'frame', 'dense'}
        What guesses tokens that the model then checks: nothing, the frame before, or the dense
        heads. The masks stay the same and take fewer passes. Auto: the dense heads, with
        --leniency, for models that tell objects apart with them; nothing for others.
    leniency : float
        With --draft auto, an object of the draft stays unless the tokens say that none is there, e
        to this power times as probably; with 0 the tokens alone decide.
    preview : bool
        Take what the dense heads see, without tokens: much faster and less exact.
    tracks : Path or None
        Link the objects as well, and write masks with ids of tracks and their table, as `rleseg
        track` does. Models that write objects through several frames link them by their tokens.
    refine : bool
        Let the dense heads decide on outlines between mask pixels; without, the tokens do.
    precision : {'auto', 'fp32', 'bf16'}
        Number format of the computation. Auto: bf16 on GPUs that have it; on CPUs fp32, but for
        the encoder where the processor has units for bf16 (AMX). With fp32 the masks are the same
        on all processors.
    """

    output: Annotated[
        Path,
        Parameter(name=("--out", "-o"), help=f"The masks to write: a new {output_suffixes()}."),
    ]
    model: Annotated[str, Parameter(alias="-m")] = "cells"
    stitch: Annotated[
        Literal["centre", "last", "vote", "weighted", "or", "and", "min", "max"],
        Parameter(group=OVERLAPS),
    ] = "centre"
    stitch_time: Annotated[
        Literal["centre", "last", "vote", "or", "and", "min", "max"], Parameter(group=OVERLAPS)
    ] = "centre"
    frame_stride: Annotated[
        int | None, POSITIVE, Parameter(group=OVERLAPS, show_default="of the model")
    ] = None
    sampling: Literal["greedy", "nucleus"] = "greedy"
    frames: Annotated[str | None, Parameter(metavar="LIST", show_default="all")] = None
    image_size: Annotated[ImageSize, Parameter(show_default="by the objects")] = None
    diameter: Annotated[
        str | None, Parameter(metavar="PX|auto", show_default="estimated where it matters")
    ] = None
    batch_size: Annotated[
        int | None, POSITIVE, Parameter(group=SPEED, show_default="as many as fit")
    ] = None
    draft: Annotated[Literal["auto", "none", "frame", "dense"], Parameter(group=SPEED)] = "auto"
    leniency: Annotated[float, within(Within(0))] = 4.0
    preview: Annotated[bool, Parameter(group=SPEED, negative="--no-preview")] = False
    refine: bool = True
    device: Annotated[Device, Parameter(group=SPEED)] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16"], Parameter(group=SPEED)] = "auto"
    update: bool = False
    each: bool = False
    tracks: Annotated[Path | None, Parameter(metavar="FILE")] = None
    reading: Annotated[GivenReading, FLAT] = field(default_factory=dict)
    greys: GreyValues = GreyValues()


def predict(
    stacks: Annotated[
        list[Path], Parameter(help=f"One of: {input_kinds()}. With --each, one or several.")
    ],
    /,
    options: PredictArguments,
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Segment a stack, and write its masks to a file.

    Parameters
    ----------
    stacks : list of Path
        The images.
    options : PredictArguments
        What is segmented, with what, and how.
    overwriting : Overwriting
        Whether older masks are replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.data import ImageStack
    from rleseg_core.data.writers import label_output
    from rleseg_core.inference import Segmenter, check_result, predict_to_file
    from rleseg_core.inference.block_links import BlockLinks
    from rleseg_core.tracks.writing import TrackFiles

    how = _options(options)
    if options.each:
        _predict_each(stacks, options, how, overwriting, reporting)
        return
    if len(stacks) > 1:
        raise DataError(f"got {len(stacks)} stacks; with --each, each gets masks of its own")
    (stack,) = stacks
    label_output(options.output)
    images = ImageStack.open(stack, **options.reading)
    frames = frames_of(options.frames, images.n_frames)
    overwrite, update = overwriting.overwrite, options.update
    files = None if options.tracks is None else TrackFiles(masks=options.tracks)
    if files is not None:
        overwriting.check(files.outputs(), [stack, options.output])
    check_result(options.output, images, frames=frames, overwrite=overwrite, update=update)
    segmenter = Segmenter.from_checkpoint(options.model, options.device, options.precision)
    scale = segmenter.scale(images, how)
    if scale.text and not reporting.quiet:
        print_line(scale.text, err)
    run = predict_to_file(
        segmenter,
        images,
        options.output,
        how,
        frames=frames,
        overwrite=overwrite,
        update=update,
    )
    spec = segmenter.window_spec(scale.image_size)
    links = BlockLinks(segmenter.tokenizer, images.shape, spec) if files is not None else None
    with progress_bar("segment", reporting.quiet) as bar:
        summary = product_of(run, partial(_report, bar, links))
    if files is not None and links is not None:
        _link(options.output, links, files, overwriting, reporting)
    if reporting.as_json:
        print_json(summary.to_json())
    elif not reporting.quiet:
        print_line(
            f"{summary.frames} frames, {summary.windows} windows, {summary.tokens} tokens "
            f"({summary.tokens_per_s:.0f}/s) in {summary.seconds:.1f} s: {options.output}"
        )
        print_line(objects_found([summary]))


def _report(bar: Bar, links: "BlockLinks | None", result: "WindowResult") -> None:
    bar.update(result.n_done, result.n_windows)
    if links is not None:
        links.add(result)


def _link(
    result: Path,
    links: "BlockLinks",
    files: "TrackFiles",
    overwriting: Overwriting,
    reporting: Reporting,
) -> None:
    """Link the objects of a result, and write their tracks."""
    from rleseg_core.objects.opening import open_objects
    from rleseg_core.objects.paths import ResultPaths
    from rleseg_core.tracks.writing import track_to_files

    stack = open_objects(ResultPaths.of(result).ids)
    known = links.links(stack.ids)
    run = track_to_files(stack, files, known=known, overwrite=overwriting.overwrite)
    with progress_bar("track", reporting.quiet) as bar:
        summary = product_of(run, lambda done: bar.update(done.n_done, done.n_frames))
    if not (reporting.quiet or reporting.as_json):
        print_line(
            f"{summary.n_tracks:,} tracks with {summary.n_divisions:,} divisions: {summary.out}, "
            f"{files.table}"
        )


def _options(options: PredictArguments) -> "PredictOptions":
    """How stacks are segmented.

    Raises
    ------
    DataError
        If an option cannot be, or two exclude each other.
    """
    from rleseg_core.decoding import Sampling
    from rleseg_core.inference.options import PredictOptions

    return PredictOptions(
        stitch=options.stitch,
        stitch_time=options.stitch_time,
        frame_stride=options.frame_stride,
        sampling=Sampling(top_p=None if options.sampling == "greedy" else 0.4),
        batch_size=options.batch_size,
        image_size=options.image_size,
        diameter=diameter_of(options.diameter, options.image_size),
        invert=options.greys.invert,
        contrast=options.greys.limits,
        draft=options.draft,
        leniency=options.leniency,
        preview=options.preview,
        refine=options.refine,
    )


def _predict_each(
    stacks: list[Path],
    options: PredictArguments,
    how: "PredictOptions",
    overwriting: Overwriting,
    reporting: Reporting,
) -> None:
    """Segment each stack into a file of its own.

    Raises
    ------
    DataError
        If options are given that mean nothing then, or some could not be segmented.
    """
    from rleseg_core.inference import Segmenter

    if options.frames is not None or options.update or options.tracks is not None:
        raise DataError(
            "--frames, --update and --tracks are for one stack; leave them out with --each"
        )
    reading = dict(options.reading)
    plan = plan_each(stacks, options.output, reading.pop("pattern", None))
    segmenter = Segmenter.from_checkpoint(options.model, options.device, options.precision)
    predict_each(segmenter, plan, how, reading, overwriting, reporting)
