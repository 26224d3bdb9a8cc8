"""ImageJ: a zip file of regions of interest, which its ROI Manager opens."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.data.colours import as_rgb
from rleseg_core.objects.exports.base import Export, ExportOptions, Frames
from rleseg_core.objects.outlines import Polygon, outlines
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.outputs import Output

if TYPE_CHECKING:
    from roifile import ImagejRoi

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # steps of a path, as Java numbers them


def roi_of(polygons: Sequence[Polygon], name: str, frame: int) -> "ImagejRoi":
    """The region of an object.

    Parameters
    ----------
    polygons : sequence of Polygon
        Its pieces.
    name : str
        What the ROI Manager shows.
    frame : int
        Index of the frame; positions in ImageJ count from 1.

    Returns
    -------
    ImagejRoi
        For one piece without holes a traced polygon, as ImageJ's wand makes it; else a composite
        region of all rings, so that an object is one region. ImageJ's mask of either has the pixels
        of the object.
    """
    from roifile import ROI_TYPE, ImagejRoi

    rings = [ring for polygon in polygons for ring in polygon.rings]
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(rings[0], name=name, position=frame)
        roi.roitype = ROI_TYPE.TRACED
    else:
        roi = ImagejRoi(roitype=ROI_TYPE.RECT, name=name, position=frame + 1)
        roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
    # roifile's box of points goes one beyond them; corners are its very ends
    roi.top, roi.left, roi.bottom, roi.right = top, left, bottom, right
    return roi


def _path(ring: np.ndarray) -> np.ndarray:
    steps = np.column_stack([np.full(len(ring), _LINE), ring]).astype(np.float32)
    steps[0, 0] = _MOVE
    return np.append(steps.ravel(), np.float32(_CLOSE))


def _write(stack: ObjectStack, path: Path, frames: Sequence[int], options: ExportOptions) -> Frames:
    classes = [re.sub(r"[^\w.+-]+", "_", name)[:40] for name in stack.class_names]
    digits = max(4, len(str(stack.n_frames)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for objects in stack.each(frames):
            table = objects.table
            for row, polygons in enumerate(outlines(objects.index).values()):
                class_id = int(table.class_id[row])
                frame = f"{objects.frame + 1:0{digits}}"
                name = f"{frame}-{classes[class_id - 1]}-{table.id[row]}"
                roi = roi_of(polygons, name, objects.frame)
                roi.stroke_color = bytes((255, *as_rgb(stack.metadata.colour_of(class_id))))
                file.writestr(f"{name}.roi", roi.tobytes())
            yield objects


def _is_ours(path: Path) -> bool:
    with zipfile.ZipFile(path) as file:
        return all(name.lower().endswith(".roi") for name in file.namelist())


def _output(path: Path) -> Output:
    return Output(path, "a file of ImageJ regions", _is_ours)


IMAGEJ = Export(
    summary="regions for ImageJ's ROI Manager (zip)",
    suffixes=(".zip",),
    output=_output,
    write=_write,
)
