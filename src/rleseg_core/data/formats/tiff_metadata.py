"""What a TIFF says of its images besides their pixels, in each dialect that microscopes write."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rleseg_core.data.formats.imagej import imagej_metadata
from rleseg_core.data.formats.ome import interval_of, json_record, ome_metadata
from rleseg_core.data.metadata import UNKNOWN, StackMetadata, lengths
from rleseg_core.data.units import finite, micrometers_per, positive

if TYPE_CHECKING:
    import tifffile

RECORD = "rleseg"
PER_INCH, PER_CENTIMETER = 2, 3  # values of the tag ResolutionUnit
_CENTIMETERSPER_INCH = 2.54
_PRINT_DPI = 1200  # whole numbers of dots per inch up to here are set for screens and printers


def tiff_metadata(tiff: "tifffile.TiffFile", series: int = 0) -> StackMetadata:
    """What is known of a series of a TIFF; what one dialect lacks is taken from the next.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        The open file.
    series : int
        Which of its series, from 0.

    Returns
    -------
    StackMetadata
        From OME-XML, Micro-Manager, LSM, STK, ImageJ's description, our own record, and the
        resolution tags. Resolutions of screens and printers, such as 72 dots per inch, are no
        calibration.
    """
    found = StackMetadata(axes=tiff.series[series].axes)
    dialects: tuple[Callable[[tifffile.TiffFile, int], StackMetadata], ...] = (
        _ome,
        _micromanager,
        _lsm,
        _stk,
        _imagej,
        _shaped,
        _tags,
    )
    for dialect in dialects:
        try:
            found = found.or_else(dialect(tiff, series))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, ArithmeticError):
            continue  # damaged there; the pixels may be whole
    return found


def _ome(tiff: "tifffile.TiffFile", series: int) -> StackMetadata:
    return ome_metadata(tiff.ome_metadata, series) if tiff.ome_metadata else UNKNOWN


def _micromanager(tiff: "tifffile.TiffFile", _series: int) -> StackMetadata:
    """Micro-Manager's summary, and the elapsed times of its planes."""
    noted = tiff.micromanager_metadata if tiff.is_micromanager else None
    if not noted:
        return UNKNOWN
    summary = noted.get("Summary", {})
    page = _mapping(tiff.pages.first.tags.valueof(51123))
    size = positive(summary.get("PixelSize_um")) or positive(page.get("PixelSizeUm"))
    interval = positive(summary.get("Interval_ms"))
    names = summary.get("ChNames", ())
    return StackMetadata.of(
        {
            **lengths([size, size], "µm", z_spacing=summary.get("z-step_um")),
            "frame_interval": None if interval is None else interval / 1000,
            "acquired": str(summary.get("StartTime") or summary.get("Time") or ""),
            "channel_names": tuple(names) if isinstance(names, list | tuple) else (),
        }
    )


def _lsm(tiff: "tifffile.TiffFile", _series: int) -> StackMetadata:
    noted = tiff.lsm_metadata if tiff.is_lsm else None
    if not noted:
        return UNKNOWN
    size = [noted.get("VoxelSizeY"), noted.get("VoxelSizeX")]
    stamps = noted.get("TimeStamps", ())
    interval = positive(noted.get("TimeIntervall"))
    names = _mapping(noted.get("ChannelColors")).get("ColorNames", ())
    n_planes = finite(noted.get("DimensionZ")) or 1
    return StackMetadata.of(
        {
            **lengths(size, "m", z_spacing=noted.get("VoxelSizeZ") if n_planes > 1 else None),
            "frame_interval": interval or interval_of(dict(enumerate(float(t) for t in stamps))),
            "channel_names": tuple(names) if isinstance(names, list | tuple) else (),
        }
    )


def _stk(tiff: "tifffile.TiffFile", series: int) -> StackMetadata:
    """MetaMorph: a calibration for all planes, and the time of each."""
    noted = tiff.stk_metadata if tiff.is_stk else None
    if not noted:
        return UNKNOWN
    found: dict[str, object] = {}
    unit = str(noted.get("CalibrationUnits", ""))
    if micrometers_per(unit) is not None:  # others are "pixel", with a size of 1
        found = lengths([noted.get("YCalibration"), noted.get("XCalibration")], unit)
    times = noted.get("DatetimeCreated", ())
    if "T" in tiff.series[series].axes and len(times) > 1:
        seconds = [(time - times[0]) / _second() for time in times]
        found["frame_interval"] = interval_of(dict(enumerate(float(t) for t in seconds)))
    return StackMetadata.of(found)


def _second() -> object:
    import numpy as np

    return np.timedelta64(1, "s")


def _imagej(tiff: "tifffile.TiffFile", _series: int) -> StackMetadata:
    noted = tiff.imagej_metadata
    if not noted:
        return UNKNOWN
    page = tiff.pages.first
    resolution = (_per_unit(page, "YResolution"), _per_unit(page, "XResolution"))
    unit = noted.get("unit")
    in_tags = not unit and _resolution_unit(page) in (PER_INCH, PER_CENTIMETER)
    if in_tags or (unit == "inch" and _is_print(resolution)):
        resolution = (None, None)
    return imagej_metadata(noted, resolution)


def _shaped(tiff: "tifffile.TiffFile", _series: int) -> StackMetadata:
    """The record that version 0.1 wrote."""
    noted: Mapping[str, object] = (tiff.shaped_metadata or ({},))[0]
    return StackMetadata.from_json(json_record(noted.get(RECORD, "{}")))


def _tags(tiff: "tifffile.TiffFile", _series: int) -> StackMetadata:
    """The resolution of the first page, where it is a calibration."""
    page = tiff.pages.first
    if tiff.is_imagej and (tiff.imagej_metadata or {}).get("unit"):
        return UNKNOWN  # the resolution is in that unit
    resolution = (_per_unit(page, "YResolution"), _per_unit(page, "XResolution"))
    return StackMetadata.of(resolution_lengths(resolution, _resolution_unit(page)))


def _resolution_unit(page: "tifffile.TiffPage | tifffile.TiffFrame") -> int:
    return int(page.tags.valueof("ResolutionUnit", default=PER_INCH))


def resolution_lengths(
    resolution: tuple[float | None, float | None], unit: int
) -> dict[str, object]:
    """Fields of `StackMetadata` for the pixels (Y, X) per inch (unit 2) or centimetre (3)."""
    rows, cols = resolution
    if rows is None or cols is None or unit not in (PER_INCH, PER_CENTIMETER):
        return {}
    per_inch = 1.0 if unit == PER_INCH else _CENTIMETERSPER_INCH
    if _is_print((rows * per_inch, cols * per_inch)):
        return {}
    return lengths((1 / rows, 1 / cols), "inch" if unit == PER_INCH else "cm")


def _is_print(resolution: tuple[float | None, float | None]) -> bool:
    """Whether dots per inch are those of a screen or printer, and tell nothing of the images."""
    return all(
        dots is not None and dots < _PRINT_DPI + 1 and abs(dots - round(dots)) < 0.02
        for dots in resolution
    )


def _per_unit(page: "tifffile.TiffPage | tifffile.TiffFrame", tag: str) -> float | None:
    value = page.tags.valueof(tag)
    if not isinstance(value, Sequence) or len(value) != 2 or not value[1]:
        return None
    return positive(value[0] / value[1])


def _mapping(value: object) -> Mapping[str, object]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
