"""The objects of a result in the viewer: a layer of ids, their table, and which one is chosen."""

import functools
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_rleseg.calibration import METADATA, NOTES, layer_transform
from napari_rleseg.layers import current_frame, noted_metadata, notes, show_frame, stack_transform
from napari_rleseg.object_colours import Colouring, is_crowded, object_colormap
from rleseg_core.data.metadata import MICROMETER, StackMetadata
from rleseg_core.objects import ObjectTable
from rleseg_core.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from rleseg_core.data.arrays import ArrayLike

OUTLINE = 1  # width of outlines in pixels, beside the pixel that napari adds
AREA_OPACITY = 0.55
CLICK_PX = 3  # on the screen: a press that moves farther is no click
MANY_PIXELS = 2**25  # of a frame: outlines would take more than 0.1 s


class ObjectView:
    """The objects that a viewer shows beside the masks they belong to.

    Parameters
    ----------
    viewer : Viewer
        Kept weakly.

    Attributes
    ----------
    layer : Labels or None
        Ids (T, Y, X) uint32; None where there are no objects.
    masks : Labels or None
        The class masks that they belong to.
    table : ObjectTable
        The objects of the frames that are done, by frame and id.
    picks : bool
        Whether a click chooses an object; False while the mouse has another task.
    track_of : callable or None
        Gives the tracks (n,) of the objects of a table, 0 for none; None where there are no tracks.
    """

    changed = Signal()  # another layer, or other objects
    coloured = Signal()  # by something else, or within other limits
    chosen = Signal(int)  # id of an object; 0 for none
    wanted = Signal()  # for masks that are corrected and have no objects

    def __init__(self, viewer: "Viewer"):
        self._viewer = weakref.ref(viewer)
        self.layer: Labels | None = None
        self.masks: Labels | None = None
        self.table = ObjectTable.empty(())
        self.picks = True
        self.track_of: Callable[[ObjectTable], np.ndarray] | None = None
        self._colouring: Colouring = "id"
        self._chosen = 0
        viewer.layers.events.removed.connect(self._forget_layer)
        viewer.mouse_drag_callbacks.append(self._press)
        viewer.dims.events.current_step.connect(self._show_frame_colours)

    def show(self, layer: Labels, masks: Labels, table: ObjectTable) -> None:
        """Show a layer that `objects_layer` made over its masks, in place of that before."""
        viewer, before = self._viewer(), self.layer
        if viewer is None:
            return
        if before is not None and before is not layer:
            before.visible = False
        self.layer, self.masks, self._chosen = layer, masks, 0
        self.table = _ordered(table)
        self._tell_layer()
        if layer not in viewer.layers:
            viewer.add_layer(layer)
        self.changed.emit()
        self.chosen.emit(0)

    def clear(self) -> None:
        """Show no objects any longer."""
        layer = self.layer
        self.layer = self.masks = None
        self.table, self._chosen = ObjectTable.empty(()), 0
        if layer is not None:
            layer.visible = False
            self.changed.emit()
            self.chosen.emit(0)

    def replace(self, frames: Iterable[int], table: ObjectTable) -> None:
        """Put the objects of some frames in place of those that these had."""
        others = self.table.select(~np.isin(self.table.frame, list(frames)))
        tables = [others, table] if len(others) else [table]
        self.table = _ordered(ObjectTable.concatenate(tables))
        if self._chosen and self._chosen not in self.table.id:
            self.choose(0)
        self._tell_layer()
        self.changed.emit()

    @property
    def frame(self) -> int:
        """The frame that is shown."""
        viewer = self._viewer()
        return 0 if viewer is None or self.layer is None else current_frame(viewer, self.layer)

    @property
    def n_frames(self) -> int:
        """T, the frames of the stack; 0 without objects."""
        return 0 if self.layer is None else int(self.layer.data.shape[0])

    @property
    def colouring(self) -> Colouring:
        """What colours tell: 'id', 'track', 'class' or 'confidence'."""
        return self._colouring

    @colouring.setter
    def colouring(self, by: Colouring) -> None:
        if by != self._colouring:
            self._colouring = by
            self.colour()

    @property
    def outlined(self) -> bool:
        """Whether outlines are shown rather than areas."""
        return self.layer is not None and self.layer.contour > 0

    @outlined.setter
    def outlined(self, on: bool) -> None:
        if self.layer is not None:
            self.layer.opacity = 1.0 if on else AREA_OPACITY
            self.layer.contour = outline_width(self.layer.data.shape) if on else 0

    @property
    def chosen_id(self) -> int:
        """Id of the object that is chosen; 0 if none is."""
        return self._chosen

    def choose(self, object_id: int, *, go: bool = False) -> None:
        """Choose an object, which turns white; 0 for none.

        Parameters
        ----------
        object_id : int
            Its id.
        go : bool
            Whether the viewer moves to its frame.
        """
        if self.layer is None:
            return
        row = self.row_of(object_id)
        viewer = self._viewer()
        if go and row is not None and viewer is not None:
            show_frame(viewer, self.layer, int(self.table.frame[row]))
        if object_id == self._chosen:
            return
        self._chosen = object_id
        if object_id:
            self.layer.selected_label = object_id
        self.colour()
        self.chosen.emit(object_id)

    def row_of(self, object_id: int) -> int | None:
        """Row of the table with an id; None if there is none."""
        rows = np.flatnonzero(self.table.id == object_id)
        return int(rows[0]) if rows.size else None

    def words(self, object_id: int) -> str:
        """What is known about an object, for the status line."""
        row, table = self.row_of(object_id), self.table
        if row is None:
            return f"Object {object_id}" if object_id else ""
        area, confidence = int(table.area[row]), float(table.confidence[row])
        parts = [
            printable(table.class_names[table.class_id[row] - 1]),
            f"{area:,} px{self._physical(area)}",
            "" if np.isnan(confidence) else f"confidence {confidence:.2f}",
            str(table.state[row]),
            "cut by the border" if table.touches_border[row] else "",
        ]
        return f"Object {object_id}: " + ", ".join(part for part in parts if part)

    def refresh(self) -> None:
        """Draw the frame that is shown anew, because its ids changed."""
        if self.layer is not None and self.layer.visible:
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _physical(self, area: int) -> str:
        metadata = noted_metadata(self.masks) if self.masks is not None else None
        if metadata is None or metadata.pixel_size is None or not metadata.unit:
            return ""
        height, width = metadata.pixel_size
        unit = "µm" if metadata.unit == MICROMETER else metadata.unit
        return f" ({area * height * width:.4g} {unit}²)"

    def _tell_layer(self) -> None:
        """Give the layer the table, which napari shows in its status bar, and colours."""
        assert self.layer is not None
        self.layer.features = object_features(self.table)
        self.colour()

    def colour(self) -> None:
        """Colour the layer anew, because what colours tell has changed."""
        if self.layer is None:
            return
        masks = self.masks
        colours = object_colormap(
            self.table,
            self._colouring,
            metadata=noted_metadata(masks if masks is not None else self.layer),
            chosen=self._chosen,
            frame=self.frame,
            tracks=None if self.track_of is None else self.track_of(self.table),
        )
        colours.use_selection = self.layer.show_selected_label  # napari keeps it in the old one
        colours.selection = self.layer.selected_label
        self.layer.colormap = colours
        self.coloured.emit()

    def _show_frame_colours(self, _: object = None) -> None:
        if self.layer is not None and self._colouring != "id" and is_crowded(self.table):
            self.colour()

    def _press(self, viewer: "Viewer", event: object) -> Generator[None, None, None]:
        """Choose the object that is clicked on, unless the mouse paints or moves the view."""
        active = viewer.layers.selection.active
        mode = str(getattr(active, "mode", "pan_zoom"))
        is_free = self.picks and mode in ("pan_zoom", "pick")
        if self.layer is None or not self.layer.visible or not is_free:
            return
        start = np.asarray(event.pos)  # type: ignore[attr-defined]
        yield
        while event.type == "mouse_move":  # type: ignore[attr-defined]
            yield
        if np.abs(np.asarray(event.pos) - start).max() > CLICK_PX:  # type: ignore[attr-defined]
            return
        value = self.layer.get_value(
            event.position,  # type: ignore[attr-defined]
            view_direction=event.view_direction,  # type: ignore[attr-defined]
            dims_displayed=event.dims_displayed,  # type: ignore[attr-defined]
            world=True,
        )
        self.choose(int(value or 0))

    def _forget_layer(self, event: object) -> None:
        layer = getattr(event, "value", None)
        if layer is self.masks:
            self.masks = None
        if layer is self.layer and layer is not None:
            self.clear()


