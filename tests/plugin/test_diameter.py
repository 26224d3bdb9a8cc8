"""The diameter of objects in the Segment panel: typed in, estimated, drawn."""

from dataclasses import replace

import numpy as np
import pytest
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_rleseg.layers import provenance_of
from napari_rleseg.widgets.load import LoadWidget
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.checkpoints import load_checkpoint, save_checkpoint
from rleseg_core.objects.scale import DiameterEstimate

pytestmark = pytest.mark.gui


@pytest.fixture
def model(tiny_model, tmp_path):
    """The tiny model, which knows that its objects were 8 pixels wide."""
    known = replace(
        tiny_model,
        path=tmp_path / "known.safetensors",
        object_diameter=8.0,
        object_diameters=(5.0, 12.0),
    )
    save_checkpoint(known, load_checkpoint(tiny_model.path).weights)
    return known


@pytest.fixture
def panel(session, cells, model, qtbot) -> SegmentWidget:
    widget = SegmentWidget(session)
    qtbot.addWidget(widget)
    session.model = model
    widget.show()
    return widget


def drag(viewer, start, end):
    """Drag the mouse between two places (row, col) in pixels of the image, which has scale 0.5."""

    def how(place):
        world = (0, place[0] * 0.5, place[1] * 0.5)
        return {"position": world, "dims_displayed": [1, 2], "button": 1}

    mouse_press_callbacks(viewer, read_only_mouse_event("mouse_press", **how(start)))
    for share in (0.5, 1):
        place = np.array(start) + share * (np.array(end) - start)
        event = read_only_mouse_event("mouse_move", is_dragging=True, **how(place))
        mouse_move_callbacks(viewer, event)
    mouse_release_callbacks(viewer, read_only_mouse_event("mouse_release", **how(end)))


def test_diameter_decides_on_the_size_of_frames(panel, session, qtbot):
    panel.diameter.value.setValue(4)
    assert session.diameter == 4
    assert session.window_spec.image_size == 192
    assert panel.scale.text().startswith("Frames of 64 × 96 pixels are resized to 128 × 192;")
    with qtbot.waitSignal(panel.segmentation.stopped):
        panel.button.click()
    assert "Objects are about 4 px wide; frames are seen at 192 px" in panel.status.text()
    made = provenance_of(session.result)
    assert (made["image_size"], made["diameter"]) == (192, 4)


def test_diameter_and_image_size_exclude_each_other(panel, session):
    panel.diameter.value.setValue(4)
    panel.advanced.image_size.setValue(48)
    assert session.diameter is None
    assert panel.diameter.value.text() == "auto"
    panel.diameter.value.setValue(5)
    assert session.image_size is None
    assert panel.advanced.image_size.value() == 0


def test_opened_session_has_the_diameter_it_was_segmented_with(panel, session, qtbot):
    panel.diameter.value.setValue(4)
    with qtbot.waitSignal(panel.segmentation.stopped):
        panel.button.click()
    panel.diameter.value.setValue(0)
    load = LoadWidget(session)
    qtbot.addWidget(load)
    with qtbot.waitSignal(load.loaded):
        load.open_session(session.folder)
    assert session.diameter == 4


def test_model_that_knows_no_diameter_says_so(panel, session, tiny_model):
    session.model = tiny_model
    box = panel.diameter
    assert not box.value.isEnabled()
    assert "does not know how wide" in box.estimate.toolTip()


def test_estimate_fills_the_field_in(panel, session, qtbot, monkeypatch):
    found = DiameterEstimate(diameter=6.04, image_size=127, n_objects=9, rungs=())
    monkeypatch.setattr("rleseg_core.inference.Segmenter.estimate_diameter", lambda *_, **__: found)
    with qtbot.waitSignal(panel.diameter.estimation.stopped):
        panel.diameter.estimate.click()
        assert panel.diameter.estimate.text() == "Cancel"
    assert panel.diameter.value.value() == 6.0
    assert session.window_spec.image_size == 128
    assert panel.status.text() == "Objects are about 6.04 px wide"
    assert panel.diameter.estimate.text() == "Estimate"


