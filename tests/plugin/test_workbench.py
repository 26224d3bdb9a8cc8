import gc
import os
import weakref

import pytest
from napari.settings import get_plugin_settings

from napari_rleseg import commands
from napari_rleseg.panels import PANELS, Panel
from napari_rleseg.preferences import DEFAULTS, preference
from napari_rleseg.session import Session

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    yield viewer
    Session.of(viewer).close()
    qtbot.wait(200)


def open_workbench(viewer):
    return viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")[1]


def test_dock_has_a_tab_for_each_step_at_300_pixels(viewer):
    workbench = open_workbench(viewer)
    tabs = workbench.tabs
    titles = [tabs.tabText(index) for index in range(tabs.count())]
    assert titles == ["Load", "Segment", "Animate", "Correct", "Fine-tune"]
    for index in range(tabs.count()):
        panel = tabs.widget(index).widget()
        assert panel.minimumSizeHint().width() <= 330, titles[index]


def test_titles_of_the_tabs_are_never_cut(viewer, qtbot):
    bar = open_workbench(viewer).tabs.tabBar()
    qtbot.waitUntil(lambda: bar.width() >= 300)
    assert not bar.usesScrollButtons()
    for index in range(bar.count()):
        text = bar.fontMetrics().horizontalAdvance(bar.tabText(index))
        assert bar.tabRect(index).width() >= text
    assert bar.tabRect(bar.count() - 1).right() <= bar.width()


def test_time_axis_has_a_name(viewer):
    viewer.open_sample("napari-rleseg", "cells")
    assert viewer.dims.axis_labels == ("t", "y", "x")


def test_a_model_chosen_in_one_tab_is_that_of_all(viewer, tiny_model):
    workbench = open_workbench(viewer)
    workbench.session.model = tiny_model
    for panel in (workbench.segment, workbench.animate):
        assert panel.model.model.path == tiny_model.path
    assert workbench.finetune.base.model.path == tiny_model.path


def test_two_viewers_have_two_sessions(make_napari_viewer, viewer):
    other = make_napari_viewer()
    assert Session.of(viewer) is not Session.of(other)
    assert Session.of(viewer) is open_workbench(viewer).session


def test_commands_open_their_tab(viewer):
    for panel in PANELS:
        getattr(commands, f"open_{panel.name}")(viewer)
        workbench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")[1]
        assert workbench.tabs.tabText(workbench.tabs.currentIndex()) == panel.title


TOY_PANEL = """
from qtpy.QtWidgets import QLabel

class ToyWidget(QLabel):
    def __init__(self, session):
        super().__init__("a toy")
        self.session = session
"""


def test_new_panel_is_one_file_and_one_line(viewer, monkeypatch, tmp_path):
    (tmp_path / "toy_panel.py").write_text(TOY_PANEL)
    monkeypatch.syspath_prepend(tmp_path)
    toy = Panel("toy", "Toy", "toy_panel:ToyWidget", "Play with the toy")
    try:
        PANELS.append(toy)
        commands.open_toy(viewer)
        workbench = open_workbench(viewer)
        assert workbench.tabs.tabText(workbench.tabs.currentIndex()) == "Toy"
        assert workbench.panels["toy"].text() == "a toy"
        assert workbench.panels["toy"].session is workbench.session
    finally:
        PANELS.remove(toy)


def test_sample_of_the_file_menu_is_segmented_by_a_command(viewer, tiny_model, qtbot):
    viewer.open_sample("napari-rleseg", "cells")
    workbench = open_workbench(viewer)
    workbench.session.model = tiny_model
    commands.segment_frame(viewer)
    with qtbot.waitSignal(workbench.segment.segmentation.stopped) as how:
        assert workbench.segment.segmentation.running
    assert how.args == ["finished"]
    assert [layer.name for layer in viewer.layers][-1] == "simulated cells masks"


def test_closing_the_window_ends_the_processes(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    session = open_workbench(viewer).session
    qtbot.waitUntil(lambda: session.inference._child is not None)
    process = session.inference._child.process
    viewer.close()
    qtbot.waitUntil(lambda: process.poll() is not None)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_preferences_have_the_defaults_that_are_written_down(viewer):
    for (section, name), value in DEFAULTS.items():
        assert preference(section, name) == value
    settings = get_plugin_settings("napari-rleseg")
    assert settings.inference.device == "auto"


def test_session_of_a_closed_viewer_is_forgotten():
    from napari.components import ViewerModel

    model = ViewerModel()
    session = weakref.ref(Session.of(model))
    del model
    gc.collect()
    assert session() is None
