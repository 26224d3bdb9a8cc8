"""Scale, position, times and units: metadata of stacks ⇄ transforms of napari's layers."""

from collections.abc import Mapping, Sequence

import numpy as np
from napari.layers import Layer
from napari.utils.colormaps import DirectLabelColormap

from rleseg_core.data.colours import as_code, class_colour
from rleseg_core.data.metadata import MICROMETER, StackMetadata, lengths
from rleseg_core.data.units import micrometers_per, seconds_per
from rleseg_core.errors import DataError

AXES = ("t", "y", "x")
NOTES = "napari_rleseg"  # our entry in a layer's metadata
METADATA = "metadata"  # what the file of a layer said of it, in our entry
_PIXEL = "pixel"  # napari's unit where there is none


def layer_transform(metadata: StackMetadata) -> dict[str, tuple]:
    """Attributes that put a stack (T, Y, X) into the world as its metadata say.

    Returns
    -------
    dict
        'scale' and 'translate' along (T, Y, X), in 'units': seconds and micrometres where they are
        known, pixels elsewhere; 'axis_labels'.
    """
    is_timed = metadata.frame_interval is not None
    space = MICROMETER if metadata.unit == MICROMETER else _PIXEL
    return {
        "scale": metadata.scale,
        "translate": metadata.translation,
        "units": ("second" if is_timed else _PIXEL, space, space),
        "axis_labels": AXES,
    }


def metadata_of(attributes: Mapping[str, object], ndim: int) -> StackMetadata:
    """Metadata of a layer: where it is in the world now, and what its file said besides.

    Parameters
    ----------
    attributes : mapping
        As of `Layer.as_layer_data_tuple`.
    ndim : int
        Axes of the layer: 2 for (Y, X), 3 for (T, Y, X).

    Returns
    -------
    StackMetadata
        What `check_upright` refuses is left out.
    """
    notes = layer_notes(attributes)
    noted = notes.get(METADATA)
    known = StackMetadata.from_json(noted if isinstance(noted, Mapping) else {})
    scale = _along(attributes.get("scale"), ndim, 1.0)
    shift = _along(attributes.get("translate"), ndim, 0.0)
    units = [str(unit) for unit in _sequence(attributes.get("units"))][-ndim:]
    units = [_PIXEL] * (3 - len(units)) + units
    return StackMetadata.of(
        {
            **{name: getattr(known, name) for name in ("acquired", "axes", "channel_names")},
            **_space(scale, shift, units, known),
            **_time(scale[0], shift[0], units[0]),
            **_classes(attributes, known),
            "provenance": notes.get("provenance") or known.provenance,
        }
    )


def layer_metadata(layer: Layer) -> StackMetadata:
    """The same of a layer."""
    return metadata_of(layer.as_layer_data_tuple()[1], layer.ndim)


def layer_notes(attributes: Mapping[str, object]) -> Mapping[str, object]:
    """What we keep in the metadata of a layer."""
    metadata = attributes.get("metadata")
    notes = metadata.get(NOTES) if isinstance(metadata, Mapping) else None
    return notes if isinstance(notes, Mapping) else {}


def check_upright(attributes: Mapping[str, object]) -> None:
    """Raise an error unless scale and translation say where a layer is.

    Raises
    ------
    DataError
        If it is rotated, sheared, mirrored or otherwise moved, which no file of masks can hold, or
        has no common unit along Y and X.
    """
    name = str(attributes.get("name", "masks"))
    for key, what in (("rotate", "rotated"), ("affine", "moved by an affine matrix")):
        matrix = np.asarray(attributes.get(key, np.eye(1)), dtype=float)
        if matrix.ndim == 2 and not np.allclose(matrix, np.eye(len(matrix))):
            raise _not_upright(name, what)
    if np.any(np.asarray(attributes.get("shear", 0), dtype=float)):
        raise _not_upright(name, "sheared")
    if any(float(step) <= 0 for step in _sequence(attributes.get("scale"))):
        raise _not_upright(name, "mirrored or without extent (a scale is not above 0)")
    units = [str(unit) for unit in _sequence(attributes.get("units"))][-2:]
    if len({micrometers_per(unit) is None for unit in units}) > 1:
        raise DataError(
            f"layer {name!r} is in {units[0]} along Y and in {units[1]} along X; give both axes a "
            "unit of length, or none"
        )


def _not_upright(name: str, what: str) -> DataError:
    return DataError(
        f"layer {name!r} is {what}, which a file of masks cannot hold; set its scale, rotation, "
        "shear and affine back before you save it"
    )


def _space(
    scale: Sequence[float], shift: Sequence[float], units: Sequence[str], known: StackMetadata
) -> dict[str, object]:
    """Lengths (Y, X) in micrometres where the layer has units of length."""
    factors = [micrometers_per(unit) for unit in units[1:]]
    unit, times = (MICROMETER, factors) if None not in factors else (units[2], [1.0, 1.0])
    size = tuple(step * (factor or 1.0) for step, factor in zip(scale[1:], times, strict=True))
    origin = tuple(place * (factor or 1.0) for place, factor in zip(shift[1:], times, strict=True))
    if unit == _PIXEL and size == (1.0, 1.0) and origin == (0.0, 0.0):
        return {}
    found = lengths(size, unit, origin=origin if any(origin) or known.origin else None)
    if found.get("unit") == known.unit:
        found["z_spacing"] = known.z_spacing
    if found.get("unit") == "" and known.unit not in ("", MICROMETER):
        found["unit"] = known.unit  # a unit that napari does not know
    return found


def _time(interval: float, start: float, unit: str) -> dict[str, object]:
    """Interval and start in seconds; without a unit they are taken for seconds."""
    factor = seconds_per(unit)
    if factor is None and interval == 1:
        interval = 0.0  # napari's scale where there is none
    return {
        "frame_interval": abs(interval) * (factor or 1.0) or None,
        "start": start * (factor or 1.0) or None,
    }


def _classes(attributes: Mapping[str, object], known: StackMetadata) -> dict[str, object]:
    """Class names that came with the layer, and the colours that it has now."""
    names = layer_notes(attributes).get("class_names") or known.class_names
    names = tuple(str(name) for name in _sequence(names))
    colormap = attributes.get("colormap")
    if not names or not isinstance(colormap, DirectLabelColormap):
        return {"class_names": names, "class_colours": known.class_colours if names else ()}
    table = colormap.color_dict
    colours = []
    for class_id in range(1, len(names) + 1):
        rgba = table.get(class_id)
        if rgba is None:
            return {"class_names": names}
        red, green, blue = (round(float(part) * 255) for part in rgba[:3])
        colours.append(as_code((red, green, blue)))
    is_own = any(c != class_colour(i) for i, c in enumerate(colours, start=1))
    return {"class_names": names, "class_colours": tuple(colours) if is_own else ()}


def _along(values: object, ndim: int, default: float) -> list[float]:
    """Numbers along (T, Y, X), filled up at the front."""
    numbers = [float(value) for value in _sequence(values)][-ndim:]
    return [default] * (3 - len(numbers)) + numbers


def _sequence(value: object) -> Sequence:
    return list(value) if isinstance(value, list | tuple | np.ndarray) else []
