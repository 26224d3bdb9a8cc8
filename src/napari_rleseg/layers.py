"""Arrays ⇄ napari layers: names, colours, scale, and provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from napari_rleseg.calibration import METADATA, NOTES, layer_transform
from napari_rleseg.kept import file_notes
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.metadata import MICROMETER, UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED
from rleseg_core.text import printable

if TYPE_CHECKING:
    import zarr
    from napari.types import LayerData
    from napari.viewer import Viewer

    from rleseg_core.data import ImageStack

UNKNOWN_COLOUR = "#9a9a9a"  # of pixels that do not count


def class_colormap(metadata: StackMetadata) -> DirectLabelColormap:
    """Colours of a labels layer of class ids: background is transparent, ignored pixels grey."""
    colours: dict[int | None, str] = {None: "#ff0000", 0: "transparent"}
    n_classes = len(metadata.class_names)
    colours |= {index: metadata.colour_of(index) for index in range(1, n_classes + 1)}
    colours[IGNORED] = UNKNOWN_COLOUR
    return DirectLabelColormap(color_dict=colours)


def class_features(class_names: Sequence[str]) -> dict[str, list[str]]:
    """Table of a labels layer, one row a class id: napari shows it in the status bar."""
    return {"class": ["background", *class_names]}


def notes(layer: Layer) -> dict[str, object]:
    """What we keep with a layer: 'path' and 'source' of its file, 'class_names', 'provenance'."""
    return layer.metadata.setdefault(NOTES, {})


def class_names_of(layer: Labels) -> tuple[str, ...]:
    """Class names of a labels layer of ours, or none."""
    names = notes(layer).get("class_names", ())
    return tuple(str(name) for name in names) if isinstance(names, list | tuple) else ()


def provenance_of(layer: Layer) -> dict[str, object]:
    """How the masks of a layer of ours were made: model, settings, date; empty if unknown."""
    record = notes(layer).get("provenance")
    return dict(record) if isinstance(record, dict) else {}


def noted_metadata(layer: Layer) -> StackMetadata:
    """What the file of a layer of ours said of it; of masks, their class names and colours."""
    noted = notes(layer).get(METADATA)
    return StackMetadata.from_json(noted) if isinstance(noted, dict) else UNKNOWN


def stack_shape(layer: Image | Labels) -> tuple[int, int, int]:
    """(T, Y, X) of a layer that holds a stack or one frame.

    Raises
    ------
    DataError
        If it has more axes, or is multiscale.
    """
    if layer.multiscale:
        raise DataError(
            f"layer {layer.name!r} is multiscale; load the file in the Load tab instead"
        )
    if layer.ndim not in (2, 3):
        raise DataError(
            f"layer {layer.name!r} has {layer.ndim} axes; a time-lapse has 3 (T, Y, X). "
            "Split the others in Layers ▸ Data"
        )
    shape = tuple(int(side) for side in layer.data.shape[: layer.ndim])
    return (1, *shape) if layer.ndim == 2 else shape  # type: ignore[return-value]


def stack_transform(layer: Image | Labels) -> dict[str, tuple]:
    """Scale, translation and units (T, Y, X) that put a stack of results onto a layer."""
    return {
        "scale": (1.0,) * (3 - layer.ndim) + tuple(layer.scale),
        "translate": (0.0,) * (3 - layer.ndim) + tuple(layer.translate),
        "units": ("pixel",) * (3 - layer.ndim) + tuple(layer.units),
    }


def current_frame(viewer: "Viewer", layer: Image | Labels) -> int:
    """Frame of a layer that the viewer shows, wherever it begins and however it is scaled."""
    n_frames = stack_shape(layer)[0]
    if layer.ndim < 3:
        return 0
    frame = round(float(layer.world_to_data(viewer.dims.point)[-3]))
    return min(max(frame, 0), n_frames - 1)


def visible_part(
    viewer: "Viewer", layer: Image | Labels
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of a layer's frames that the viewer shows; all where it does not say."""
    height, width = stack_shape(layer)[1:]
    displayed = tuple(viewer.dims.displayed)
    if layer.multiscale or displayed != tuple(range(viewer.dims.ndim))[-2:]:
        return (0, height), (0, width)
    top, left = (max(0, int(corner)) for corner in layer.corner_pixels[0][-2:])
    bottom, right = (int(corner) + 1 for corner in layer.corner_pixels[1][-2:])
    bottom, right = min(bottom, height), min(right, width)
    if bottom - top < 2 or right - left < 2:  # nothing was drawn yet
        return (0, height), (0, width)
    return (top, bottom), (left, right)


def show_frame(viewer: "Viewer", layer: Image | Labels, frame: int) -> None:
    """Have the viewer show a frame of a layer."""
    if layer.ndim >= 3:
        axis = viewer.dims.ndim - 3
        place = (frame, *(0,) * (layer.ndim - 1))
        viewer.dims.set_point(axis, float(layer.data_to_world(place)[-3]))


