"""OME-Zarr metadata: what a group says of its image, and what we write into one."""

from collections.abc import Mapping, Sequence

from rleseg_core.data.colours import as_code, as_rgb, class_colour
from rleseg_core.data.metadata import MICROMETER, StackMetadata, lengths
from rleseg_core.data.units import finite, micrometers_per, positive, seconds_per

RECORD = "rleseg"
LEVEL = "0"  # name of the only array that we write
Version = str
"""Of OME-Zarr: "0.5" in zarr 3, "0.4" in zarr 2."""


def ngff_metadata(attributes: Mapping[str, object], multiscale: int = 0) -> StackMetadata:
    """What the attributes of an OME-Zarr group say of its finest level.

    Parameters
    ----------
    attributes : mapping
        Of the group, version 0.4 or 0.5 (or older, which have no scale).
    multiscale : int
        Which of its multiscale images, from 0.
    """
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping):
        ome = {}
    record = attributes.get(RECORD)
    scales = _list(ome.get("multiscales"))
    names, colours = _classes(ome.get("image-label"))
    found = StackMetadata.of(
        {
            **(_scaled(scales[multiscale]) if multiscale < len(scales) else {}),
            "channel_names": _channel_names(ome.get("omero")),
            "class_names": names,
            "class_colours": colours,
        }
    )
    return found.with_record(record if isinstance(record, Mapping) else {})


def ngff_attributes(
    metadata: StackMetadata, name: str, version: Version = "0.5", source: str | None = None
) -> dict[str, object]:
    """Attributes of an OME-Zarr group of labels (T, Y, X) with one level.

    Parameters
    ----------
    metadata : StackMetadata
        What is known; what OME-Zarr has no place for is in a record of ours.
    name : str
        Of the labels.
    version : {"0.5", "0.4"}
        Of OME-Zarr.
    source : str, optional
        Where the image of the labels is, relative to their group; None if they stand alone.
    """
    of_its_own = {} if version == "0.5" else {"version": version}
    image_label: dict[str, object] = {**of_its_own, **_class_table(metadata)}
    if source is not None:
        image_label["source"] = {"image": source}
    ome = {
        "multiscales": [{**of_its_own, "name": name, **_level(metadata)}],
        "image-label": image_label,
    }
    attributes: dict[str, object] = {RECORD: metadata.to_json()}
    return attributes | ({"ome": {"version": version, **ome}} if version == "0.5" else ome)


def _level(metadata: StackMetadata) -> dict[str, object]:
    """Axes and transformations of the only level."""
    space: dict[str, object] = {"type": "space"}
    if metadata.unit == MICROMETER:
        space["unit"] = MICROMETER
    time: dict[str, object] = {"name": "t", "type": "time"}
    if metadata.frame_interval is not None:
        time["unit"] = "second"
    steps: list[dict[str, object]] = [{"type": "scale", "scale": list(metadata.scale)}]
    if any(metadata.translation):
        steps.append({"type": "translation", "translation": list(metadata.translation)})
    return {
        "axes": [time, {"name": "y", **space}, {"name": "x", **space}],
        "datasets": [{"path": LEVEL, "coordinateTransformations": steps}],
    }


def _class_table(metadata: StackMetadata) -> dict[str, object]:
    """Colours and names of the classes as OME-Zarr's ``image-label`` holds them."""
    classes = list(enumerate(metadata.class_names, start=1))
    if not classes:
        return {}
    return {
        "colors": [
            {"label-value": i, "rgba": [*as_rgb(metadata.colour_of(i)), 255]} for i, _ in classes
        ],
        "properties": [{"label-value": i, "class": name} for i, name in classes],
    }


def _scaled(multiscale: object) -> dict[str, object]:
    """Scale, position and axes of the finest level of a multiscale image."""
    image = multiscale if isinstance(multiscale, Mapping) else {}
    axes = [
        axis if isinstance(axis, Mapping) else {"name": axis} for axis in _list(image.get("axes"))
    ]
    letters = "".join(str(axis.get("name", " "))[:1].upper() for axis in axes)
    levels = _list(image.get("datasets"))
    finest = levels[0] if levels and isinstance(levels[0], Mapping) else {}
    scale, shift = _transformed(
        [*_list(finest.get("coordinateTransformations"))],
        [*_list(image.get("coordinateTransformations"))],
        len(axes),
    )
    if scale is None:
        return {"axes": letters}
    steps = dict(zip(letters, scale, strict=True))
    places = dict(zip(letters, shift, strict=True))
    units = {letter: str(axis.get("unit", "")) for letter, axis in zip(letters, axes, strict=True)}
    return {"axes": letters, **_space(steps, places, units), **_time(steps, places, units)}


