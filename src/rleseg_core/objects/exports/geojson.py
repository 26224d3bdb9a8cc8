"""GeoJSON as QuPath imports it: a feature for each object, with its outline in pixels."""

import json
import uuid
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from rleseg_core.data.colours import as_rgb
from rleseg_core.objects.exports.base import Export, ExportOptions, Frames
from rleseg_core.objects.outlines import Polygon, outlines
from rleseg_core.objects.stack import FrameObjects, ObjectStack
from rleseg_core.objects.table_file import unit_suffix
from rleseg_core.outputs import Output, begins_with

_BEGIN = '{"type": "FeatureCollection", "generator": "rleseg'


def geometry_of(polygons: Sequence[Polygon], frame: int = 0) -> dict[str, object]:
    """The GeoJSON geometry of an object.

    Parameters
    ----------
    polygons : sequence of Polygon
        Its pieces.
    frame : int
        Index of the frame, QuPath's time point; written where it is not 0.

    Returns
    -------
    dict
        A Polygon or MultiPolygon of (x, y) in pixels: the pixel (row, col) reaches from (col, row)
        to (col + 1, row + 1). Rings are closed. By the numbers outer ones are counterclockwise and
        holes clockwise, as RFC 7946 wants it; with y downwards that looks the other way round.
    """
    shapes = [
        [[*corners, corners[0]] for corners in (ring.tolist() for ring in polygon.rings)]
        for polygon in polygons
    ]
    is_one = len(shapes) == 1
    geometry: dict[str, object] = {
        "type": "Polygon" if is_one else "MultiPolygon",
        "coordinates": shapes[0] if is_one else shapes,
    }
    if frame:
        geometry["plane"] = {"c": -1, "z": 0, "t": frame}
    return geometry


def _write(stack: ObjectStack, path: Path, frames: Sequence[int], options: ExportOptions) -> Frames:
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{_BEGIN} {version("napari-rleseg")}", "features": [')
        n_written = 0
        for objects in stack.each(frames):
            for feature in _features(stack, objects, options):
                file.write(",\n" if n_written else "\n")
                n_written += 1
                file.write(json.dumps(feature, allow_nan=False))
            yield objects
        file.write("\n]}\n")


def _features(
    stack: ObjectStack, objects: FrameObjects, options: ExportOptions
) -> Iterator[dict[str, object]]:
    table, metadata = objects.table, stack.metadata
    for row, polygons in enumerate(outlines(objects.index).values()):
        identity, class_id = int(table.id[row]), int(table.class_id[row])
        area = int(table.area[row])
        measurements: dict[str, float] = {"area_px": area}
        if metadata.pixel_size is not None and metadata.unit:
            height, width = metadata.pixel_size
            measurements[f"area_{unit_suffix(metadata.unit)}2"] = area * height * width
        if not np.isnan(table.confidence[row]):
            measurements["confidence"] = round(float(table.confidence[row]), 4)
        yield {
            "type": "Feature",
            # QuPath wants a UUID; an object has the same one in every export
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{stack.title}#{objects.frame}/{identity}")),
            "geometry": geometry_of(polygons, objects.frame),
            "properties": {
                "objectType": options.object_type,
                "name": str(identity),
                "classification": {
                    "name": stack.class_names[class_id - 1],
                    "color": list(as_rgb(metadata.colour_of(class_id))),
                },
                "measurements": measurements,
            },
        }


def _output(path: Path) -> Output:
    return Output(path, "a file of outlines (GeoJSON)", begins_with(_BEGIN.encode()))


GEOJSON = Export(
    summary="outlines for QuPath (GeoJSON)",
    suffixes=(".geojson", ".json"),
    output=_output,
    write=_write,
)
