"""Pictures by palette: a PNG for each frame, whose numbers are classes or objects, in colours."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rleseg_core.data.colours import as_rgb
from rleseg_core.errors import DataError
from rleseg_core.objects.exports.base import Export, ExportOptions, Frames, frame_folder
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.outputs import Output, begins_with

N_COLOURS = 255  # of a palette, beside the background
_GOLDEN = 0.618034  # turns of the colour wheel from an id to the next: neighbours differ
_is_png = begins_with(b"\x89PNG\r\n\x1a\n")


def id_palette() -> list[tuple[int, int, int]]:
    """Red, green and blue, 0 to 255, of the background (black) and of 255 ids."""
    colours = [
        colorsys.hsv_to_rgb(index * _GOLDEN % 1, (0.6, 0.9)[index % 2], (1.0, 0.75)[index // 2 % 2])
        for index in range(N_COLOURS)
    ]
    return [(0, 0, 0), *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours)]


def _write(stack: ObjectStack, path: Path, frames: Sequence[int], options: ExportOptions) -> Frames:
    from PIL import Image

    path.mkdir()
    n_classes = len(stack.class_names)
    if n_classes > N_COLOURS:
        raise DataError(f"a palette has {N_COLOURS} colours; there are {n_classes} classes")
    by_class = [as_rgb(stack.metadata.colour_of(k)) for k in range(1, n_classes + 1)]
    palette = id_palette() if options.colours == "ids" else [(0, 0, 0), *by_class]
    for frame, name in zip(frames, _names(frames), strict=True):
        objects = stack.objects(frame)
        table = objects.table
        numbers = (table.id - 1) % N_COLOURS + 1 if options.colours == "ids" else table.class_id
        lookup = np.concatenate([[0], numbers]).astype(np.uint8)
        picture = Image.fromarray(lookup[objects.index])
        picture.putpalette([value for colour in palette for value in colour])
        picture.save(path / name)
        yield objects


def _names(frames: Sequence[int]) -> list[str]:
    digits = max(4, len(str(max(frames))))
    return [f"frame{frame:0{digits}}.png" for frame in frames]


def _output(path: Path) -> Output:
    return frame_folder(path, "a folder of pictures by palette", r"frame\d{4,}\.png", _is_png)


PALETTE = Export(
    summary="pictures by palette (a folder of PNGs; numbers are classes or objects)",
    suffixes=(),
    output=_output,
    write=_write,
)
