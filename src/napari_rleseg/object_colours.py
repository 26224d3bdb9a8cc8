"""Colours of objects by id, by class or by confidence, as one table for napari's Labels layers.

A table with a colour for each id takes a millisecond for 20,000 objects, where a colour map from
ids to colours, napari's `DirectLabelColormap`, takes seconds.
"""

from typing import Literal

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, ensure_colormap, label_colormap

from rleseg_core.data.colours import as_rgb
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.objects import ObjectTable

Colouring = Literal["id", "track", "class", "confidence"]

SCALE = "viridis"  # of confidences
N_COLOURS = 49  # of ids, then they repeat
UNKNOWN_COLOUR = (0.6, 0.6, 0.6, 1.0)  # of objects whose confidence is not known
CHOSEN_COLOUR = (1.0, 1.0, 1.0, 1.0)
_MOST = 65_534  # rows that napari's textures of colours have
_SPARE = 4096  # ids beyond those of the table: of frames that are not done


def object_colormap(
    table: ObjectTable,
    by: Colouring,
    *,
    metadata: StackMetadata = UNKNOWN,
    chosen: int = 0,
    frame: int = 0,
    tracks: np.ndarray | None = None,
) -> CyclicLabelColormap:
    """Colours of a layer of object ids.

    Parameters
    ----------
    table : ObjectTable
        The objects.
    by : {'id', 'track', 'class', 'confidence'}
        What colours tell.
    metadata : StackMetadata
        Has the colours of the classes.
    chosen : int
        Id of the object that is shown in white; 0 for none.
    frame : int
        The frame that is shown. Its objects have their own colours whatever their number; those of
        other frames may not, if there are more than 65,000.
    tracks : (n,) int64, optional
        Tracks of the objects, 0 for none, for colours by track.
    """
    n_ids = min(int(table.id.max(initial=0)) + _SPARE, _MOST)
    colours = np.tile(np.array(UNKNOWN_COLOUR, np.float32), (n_ids + 1, 1))
    if by == "id":
        colours[1:] = colours_of_ids(np.arange(1, n_ids + 1))
    slots = (table.id.astype(np.int64) - 1) % n_ids + 1
    of_each = _colours_of_each(table, by, metadata)
    if by == "track" and tracks is not None:
        of_each = np.where(tracks[:, None] > 0, colours_of_ids(tracks), UNKNOWN_COLOUR)
    if of_each is not None:
        here = table.frame == frame
        for rows in (~here, here):  # where two share a slot, that of the frame wins
            colours[slots[rows]] = of_each[rows]
    if chosen:
        colours[(chosen - 1) % n_ids + 1] = CHOSEN_COLOUR
    colours[0] = 0
    return CyclicLabelColormap(colors=colours)


def palette() -> np.ndarray:
    """Colours (k, 4) of ids, float32 from 0 to 1, which repeat after the last."""
    colours = np.array(label_colormap(N_COLOURS).colors, np.float32)[1:]
    colours[:, :3] /= colours[:, :3].max(axis=1, keepdims=True)  # seen on dark images
    return colours


def colours_of_ids(ids: np.ndarray) -> np.ndarray:
    """Colours (n, 4) of ids of objects or tracks, 1 or more."""
    colours = palette()
    return colours[(ids - 1) % len(colours)]


def is_crowded(table: ObjectTable) -> bool:
    """Whether the colours depend on the frame, because there are more objects than colours."""
    return int(table.id.max(initial=0)) + _SPARE > _MOST


def confidence_range(table: ObjectTable) -> tuple[float, float] | None:
    """The least and the greatest confidence of a table, 0 to 1; None where none is known."""
    known = table.confidence[~np.isnan(table.confidence)]
    return (float(known.min()), float(known.max())) if known.size else None


def _colours_of_each(
    table: ObjectTable, by: Colouring, metadata: StackMetadata
) -> np.ndarray | None:
    """Colours (n, 4) of the rows of a table; None by id, and by track."""
    if by == "class":
        rgb = [as_rgb(metadata.colour_of(k)) for k in range(1, table.n_classes + 1)]
        of_class = np.ones((max(len(rgb), 1), 4), np.float32)
        of_class[: len(rgb), :3] = np.array(rgb, np.float32).reshape(-1, 3) / 255
        return of_class[table.class_id - 1]
    if by == "confidence":
        limits = confidence_range(table)
        colours = np.tile(np.array(UNKNOWN_COLOUR, np.float32), (len(table), 1))
        if limits is not None:
            known = ~np.isnan(table.confidence)
            span = max(limits[1] - limits[0], 1e-6)
            place = (table.confidence[known] - limits[0]) / span
            colours[known] = ensure_colormap(SCALE).map(place)
        return colours
    return None
