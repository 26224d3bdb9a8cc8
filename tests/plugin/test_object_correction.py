"""Objects while masks are corrected in the Correct panel: they follow, and come back."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_rleseg.io import read_session
from napari_rleseg.layers import show_labels
from napari_rleseg.objects import objects_layer
from napari_rleseg.widgets.correct import CorrectWidget
from napari_rleseg.widgets.load import LoadWidget
from rleseg_core.objects import ObjectTable

from .test_objects import NAMES, grid_of_objects

pytestmark = pytest.mark.gui


@pytest.fixture
def widget(session, cells, qtbot):
    ids = grid_of_objects()
    classes = (ids > 0).astype(np.uint8)
    masks = show_labels(session.viewer, classes, NAMES, name="masks", image=session.image)
    session.result = masks
    table = ObjectTable.of(ids, classes, NAMES, confidence={int(i): 0.9 for i in range(1, 25)})
    session.objects.show(objects_layer(ids, masks), masks, table)
    widget = CorrectWidget(session)
    qtbot.addWidget(widget)
    widget.show()
    yield widget
    widget.correction.finish()


@pytest.fixture
def begun(widget, session, qtbot):
    with qtbot.waitSignal(widget.correction.opened):
        qtbot.mouseClick(widget.start_page.start_button, Qt.MouseButton.LeftButton)
    session.viewer.dims.set_current_step(0, 1)
    return widget


def paint(layer, frame, row, col, label, size=9):
    layer.brush_size = size
    layer.paint((frame, row, col), label)


def counted(widget, qtbot):
    correction = widget.correction
    qtbot.waitUntil(lambda: not (correction.recorder.pending or correction.objects.pending))


def test_objects_of_the_prediction_are_shown_over_the_corrected_masks(begun, session):
    assert session.objects.masks is session.result
    np.testing.assert_array_equal(session.objects.layer.data[:], grid_of_objects())
    assert set(session.objects.table.state) == {"predicted"}
    assert session.viewer.layers.selection.active is session.result


def test_new_cell_is_counted_and_the_others_keep_their_ids(begun, session, qtbot):
    paint(session.result, 1, 30, 50, 2)
    counted(begun, qtbot)
    rows = session.objects.table.in_frames([1])
    assert rows.id.tolist() == [7, 8, 9, 10, 11, 12, 26]
    assert rows.state.tolist() == ["predicted"] * 6 + ["corrected"]
    assert rows.class_id[-1] == 2
    assert session.objects.layer.data[1, 30, 50] == 26
    assert session.objects.table.counts(4).sum(axis=1).tolist() == [6, 7, 6, 6]


def test_erased_cell_is_gone_and_undo_brings_it_back(begun, session, qtbot):
    paint(session.result, 1, 15, 13, 0, size=30)
    counted(begun, qtbot)
    assert session.objects.table.in_frames([1]).id.tolist() == [8, 9, 10, 11, 12]
    session.viewer.dims.set_current_step(0, 3)
    begun.review.undo_button.click()
    counted(begun, qtbot)
    assert session.objects.table.in_frames([1]).id.tolist() == [7, 8, 9, 10, 11, 12]
    np.testing.assert_array_equal(session.objects.layer.data[:], grid_of_objects())


def test_accepted_frame_has_accepted_objects(begun, session, qtbot):
    begun.review.accept_button.click()
    counted(begun, qtbot)
    table = session.objects.table
    assert set(table.in_frames([1]).state) == {"accepted"}
    assert set(table.select(table.frame != 1).state) == {"predicted"}


def test_resumed_session_has_its_objects(begun, session, qtbot):
    paint(session.result, 1, 30, 50, 2)
    begun.review.accept_button.click()
    counted(begun, qtbot)
    table, ids = session.objects.table, session.objects.layer.data[:]
    begun.review.finish_button.click()
    with qtbot.waitSignal(begun.correction.opened):
        begun.start_page.resume()
    assert session.objects.table.id.tolist() == table.id.tolist()
    assert session.objects.table.state.tolist() == table.state.tolist()
    np.testing.assert_array_equal(session.objects.layer.data[:], ids)


def test_what_was_changed_last_is_counted_after_finishing(begun, session, qtbot):
    paint(session.result, 1, 30, 50, 2)
    begun.review.finish_button.click()
    qtbot.waitUntil(lambda: not begun.correction.objects.pending)
    assert len(session.objects.table.in_frames([1])) == 7


def test_opened_session_shows_corrected_objects(begun, session, qtbot):
    paint(session.result, 1, 30, 50, 2)
    counted(begun, qtbot)
    begun.review.finish_button.click()
    _, _, objects = read_session(str(session.folder))
    assert len(objects[1]["features"]["index"]) == 25
    load = LoadWidget(session)
    qtbot.addWidget(load)
    with qtbot.waitSignal(load.loaded):
        load.open_session(session.folder)
    assert session.objects.table.counts(4).sum(axis=1).tolist() == [6, 7, 6, 6]


def test_masks_that_were_painted_on_before_have_fitting_objects(widget, session, qtbot):
    paint(session.result, 2, 30, 50, 1)
    paint(session.result, 2, 15, 13, 0, size=30)
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.start()
    table = session.objects.table
    assert table.in_frames([2]).id.tolist() == [14, 15, 16, 17, 18, 27]
    assert set(table.in_frames([2]).state) == {"corrected"}
    assert set(table.select(table.frame != 2).state) == {"predicted"}
    np.testing.assert_array_equal(session.objects.layer.data[2] > 0, session.result.data[2] > 0)


def test_objects_whose_layer_was_removed_are_shown_again(begun, session, qtbot):
    paint(session.result, 1, 30, 50, 2)
    counted(begun, qtbot)
    session.viewer.layers.remove(session.objects.layer)
    session.objects.wanted.emit()
    assert session.objects.table.counts(4).sum(axis=1).tolist() == [6, 7, 6, 6]
    paint(session.result, 1, 90, 50, 2)
    counted(begun, qtbot)
    assert len(session.objects.table.in_frames([1])) == 8


def test_masks_without_objects_are_corrected_without_them(widget, session, cells, qtbot):
    other = show_labels(session.viewer, cells.classes, NAMES, name="other", image=session.image)
    session.result = other
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.start()
    assert session.objects.layer is None
    paint(session.result, 1, 30, 50, 2)
    counted(widget, qtbot)
    assert len(session.objects.table) == 0
