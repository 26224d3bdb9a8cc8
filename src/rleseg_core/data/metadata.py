"""What is known of a stack besides its pixels: scale, times, names, and how it was made."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Self

from rleseg_core.data.colours import class_colour
from rleseg_core.data.units import finite, micrometers_per, positive
from rleseg_core.errors import DataError

MICROMETER = "micrometer"
NO_UNITS = ("", "pixel", "pixels", "reference frame")  # what files write where there is none
_NOTHING: Mapping[str, object] = MappingProxyType({})
_LENGTHS = ("pixel_size", "z_spacing", "unit", "origin")
_ROUNDING = 1e-5  # TIFF holds resolutions as fractions of 32 bits, some programs as float32


@dataclass(frozen=True, kw_only=True)
class StackMetadata:
    """What belongs to a stack besides its pixels, and travels with it into every output.

    Parameters
    ----------
    pixel_size : (float, float), optional
        Height and width of a pixel (Y, X), in `unit`; None if it is unknown.
    z_spacing : float, optional
        Distance of the planes of a z-stack, in `unit`.
    unit : str
        Unit of lengths: "micrometer", to which readers convert all known units; a name as the file
        gives it, if it is no known unit of length; empty if the lengths are without one.
    origin : (float, float), optional
        Position (Y, X) of the centre of the first pixel, in `unit`.
    frame_interval : float, optional
        Time from a frame to the next, in seconds.
    start : float, optional
        Time of the first frame, in seconds.
    acquired : str
        When the images were taken, ISO 8601, or as the file writes it; empty if unknown.
    axes : str
        Letters of the axes as the source has them, such as TCYX; empty if unknown.
    channel_names : tuple of str
        Names of the channels, in order.
    class_names : tuple of str
        Names of the class ids from 1 on, if the stack holds such.
    class_colours : tuple of str
        Their colours, "#rrggbb"; empty for the standard palette.
    provenance : mapping
        What made the stack: model, its hash, version of the program, settings, date, source. Plain
        values for JSON.

    Raises
    ------
    DataError
        If a size or an interval is not above 0, or a number is not finite.
    """

    pixel_size: tuple[float, float] | None = None
    z_spacing: float | None = None
    unit: str = ""
    origin: tuple[float, float] | None = None
    frame_interval: float | None = None
    start: float | None = None
    acquired: str = ""
    axes: str = ""
    channel_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    class_colours: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = [*(self.pixel_size or ()), self.z_spacing, self.frame_interval]
        wrong = [size for size in sizes if size is not None and positive(size) is None]
        if wrong:
            raise DataError(
                f"pixel size, spacing and frame interval must be above 0, got {wrong[0]}"
            )
        places = [*(self.origin or ()), self.start]
        wrong = [place for place in places if place is not None and finite(place) is None]
        if wrong:
            raise DataError(f"origin and start must be finite, got {wrong[0]}")
        for name in ("channel_names", "class_names", "class_colours"):
            object.__setattr__(self, name, tuple(str(entry) for entry in getattr(self, name)))
        object.__setattr__(self, "provenance", dict(self.provenance))

    @property
    def scale(self) -> tuple[float, float, float]:
        """Step from an element to the next along (T, Y, X); 1 where it is unknown."""
        return (self.frame_interval or 1.0, *(self.pixel_size or (1.0, 1.0)))

    @property
    def translation(self) -> tuple[float, float, float]:
        """Position of the first element along (T, Y, X); 0 where it is unknown."""
        return (self.start or 0.0, *(self.origin or (0.0, 0.0)))

    @property
    def calibration(self) -> Self:
        """The part that masks of these images share: scale, position, times and their source."""
        return replace(self, channel_names=(), class_names=(), class_colours=(), provenance={})

    def colour_of(self, class_id: int) -> str:
        """Colour of a class, "#rrggbb": its own, or that of the standard palette."""
        own = self.class_colours
        return own[class_id - 1] if class_id <= len(own) else class_colour(class_id)

    def for_masks(
        self,
        class_names: Sequence[str] = (),
        provenance: Mapping[str, object] | None = None,
        class_colours: Sequence[str] = (),
    ) -> Self:
        """Metadata of masks of these images: the same scale and times, names of their own."""
        made = {k: v for k, v in (provenance or _NOTHING).items() if k != "class_names"}
        return replace(
            self.calibration,
            axes="TYX",
            class_names=tuple(class_names),
            class_colours=tuple(class_colours),
            provenance=made,
        )

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """Metadata of these fields; those that are None are unknown."""
        known = {name: value for name, value in values.items() if value is not None}
        return cls(**known)  # type: ignore[arg-type]

    def or_else(self, other: Self) -> Self:
        """The same with what it lacks taken from `other`; lengths in two units never mix."""
        changes: dict[str, object] = {}
        for entry in fields(self):
            if entry.name not in _LENGTHS and _is_empty(getattr(self, entry.name)):
                changes[entry.name] = getattr(other, entry.name)
        if all(_is_empty(getattr(self, name)) for name in _LENGTHS):
            changes |= {name: getattr(other, name) for name in _LENGTHS}
        elif self.unit == other.unit:
            missing = [name for name in _LENGTHS if _is_empty(getattr(self, name))]
            changes |= {name: getattr(other, name) for name in missing}
        return replace(self, **changes)  # type: ignore[arg-type]

    def with_record(self, record: Mapping[str, object]) -> Self:
        """What a file's standard fields hold, completed by our own record in it.

        What another program has changed since in the standard fields counts; where both agree but
        for rounding, the record has the exact numbers. Fields that a standard cannot hold are in
        the record alone.
        """
        noted = type(self).from_json(record)
        changes: dict[str, object] = {}
        if self.unit in (noted.unit, "") and _agree(self.pixel_size, noted.pixel_size):
            changes |= {name: getattr(noted, name) for name in _LENGTHS}
        for name in ("frame_interval", "start"):
            if _agree(getattr(self, name), getattr(noted, name)):
                changes[name] = getattr(noted, name)
        return replace(self, **changes).or_else(noted)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """Plain values: all that is known, without empty entries."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if not _is_empty(value)
        }

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Self:
        """The metadata of `to_json`, or of a record that version 0.1 wrote.

        Those records hold the class names beside the entries of the provenance. Entries that cannot
        be what their names say are left out.
        """
        known = {entry.name for entry in fields(cls)}
        provenance = record.get("provenance")
        if not isinstance(provenance, Mapping):
            provenance = {name: value for name, value in record.items() if name not in known}
        return cls(
            pixel_size=pair(record.get("pixel_size"), positive),
            z_spacing=positive(record.get("z_spacing")),
            unit=_text(record.get("unit")),
            origin=pair(record.get("origin"), finite),
            frame_interval=positive(record.get("frame_interval")),
            start=finite(record.get("start")),
            acquired=_text(record.get("acquired")),
            axes=_text(record.get("axes")),
            channel_names=_names(record.get("channel_names")),
            class_names=_names(record.get("class_names")),
            class_colours=_names(record.get("class_colours")),
            provenance=provenance,
        )


