"""``rleseg follow``: one object through the frames of a stack."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter

from rleseg_core.cli.console import print_json, print_line, progress_bar
from rleseg_core.cli.greys import GreyValues
from rleseg_core.cli.options import FLAT, NOT_NEGATIVE, Device, ImageSize, Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.reading import GivenReading
from rleseg_core.cli.track import GivenLinking
from rleseg_core.cli.values import diameter_of, frames_of, point_of
from rleseg_core.data.formats.registry import input_kinds, output_suffixes
from rleseg_core.errors import DataError
from rleseg_core.reports import product_of
from rleseg_core.tracks import LinkOptions

if TYPE_CHECKING:
    from rleseg_core.data import ImageStack
    from rleseg_core.inference import PredictOptions, Segmenter


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FollowArguments:
    """Which object is followed, with what, and what is written.

    Parameters
    ----------
    output : Path
        The masks to write, with ids of tracks.
    frame : int
        The frame in which the object is given, counted from 0.
    at : str or None
        A pixel of the object there: its row and column, such as 120,85. The model finds the rest.
    mask : Path or None
        A mask of the object there, in place of --at: of that frame alone, or of the whole stack.
    model : str
        A model file, or the name of an installed model; `rleseg models` lists them.
    frames : str or None
        Frames in which it is looked for, such as 10-30.
    diameter : str or None
        Median diameter of the objects, pixels, or auto; as for `rleseg predict`.
    ctc : Path or None
        Write a result folder of the Cell Tracking Challenge as well: mask000.tif, res_track.txt.
    geff : Path or None
        Write a .geff store as well, which track editors open.
    """

    output: Annotated[
        Path,
        Parameter(
            name=("--out", "-o"),
            help="The masks to write, with ids of tracks, and beside them a table: cell.tracks.csv"
            f" for cell.tif. The name must end in {output_suffixes()}.",
        ),
    ]
    frame: Annotated[int, NOT_NEGATIVE] = 0
    at: Annotated[str | None, Parameter(metavar="Y,X")] = None
    mask: Annotated[Path | None, Parameter(metavar="FILE")] = None
    model: Annotated[str, Parameter(alias="-m")] = "cells"
    frames: Annotated[str | None, Parameter(metavar="LIST", show_default="all")] = None
    image_size: Annotated[ImageSize, Parameter(show_default="by the objects")] = None
    diameter: Annotated[
        str | None, Parameter(metavar="PX|auto", show_default="estimated where it matters")
    ] = None
    device: Device = "auto"
    ctc: Annotated[Path | None, Parameter(metavar="FOLDER")] = None
    geff: Path | None = None
    linking: Annotated[GivenLinking, FLAT] = field(default_factory=dict)
    reading: Annotated[GivenReading, FLAT] = field(default_factory=dict)
    greys: GreyValues = GreyValues()


def follow(
    stack: Annotated[Path, Parameter(help=f"One of: {input_kinds()}.")],
    /,
    options: FollowArguments,
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Follow one object through the frames of a stack, from the frame in which it is given.

    Parameters
    ----------
    stack : Path
        The images.
    options : FollowArguments
        Which object is followed, with what, and what is written.
    overwriting : Overwriting
        Whether older files are replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.data import ImageStack
    from rleseg_core.inference import PredictOptions, Segmenter
    from rleseg_core.objects.stack import ObjectStack
    from rleseg_core.tracks.writing import TrackFiles, write_files

    if (options.at is None) == (options.mask is None):
        raise DataError("which object is followed? Give --at Y,X or --mask FILE, one of the two")
    diameter = diameter_of(options.diameter, options.image_size)
    files = TrackFiles(masks=options.output, ctc=options.ctc, geff=options.geff)
    overwriting.check(files.outputs(), [stack, *([options.mask] if options.mask else [])])
    images = ImageStack.open(stack, **options.reading)
    frames = frames_of(options.frames, images.n_frames)
    how = PredictOptions(
        image_size=options.image_size,
        diameter=diameter,
        invert=options.greys.invert,
        contrast=options.greys.limits,
    )
    segmenter = Segmenter.from_checkpoint(options.model, options.device)
    given = _given(segmenter, images, options, how)
    run = segmenter.follow(
        images, options.frame, given, how, frames=frames, linking=LinkOptions(**options.linking)
    )
    with progress_bar("follow", reporting.quiet) as bar:
        followed = product_of(run, lambda done: bar.update(done.n_done, done.n_frames))
    objects = ObjectStack.of(followed.ids, metadata=images.metadata)
    summary = write_files(objects, followed.tracks, files, overwrite=overwriting.overwrite)
    if reporting.as_json:
        print_json(summary.to_json())
    elif not reporting.quiet:
        seen = sorted({one.frame for one in followed.objects})
        print_line(
            f"Found in {len(seen)} frames, {seen[0]} to {seen[-1]}, as {summary.n_tracks} tracks "
            f"with {summary.n_divisions} divisions: {summary.out}, {files.table}."
        )


def _given(
    segmenter: "Segmenter",
    images: "ImageStack",
    options: FollowArguments,
    how: "PredictOptions",
) -> np.ndarray:
    """The mask (Y, X) of the object that is given."""
    from rleseg_core.data import LabelStack

    if options.mask is None:
        assert options.at is not None
        return segmenter.object_at(images, options.frame, point_of(options.at), how)
    masks = LabelStack.open(options.mask)
    if masks.n_frames not in (1, images.n_frames):
        raise DataError(
            f"{options.mask} has {masks.n_frames} frames, the stack has {images.n_frames}; give "
            "the mask of one frame, or of all"
        )
    return masks.frame(0 if masks.n_frames == 1 else min(options.frame, masks.n_frames - 1)) > 0
