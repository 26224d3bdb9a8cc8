import gc
import os
import weakref

import pytest
from napari.components import ViewerModel
from napari.plugins import _initialize_plugins
from napari.settings import get_plugin_settings
from qtpy.QtWidgets import QWidget

from napari_rleseg import commands
from napari_rleseg.panels import PANELS, Panel
from napari_rleseg.preferences import DEFAULTS, preference
from napari_rleseg.session import Session
from napari_rleseg.widgets.controls import Folded
from napari_rleseg.widgets.workbench import Workbench

pytestmark = pytest.mark.gui


@pytest.fixture
def workbench(session, qtbot):
    """The workbench by itself, without a window."""
    widget = Workbench(session.viewer)
    qtbot.addWidget(widget)
    return widget


def open_workbench(session):
    return session.viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")[1]


@pytest.mark.window
def test_dock_has_a_whole_tab_for_each_step_at_350_pixels(session, qtbot, qapp):
    tabs = open_workbench(session).tabs
    titles = [tabs.tabText(index) for index in range(tabs.count())]
    assert titles == [panel.title for panel in PANELS]
    for index in range(tabs.count()):
        panel = tabs.widget(index).widget()
        for folded in panel.findChildren(Folded):
            folded.box.setChecked(True)
        tabs.setCurrentIndex(index)
        for part in panel.findChildren(QWidget):  # with all that is shown at some time
            if part.isHidden() and not part.isWindow():
                part.show()
        qapp.processEvents()  # the layout takes the style of napari and what was unfolded
        assert panel.minimumSizeHint().width() <= tabs.widget(index).viewport().width() <= 360, (
            titles[index]
        )
    bar = tabs.tabBar()
    qtbot.waitUntil(lambda: bar.width() >= 300)
    assert not bar.usesScrollButtons()
    for index in range(bar.count()):
        text = bar.fontMetrics().horizontalAdvance(bar.tabText(index))
        assert bar.tabRect(index).width() >= text
    assert bar.tabRect(bar.count() - 1).right() <= bar.width()


def test_time_axis_has_a_name(viewer):
    viewer.open_sample("napari-rleseg", "cells")
    assert viewer.dims.axis_labels == ("t", "y", "x")


def test_a_model_chosen_in_one_tab_is_that_of_all(workbench, tiny_model):
    workbench.session.model = tiny_model
    for panel in (workbench.segment, workbench.animate):
        assert panel.model.model.path == tiny_model.path
    assert workbench.finetune.base.model.path == tiny_model.path


def test_two_viewers_have_two_sessions(session, workbench):
    other = ViewerModel()
    assert Session.of(other) is not session
    assert workbench.session is session


@pytest.mark.window
def test_commands_open_their_tab(session):
    for panel in PANELS:
        getattr(commands, f"open_{panel.name}")(session.viewer)
        workbench = open_workbench(session)
        assert workbench.tabs.tabText(workbench.tabs.currentIndex()) == panel.title


TOY_PANEL = """
from qtpy.QtWidgets import QLabel

class ToyWidget(QLabel):
    def __init__(self, session):
        super().__init__("a toy")
        self.session = session
"""


@pytest.mark.window
def test_new_panel_is_one_file_and_one_line(session, monkeypatch, tmp_path):
    (tmp_path / "toy_panel.py").write_text(TOY_PANEL)
    monkeypatch.syspath_prepend(tmp_path)
    toy = Panel("toy", "Toy", "toy_panel:ToyWidget", "Play with the toy")
    try:
        PANELS.append(toy)
        commands.open_toy(session.viewer)
        workbench = open_workbench(session)
        assert workbench.tabs.tabText(workbench.tabs.currentIndex()) == "Toy"
        assert workbench.panels["toy"].text() == "a toy"
        assert workbench.panels["toy"].session is workbench.session
    finally:
        PANELS.remove(toy)


@pytest.mark.window
def test_frame_that_is_shown_is_segmented_by_a_command(session, cells, tiny_model, qtbot):
    session.model = tiny_model
    session.viewer.dims.set_current_step(0, 2)
    commands.segment_frame(session.viewer)
    segmentation = open_workbench(session).segment.segmentation
    with qtbot.waitSignal(segmentation.stopped) as how:
        assert segmentation.running
    assert how.args == ["finished"]
    names = [layer.name for layer in session.viewer.layers]
    assert names == ["cells", "cells masks", "cells objects"]
    assert [frame for frame in range(4) if session.result.data[frame].any()] == [2]


def test_closing_the_window_ends_the_processes(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    session = Session.of(viewer)
    open_workbench(session)
    qtbot.waitUntil(lambda: session.inference._child is not None)
    process = session.inference._child.process
    viewer.close()
    qtbot.waitUntil(lambda: process.poll() is not None)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_preferences_have_the_defaults_that_are_written_down():
    _initialize_plugins()
    for (section, name), value in DEFAULTS.items():
        assert preference(section, name) == value
    settings = get_plugin_settings("napari-rleseg")
    assert settings.inference.device == "auto"


def test_session_of_a_closed_viewer_is_forgotten():
    model = ViewerModel()
    session = weakref.ref(Session.of(model))
    del model
    gc.collect()
    assert session() is None