def labels_attributes(
    class_names: Sequence[str],
    path: Path | None = None,
    provenance: Mapping[str, object] | None = None,
    metadata: StackMetadata = UNKNOWN,
) -> dict[str, object]:
    """Attributes of a labels layer of class masks: place, colours, names and provenance.

    Parameters
    ----------
    class_names : sequence of str
        Names of the classes 1, 2, …
    path : Path, optional
        File of the masks.
    provenance : mapping, optional
        Model and settings that made the masks.
    metadata : StackMetadata
        Scale and position, and what else belongs to the masks, such as colours of their classes.
    """
    known = replace(metadata, class_names=tuple(class_names), provenance={})
    return {
        "colormap": class_colormap(known),
        "features": class_features(class_names),
        "opacity": 0.55,
        **layer_transform(metadata),
        "metadata": {
            NOTES: {
                "path": None if path is None else str(path),
                "class_names": tuple(class_names),
                "provenance": dict(provenance or {}),
                METADATA: known.to_json(),
            }
        },
    }


def show_image(
    viewer: "Viewer",
    stack: "ImageStack",
    limits: tuple[float, float] | None = None,
    pixel_size: float | None = None,
) -> Image:
    """Add a lazy image stack to the viewer.

    Parameters
    ----------
    viewer : Viewer
        The viewer to add the layer to.
    stack : ImageStack
        (T, Y, X, C); grey for one channel, colour for three or four.
    limits : (float, float), optional
        Contrast limits; by default those of `ImageStack.intensity_range`.
    pixel_size : float, optional
        Side of a pixel in micrometres, instead of what the file says.
    """
    metadata = stack.metadata
    if pixel_size is not None:
        size = (pixel_size, pixel_size)
        metadata = replace(metadata, pixel_size=size, unit=MICROMETER, origin=None, z_spacing=None)
    data, attributes, kind = image_data(stack, metadata, limits)
    return viewer.add_layer(Layer.create(data, attributes, kind))


def image_data(
    stack: "ImageStack", metadata: StackMetadata, limits: tuple[float, float] | None = None
) -> "LayerData":
    """A lazy image stack as napari's layer data; the parameters are those of `show_image`."""
    colour = stack.is_colour
    data = stack.data if colour else stack.data[..., stack.channel]
    noted: dict[str, object] = {METADATA: metadata.to_json()}
    if stack.path is not None:
        noted["source"] = str(stack.path)
        # what was chosen in a file is written into the session: a path alone would not tell
        noted |= file_notes(data, stack.path) if stack.options == ReadOptions() else {}
    attributes = {
        "name": printable(stack.name or "images"),
        "rgb": colour,
        "contrast_limits": None if colour else limits or stack.intensity_range(),
        "metadata": {NOTES: noted},
        **layer_transform(metadata),
    }
    return (data, attributes, "image")


def labels_layer(
    data: "zarr.Array | np.ndarray",
    class_names: Sequence[str],
    *,
    name: str,
    image: Image | None = None,
    path: Path | None = None,
    provenance: Mapping[str, object] | None = None,
    metadata: StackMetadata = UNKNOWN,
) -> Labels:
    """A layer of class masks, coloured and named by class, that is not in a viewer yet.

    Parameters
    ----------
    data : (T, Y, X) integer array
        Class ids, 0 = background. A zarr array is handed to napari as it is: what is painted then
        reaches the disk at once (dask would lose it).
    class_names : sequence of str
        Names of the classes 1, 2, …
    name : str
        Name of the layer.
    image : Image, optional
        The layer that the masks belong to; they take its scale and translation.
    path : Path, optional
        File of `data`.
    provenance : mapping, optional
        Model and settings that made the masks.
    metadata : StackMetadata
        Of the masks; scale, position and times of `image` count where it is given.
    """
    place: dict[str, tuple] = {}
    if image is not None:
        place = stack_transform(image)
        metadata = replace(
            noted_metadata(image).for_masks(),
            class_colours=metadata.class_colours,
        )
    return Labels(
        data,
        name=printable(name),
        **(labels_attributes(class_names, path, provenance, metadata) | place),
    )


def show_labels(
    viewer: "Viewer",
    data: "zarr.Array | np.ndarray",
    class_names: Sequence[str],
    *,
    name: str,
    image: Image | None = None,
    path: Path | None = None,
    provenance: Mapping[str, object] | None = None,
    metadata: StackMetadata = UNKNOWN,
) -> Labels:
    """Add class masks to the viewer; the parameters are those of `labels_layer`."""
    layer = labels_layer(
        data,
        class_names,
        name=name,
        image=image,
        path=path,
        provenance=provenance,
        metadata=metadata,
    )
    return viewer.add_layer(layer)
