"""The dock: one tab for each panel."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_rleseg.panels import PANELS
from napari_rleseg.session import Session
from napari_rleseg.widgets.controls import scrolled

if TYPE_CHECKING:
    import napari.viewer


class Workbench(QWidget):
    """All panels over one session; each is also an attribute by its name, such as ``segment``.

    Parameters
    ----------
    napari_viewer : Viewer
        The viewer to work in.

    Attributes
    ----------
    panels : dict of str to QWidget
        The panels by name.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.session = Session.of(napari_viewer)
        self._watched: QWidget | None = None
        self.panels = {panel.name: panel.create(self.session) for panel in PANELS}
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setUsesScrollButtons(False)  # the dock is no narrower than the titles
        self.tabs.setElideMode(Qt.TextElideMode.ElideNone)
        self.tabs.tabBar().setExpanding(True)
        self.tabs.tabBar().setDrawBase(False)
        for panel in PANELS:
            setattr(self, panel.name, self.panels[panel.name])
            self.tabs.addTab(scrolled(self.panels[panel.name]), panel.title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(self.tabs)
        self.setMinimumWidth(320)

    def show_tab(self, title: str) -> None:
        """Bring the tab of that title to the front."""
        titles = [self.tabs.tabText(index) for index in range(self.tabs.count())]
        self.tabs.setCurrentIndex(titles.index(title))

    def showEvent(self, event: QShowEvent) -> None:
        """Start the inference process with its model, and end the session with the window."""
        super().showEvent(event)
        self.session.inference.warm_up("rleseg_core.inference", "napari_rleseg.tasks")
        self.session.shown.emit()
        self.session.reading.warm_up("pandas")  # which napari imports with the first layer
        window = self.window()
        if window is not self._watched and window is not self:
            self._watched = window
            window.destroyed.connect(self.session.close)
