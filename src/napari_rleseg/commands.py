"""Commands of the menus and of the command palette; each opens the workbench if it is not open."""

from typing import TYPE_CHECKING

import napari.viewer
from napari.utils.notifications import show_info

from napari_rleseg.session import Session

if TYPE_CHECKING:
    from napari_rleseg.widgets.main import Workbench


def _workbench(viewer: napari.viewer.Viewer, tab: str) -> "Workbench":
    _, workbench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")
    workbench.show_tab(tab)
    return workbench


def open_load(viewer: napari.viewer.Viewer) -> None:
    """Show the Load tab."""
    _workbench(viewer, "Load")


def open_segment(viewer: napari.viewer.Viewer) -> None:
    """Show the Segment tab."""
    _workbench(viewer, "Segment")


def open_animate(viewer: napari.viewer.Viewer) -> None:
    """Show the Animate tab."""
    _workbench(viewer, "Animate")


def open_correct(viewer: napari.viewer.Viewer) -> None:
    """Show the Correct tab."""
    _workbench(viewer, "Correct")


def open_finetune(viewer: napari.viewer.Viewer) -> None:
    """Show the Fine-tune tab."""
    _workbench(viewer, "Fine-tune")


def segment_frame(viewer: napari.viewer.Viewer) -> None:
    """Segment the frame that is shown."""
    _workbench(viewer, "Segment").segment.start_with("Current frame")


def segment_series(viewer: napari.viewer.Viewer) -> None:
    """Segment all frames."""
    _workbench(viewer, "Segment").segment.start_with("All frames")


def cancel(viewer: napari.viewer.Viewer) -> None:
    """Ask all jobs of this viewer to stop."""
    session = Session.of(viewer)
    runners = [runner for runner in session.runners if runner.busy]
    for runner in runners:
        runner.cancel()
    show_info("Cancelling…" if runners else "No job is running")
