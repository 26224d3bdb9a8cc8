"""Arrays ⇄ napari layers: names, colours, scale, and provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from rleseg_core.drawing.palette import class_colour
from rleseg_core.errors import DataError
from rleseg_core.text import printable

if TYPE_CHECKING:
    import zarr
    from napari.viewer import Viewer

    from rleseg_core.data import ImageStack

AXES = ("t", "y", "x")
NOTES = "napari_rleseg"  # our entry in a layer's metadata


def class_colormap(class_names: Sequence[str]) -> DirectLabelColormap:
    """Colours of a labels layer whose values are class ids; the background is transparent."""
    colours: dict[int | None, str] = {None: "#ff0000", 0: "transparent"}
    colours |= {index: class_colour(index) for index in range(1, len(class_names) + 1)}
    return DirectLabelColormap(color_dict=colours)


def class_features(class_names: Sequence[str]) -> dict[str, list[str]]:
    """Table of a labels layer, one row a class id: napari shows it in the status bar."""
    return {"class": ["background", *class_names]}


def notes(layer: Layer) -> dict[str, object]:
    """What we keep with a layer: 'path' of its file, 'class_names', 'provenance'."""
    return layer.metadata.setdefault(NOTES, {})


def class_names_of(layer: Labels) -> tuple[str, ...]:
    """Class names of a labels layer of ours, or none."""
    names = notes(layer).get("class_names", ())
    return tuple(str(name) for name in names) if isinstance(names, list | tuple) else ()


def provenance_of(layer: Layer) -> dict[str, object]:
    """How the masks of a layer of ours were made: model, settings, date; empty if unknown."""
    record = notes(layer).get("provenance")
    return dict(record) if isinstance(record, dict) else {}


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


def stack_transform(layer: Image | Labels) -> dict[str, tuple[float, ...]]:
    """Scale and translation (T, Y, X) that put a stack of results onto a layer."""
    return {
        "scale": (1.0,) * (3 - layer.ndim) + tuple(layer.scale),
        "translate": (0.0,) * (3 - layer.ndim) + tuple(layer.translate),
    }


def labels_attributes(
    class_names: Sequence[str],
    path: Path | None = None,
    provenance: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Attributes of a labels layer of class masks: colours, names and provenance.

    Parameters
    ----------
    class_names : sequence of str
        Names of the classes 1, 2, …
    path : Path, optional
        File of the masks.
    provenance : mapping, optional
        Model and settings that made the masks.
    """
    return {
        "colormap": class_colormap(class_names),
        "features": class_features(class_names),
        "opacity": 0.55,
        "axis_labels": AXES,
        "metadata": {
            NOTES: {
                "path": None if path is None else str(path),
                "class_names": tuple(class_names),
                "provenance": dict(provenance or {}),
            }
        },
    }


def show_image(
    viewer: "Viewer",
    stack: "ImageStack",
    limits: tuple[float, float] | None = None,
    scale: Sequence[float] | None = None,
) -> Image:
    """Add a lazy image stack to the viewer.

    Parameters
    ----------
    viewer : Viewer
        The viewer to add the layer to.
    stack : ImageStack
        (T, Y, X, C); grey for one channel, colour for three or four.
    limits : (float, float), optional
        Contrast limits; without them napari reads a frame to find some.
    scale : sequence of float, optional
        Size of a pixel along the axes (T, Y, X).
    """
    data, colour = stack.data, stack.shape[3] >= 3
    return viewer.add_image(
        data if colour else data[..., 0],
        name=printable(stack.name or "images"),
        rgb=colour,
        contrast_limits=None if colour else limits,
        scale=scale,
        axis_labels=AXES,
        metadata={NOTES: {"path": None if stack.path is None else str(stack.path)}},
    )


def labels_layer(
    data: "zarr.Array | np.ndarray",
    class_names: Sequence[str],
    *,
    name: str,
    image: Image | None = None,
    path: Path | None = None,
    provenance: Mapping[str, object] | None = None,
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
    """
    return Labels(
        data,
        name=printable(name),
        **labels_attributes(class_names, path, provenance),
        **({} if image is None else stack_transform(image)),
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
) -> Labels:
    """Add class masks to the viewer; the parameters are those of `labels_layer`."""
    layer = labels_layer(
        data, class_names, name=name, image=image, path=path, provenance=provenance
    )
    return viewer.add_layer(layer)
