"""Options that the ``rleseg tokens`` commands share, and how they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rleseg_core.cli.evaluate import class_names
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.errors import DataError
from rleseg_core.tokens import PRESETS, preset

if TYPE_CHECKING:
    from rleseg_core.data import MaskStack

Schemes = Annotated[
    list[str], typer.Option("--scheme", help=f"all, or some of {', '.join(PRESETS)}.")
]
Order = Annotated[
    Literal["C", "F"] | None,
    typer.Option("--order", help="Runs along rows (C) or columns (F); the scheme's by default."),
]
Start = Annotated[
    Literal["flat", "coords"] | None,
    typer.Option("--start", help="1D (flat) or 2D (coords) starts; the scheme's by default."),
]
MaskPaths = Annotated[list[Path], typer.Argument(help=f"Masks: {input_kinds()}; one or several.")]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes", help="Names of the classes, as ipsc,dfc; those noted in the masks by default."
    ),
]
Instances = Annotated[
    bool, typer.Option("--instances", help="The masks number the objects of one class.")
]
InstanceIds = Annotated[
    Path | None,
    typer.Option("--instance-ids", help="Numbers of the objects, where the masks hold classes."),
]
Patch = Annotated[
    int | None, typer.Option("--patch", min=1, help="P, the side of a patch; whole frames if out.")
]
Stride = Annotated[
    int | None, typer.Option("--stride", min=1, help="Between patches; P by default.")
]
Frames = Annotated[str, typer.Option("--frames", help="N, frames of a window, as 1,2,4.")]
FrameStride = Annotated[
    int, typer.Option("--frame-stride", min=1, help="Between windows in time; N at most.")
]
Rule = Annotated[
    Literal["corner", "centre", "max"],
    typer.Option("--subsample-rule", help="Which pixel of a cell decides its class."),
]


def scheme_names(given: Sequence[str]) -> list[str]:
    """Names of presets of a repeated option whose values may be lists such as 'lac,tac'.

    Raises
    ------
    SchemeError
        If there is no preset of a name.
    """
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    if "all" in names or not names:
        return list(PRESETS)
    for name in names:
        preset(name)
    return list(dict.fromkeys(names))


def numbers(text: str, option: str) -> list[int]:
    """Positive numbers, ascending, of a text such as '1,2,4'.

    Raises
    ------
    DataError
        If it is not such a list.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise DataError(f"{option} takes positive numbers, as 1,2,4; got {text!r}")
    return sorted({int(part) for part in parts})


def open_masks(
    paths: Sequence[Path], classes: str | None, instances: bool, instance_ids: Path | None
) -> "list[MaskStack]":
    """Masks of some files or folders, all of the same classes.

    Raises
    ------
    DataError
        If they cannot be read, or the options do not go together.
    """
    from rleseg_core.data import MaskStack

    if instance_ids is not None and (instances or len(paths) > 1):
        raise DataError(
            "--instance-ids goes with one file or folder of classes, "
            + ("not with --instances" if instances else f"got {len(paths)}")
        )
    names = names_of_classes(paths[0], classes, instances)
    return [
        MaskStack.open(path, names, instances=instances, instance_ids=instance_ids)
        for path in paths
    ]


def names_of_classes(path: Path, classes: str | None, instances: bool) -> tuple[str, ...]:
    """Names that were given, else those noted in the masks, else 'foreground'."""
    from rleseg_core.data.formats.writers import recorded_class_names

    if classes is None:
        classes = ",".join(recorded_class_names(path)) or "foreground"
    return class_names(classes, instances)
