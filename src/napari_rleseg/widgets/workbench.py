"""The dock: one tab for each step of the work."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_rleseg.session import Session
from napari_rleseg.widgets.animate import AnimateWidget
from napari_rleseg.widgets.controls import scrolled
from napari_rleseg.widgets.correct import CorrectWidget
from napari_rleseg.widgets.finetune import FinetuneWidget
from napari_rleseg.widgets.load import LoadWidget
from napari_rleseg.widgets.segment import SegmentWidget

if TYPE_CHECKING:
    import napari.viewer


class Workbench(QWidget):
    """Load, Segment, Animate, Correct and Fine-tune, over one session.

    Parameters
    ----------
    napari_viewer : Viewer
        The viewer to work in.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.session = Session.of(napari_viewer)
        self._watched: QWidget | None = None
        self.load = LoadWidget(self.session)
        self.segment = SegmentWidget(self.session)
        self.animate = AnimateWidget(self.session)
        self.correct = CorrectWidget(self.session)
        self.finetune = FinetuneWidget(self.session)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setUsesScrollButtons(False)  # the dock is no narrower than the titles
        self.tabs.setElideMode(Qt.TextElideMode.ElideNone)
        self.tabs.tabBar().setExpanding(True)
        self.tabs.tabBar().setDrawBase(False)
        for title, panel in (
            ("Load", self.load),
            ("Segment", self.segment),
            ("Animate", self.animate),
            ("Correct", self.correct),
            ("Fine-tune", self.finetune),
        ):
            self.tabs.addTab(scrolled(panel), title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(self.tabs)
        self.setMinimumWidth(320)

    def show_tab(self, title: str) -> None:
        """Bring the tab of that title to the front."""
        titles = [self.tabs.tabText(index) for index in range(self.tabs.count())]
        self.tabs.setCurrentIndex(titles.index(title))

    def reset_choices(self, event: object = None) -> None:
        """Napari's call when its layers change."""
        self.segment.reset_choices()

    def showEvent(self, event: QShowEvent) -> None:
        """Get the process of the models ready, and end the session with the window."""
        super().showEvent(event)
        self.session.inference.warm_up("rleseg_core.inference")
        self.session.reading.warm_up("pandas")  # which napari imports with the first layer
        window = self.window()
        if window is not self._watched and window is not self:
            self._watched = window
            window.destroyed.connect(self.session.close)
