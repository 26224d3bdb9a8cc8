import html

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_rleseg.layers import labels_layer, show_labels
from napari_rleseg.widgets.correct import CorrectWidget
from napari_rleseg.widgets.painting import PaintTools
from rleseg_core.corrections import CorrectionLog
from rleseg_core.data.colours import class_colour

pytestmark = pytest.mark.gui

NAMES = ("ipsc", "dfc")


@pytest.fixture
def masks(session, cells):
    """A result that has a hole to be corrected."""
    classes = cells.classes.copy()
    classes[:, 20:60, 10:40] = 0
    layer = show_labels(session.viewer, classes, NAMES, name="masks", image=session.image)
    session.result = layer
    return layer


@pytest.fixture
def widget(qtbot, session, masks):
    widget = CorrectWidget(session)
    qtbot.addWidget(widget)
    widget.show()
    return widget


@pytest.fixture
def begun(qtbot, widget, session):
    with qtbot.waitSignal(widget.correction.opened):
        qtbot.mouseClick(widget.start_page.start_button, Qt.MouseButton.LeftButton)
    session.viewer.dims.set_current_step(0, 0)
    yield widget
    widget.correction.finish()


def paint(layer, frame, row, col, label=1):
    layer.brush_size = 9
    layer.paint((frame, row, col), label)


def test_start_keeps_the_prediction_and_opens_a_copy(begun, session, masks):
    recorder = begun.correction.recorder
    layer = session.result
    assert layer is recorder.layer is not masks
    assert session.viewer.layers.selection.active is layer
    assert not masks.visible
    assert tuple(layer.scale) == tuple(session.image.scale)
    np.testing.assert_array_equal(recorder.log.prediction[:], masks.data)
    np.testing.assert_array_equal(layer.data[:], masks.data)
    assert recorder.log.folder.parent == session.folder
    assert recorder.log.image_path == session.path_of(session.image)
    assert session.corrections is recorder.log
    assert begun.tools.isVisible()
    assert not begun.start_page.start_button.isVisible()


def test_long_class_names_do_not_widen_the_panel(qtbot):
    name = "induced pluripotent stem cells, differentiated & stained"
    tools = PaintTools()
    qtbot.addWidget(tools)
    classes = np.zeros((1, 8, 8), np.uint8)
    tools.set_layer(labels_layer(classes, (name, "dfc", name), name="masks"))
    tools.resize(300, 200)
    tools.show()
    assert tools.minimumSizeHint().width() <= 300
    button, short = tools.classes.button(1), tools.classes.button(2)
    assert "…" in button.text()
    assert short.text() == "2  dfc"
    assert short.icon().pixmap(14, 14).toImage().pixelColor(7, 7).name() == class_colour(2).lower()
    assert name in html.unescape(button.toolTip())
    for each in (button, short):
        assert each.fontMetrics().horizontalAdvance(each.text()) < each.width()
    tools.set_layer(None)


def test_painted_frame_is_saved_and_told(qtbot, begun, session):
    told = []
    session.corrections_changed.connect(lambda: told.append(1))
    with qtbot.waitSignal(begun.correction.changed):
        paint(session.result, 0, 40, 20)
    assert told
    assert begun.status.text().startswith("1 frame corrected")
    assert begun.review.undo_button.text() == "Undo (1)"
    assert begun.review.revert_button.isEnabled()
    again = CorrectionLog(session.corrections.folder, read_only=True)
    np.testing.assert_array_equal(again.replay(), session.result.data[:])


def test_undo_shows_the_frame(qtbot, begun, session, masks):
    session.viewer.dims.set_current_step(0, 2)
    with qtbot.waitSignal(begun.correction.changed):
        paint(session.result, 2, 40, 20)
    session.viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: not begun.correction.recorder.pending)
    begun.review.undo_button.click()
    assert session.viewer.dims.current_step[0] == 2
    np.testing.assert_array_equal(session.result.data[:], masks.data)
    assert not begun.review.undo_button.isEnabled()
    begun.review.redo_button.click()
    assert (session.result.data[2] != masks.data[2]).any()


def test_accepting_goes_to_the_next_frame_to_review(begun, session):
    dims = session.viewer.dims
    dims.set_current_step(0, 1)
    for expected in (2, 3, 0, 0):
        begun.review.accept_button.click()
        assert dims.current_step[0] == expected
    assert session.corrections.accepted_frames() == [0, 1, 2, 3]
    assert "every frame is reviewed" in begun.status.text()
    assert begun.review.accept_button.isChecked()
    begun.review.accept_button.click()
    assert session.corrections.accepted_frames() == [1, 2, 3]
    dims.set_current_step(0, 2)
    begun.review.next_button.click()
    assert dims.current_step[0] == 0


