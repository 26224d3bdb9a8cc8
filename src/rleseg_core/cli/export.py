"""``rleseg export``: objects for other programs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from rleseg_core.cli.console import print_json, print_line, progress_bar
from rleseg_core.cli.objects import ObjectChoices, ObjectPath, found_in
from rleseg_core.cli.options import FLAT, Reporting, given_fields
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.values import frames_of
from rleseg_core.data.formats.registry import frames_in, is_frame_folder
from rleseg_core.errors import DataError
from rleseg_core.objects.exports import EXPORTS, ExportOptions
from rleseg_core.reports import product_of

SINGLE = Group("Choices of single formats", sort_key=40)

_OF_FORMAT = {"colours": "palette", "object_type": "geojson", "images": "coco"}

if TYPE_CHECKING:
    Kind = str
    GivenExport = dict[str, Any]
else:
    Kind = Literal[tuple(EXPORTS)]
    GivenExport = given_fields(ExportOptions, group=SINGLE, without=("image_names",))


def _kinds() -> str:
    return "; ".join(f"{name}: {one.summary}" for name, one in EXPORTS.items())


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """What is written, and where.

    Parameters
    ----------
    kind : str
        The format.
    output : Path
        The file or folder to write.
    frames : str or None
        Frames to write, such as 0-9,15, counted from 0.
    images : Path or None
        For coco: the images, whose file names are noted.
    """

    kind: Annotated[Kind, Parameter(name="--as", help=f"The format. {_kinds()}.")]
    output: Annotated[Path, Parameter(name=("--out", "-o"))]
    frames: Annotated[str | None, Parameter(metavar="LIST", show_default="all")] = None
    objects: ObjectChoices = ObjectChoices()
    images: Annotated[Path | None, Parameter(group=SINGLE)] = None
    choices: Annotated[GivenExport, FLAT] = field(default_factory=dict)


def export(
    ids: ObjectPath,
    /,
    options: ExportArguments,
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Write objects for other programs: COCO, ImageJ, QuPath, Cell Tracking Challenge, PNG.

    Parameters
    ----------
    ids : Path
        Ids of objects.
    options : ExportArguments
        What is written, and where.
    overwriting : Overwriting
        Whether an older export is replaced.
    reporting : Reporting
        What is printed.

    Raises
    ------
    DataError
        If a choice is made that the format does not have.
    """
    from rleseg_core.objects.exports import export_stack

    given = {**options.choices, **({} if options.images is None else {"images": options.images})}
    for name, only in _OF_FORMAT.items():
        if name in given and options.kind != only:
            raise DataError(
                f"--{name.replace('_', '-')} is for --as {only}; leave it out with --as "
                f"{options.kind}"
            )
    kind = EXPORTS[options.kind]
    overwriting.check([kind.output(options.output)], [ids, options.images])
    kind.check_name(options.output)
    stack = options.objects.open(ids, reporting.quiet)
    run = export_stack(
        stack,
        options.output,
        options.kind,
        frames=frames_of(options.frames, stack.n_frames),
        options=ExportOptions(**options.choices, image_names=_names(options.images)),
        overwrite=overwriting.overwrite,
    )
    with progress_bar("export", reporting.quiet) as bar:
        summary = product_of(run, lambda done: bar.update(done.n_done, done.n_frames))
    if reporting.as_json:
        print_json(summary.to_json())
    elif not reporting.quiet:
        found = found_in(summary.n_objects, summary.n_frames, are_pieces=summary.are_pieces)
        print_line(f"{found}: {options.output}")


def _names(images: Path | None) -> tuple[str, ...]:
    """Names of the files of the images: one for each frame of a folder."""
    if images is None:
        return ()
    if is_frame_folder(images):
        return tuple(path.name for path in frames_in(images))
    if not images.exists():
        raise DataError(f"there is no {images}; --images takes the images of the objects")
    return (images.name,)
