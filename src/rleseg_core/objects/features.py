"""What is measured of objects: their size, shape, position and intensities."""

import re
from collections.abc import Sequence

import numpy as np

from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.objects.measuring import number_consecutively
from rleseg_core.objects.table_file import unit_suffix

Columns = dict[str, np.ndarray]
"""Values of all objects of a frame by the name of their column."""

_SHAPE = {  # of scikit-image, by the name of our column; the power of a length that each one is
    "area": ("area", 2),
    "perimeter": ("perimeter", 1),
    "equivalent_diameter": ("equivalent_diameter_area", 1),
    "major_axis": ("axis_major_length", 1),
    "minor_axis": ("axis_minor_length", 1),
    "eccentricity": ("eccentricity", 0),
    "solidity": ("solidity", 0),
    "extent": ("extent", 0),
    "orientation_deg": ("orientation", 0),
}
_STRETCHED = ("major_axis", "minor_axis", "eccentricity", "orientation_deg")
_BOX = ("top", "left", "bottom", "right")
_PLACES = ("centroid-0", "centroid-1", *(f"bbox-{index}" for index in range(4)))
INTENSITIES = ("mean", "min", "max", "std", "integrated")
"""What is measured of each channel."""


def object_features(
    ids: np.ndarray,
    image: np.ndarray | None = None,
    *,
    metadata: StackMetadata = UNKNOWN,
    channels: Sequence[str] = (),
) -> Columns:
    """Features of the objects of a frame.

    Parameters
    ----------
    ids : (Y, X) integer
        Ids of objects, 0 = background.
    image : (Y, X) or (Y, X, C), optional
        What intensities are measured in, in source pixels.
    metadata : StackMetadata
        Its pixel size, unit and origin; without a size and a unit everything is in pixels alone.
    channels : sequence of str
        Names of the C channels; counted from 0 by default.

    Returns
    -------
    dict of str to (n,) array
        `id`, ascending; `area_px`, `perimeter_px`, `equivalent_diameter_px`, `major_axis_px`,
        `minor_axis_px`; `eccentricity`, `solidity` and `extent` (0 to 1); `orientation_deg` (-90 to
        90, from the direction of the rows' axis to the major axis, counterclockwise); `row`, `col`
        (centroid) and `top`, `left`, `bottom`, `right` (box, half open) in pixels. Where the pixel
        size is known, lengths and areas again in its unit, such as `area_um2` and `perimeter_um`,
        and the centroid as `y_um` and `x_um`. Of each channel `intensity_mean_NAME`, and so on for
        `INTENSITIES`; NAME is left out if there is one channel without a name. An object that
        covers a pixel without a value (nan) has nan.

    Raises
    ------
    DataError
        If the image has another size than the ids, or other channels than `channels` names.

    Notes
    -----
    `skimage.measure.regionprops_table`. Where pixels are not square, axes, eccentricity and
    orientation are those of the shape in physical units (those in pixels excepted), and the
    perimeter takes the lengths of steps along rows, columns and diagonals.
    """
    from skimage.measure import regionprops_table

    # scikit-image makes a list as long as the highest id
    numbers, labels = number_consecutively(ids)
    names = [name for name, _ in _SHAPE.values()]
    table = regionprops_table(labels, properties=(*names, "centroid", "bbox"))
    pixels = {ours: np.asarray(table[name]) for ours, (name, _) in _SHAPE.items()}
    columns: Columns = {"id": numbers, **_named(pixels, "px")}
    for ours, name in zip(("row", "col", *_BOX), _PLACES, strict=True):
        columns[ours] = np.asarray(table[name])
    if metadata.pixel_size is not None and metadata.unit:
        columns |= _physical(labels, pixels, columns, metadata)
    columns["orientation_deg"] = np.degrees(columns["orientation_deg"])
    columns["area_px"] = columns["area_px"].astype(np.int64)
    if image is not None:
        columns |= _intensities(labels, len(numbers), image, channels)
    return columns


def column_part(name: str) -> str:
    """A name as a part of a column's name: letters, digits and underscores."""
    return re.sub(r"\W+", "_", name).strip("_")


