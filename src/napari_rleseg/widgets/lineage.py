"""The lineage of the chosen object: a tree of tracks, from the first ancestor on."""

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from napari_rleseg.object_colours import colours_of_ids
from napari_rleseg.objects import ObjectView
from napari_rleseg.signals import listen
from napari_rleseg.tracks import TrackView

MOST = 500  # tracks of a lineage that are listed
HEIGHT = 150


class LineageTree(QTreeWidget):
    """Shows the lineage of the chosen object; choosing a track shows its object.

    Parameters
    ----------
    tracks : TrackView
        The tracks.
    objects : ObjectView
        Their objects, of which one is chosen.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, tracks: TrackView, objects: ObjectView, parent: QWidget | None = None):
        super().__init__(parent)
        self._tracks = tracks
        self._items: dict[int, QTreeWidgetItem] = {}
        self.setHeaderLabels(["Track", "Frames", "Ends"])
        self.setToolTip("Click on a track to show its cell")
        self.setFixedHeight(HEIGHT)
        header = self.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.itemClicked.connect(self._choose)
        listen(tracks.changed, self._show, self)
        listen(objects.chosen, self._show_chosen, self)
        self._show()

    @property
    def listed(self) -> list[int]:
        """The tracks that are listed, parents before their daughters."""
        return list(self._items)

    def _show(self) -> None:
        """List the lineage of the chosen track anew."""
        self.clear()
        self._items = {}
        track, editor = self._tracks.chosen_track, self._tracks.editor
        if editor is None or not track:
            return
        parents, daughters = editor.parents(), self._tracks.daughters()
        last_frame = int(editor.frame.max())
        for one in self._tracks.lineage(track)[:MOST]:
            frames = editor.frame[editor.rows_of(one)]
            first, last = int(frames[0]), int(frames[-1])
            gaps = last - first + 1 - frames.size
            item = QTreeWidgetItem(
                [str(one), f"{first}–{last}" + (f" ({gaps} missing)" if gaps else "")]
            )
            item.setText(2, _end(len(daughters.get(one, [])), last == last_frame))
            item.setIcon(0, _square(one))
            item.setData(0, Qt.ItemDataRole.UserRole, one)
            above = self._items.get(parents.get(one, 0))
            if above is None:
                self.addTopLevelItem(item)
            else:
                above.addChild(item)
            self._items[one] = item
        self.expandAll()
        self._mark(track)

    def _show_chosen(self, _: int) -> None:
        track = self._tracks.chosen_track
        if track in self._items:
            self._mark(track)
        else:
            self._show()

    def _mark(self, track: int) -> None:
        item = self._items.get(track)
        if item is not None:
            self.setCurrentItem(item)
            self.scrollToItem(item)

    def _choose(self, item: QTreeWidgetItem, _: int) -> None:
        self._tracks.choose_track(int(item.data(0, Qt.ItemDataRole.UserRole)))


def _end(n_daughters: int, is_last: bool) -> str:
    if n_daughters:
        return "divides" if n_daughters > 1 else "goes on"
    return "" if is_last else "is lost"


def _square(track: int) -> QIcon:
    red, green, blue, _ = colours_of_ids(np.array([track]))[0].tolist()
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor.fromRgbF(red, green, blue))
    return QIcon(pixmap)
