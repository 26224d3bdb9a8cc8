"""ImageJ's description of a TIFF: what it says of an image, and what we write into it."""

import json
from collections.abc import Mapping

from rleseg_core.data.formats.ome import RECORD, json_record
from rleseg_core.data.metadata import MICROMETER, NO_UNITS, StackMetadata, lengths
from rleseg_core.data.units import finite, positive, seconds_per

DTYPES = ("uint8", "uint16", "float32")
"""Types of the values that ImageJ's hyperstacks can hold."""


def imagej_metadata(
    entries: Mapping[str, object], resolution: tuple[float | None, float | None]
) -> StackMetadata:
    """What ImageJ noted of an image.

    Parameters
    ----------
    entries : mapping
        As `tifffile.TiffFile.imagej_metadata` gives them.
    resolution : (float or None, float or None)
        Pixels per unit (Y, X), from the page's resolution tags.
    """
    unit = str(entries.get("unit", ""))
    sides = [1 / value for value in resolution if value is not None]
    size = sides if len(sides) == 2 and not (unit in NO_UNITS and sides == [1, 1]) else None
    origin = None
    if size is not None and {"xorigin", "yorigin"} & set(entries):
        places = [finite(entries.get(f"{axis}origin", 0)) for axis in "yx"]
        origin = [-(place or 0.0) * side for place, side in zip(places, size, strict=True)]
    found = StackMetadata.of(
        {
            **lengths(size, unit, z_spacing=entries.get("spacing"), origin=origin),
            "frame_interval": _interval(entries),
            "channel_names": _channel_names(entries),
        }
    )
    return found.with_record(_record(entries))


def imagej_options(metadata: StackMetadata) -> dict[str, object]:
    """Metadata of a stack as `tifffile.TiffWriter.write` takes them for ImageJ.

    Its resolution is not among them; what ImageJ has no place for is in our record, which it shows
    and keeps as the image's information.
    """
    options: dict[str, object] = {}
    if metadata.pixel_size is not None:
        options["unit"] = _escaped(metadata.unit)
        if metadata.origin is not None:
            places = zip("yx", metadata.origin, metadata.pixel_size, strict=True)
            options |= {f"{axis}origin": -place / side for axis, place, side in places}
    if metadata.z_spacing is not None:
        options["spacing"] = metadata.z_spacing
    if metadata.frame_interval is not None:
        options["finterval"] = metadata.frame_interval
    record = metadata.to_json()
    if record:
        options["Info"] = f"{RECORD} = {json.dumps(record, default=str)}\n"
    return options


def _interval(entries: Mapping[str, object]) -> float | None:
    """Seconds from frame to frame; tifffile's ``fps`` is the inverse."""
    interval = positive(entries.get("finterval"))
    if interval is not None:
        factor = seconds_per(str(entries.get("tunit", "sec")))
        return None if factor is None else interval * factor
    rate = positive(entries.get("fps"))
    return None if rate is None else 1 / rate


def _channel_names(entries: Mapping[str, object]) -> tuple[str, ...]:
    """Names of the channels, where each is the label of its only plane."""
    names, channels = entries.get("Labels"), entries.get("channels")
    if not isinstance(names, list) or not isinstance(channels, int):
        return ()
    is_each = len(names) == channels == entries.get("images")
    return tuple(str(name) for name in names) if is_each else ()


def _record(entries: Mapping[str, object]) -> Mapping[str, object]:
    """The record that `imagej_options` wrote."""
    for line in str(entries.get("Info", "")).splitlines():
        key, separator, value = line.partition(" = ")
        if separator and key.strip() == RECORD:
            return json_record(value)
    return {}


def _escaped(unit: str) -> str:
    """A unit in ASCII, as ImageJ writes it."""
    if unit == MICROMETER:
        return "um"
    characters = (c if c.isascii() and c.isprintable() else f"\\u{ord(c):04X}" for c in unit)
    return "".join(characters) or "pixel"
