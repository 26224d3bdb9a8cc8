"""Commands of the menus and of the command palette; each opens the workbench if it is not open.

Each panel has a command ``open_<name>``, made from the list of panels.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import napari.viewer
from napari.utils.notifications import show_info

from napari_rleseg.panels import PANELS
from napari_rleseg.session import Session

if TYPE_CHECKING:
    from napari_rleseg.widgets.segment import SegmentWidget
    from napari_rleseg.widgets.workbench import Workbench


def segment_frame(viewer: napari.viewer.Viewer) -> None:
    """Segment the frame that is shown."""
    _segment_panel(viewer).start_with("Current frame")


def segment_series(viewer: napari.viewer.Viewer) -> None:
    """Segment all frames."""
    _segment_panel(viewer).start_with("All frames")


def cancel(viewer: napari.viewer.Viewer) -> None:
    """Ask all jobs of this viewer to stop."""
    session = Session.of(viewer)
    runners = [runner for runner in session.runners if runner.busy]
    for runner in runners:
        runner.cancel()
    show_info("Cancelling…" if runners else "No job is running")


def __getattr__(name: str) -> Callable[[napari.viewer.Viewer], None]:
    for panel in PANELS:
        if name == f"open_{panel.name}":
            return _opener(name, panel.title)
    raise AttributeError(name)


def _opener(name: str, title: str) -> Callable[[napari.viewer.Viewer], None]:
    def show(viewer: napari.viewer.Viewer) -> None:
        _workbench(viewer).show_tab(title)

    show.__name__, show.__doc__ = name, f"Show the {title} tab."
    return show


def _workbench(viewer: napari.viewer.Viewer) -> "Workbench":
    _, workbench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")
    return workbench


def _segment_panel(viewer: napari.viewer.Viewer) -> "SegmentWidget":
    workbench = _workbench(viewer)
    workbench.show_tab("Segment")
    panel: SegmentWidget = workbench.panels["segment"]
    return panel
