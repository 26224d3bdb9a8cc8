"""The tracks of objects in the viewer: a layer of lines, and which track is chosen."""

import weakref
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Tracks
from napari.utils.colormaps import Colormap
from psygnal import Signal

from napari_rleseg.calibration import NOTES
from napari_rleseg.layers import show_frame
from napari_rleseg.object_colours import palette
from napari_rleseg.objects import ObjectView
from rleseg_core.objects import ObjectTable
from rleseg_core.tracks import Node, TrackEditor

if TYPE_CHECKING:
    from napari.viewer import Viewer

COLOUR = "colour"  # the feature by which lines are coloured
MANY = 30_000  # objects, above which only the chosen lineage is drawn: napari takes 0.1 s for more
TAIL = 10  # frames
WIDTH = 3  # of lines


class TrackView:
    """The tracks that a viewer shows over the objects they are of.

    Parameters
    ----------
    viewer : Viewer
        Kept weakly.
    objects : ObjectView
        The objects.

    Attributes
    ----------
    editor : TrackEditor or None
        The tracks, which can be corrected; None where there are none.
    layer : Tracks or None
        The layer that shows them, made when first needed and then hidden, never removed: napari
        0.9.2 can crash after layers were removed.
    """

    changed = Signal()  # other tracks, or a correction

    def __init__(self, viewer: "Viewer", objects: ObjectView):
        self._viewer = weakref.ref(viewer)
        self._objects = objects
        self.editor: TrackEditor | None = None
        self.layer: Tracks | None = None
        self._of: Labels | None = None
        self._only_lineage = False
        objects.chosen.connect(self._show_chosen)
        viewer.layers.events.removed.connect(self._forget_layer)

    @property
    def of(self) -> Labels | None:
        """The layer of objects that the tracks are of."""
        return self._of

    @property
    def only_lineage(self) -> bool:
        """Whether lines are drawn of the lineage of the chosen object only."""
        return self._only_lineage or (self.editor is not None and len(self.editor) > MANY)

    @only_lineage.setter
    def only_lineage(self, only: bool) -> None:
        if only != self._only_lineage:
            self._only_lineage = only
            self._draw()

    def show(self, editor: TrackEditor) -> None:
        """Show tracks of the objects that are shown now, which are coloured by them then."""
        if self.editor is not None and self.editor is not editor:
            self.editor.close()
        self.editor, self._of = editor, self._objects.layer
        self._objects.track_of = self.tracks_of
        self._objects.colouring = "track"
        self.update()

    def clear(self) -> None:
        """Show no tracks any longer; other programs may correct them then."""
        if self.editor is None:
            return
        self.editor.close()
        self.editor = self._of = self._objects.track_of = None
        if self.layer is not None:
            self.layer.visible = False
        if self._objects.colouring == "track":
            self._objects.colouring = "id"
        self.changed.emit()

    def close(self) -> None:
        """Let other programs correct the tracks; what is shown stays."""
        if self.editor is not None:
            self.editor.close()

    def update(self) -> None:
        """Show tracks that have changed."""
        if self._objects.colouring == "track":
            self._objects.colour()
        self._draw()
        self.changed.emit()

    def tracks_of(self, table: ObjectTable) -> np.ndarray:
        """Tracks (n,) int64 of the objects of a table; 0 for those that have none."""
        rows = self._rows_of(table)
        if self.editor is None or not len(self.editor):
            return np.zeros(len(table), np.int64)
        return np.where(rows >= 0, self.editor.track[rows], 0)

    def n_kept(self, table: ObjectTable) -> int:
        """How many objects of a table the tracks have with the same number of pixels."""
        rows = self._rows_of(table)
        if self.editor is None or not len(self.editor):
            return 0
        return int(((rows >= 0) & (self.editor.area[rows] == table.area)).sum())

    def _rows_of(self, table: ObjectTable) -> np.ndarray:
        """Rows (n,) int64 of the objects of a table among the tracks; -1 for those without.

        An object that lies elsewhere than that of its id did is another one, segmented since.
        """
        editor = self.editor
        if editor is None or not len(editor):
            return np.full(len(table), -1, np.int64)
        width = max(int(editor.object.max()), int(table.id.max(initial=0))) + 1
        known = editor.frame * width + editor.object
        order = np.argsort(known, kind="stable")
        wanted = table.frame * width + table.id.astype(np.int64)
        at = np.minimum(np.searchsorted(known[order], wanted), known.size - 1)
        rows = order[at]
        away = np.hypot(*(np.stack([table.row, table.col]) - editor.centroids[:, rows]))
        is_same = (known[rows] == wanted) & (away <= np.sqrt(table.area))
        return np.where(is_same, rows, -1)

    @property
    def n_unlinked(self) -> int:
        """Objects that are shown and have no track, because they changed since."""
        if self.editor is None:
            return 0
        return int((self.tracks_of(self._objects.table) == 0).sum())

    @property
    def chosen(self) -> Node | None:
        """The object that is chosen, if it has a track."""
        row = self._objects.row_of(self._objects.chosen_id)
        if row is None or self.editor is None:
            return None
        table = self._objects.table
        node = Node(int(table.frame[row]), int(table.id[row]))
        return None if self.editor.row_of(node) is None else node

    @property
    def chosen_row(self) -> int | None:
        """Row of the chosen object among the tracks."""
        node = self.chosen
        return None if node is None or self.editor is None else self.editor.row_of(node)

    @property
    def chosen_track(self) -> int:
        """Track of the chosen object; 0 for none."""
        row = self.chosen_row
        return 0 if row is None or self.editor is None else int(self.editor.track[row])

    def choose(self, row: int, *, centre: bool = False) -> None:
        """Choose the object of a row, and show its frame.

        Parameters
        ----------
        row : int
            Of the tracks.
        centre : bool
            Whether the view is centred on it.
        """
        editor, viewer = self.editor, self._viewer()
        if editor is None or viewer is None or self._of is None:
            return
        node = editor.node(row)
        self._objects.choose(node.object, go=True)
        if centre:
            place = (node.frame, *editor.centroids[:, row])
            viewer.scene.camera.center = (0.0, *self._of.data_to_world(place)[-2:])

    def choose_track(self, track: int) -> None:
        """Choose the object of a track in the frame that is shown, or that nearest to it."""
        if self.editor is not None:
            rows = self.editor.rows_of(track)
            if rows.size:
                away = np.abs(self.editor.frame[rows] - self._objects.frame)
                self.choose(int(rows[away.argmin()]))

    def show_frame(self, frame: int) -> None:
        """Show a frame of the objects."""
        viewer, layer = self._viewer(), self._objects.layer
        if viewer is not None and layer is not None:
            show_frame(viewer, layer, frame)

    def lineage(self, track: int) -> list[int]:
        """The tracks that have the same ancestor as a track, and the track itself."""
        if self.editor is None or not track:
            return []
        parents = self.editor.parents()
        root = track
        while root in parents:
            root = parents[root]
        daughters = self.daughters()
        found = [root]
        for one in found:
            found += daughters.get(one, [])
        return found

    def daughters(self) -> dict[int, list[int]]:
        """The daughters of each track that has any."""
        daughters: dict[int, list[int]] = {}
        for track, parent in ({} if self.editor is None else self.editor.parents()).items():
            daughters.setdefault(parent, []).append(track)
        return daughters

    def _show_chosen(self, _: int) -> None:
        if self.only_lineage:
            self._draw()

    def _draw(self) -> None:
        """Draw the lines of the tracks, or of the chosen lineage."""
        editor, viewer = self.editor, self._viewer()
        if editor is None or viewer is None or self._of is None:
            return
        rows = np.arange(len(editor))
        if self.only_lineage:
            rows = np.flatnonzero(np.isin(editor.track, self.lineage(self.chosen_track)))
        if not rows.size:
            if self.layer is not None:
                self.layer.visible = False
            return
        rows = rows[np.lexsort((editor.frame[rows], editor.track[rows]))]
        track = editor.track[rows]
        data = np.column_stack([track, editor.frame[rows], *editor.centroids[:, rows]])
        known = set(track.tolist())
        graph = {one: [of] for one, of in editor.parents().items() if {one, of} <= known}
        was_hidden = self.layer is None or not self.layer.visible
        if self.layer is None or self.layer not in viewer.layers:
            self.layer = self._added(viewer, data)
        layer = self.layer
        layer.color_by = "track_id"  # with new data, napari forgets the other features
        layer.data = data
        colours = len(palette())
        layer.features = {"track_id": track, COLOUR: ((track - 1) % colours + 0.5) / colours}
        layer.graph = graph
        layer.color_by = COLOUR
        layer.scale, layer.translate = self._of.scale[-3:], self._of.translate[-3:]
        layer.units = self._of.units[-3:]
        if was_hidden:
            layer.visible = True

    def _added(self, viewer: "Viewer", data: np.ndarray) -> Tracks:
        active = viewer.layers.selection.active
        assert self._of is not None
        colours = palette()
        layer = Tracks(
            data,
            name=self._of.name.replace("objects", "tracks"),
            colormaps_dict={COLOUR: Colormap(colours, interpolation="zero", name="ids")},
            tail_width=WIDTH,
            tail_length=TAIL,
            blending="translucent",  # the lines have the colours of the objects
            metadata={NOTES: {"preview": True}},
        )
        viewer.add_layer(layer)
        viewer.layers.selection.active = active
        return layer

    def _forget_layer(self, event: object) -> None:
        if getattr(event, "value", None) is self.layer:
            self.layer = None
