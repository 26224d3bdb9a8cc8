"""Regions that nobody has reviewed: marked in the Correct panel, left out of what is taught."""

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_rleseg.io import write_masks
from napari_rleseg.layers import UNKNOWN_COLOUR, notes, show_labels
from napari_rleseg.marks import NAME
from napari_rleseg.tasks import TrainingSource, labelled_stack
from napari_rleseg.widgets.correct import CorrectWidget
from napari_rleseg.widgets.corrected import CorrectedFrames
from rleseg_core.corrections import CorrectionLog
from rleseg_core.data import IGNORED, MaskStack

pytestmark = pytest.mark.gui

NAMES = ("ipsc", "dfc")
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def widget(qtbot, session, cells):
    layer = show_labels(
        session.viewer, cells.classes.copy(), NAMES, name="masks", image=session.image
    )
    session.result = layer
    widget = CorrectWidget(session)
    qtbot.addWidget(widget)
    widget.show()
    with qtbot.waitSignal(widget.correction.opened):
        qtbot.mouseClick(widget.start_page.start_button, LEFT)
    session.viewer.dims.set_current_step(0, 0)
    yield widget
    widget.correction.finish()


def correct(qtbot, widget, session, frame=0):
    with qtbot.waitSignal(widget.correction.changed):
        session.result.brush_size = 9
        session.result.paint((frame, 12, 12), 1)


def test_painted_marks_are_saved(qtbot, widget, session):
    log = session.corrections
    qtbot.mouseClick(widget.not_reviewed.mark_button, LEFT)
    layer = widget.correction.marks.layer
    assert session.viewer.layers.selection.active is layer
    assert widget.tools.layer is layer
    (button,) = widget.tools.classes.buttons()
    assert button.text() == f"1  {NAME}"
    assert button.icon().pixmap(14, 14).toImage().pixelColor(7, 7).name() == UNKNOWN_COLOUR
    assert str(layer.mode) == "paint"
    layer.brush_size = 21
    with qtbot.waitSignal(widget.correction.changed):
        layer.paint((0, 30, 30), 1)
    marked = log.unreviewed(0)
    assert marked[30, 30] == 1
    assert 250 < marked.sum() < 450
    assert "not reviewed" in widget.not_reviewed.state.text()
    with qtbot.waitSignal(widget.correction.changed):
        layer.paint((0, 30, 30), 0)
    assert not log.unreviewed_pixels()
    qtbot.mouseClick(widget.not_reviewed.mark_button, LEFT)
    assert session.viewer.layers.selection.active is session.result
    assert widget.tools.layer is session.result


def test_the_rest_of_the_frame_is_what_is_not_in_view(qtbot, widget, session):
    log = session.corrections
    height, width = log.shape[1:]
    session.result.corner_pixels = np.array([[0, 10, 8], [0, 39, 47]])
    with qtbot.waitSignal(widget.correction.changed):
        qtbot.mouseClick(widget.not_reviewed.rest_button, LEFT)
    marked = log.unreviewed(0)
    assert not marked[10:40, 8:48].any()
    assert marked.sum() == height * width - 30 * 40
    with qtbot.waitSignal(widget.correction.changed):
        qtbot.mouseClick(widget.not_reviewed.clear_button, LEFT)
    assert not log.unreviewed(0).any()


def test_marks_are_there_when_a_session_is_resumed(qtbot, widget, session):
    folder = session.corrections.folder
    session.result.corner_pixels = np.array([[0, 10, 8], [0, 39, 47]])
    widget.not_reviewed.rest_button.click()
    assert widget.correction.finish()  # what is pending is saved
    assert NAME not in session.viewer.layers
    kept = CorrectionLog(folder, read_only=True).unreviewed(0)
    assert kept.any()
    with qtbot.waitSignal(widget.correction.opened):
        widget.correction.resume(folder)
    np.testing.assert_array_equal(widget.correction.marks.layer.data[0], kept)
    assert "not reviewed" in widget.not_reviewed.state.text()


def test_fine_tuning_leaves_out_what_is_not_reviewed(qtbot, widget, session):
    correct(qtbot, widget, session)
    session.result.corner_pixels = np.array([[0, 10, 8], [0, 39, 47]])
    with qtbot.waitSignal(widget.correction.changed):
        widget.not_reviewed.rest_button.click()
    log = session.corrections
    source = TrainingSource(images=None, labels=log.folder, class_names=NAMES, frames=(0,))
    classes = labelled_stack(source).class_frame(0)
    np.testing.assert_array_equal(classes == IGNORED, log.unreviewed(0) != 0)
    np.testing.assert_array_equal(classes[10:40, 8:48], log.frame(0)[10:40, 8:48])
    table = CorrectedFrames(session)
    qtbot.addWidget(table)
    assert "% reviewed" in table.table.item(0, 2).text()


def test_saved_masks_note_what_is_not_reviewed(qtbot, widget, session, tmp_path):
    session.result.corner_pixels = np.array([[0, 10, 8], [0, 39, 47]])
    with qtbot.waitSignal(widget.correction.changed):
        widget.not_reviewed.rest_button.click()
    layer = session.result
    write_masks(str(tmp_path / "m.tif"), layer.data, {"metadata": layer.metadata})
    written = tifffile.imread(tmp_path / "m.tif")
    np.testing.assert_array_equal(written[0] == IGNORED, session.corrections.unreviewed(0) != 0)
    masks = MaskStack.open(tmp_path / "m.tif", NAMES)
    assert masks.mapping.text.endswith("255 → ignored")


def test_the_marks_can_be_closed(qtbot, widget, session):
    widget.not_reviewed.mark_button.click()
    session.viewer.layers.remove(NAME)
    assert widget.correction.marks is None
    assert widget.tools.layer is session.result
    assert not widget.not_reviewed.mark_button.isChecked()
    correct(qtbot, widget, session)
    assert session.corrections.changed_pixels()


def test_ignored_pixels_of_opened_masks_are_not_reviewed(qtbot, session, cells):
    classes = cells.classes.copy()
    classes[:, :20] = IGNORED
    layer = show_labels(session.viewer, classes, NAMES, name="m", image=session.image)
    notes(layer)["ignores"] = True
    session.result = layer
    widget = CorrectWidget(session)
    qtbot.addWidget(widget)
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.start_button.click()
    log = session.corrections
    np.testing.assert_array_equal(log.frame(1), np.where(classes[1] == IGNORED, 0, classes[1]))
    np.testing.assert_array_equal(log.unreviewed(1), classes[1] == IGNORED)
    assert NAME in session.viewer.layers
    widget.correction.finish()


def test_layers_that_ignore_pixels_can_be_learned_from(tmp_path, cells):
    classes = cells.classes.copy()
    classes[:, :20] = IGNORED
    tifffile.imwrite(tmp_path / "images.tif", cells.images, photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks.tif", classes, photometric="minisblack")
    source = TrainingSource(
        images=tmp_path / "images.tif",
        labels=tmp_path / "masks.tif",
        class_names=NAMES,
        frames=(0,),
        ignore=(IGNORED,),
    )
    np.testing.assert_array_equal(labelled_stack(source).class_frame(0), classes[0])
