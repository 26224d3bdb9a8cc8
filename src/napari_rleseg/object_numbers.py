"""Ids written on the objects of the frame that is shown."""

import weakref
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_rleseg.calibration import NOTES
from napari_rleseg.objects import ObjectView

if TYPE_CHECKING:
    from napari.viewer import Viewer

NAME = "numbers"
SIZE = 10  # of the text, in points
MOST = 2000  # numbers in a frame; more can be neither read nor drawn quickly


class ObjectNumbers:
    """A layer of points that shows the ids of the objects of the current frame.

    The layer is made when it is first wanted and then hidden, never removed: napari 0.9.2 can
    crash after layers were removed.

    Parameters
    ----------
    viewer : Viewer
        Kept weakly.
    objects : ObjectView
        Whose ids are shown.
    """

    def __init__(self, viewer: "Viewer", objects: ObjectView):
        self._viewer = weakref.ref(viewer)
        self._objects = objects
        self._layer: Points | None = None
        self._on = False

    @property
    def on(self) -> bool:
        """Whether numbers are shown."""
        return self._on

    @on.setter
    def on(self, on: bool) -> None:
        if on != self._on:
            self._on = on
            self.update()

    def update(self, _: object = None) -> None:
        """Show the numbers of the frame that is shown now."""
        viewer, objects = self._viewer(), self._objects
        if viewer is None:
            return
        layer = self._layer if self._layer in viewer.layers else None
        if not self._on or objects.layer is None or not objects.layer.visible:
            if layer is not None:
                layer.visible = False
            return
        rows = objects.table.in_frames([objects.frame])
        rows = rows.select(np.argsort(-rows.area, kind="stable")[:MOST])
        places = np.stack([rows.frame, rows.row, rows.col], axis=1).astype(float)
        if layer is None:
            layer = self._layer = self._added(viewer)
        layer.scale, layer.translate = objects.layer.scale, objects.layer.translate
        layer.units = objects.layer.units
        layer.data = places
        layer.features = {"id": rows.id.astype(np.int64)}
        layer.text = {"string": "{id}", "size": SIZE, "color": "white", "anchor": "center"}
        layer.visible = True

    def _added(self, viewer: "Viewer") -> Points:
        active = viewer.layers.selection.active
        layer = viewer.add_points(
            np.zeros((0, 3)),
            name=NAME,
            size=1,
            face_color="transparent",
            border_color="transparent",
            metadata={NOTES: {"preview": True}},
        )
        layer.editable = False
        viewer.layers.selection.active = active
        return layer