def test_estimate_that_finds_nothing_leaves_the_field(panel, session, qtbot, monkeypatch):
    found = DiameterEstimate(diameter=None, image_size=None, n_objects=0, rungs=())
    monkeypatch.setattr("rleseg_core.inference.Segmenter.estimate_diameter", lambda *_, **__: found)
    panel.diameter.value.setValue(7)
    with qtbot.waitSignal(panel.diameter.estimation.stopped):
        panel.diameter.estimate.click()
    assert session.diameter == 7
    assert "draw a diameter" in panel.status.text()


def test_estimate_can_be_cancelled(panel, session, qtbot):
    with qtbot.waitSignal(panel.diameter.estimation.stopped):
        panel.diameter.estimate.click()
        panel.diameter.estimate.click()
    assert panel.status.text() == "Cancelled"
    assert session.diameter is None
    with qtbot.waitSignal(panel.segmentation.stopped) as how:
        panel.button.click()
    assert how.args == ["finished"]


def test_size_that_was_estimated_is_kept_for_the_animation(panel, session, qtbot, monkeypatch):
    from rleseg_core.inference import Scale

    seen = Scale(
        image_size=192, diameter=4.0, origin="estimate", text="objects are about 4 px wide"
    )
    monkeypatch.setattr("rleseg_core.inference.Segmenter.scale", lambda *_, **__: seen)
    with qtbot.waitSignal(panel.segmentation.stopped):
        panel.button.click()
    assert session.window_spec.image_size == 192
    assert (session.image_size, session.diameter) == (None, None)
    assert "Objects are about 4 px wide" in panel.status.text()


def test_what_is_done_before_the_first_window_is_said(panel, qtbot):
    told = []
    panel.segmentation.told.connect(told.append)
    with qtbot.waitSignal(panel.segmentation.stopped):
        panel.button.click()
    assert told == ["Looking how large the objects are…"]


def test_drawn_line_is_the_diameter_and_the_mouse_is_given_back(panel, session):
    viewer, box = session.viewer, panel.diameter
    viewer.add_labels(np.zeros((4, 96, 64), np.uint8), name="painted", scale=(1, 0.5, 0.5))
    painted = viewer.layers["painted"]
    painted.mode = "paint"
    n_callbacks = len(viewer.mouse_drag_callbacks)
    box.draw.click()
    assert box.draw.isChecked()
    assert viewer.layers.selection.active is session.image
    assert not viewer.scene.camera.mouse_pan
    drag(viewer, (20, 20), (26, 28))
    assert session.diameter == box.value.value() == 10
    assert not box.draw.isChecked()
    assert len(viewer.mouse_drag_callbacks) == n_callbacks
    assert viewer.layers.selection.active is painted
    assert not viewer.layers["diameter"].visible
    assert session.objects.picks
    assert not painted.data.any()


def test_click_without_a_drag_measures_nothing(panel, session):
    panel.diameter.draw.click()
    drag(session.viewer, (20, 20), (20, 21))
    assert session.diameter is None
    assert not panel.diameter.draw.isChecked()


def test_drawing_ends_with_its_button_and_when_the_panel_is_covered(panel, session):
    n_callbacks = len(session.viewer.mouse_drag_callbacks)
    for end in (panel.diameter.draw.click, panel.hide):
        panel.diameter.draw.click()
        assert panel.diameter.drawing.on
        end()
        assert not panel.diameter.drawing.on
        assert not panel.diameter.draw.isChecked()
        assert len(session.viewer.mouse_drag_callbacks) == n_callbacks
        panel.show()


def test_circle_is_drawn_again_on_another_image(panel, session, cells):
    panel.diameter.draw.click()
    drag(session.viewer, (20, 20), (26, 28))
    session.image = session.viewer.add_image(cells.images[0], name="one frame", scale=(0.5, 0.5))
    panel.diameter.draw.click()
    drag(session.viewer, (30, 20), (30, 25))
    assert session.diameter == 5
    circles = [layer for layer in session.viewer.layers if layer.name.startswith("diameter")]
    assert not any(layer.visible for layer in circles)


def test_window_can_be_closed_while_a_diameter_is_drawn(panel, session):
    panel.diameter.draw.click()
    panel.close()
    assert not panel.diameter.drawing.on