def _transformed(
    first: Sequence[object], then: Sequence[object], n_axes: int
) -> tuple[list[float] | None, list[float]]:
    """Scale and translation along all axes after two lists of transformations; None if damaged."""
    scale, shift = [1.0] * n_axes, [0.0] * n_axes
    for step in [*first, *then]:
        step = step if isinstance(step, Mapping) else {}
        kind = step.get("type")
        if kind == "identity":
            continue
        values = [finite(value) for value in _list(step.get(kind))] if kind else []
        numbers = [value for value in values if value is not None]
        if kind not in ("scale", "translation") or len(numbers) != n_axes:
            return None, shift
        if kind == "scale":
            scale = [a * b for a, b in zip(scale, numbers, strict=True)]
            shift = [a * b for a, b in zip(shift, numbers, strict=True)]
        else:
            shift = [a + b for a, b in zip(shift, numbers, strict=True)]
    return scale, shift


def _space(
    steps: Mapping[str, float], places: Mapping[str, float], units: Mapping[str, str]
) -> dict[str, object]:
    """Lengths along Z, Y and X, each in micrometres where its unit is known."""
    letters = [letter for letter in "ZYX" if letter in steps]
    unit = units.get("Y", "")
    if all(micrometers_per(units[letter]) is not None for letter in letters):
        factors = {letter: micrometers_per(units[letter]) or 1.0 for letter in letters}
        unit = "µm"
    else:
        factors = dict.fromkeys(letters, 1.0)
    if not {"Y", "X"} <= set(letters):
        return {}
    size = [steps[letter] * factors[letter] for letter in "YX"]
    origin = [places[letter] * factors[letter] for letter in "YX"]
    is_bare = not unit and all(steps[letter] == 1 for letter in letters)
    if is_bare and not any(origin):
        return {}  # without a unit that is no calibration, but what all programs write
    depth = steps["Z"] * factors["Z"] if "Z" in steps else None
    return lengths(
        None if is_bare else size, unit, z_spacing=depth, origin=origin if any(origin) else None
    )


def _time(
    steps: Mapping[str, float], places: Mapping[str, float], units: Mapping[str, str]
) -> dict[str, object]:
    """Interval and start in seconds, where a unit of time is noted."""
    factor = seconds_per(units.get("T", ""))
    if "T" not in steps or factor is None:
        return {}
    start = places["T"] * factor
    return {
        "frame_interval": positive(steps["T"] * factor),
        "start": start if start else None,
    }


def _classes(image_label: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and colours of the classes 1, 2, … that ``image-label`` notes for all of them."""
    if not isinstance(image_label, Mapping):
        return (), ()
    named: dict[object, str] = {}
    for entry in _list(image_label.get("properties")):
        if isinstance(entry, Mapping) and entry.get("class") is not None:
            named[entry.get("label-value")] = str(entry["class"])
    coloured: dict[object, str] = {}
    for entry in _list(image_label.get("colors")):
        rgba = _list(entry.get("rgba")) if isinstance(entry, Mapping) else []
        if len(rgba) >= 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in rgba[:3]):
            coloured[entry.get("label-value")] = as_code((rgba[0], rgba[1], rgba[2]))
    numbers = range(1, len(named) + 1)
    if set(named) != set(numbers):
        return (), ()
    names = tuple(named[number] for number in numbers)
    colours = tuple(coloured.get(number, "") for number in numbers)
    is_own = all(colours) and any(colours[i - 1] != class_colour(i) for i in numbers)
    return names, colours if is_own else ()


def _channel_names(omero: object) -> tuple[str, ...]:
    channels = _list(omero.get("channels")) if isinstance(omero, Mapping) else []
    names = [str(c.get("label", "")) if isinstance(c, Mapping) else "" for c in channels]
    return tuple(names) if any(names) else ()


def _list(value: object) -> list:
    return list(value) if isinstance(value, list | tuple) else []
