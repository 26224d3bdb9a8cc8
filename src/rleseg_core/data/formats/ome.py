"""OME-XML: what it says of an image, and what we write into it."""

import json
import statistics
from collections.abc import Iterator, Mapping
from itertools import pairwise
from xml.etree import ElementTree

from rleseg_core.data.metadata import MICROMETER, UNKNOWN, StackMetadata, lengths
from rleseg_core.data.units import finite, micrometers_per, positive, seconds_per

RECORD = "rleseg"  # namespace of our annotation, and the key of the record in it
_NO_UNIT = "reference frame"  # OME's unit of lengths of which nothing more is known


def ome_metadata(xml: str, image: int = 0) -> StackMetadata:
    """What OME-XML says of one of its images; nothing where the XML is damaged.

    Parameters
    ----------
    xml : str
        The document, as in the description of an OME-TIFF's first page.
    image : int
        Which image, from 0.
    """
    try:
        root = ElementTree.fromstring(xml.strip().rstrip("\0"))
    except ElementTree.ParseError:
        return UNKNOWN
    images = list(_children(root, "Image"))
    if not 0 <= image < len(images):
        return UNKNOWN
    pixels = next(_children(images[image], "Pixels"), None)
    if pixels is None:
        return UNKNOWN
    planes = [plane for plane in _children(pixels, "Plane") if _is_first_channel(plane)]
    names = tuple(channel.get("Name", "") for channel in _children(pixels, "Channel"))
    acquired = next(_children(images[image], "AcquisitionDate"), None)
    found = StackMetadata.of(
        {
            **_lengths(pixels, planes),
            **_times(pixels, planes),
            "acquired": "" if acquired is None else (acquired.text or "").strip(),
            "channel_names": names if any(names) else (),
        }
    )
    return found.with_record(_record(root, images[image]))


def ome_options(metadata: StackMetadata, n_frames: int) -> dict[str, object]:
    """Metadata of a stack of frames as `tifffile.TiffWriter.write` takes them for OME-TIFF.

    Parameters
    ----------
    metadata : StackMetadata
        What is known; what OME-XML has no place for is in an annotation of ours.
    n_frames : int
        T; the stack has one plane each.
    """
    options: dict[str, object] = {"MapAnnotation": _annotation(metadata)}
    unit = "µm" if metadata.unit == MICROMETER else _NO_UNIT
    if metadata.pixel_size is not None:
        options["PhysicalSizeY"], options["PhysicalSizeX"] = metadata.pixel_size
        options["PhysicalSizeYUnit"] = options["PhysicalSizeXUnit"] = unit
    if metadata.z_spacing is not None:
        options |= {"PhysicalSizeZ": metadata.z_spacing, "PhysicalSizeZUnit": unit}
    if metadata.frame_interval is not None:
        options |= {"TimeIncrement": metadata.frame_interval, "TimeIncrementUnit": "s"}
    if _is_date(metadata.acquired):
        options["AcquisitionDate"] = metadata.acquired
    plane: dict[str, object] = {}
    if metadata.start is not None:
        step = metadata.frame_interval or 0.0
        plane["DeltaT"] = [metadata.start + frame * step for frame in range(n_frames)]
        plane["DeltaTUnit"] = ["s"] * n_frames
    if metadata.origin is not None:
        for axis, position in zip("YX", metadata.origin, strict=True):
            plane[f"Position{axis}"] = [position] * n_frames
            plane[f"Position{axis}Unit"] = [unit] * n_frames
    if plane:
        options["Plane"] = plane
    if len(metadata.channel_names) == 1:
        options["Channel"] = {"Name": list(metadata.channel_names)}
    return options


def _annotation(metadata: StackMetadata) -> dict[str, str]:
    """Our record, and the class names once more for people who read the file elsewhere."""
    classes = {f"class {i}": name for i, name in enumerate(metadata.class_names, start=1)}
    return {"Namespace": RECORD, **classes, RECORD: json.dumps(metadata.to_json(), default=str)}


def _record(root: ElementTree.Element, image: ElementTree.Element) -> Mapping[str, object]:
    """The record that `ome_options` made for an image."""
    wanted = {reference.get("ID") for reference in _children(image, "AnnotationRef")}
    for annotations in _children(root, "StructuredAnnotations"):
        for annotation in _children(annotations, "MapAnnotation"):
            if annotation.get("Namespace") != RECORD or annotation.get("ID") not in wanted:
                continue
            for entry in annotation.iter():
                if entry.get("K") == RECORD:
                    return json_record(entry.text)
    return {}


def json_record(text: object) -> Mapping[str, object]:
    """A mapping written as JSON, or an empty one if it is damaged."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lengths(pixels: ElementTree.Element, planes: list[ElementTree.Element]) -> dict[str, object]:
    sizes = [_length(pixels, f"PhysicalSize{axis}", "µm") for axis in "YXZ"]
    places = [
        _length(planes[0], f"Position{axis}", _NO_UNIT) if planes else (None, "") for axis in "YX"
    ]
    known = [micrometers_per(unit) is not None for _, unit in sizes[:2]]
    if all(known):
        found = lengths([_in_micrometers(*size) for size in sizes[:2]], "µm")
        found |= lengths(None, "µm", z_spacing=_in_micrometers(*sizes[2]))
        return found | lengths(None, "µm", origin=[_in_micrometers(*place) for place in places])
    return lengths([value for value, _ in sizes[:2]], sizes[0][1])


def _length(element: ElementTree.Element, name: str, default: str) -> tuple[float | None, str]:
    return finite(element.get(name)), element.get(f"{name}Unit", default)


def _in_micrometers(value: float | None, unit: str) -> float | None:
    factor = micrometers_per(unit)
    return None if value is None or factor is None else value * factor


def _times(pixels: ElementTree.Element, planes: list[ElementTree.Element]) -> dict[str, object]:
    """Interval and start, from the planes where the image as a whole notes none."""
    times: dict[int, float] = {}
    for plane in planes:
        value, frame = finite(plane.get("DeltaT")), finite(plane.get("TheT"))
        factor = seconds_per(plane.get("DeltaTUnit", "s"))
        if value is not None and frame is not None and factor is not None:
            times.setdefault(int(frame), value * factor)
    factor = seconds_per(pixels.get("TimeIncrementUnit", "s"))
    increment = positive(pixels.get("TimeIncrement"))
    interval = None if increment is None or factor is None else increment * factor
    return {"frame_interval": interval or interval_of(times), "start": times.get(0)}


def interval_of(times: Mapping[int, float]) -> float | None:
    """Median step of times by frame, in their unit; None if they do not grow."""
    frames = sorted(times)
    steps = [
        (times[after] - times[before]) / (after - before) for before, after in pairwise(frames)
    ]
    return positive(statistics.median(steps)) if steps else None


def _is_first_channel(plane: ElementTree.Element) -> bool:
    return plane.get("TheC", "0") == "0" and plane.get("TheZ", "0") == "0"


def _is_date(text: str) -> bool:
    """Whether OME-XML can hold a date: its schema wants ISO 8601."""
    from datetime import datetime

    try:
        return "T" in text and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Children of that name, in whatever version of OME's namespace."""
    return (child for child in element if str(child.tag).rsplit("}", 1)[-1] == name)