UNKNOWN = StackMetadata()
"""Metadata of a stack of which nothing is known."""


def lengths(
    pixel_size: Sequence[object] | None,
    unit: str,
    *,
    z_spacing: object = None,
    origin: Sequence[object] | None = None,
) -> dict[str, object]:
    """Fields of `StackMetadata` for lengths as a file notes them, in micrometres where it can be.

    Parameters
    ----------
    pixel_size : sequence of 2, optional
        Height and width of a pixel; left out unless both are numbers above 0.
    unit : str
        Unit of all lengths; if it is no known one, the numbers stay as they are and keep its name.
    z_spacing : optional
        Distance of planes.
    origin : sequence of 2, optional
        Position (Y, X) of the first pixel.
    """
    factor = micrometers_per(unit)
    times = factor or 1.0
    size, position, spacing = pair(pixel_size, positive), pair(origin, finite), positive(z_spacing)
    found: dict[str, object] = {
        "pixel_size": size and (size[0] * times, size[1] * times),
        "z_spacing": spacing and spacing * times,
        "origin": position and (position[0] * times, position[1] * times),
    }
    found = {name: value for name, value in found.items() if value is not None}
    if found:
        name = unit.strip()
        found["unit"] = MICROMETER if factor else "" if name.lower() in NO_UNITS else name
    return found


def pair(values: object, number: Callable[[object], float | None]) -> tuple[float, float] | None:
    """Two numbers that `number` accepts, or None."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        return None
    first, second = number(values[0]), number(values[1])
    return None if first is None or second is None else (first, second)


def _is_empty(value: object) -> bool:
    return value is None or value in ("", (), {})


def _agree(mine: object, theirs: object) -> bool:
    """Whether numbers are the same but for rounding."""
    if isinstance(mine, tuple) and isinstance(theirs, tuple):
        return all(_agree(*both) for both in zip(mine, theirs, strict=True))
    first, second = finite(mine), finite(theirs)
    if first is None or second is None:
        return False
    return math.isclose(first, second, rel_tol=_ROUNDING)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return ()
    return tuple(str(value) for value in values)