def stretched_perimeter(mask: np.ndarray, spacing: tuple[float, float]) -> float:
    """Perimeter of a mask whose pixels need not be square.

    Parameters
    ----------
    mask : (Y, X) bool
        An object.
    spacing : (float, float)
        Height and width of a pixel.

    Returns
    -------
    float
        In the unit of `spacing`; that of `skimage.measure.perimeter` where both are 1.

    Notes
    -----
    Benkrid and Crookes' estimate, as in scikit-image: each pixel of the border counts half the way
    to both of its neighbours along it.
    """
    from scipy.ndimage import binary_erosion, convolve

    padded = np.pad(mask, 1)
    border = (padded & ~binary_erosion(padded)).astype(np.int64)

    def neighbours(kernel: list[list[int]]) -> np.ndarray:
        return convolve(border, np.array(kernel), mode="constant")[border > 0]

    vertical = neighbours([[0, 1, 0], [0, 0, 0], [0, 1, 0]])
    horizontal = neighbours([[0, 0, 0], [1, 0, 1], [0, 0, 0]])
    diagonal = neighbours([[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    height, width = spacing
    beside = vertical + horizontal
    straight = (vertical * height + horizontal * width) / np.maximum(beside, 1)
    slanted = float(np.hypot(height, width))
    steps = np.select(
        [
            ((beside == 2) | (beside == 3)) & (diagonal <= 2),
            ((beside == 0) & (diagonal == 2)) | ((beside == 1) & (diagonal == 3)),
            (beside == 1) & ((diagonal == 1) | (diagonal == 2)),
        ],
        [straight, slanted, (straight + slanted) / 2],
    )
    return float(steps.sum())


def _named(values: Columns, unit: str) -> Columns:
    """The columns with the unit in their names: squared for areas, none for ratios."""
    ends = {0: "", 1: f"_{unit}", 2: f"_{unit}" if unit == "px" else f"_{unit}2"}
    return {f"{name}{ends[_SHAPE[name][1]]}": value for name, value in values.items()}


def _physical(
    labels: np.ndarray, pixels: Columns, columns: Columns, metadata: StackMetadata
) -> Columns:
    """Columns in the unit of the pixel size."""
    from skimage.measure import regionprops_table

    assert metadata.pixel_size is not None
    height, width = spacing = metadata.pixel_size
    size = float(np.sqrt(height * width))
    scaled = {name: value * size ** _SHAPE[name][1] for name, value in pixels.items()}
    if height != width:
        table = regionprops_table(
            labels,
            properties=("label", *(_SHAPE[name][0] for name in _STRETCHED)),
            spacing=spacing,
            extra_properties=[_perimeter_with(spacing)],
        )
        scaled |= {name: np.asarray(table[_SHAPE[name][0]]) for name in _STRETCHED}
        scaled["perimeter"] = np.asarray(table["stretched"])
    unit = unit_suffix(metadata.unit)
    top, left = metadata.origin or (0.0, 0.0)
    return {
        **_named(scaled, unit),
        f"y_{unit}": top + columns["row"] * height,
        f"x_{unit}": left + columns["col"] * width,
    }


def _perimeter_with(spacing: tuple[float, float]):  # type: ignore[no-untyped-def]
    def stretched(mask: np.ndarray) -> float:
        return stretched_perimeter(mask, spacing)

    return stretched


def _intensities(
    labels: np.ndarray, n_objects: int, image: np.ndarray, channels: Sequence[str]
) -> Columns:
    """What is measured of each channel, a column for each."""
    from scipy import ndimage

    planes = image[..., None] if image.ndim == 2 else image
    if planes.shape[:2] != labels.shape:
        raise DataError(
            f"the image is {planes.shape[:2]}, its objects are {labels.shape}; both must have the "
            "same (Y, X)"
        )
    names = list(channels) or [str(index) for index in range(planes.shape[2])]
    if len(names) != planes.shape[2]:
        raise DataError(f"the image has {planes.shape[2]} channels, got {len(names)} names")
    index = np.arange(1, n_objects + 1)
    areas = np.bincount(labels.ravel(), minlength=n_objects + 1)[1:]
    columns: Columns = {}
    for number, name in enumerate(names):
        end = f"_{column_part(name) or number}" if channels or len(names) > 1 else ""
        values = planes[..., number].astype(np.float64)
        with np.errstate(invalid="ignore"):  # nan, infinite values, no background
            mean = np.asarray(ndimage.mean(values, labels, index)).reshape(-1)
            deviation = ndimage.standard_deviation(values, labels, index)
        found = (
            mean,
            ndimage.minimum(values, labels, index),
            ndimage.maximum(values, labels, index),
            deviation,
            mean * areas,
        )
        for what, value in zip(INTENSITIES, found, strict=True):
            columns[f"intensity_{what}{end}"] = np.asarray(value, np.float64).reshape(-1)
    return columns