def test_corrected_frames_are_found_and_reverted(qtbot, begun, session, masks):
    dims = session.viewer.dims
    dims.set_current_step(0, 3)
    with qtbot.waitSignal(begun.correction.changed):
        paint(session.result, 3, 40, 20)
    dims.set_current_step(0, 1)
    begun.review.next_corrected.click()
    assert dims.current_step[0] == 3
    begun.review.revert_button.click()
    np.testing.assert_array_equal(session.result.data[:], masks.data)
    assert session.corrections.corrected_frames() == []


def test_tools_and_layer_follow_each_other(begun, session):
    layer, tools = session.result, begun.tools
    assert [button.text() for button in tools.classes.buttons()] == ["1  ipsc", "2  dfc"]
    tools.classes.button(2).click()
    assert (layer.selected_label, str(layer.mode)) == (2, "paint")
    erase = next(b for b in tools.modes.buttons() if b.property("mode") == "erase")
    erase.click()
    assert str(layer.mode) == "erase"
    layer.mode = "fill"
    assert tools.modes.checkedButton().property("mode") == "fill"
    layer.selected_label = 1
    assert tools.classes.checkedId() == 1
    tools.brush.setValue(23)
    assert layer.brush_size == 23
    layer.brush_size = 5
    assert tools.brush.value() == 5


def test_keys_choose_classes_and_review(qtbot, begun, session):
    layer = session.result
    keys = {str(key): action for key, action in layer.keymap.items()}
    keys["2"](layer)
    assert layer.selected_label == 2
    keys["A"](layer)
    assert session.corrections.accepted_frames() == [0]
    keys["I"](layer)
    assert begun.review.compare_button.isChecked()
    begun.correction.finish()
    assert not layer.keymap


def test_prediction_is_shown_over_the_masks(begun, session, masks):
    begun.review.compare_button.click()
    layer = session.viewer.layers["prediction"]
    assert layer.visible
    assert layer.contour
    np.testing.assert_array_equal(layer.data[:], masks.data)
    assert session.viewer.layers.selection.active is session.result
    begun.review.compare_button.click()
    assert not layer.visible
    begun.review.finish_button.click()
    assert "prediction" not in session.viewer.layers
    assert begun.start_page.start_button.isVisible()


def test_strip_leads_to_its_frames(qtbot, begun, session):
    from qtpy.QtCore import QPoint

    strip = begun.review.strip
    assert strip.n_frames == 4
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(strip.width() * 5 // 8, 5))
    assert session.viewer.dims.current_step[0] == 2


def test_earlier_corrections_are_resumed(qtbot, begun, session):
    with qtbot.waitSignal(begun.correction.changed):
        paint(session.result, 0, 40, 20)
    log = session.corrections
    begun.review.finish_button.click()
    session.viewer.layers.remove(session.result)
    log.labels[1, :5, :5] = 2  # as if napari had been killed between painting and recording
    expected = log.labels[:]
    assert begun.start_page.earlier.count() == 1
    with qtbot.waitSignal(begun.correction.opened):
        begun.start_page.resume_button.click()
    np.testing.assert_array_equal(session.result.data[:], expected)
    assert session.corrections.corrected_frames() == [0, 1]
    assert session.corrections.folder == log.folder


def test_removed_layer_ends_the_corrections(qtbot, begun, session):
    paint(session.result, 0, 40, 20)
    log = session.corrections
    session.viewer.layers.remove(session.result)
    assert begun.correction.recorder is None
    assert log.n_changes == 1
    assert begun.start_page.start_button.isVisible()


def test_hidden_panel_saves_at_once(qtbot, begun, session):
    paint(session.result, 0, 40, 20)
    begun.hide()
    assert session.corrections.n_changes == 1


def test_masks_that_do_not_fit_are_told(qtbot, widget, session):
    other = show_labels(session.viewer, np.zeros((2, 5, 6), np.uint8), NAMES, name="small")
    widget.start_page.masks.layer = other
    widget.start_page.start()
    assert "(2, 5, 6), the image is (4, 96, 64)" in widget.status.text()
    assert not widget.correction.busy


def test_classes_without_names_are_asked_for(qtbot, widget, session):
    session.viewer.add_labels(np.zeros((4, 96, 64), np.uint8), name="bare")
    widget.start_page.masks.layer = session.viewer.layers["bare"]
    widget.start_page.start()
    assert "have no names" in widget.status.text()
    widget.start_page.class_names.setText("cell")
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.start()
    assert session.corrections.class_names == ("cell",)
    widget.correction.finish()


@pytest.mark.window
def test_closed_panel_hears_nothing(qtbot, session, masks):
    panel = CorrectWidget(session)
    session.viewer.window.add_dock_widget(panel, name="Correct")
    with qtbot.waitSignal(panel.correction.opened):
        panel.start_page.start()
    layer = session.result
    session.viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    qtbot.wait(100)
    session.viewer.dims.set_current_step(0, 2)
    paint(layer, 2, 40, 20)
    layer.mode = "erase"
    session.viewer.layers.remove(layer)
