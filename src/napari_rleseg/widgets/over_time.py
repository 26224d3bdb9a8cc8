"""Counts and areas of objects over time, as two plots that follow the time slider."""

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import QPointF
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_rleseg.layers import noted_metadata
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from rleseg_core.data.metadata import UNKNOWN

if TYPE_CHECKING:
    from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent

HEIGHT = 220


class OverTime(QWidget):
    """How many objects there are of each class, and how large they are, frame by frame.

    The area of the chosen track is drawn over the means of the classes. A click shows a frame.

    Parameters
    ----------
    session : Session
        Its objects and tracks are shown.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session, self._objects = session, session.objects
        self._canvas = pg.GraphicsLayoutWidget()
        self._canvas.setFixedHeight(HEIGHT)
        self.counts = self._canvas.addPlot(row=0, col=0)
        self.areas = self._canvas.addPlot(row=1, col=0)
        self.counts.setLabel("left", "objects")
        self.areas.setLabel("left", "area (px)")
        self.areas.setLabel("bottom", "frame")
        self.areas.setXLink(self.counts)
        self.counts.getAxis("bottom").setStyle(showValues=False)
        self._lines = []
        for plot in (self.counts, self.areas):
            plot.setMenuEnabled(False)
            menu = plot.ctrlMenu  # made without a parent: it would outlive the panel
            menu.setParent(self, menu.windowFlags())
            plot.hideButtons()
            plot.setMouseEnabled(x=False, y=False)
            plot.getAxis("left").setWidth(60)
            plot.getAxis("left").enableAutoSIPrefix(False)
            line = pg.InfiniteLine()
            plot.addItem(line, ignoreBounds=True)
            self._lines.append(line)
        self.setToolTip("Objects of each class, and their mean area; white: the chosen track")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._canvas)
        self._curves: dict[str, pg.PlotDataItem] = {}
        self._chosen = self.areas.plot()
        self._canvas.scene().sigMouseClicked.connect(self._click)
        listen(session.objects.changed, self._show, self)
        listen(session.tracks.changed, self._show_chosen, self)
        listen(session.objects.chosen, self._show_chosen, self)
        listen(session.viewer.dims.events.current_step, self._show_frame, self)
        listen(session.viewer.events.theme, self._paint, self)
        self._paint()

    def _paint(self, _: object = None) -> None:
        theme = get_theme(self._session.viewer.theme)
        text = theme.text.as_hex()
        self._canvas.setBackground(theme.background.as_hex())
        for plot, line in zip((self.counts, self.areas), self._lines, strict=True):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(theme.secondary.as_hex())
                plot.getAxis(side).setTextPen(text)
            line.setPen(pg.mkPen(theme.current.as_hex(), width=1))
        self._chosen.setPen(pg.mkPen(text, width=2))
        self._show()

    def _show(self) -> None:
        """Draw the counts and the mean areas of another table."""
        table, n_frames = self._objects.table, self._objects.n_frames
        self.setVisible(n_frames > 1)
        for name, curve in self._curves.items():
            (self.counts if name.startswith("n") else self.areas).removeItem(curve)
        self._curves = {}
        if n_frames < 1:
            return
        masks = self._objects.masks
        metadata = UNKNOWN if masks is None else noted_metadata(masks)
        frames = np.arange(n_frames)
        for plot, key, values in (
            (self.counts, "n", table.counts(n_frames)),
            (self.areas, "a", table.mean_areas(n_frames)),
        ):
            for index in range(table.n_classes):
                pen = pg.mkPen(metadata.colour_of(index + 1), width=2)
                self._curves[f"{key}{index}"] = plot.plot(
                    frames, values[:, index].astype(float), pen=pen, connect="finite"
                )
        self.counts.setXRange(0, max(n_frames - 1, 1))
        self._show_chosen()
        self._show_frame()

    def _show_chosen(self, _: object = None) -> None:
        """Draw the area of the chosen track."""
        tracks, table = self._session.tracks, self._objects.table
        track = tracks.chosen_track
        if not track:
            self._chosen.setData([], [])
            return
        rows = np.flatnonzero(tracks.tracks_of(table) == track)
        self._chosen.setData(table.frame[rows].astype(float), table.area[rows].astype(float))

    def _show_frame(self, _: object = None) -> None:
        for line in self._lines:
            line.setValue(self._objects.frame)

    def _click(self, event: "MouseClickEvent") -> None:
        for plot in (self.counts, self.areas):
            if plot.sceneBoundingRect().contains(event.scenePos()):
                place: QPointF = plot.vb.mapSceneToView(event.scenePos())
                frame = min(max(round(place.x()), 0), self._objects.n_frames - 1)
                self._session.tracks.show_frame(frame)
