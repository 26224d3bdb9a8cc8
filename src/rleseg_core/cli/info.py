"""``rleseg info``: what a file or folder of images or masks holds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rleseg_core.cli.console import LiteralTable, out, print_json, print_line
from rleseg_core.cli.options import FLAT, Reporting
from rleseg_core.cli.reading import GivenReading
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    from rleseg_core.data.formats.description import ImageDescription
    from rleseg_core.data.metadata import StackMetadata


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class InfoOptions:
    """How the file is looked at.

    Parameters
    ----------
    masks : bool
        Describe it as masks: of an OME-Zarr image, its labels; and say what their numbers mean,
        for which every frame is read.
    """

    masks: bool = False
    reading: Annotated[GivenReading, FLAT] = field(default_factory=dict)


def info(
    stack: Annotated[Path, Parameter(help=f"One of: {input_kinds()}.")],
    /,
    options: InfoOptions = InfoOptions(),
    reporting: Reporting = Reporting(),
) -> None:
    """Show what a file or folder of images or masks holds: series, channels, planes, sizes.

    Parameters
    ----------
    stack : Path
        Images or masks.
    options : InfoOptions
        How the file is looked at.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.data.formats.description import describe

    found = describe(stack, ReadOptions(**options.reading), masks=options.masks)
    numbers = _numbers(stack, options) if options.masks else []
    if reporting.as_json:
        print_json({**found.to_json(), **({"ids": numbers} if options.masks else {})})
        return
    if reporting.quiet:
        return
    print_line(f"{found.path}: {found.format}")
    headings = ("series", "name", "axes", "shape", "type", "channels", "pixel", "every")
    table = LiteralTable(*headings)
    for number, image in enumerate(found.images):
        table.add_row(
            str(number),
            image.name,
            image.axes or "unnamed",
            " × ".join(map(str, image.shape)),
            image.dtype,
            _channels(image),
            _pixel(image.metadata),
            "" if image.metadata.frame_interval is None else f"{image.metadata.frame_interval:g} s",
        )
    out.print(table)
    for line in dict.fromkeys(line for image in found.images for line in _lines(image)):
        print_line(line)
    for line in numbers:
        print_line(f"ids: {line}")
    if len(found.images) > 1:
        print_line("choose an image with --series")


def _numbers(path: Path, options: InfoOptions) -> list[str]:
    """What the numbers of masks mean, or why that cannot be told: sentences."""
    from rleseg_core.data import LabelStack
    from rleseg_core.data.ids import IdOptions, IdReader, IdRules, guess_rules
    from rleseg_core.data.stack import noted_class_names, noted_ids

    try:
        labels = LabelStack.open(path, **ReadOptions(**options.reading).keywords())
        counts = IdReader(labels, IdRules(class_names=("cell",)), str(path)).counts
        noted, known = noted_class_names(labels), noted_ids(labels, IdOptions())
        rules = guess_rules(counts, (), noted, known)
        mapping = IdReader(labels, rules, "this mask", counts=counts).mapping
    except DataError as error:
        return [str(error)]
    return [mapping.text, *mapping.warnings]


def _channels(image: "ImageDescription") -> str:
    named = [name for name in image.channels if name]
    return f"{image.n_channels}" + (f": {', '.join(named)}" if named else "")


def _pixel(metadata: "StackMetadata") -> str:
    if metadata.pixel_size is None:
        return ""
    height, width = metadata.pixel_size
    return f"{height:g} × {width:g} {metadata.unit}".strip()


def _lines(image: "ImageDescription") -> list[str]:
    """What is to be said besides the table."""
    lines = [f"note: {note}" for note in image.notes]
    hint = "(--allow-missing reads what is there)"
    lines += [f"missing: {sentence} {hint}" for sentence in image.missing]
    if not image.axes:
        lines.append("note: the axes are not named; give them with --axes, such as TCYX")
    if image.n_planes > 1 and image.n_frames > 1:
        lines.append("choose a plane with --z, or max for the maximum along z")
    if image.metadata.class_names:
        lines.append(f"classes: {', '.join(image.metadata.class_names)}")
    return lines
