"""The exports there are, and how objects are written in one of them."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.formats.sources import source_files
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.objects.exports.base import DEFAULTS, Export, ExportOptions
from rleseg_core.objects.exports.coco import COCO
from rleseg_core.objects.exports.ctc import CTC
from rleseg_core.objects.exports.geojson import GEOJSON
from rleseg_core.objects.exports.imagej import IMAGEJ
from rleseg_core.objects.exports.palette import PALETTE
from rleseg_core.objects.feature_table import FrameDone
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.objects.table import ObjectTable
from rleseg_core.outputs import check_outputs, new_output

EXPORTS: dict[str, Export] = {
    "coco": COCO,
    "imagej": IMAGEJ,
    "ctc": CTC,
    "palette": PALETTE,
    "geojson": GEOJSON,
}
"""Exports by the name that asks for them: a new one is a module and a line here."""


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What was written.

    Parameters
    ----------
    kind : str
        The name of the export.
    out : str
        The file or folder.
    n_frames, n_objects : int
        Numbers of frames and objects.
    are_pieces : bool
        Whether objects are connected pieces of classes.
    """

    kind: str
    out: str
    n_frames: int
    n_objects: int
    are_pieces: bool

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def export(
    ids: ArrayLike,
    table: ObjectTable | None,
    path: str | Path,
    kind: str,
    *,
    metadata: StackMetadata = UNKNOWN,
    options: ExportOptions = DEFAULTS,
    overwrite: bool = False,
) -> Generator[FrameDone, None, ExportSummary]:
    """Write objects for another program, a file or folder that appears only when it is complete.

    Parameters
    ----------
    ids : (T, Y, X) integer array
        Ids of objects, 0 = background; a numpy, dask or zarr array.
    table : ObjectTable or None
        Their classes and confidences; None: all are of one class.
    path : str or Path
        The file or folder; its suffix must be one of ``EXPORTS[kind]``.
    kind : str
        A name of `EXPORTS`.
    metadata : StackMetadata
        Scale, and colours of the classes.
    options : ExportOptions
        Choices of the format.
    overwrite : bool
        Whether it may replace an older export of the kind.

    Yields
    ------
    FrameDone
        After each frame. Closing the generator cancels, and leaves nothing.

    Returns
    -------
    ExportSummary

    Raises
    ------
    DataError
        If there is no such kind, the name does not fit it, or the ids cannot be read.
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no such export.
    """
    stack = ObjectStack.of(ids, table, metadata)
    return (yield from export_stack(stack, path, kind, options=options, overwrite=overwrite))


def export_stack(
    stack: ObjectStack,
    path: str | Path,
    kind: str,
    *,
    frames: Sequence[int] | None = None,
    options: ExportOptions = DEFAULTS,
    overwrite: bool = False,
) -> Generator[FrameDone, None, ExportSummary]:
    """Write objects for another program, as `export`, some frames only if `frames` are given."""
    path, one = Path(path), _export_of(kind)
    one.check_name(path)
    chosen = range(stack.n_frames) if frames is None else frames
    n_names = len(options.image_names)
    if n_names > 1 and n_names != stack.n_frames:
        raise DataError(f"got {n_names} names of images for {stack.n_frames} frames")
    output = one.output(path)
    read = [file for source in stack.inputs for file in source_files(source)]
    check_outputs([output], read, overwrite=overwrite)
    n_objects = 0
    with (
        new_output(output, overwrite=overwrite) as temporary,
        closing(one.write(stack, temporary, chosen, options)) as written,
    ):
        for done, objects in enumerate(written, start=1):
            n_objects += len(objects.table)
            yield FrameDone(
                frame=objects.frame,
                n_objects=len(objects.table),
                n_done=done,
                n_frames=len(chosen),
            )
    return ExportSummary(
        kind=kind,
        out=str(path),
        n_frames=len(chosen),
        n_objects=n_objects,
        are_pieces=stack.are_pieces,
    )


def _export_of(kind: str) -> Export:
    if kind not in EXPORTS:
        raise DataError(f"there is no export {kind!r}; there are {', '.join(EXPORTS)}")
    return EXPORTS[kind]