def objects_layer(ids: "ArrayLike", masks: Labels, path: "Path | None" = None) -> Labels:
    """A layer of object ids over their class masks that is not in a viewer yet.

    Parameters
    ----------
    ids : (T, Y, X) uint32
        Ids of objects, 0 = background; a zarr array is shown as it is being written.
    masks : Labels
        Masks (T, Y, X) of their classes, which give it place and provenance.
    path : Path, optional
        File of the ids.
    """
    place = stack_transform(masks) | {"axis_labels": masks.axis_labels}
    made = dict(notes(masks).get("provenance") or {})  # type: ignore[call-overload]
    attributes = objects_attributes(ids.shape, noted_metadata(masks), path, made) | place
    layer = Labels(ids, name=objects_name(masks.name), **attributes)
    prepare(layer)
    return layer


def objects_attributes(
    shape: tuple[int, ...],
    metadata: StackMetadata,
    path: "Path | None" = None,
    provenance: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Attributes of a layer of object ids; `prepare` sets what a constructor does not take.

    Parameters
    ----------
    shape : (T, Y, X)
        Of the ids.
    metadata : StackMetadata
        Of the masks.
    path : Path, optional
        File of the ids.
    provenance : mapping, optional
        Model and settings that found them.
    """
    return {
        "opacity": 1.0 if will_be_outlined(shape) else AREA_OPACITY,
        **layer_transform(metadata),
        "metadata": {
            NOTES: {
                "objects": True,
                "path": None if path is None else str(path),
                "provenance": dict(provenance or {}),
                METADATA: metadata.for_masks().to_json(),
            }
        },
    }


def object_features(table: ObjectTable) -> dict[str, np.ndarray]:
    """Table of a layer of object ids, a row for each id: napari shows it in the status bar."""
    names = np.array(["", *table.class_names], dtype=object)
    return {
        "index": table.id.astype(np.int64),
        "class": names[table.class_id],
        "area": table.area,
        "confidence": np.round(table.confidence.astype(np.float64), 3),
        "state": table.state.astype(object),
    }


def objects_name(masks: str) -> str:
    """Name of the layer of the objects of a layer of masks: of 'cells masks', 'cells objects'."""
    before, found, after = masks.rpartition("masks")
    return f"{before}objects{after}" if found else f"{masks} objects"


def prepare(layer: Labels) -> None:
    """Show outlines where that is quick, and let nobody paint: classes are corrected, not ids."""
    # napari's own filter takes 0.25 s for 2048 × 2048 pixels, at each change of frame or colour
    layer._calculate_contour = functools.partial(_outlines, weakref.ref(layer))
    if will_be_outlined(layer.data.shape):
        layer.contour = outline_width(layer.data.shape)
    layer.editable = False


def outline_width(shape: tuple[int, ...]) -> int:
    """Width of outlines that can be seen on a frame of (T, Y, X), in pixels."""
    return max(OUTLINE, round(max(shape[-2:]) / 800))


def _outlines(
    layer: "weakref.ref[Labels]", ids: np.ndarray, part: tuple[slice, ...]
) -> np.ndarray | None:
    """Outlines (Y, X) of a part of a frame of ids, as `Labels._calculate_contour` gives them."""
    shown = layer()
    width = 0 if shown is None else int(shown.contour)
    if width < 1 or ids.ndim != 2:
        return None
    return outlined(ids[part], width)


def outlined(ids: np.ndarray, width: int) -> np.ndarray:
    """Ids (Y, X) without the inside of objects: what is farther than `width` from others is 0."""
    edge = np.zeros(ids.shape, bool)
    for here, there in _NEIGHBOURS:
        edge[here] |= ids[here] != ids[there]
    for _ in range(width - 1):
        thin = edge.copy()
        for here, there in _NEIGHBOURS:
            edge[here] |= thin[there]
    return np.where(edge, ids, 0).astype(ids.dtype)


_ALL, _FIRST, _LAST = slice(None), slice(None, -1), slice(1, None)
_NEIGHBOURS = (
    ((_FIRST, _ALL), (_LAST, _ALL)),
    ((_LAST, _ALL), (_FIRST, _ALL)),
    ((_ALL, _FIRST), (_ALL, _LAST)),
    ((_ALL, _LAST), (_ALL, _FIRST)),
)


def will_be_outlined(shape: tuple[int, ...]) -> bool:
    """Whether frames of (T, Y, X) are outlined at first, rather than filled."""
    return int(np.prod(shape[-2:])) <= MANY_PIXELS


def _ordered(table: ObjectTable) -> ObjectTable:
    """The rows of a table by frame and id."""
    order = np.lexsort((table.id, table.frame))
    return table if (np.diff(order) == 1).all() else table.select(order)
