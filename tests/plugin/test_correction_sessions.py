"""Correction sessions in the Correct panel: in use elsewhere, killed, restored, full disks."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QPushButton

from napari_rleseg import recorder as recorder_module
from napari_rleseg import tasks
from napari_rleseg.io import session_reader, write_masks, write_record
from napari_rleseg.kept import file_notes
from napari_rleseg.layers import show_labels
from napari_rleseg.session import Session
from napari_rleseg.widgets.correct import CorrectWidget
from rleseg_core.corrections import CorrectionLog
from rleseg_core.data import LabelStack
from rleseg_core.errors import DataError, InUseError
from rleseg_core.locks import lock_beside

pytestmark = pytest.mark.gui

NAMES = ("ipsc", "dfc")

HOLDER = """
import sys
from rleseg_core.corrections import CorrectionLog
log = CorrectionLog(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def widget(qtbot, session, cells):
    masks = show_labels(session.viewer, cells.classes, NAMES, name="masks", image=session.image)
    session.result = masks
    widget = CorrectWidget(session)
    qtbot.addWidget(widget)
    widget.show()
    yield widget
    widget.correction.finish()


@pytest.fixture
def folder(qtbot, widget):
    """A session with one stroke, closed again."""
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.start()
    recorder = widget.correction.recorder
    paint(recorder.layer, 0, 40, 20)
    recorder.flush()
    widget.review.finish_button.click()
    return recorder.log.folder


@pytest.fixture
def elsewhere(folder):
    """Another program that has the session open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.communicate()


def paint(layer, frame, row, col, label=1):
    layer.brush_size = 9
    layer.paint((frame, row, col), label)


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def answer(qtbot, widget, text):
    """Press a button of the question that is shown; returns its text."""
    qtbot.waitUntil(lambda: bool(widget.findChildren(QMessageBox)))
    (question,) = widget.findChildren(QMessageBox)
    asked = question.text()
    (button,) = [b for b in question.findChildren(QPushButton) if b.text().strip("&") == text]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    return asked


def test_session_in_use_is_looked_at(qtbot, widget, session, folder, elsewhere):
    before = content(folder)
    with qtbot.waitSignal(widget.correction.refused):
        widget.start_page.resume()
    with qtbot.waitSignal(widget.correction.opened):
        asked = answer(qtbot, widget, "Open read-only")
    assert f"process {elsewhere.pid} on " in asked
    layer, review = session.result, widget.review
    assert "read-only" in widget.status.text()
    assert not layer.editable
    assert not widget.tools.isVisible()
    for button in (review.undo_button, review.accept_button, review.revert_button):
        assert not button.isEnabled()
    layer.editable = True  # somebody insists
    with pytest.raises(DataError, match="read-only"):
        paint(layer, 0, 10, 10, 2)
    for key in ("A", "N", "I"):
        layer.keymap[next(k for k in layer.keymap if str(k) == key)](layer)
    widget.review.finish_button.click()
    assert content(folder) == before


def test_question_can_be_cancelled(qtbot, widget, session, folder, elsewhere):
    n_layers = len(session.viewer.layers)
    with qtbot.waitSignal(widget.correction.refused):
        widget.start_page.resume()
    answer(qtbot, widget, "Cancel")
    assert widget.correction.recorder is None
    assert widget.start_page.start_button.isVisible()
    assert len(session.viewer.layers) == n_layers


def test_session_in_a_folder_that_cannot_be_written_to_is_looked_at(
    qtbot, widget, folder, monkeypatch
):
    def refuse(self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))

    monkeypatch.setattr("rleseg_core.locks.WriterLock.acquire", refuse)
    with qtbot.waitSignal(widget.correction.refused):
        widget.start_page.resume()
    with qtbot.waitSignal(widget.correction.opened):
        asked = answer(qtbot, widget, "Open read-only")
    assert "cannot be written to (Permission denied)" in asked
    assert widget.correction.recorder.log.read_only


def test_session_of_a_killed_program_opens(qtbot, widget, folder, elsewhere):
    elsewhere.kill()
    elsewhere.wait()
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.resume()
    assert not widget.correction.recorder.log.read_only


@pytest.mark.window
def test_second_window_is_asked(qtbot, session, cells, make_napari_viewer, monkeypatch):
    masks = show_labels(session.viewer, cells.classes, NAMES, name="masks", image=session.image)
    first = CorrectWidget(session)
    session.viewer.window.add_dock_widget(first, name="Correct")
    with qtbot.waitSignal(first.correction.opened):
        first.correction.start(masks)
    paint(session.result, 0, 40, 20, 2)
    first.correction.save()
    folder = session.corrections.folder

    viewer = make_napari_viewer(show=True)
    other = Session.of(viewer)
    path = session.path_of(session.image)
    other.image = viewer.add_image(
        cells.images, name="cells", metadata={"napari_rleseg": file_notes(cells.images, path)}
    )
    second = CorrectWidget(other)
    viewer.window.add_dock_widget(second, name="Correct")
    second._show_earlier()
    assert second.start_page.earlier.itemData(0) == folder
    with qtbot.waitSignal(second.correction.refused):
        second.start_page.resume_button.click()
    with qtbot.waitSignal(second.correction.opened):
        asked = answer(qtbot, second, "Open read-only")
    assert "in use by this program already" in asked
    np.testing.assert_array_equal(other.result.data[:], session.result.data[:])
    assert not other.result.editable

    second.correction.finish()
    first.correction.finish()
    with qtbot.waitSignal(second.correction.opened):
        second.start_page._choose_result(other.result)
        second.correction.resume(folder)
    assert other.result.editable
    second.correction.undo()
    with CorrectionLog(folder, read_only=True) as log:
        assert (log.n_changes, log.n_undone) == (0, 1)
    second.correction.finish()
    other.close()


def test_masks_that_are_older_than_the_log_are_restored_and_told(qtbot, widget, session, folder):
    with CorrectionLog(folder, read_only=True) as log:
        expected, prediction = log.replay(), log.prediction[:]
    zarr.open_array(folder / "labels.zarr", mode="r+")[0] = prediction[0]
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.resume()
    np.testing.assert_array_equal(session.result.data[:], expected)
    assert "masks of frame 0 were older than the log" in widget.status.text()
    assert session.corrections.n_changes == 1


@pytest.mark.parametrize("damage", ["folder", "zarr.json"])
def test_masks_that_are_missing_are_restored(qtbot, widget, session, folder, damage):
    with CorrectionLog(folder, read_only=True) as log:
        expected = log.replay()
    if damage == "folder":
        shutil.rmtree(folder / "labels.zarr")
    else:
        (folder / "labels.zarr" / "zarr.json").write_bytes(b"")
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.resume()
    np.testing.assert_array_equal(session.result.data[:], expected)
    np.testing.assert_array_equal(zarr.open_array(folder / "labels.zarr")[:], expected)
    assert "restored from the log" in widget.status.text()


def test_strokes_of_a_killed_window_are_told(qtbot, widget, session, folder):
    with CorrectionLog(folder) as log:
        log.labels[2, :5, :6] = 2
        expected = log.labels[:]
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.resume()
    assert "30 px that were painted before the program ended" in widget.status.text()
    np.testing.assert_array_equal(session.result.data[:], expected)


def full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def painting(qtbot, widget, session, monkeypatch):
    """A session that is open, on a disk that can be filled."""
    monkeypatch.setattr(recorder_module, "RETRY_MS", 50)
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.start()
    told = []
    monkeypatch.setattr("napari_rleseg.jobs.show_error", told.append)
    return session.result, told


def test_full_disk_is_told_and_what_was_painted_is_saved_later(
    qtbot, widget, session, painting, monkeypatch
):
    layer, told = painting
    with monkeypatch.context() as patch:
        patch.setattr("rleseg_core.corrections.log.os.fsync", full)
        paint(layer, 1, 40, 20, 2)
        qtbot.waitUntil(lambda: bool(told))
        paint(layer, 1, 60, 30, 2)
        qtbot.wait(300)  # several tries
        expected = layer.data[:]
        assert len(told) == 1  # not at every try
        assert "corrections.jsonl: No space left on device" in told[0]
        assert widget.status.text().startswith("NOT SAVED, and kept in memory")
        assert session.corrections.n_changes == 0
    qtbot.waitUntil(lambda: "corrected" in widget.status.text())
    with CorrectionLog(session.corrections.folder, read_only=True) as log:
        np.testing.assert_array_equal(log.replay(), expected)
        assert log.n_damaged == 0


def test_corrections_that_cannot_be_saved_stay_open(qtbot, widget, session, painting, monkeypatch):
    layer, _ = painting
    with monkeypatch.context() as patch:
        patch.setattr("rleseg_core.corrections.log.os.fsync", full)
        paint(layer, 1, 40, 20, 2)
        widget.review.finish_button.click()
        assert widget.correction.recorder is not None
        assert "kept in memory" in widget.status.text()
        widget.review.undo_button.click()
        session.viewer.layers.remove(layer)
        qtbot.waitUntil(lambda: layer in session.viewer.layers)
        expected = layer.data[:]
    widget.review.finish_button.click()
    assert widget.correction.recorder is None
    with CorrectionLog(session.corrections.folder, read_only=True) as log:
        np.testing.assert_array_equal(log.replay(), expected)
        assert log.n_changes == 1


def test_disk_without_room_for_strokes_is_no_error_while_painting(
    qtbot, widget, session, painting, monkeypatch
):
    layer, told = painting
    with monkeypatch.context() as patch:
        patch.setattr("rleseg_core.files.lines.LineFile.append", full)
        paint(layer, 1, 40, 20, 2)
        paint(layer, 1, 44, 24, 1)
        assert layer.data.failure is not None
        qtbot.waitUntil(lambda: bool(told))
        expected = layer.data[:]
    qtbot.waitUntil(lambda: session.corrections.n_changes == 1)
    assert layer.data.failure is None
    np.testing.assert_array_equal(session.corrections.replay(), expected)


def test_masks_painted_after_finish_are_there_when_resumed(qtbot, widget, session, folder):
    layer = session.result
    paint(layer, 3, 50, 30, 2)
    expected = layer.data[:]
    with qtbot.waitSignal(widget.correction.opened):
        widget.start_page.resume()
    np.testing.assert_array_equal(session.result.data[:], expected)
    with pytest.raises(DataError, match="in use by this program"):
        paint(layer, 3, 10, 10, 2)  # the layer of before


def test_reader_shows_what_the_log_says_and_changes_nothing(qtbot, widget, session, folder):
    with CorrectionLog(folder, read_only=True) as log:
        expected, prediction = log.replay(), log.prediction[:]
    zarr.open_array(folder / "labels.zarr", mode="r+")[:] = prediction  # as after a power cut
    before = content(folder.parent)
    read = session_reader(str(folder.parent))
    (_, _, kind), (data, attributes, labels_kind) = read(str(folder.parent))
    assert (kind, labels_kind) == ("image", "labels")
    np.testing.assert_array_equal(data[:], expected)
    assert attributes["metadata"]["napari_rleseg"]["class_names"] == NAMES
    layer = session.viewer.add_labels(data)
    with pytest.raises(DataError, match="open read-only"):
        paint(layer, 0, 10, 10, 2)
    assert content(folder.parent) == before


def test_corrected_masks_are_saved_as_the_log_has_them(widget, session, folder, tmp_path):
    (data, _, _) = session_reader(str(folder.parent))(str(folder.parent))[1]
    for name in ("saved.tif", "saved.zarr"):
        write_masks(str(tmp_path / name), data, {"metadata": {}})
        saved = LabelStack.open(tmp_path / name)
        np.testing.assert_array_equal(saved.data.compute(), data[:])


def test_masks_that_are_being_written_elsewhere_are_looked_at(session, cells, tmp_path):
    masks = session.new_result(NAMES, {}).metadata["napari_rleseg"]["path"]
    write_record(session.folder, {"image": str(cells_file(tmp_path, cells)), "name": "cells"})
    settings = tasks.SegmentSettings(model=tmp_path / "none.safetensors")
    with lock_beside(Path(masks), "the masks"):
        with pytest.raises(InUseError, match="in use by this program"):
            next(tasks.segment(tmp_path / "cells.npy", Path(masks), settings))
        data, attributes, _ = session_reader(str(session.folder))(str(session.folder))[1]
        assert attributes["name"] == "cells masks (being written elsewhere)"
        assert data.read_only
    data, attributes, _ = session_reader(str(session.folder))(str(session.folder))[1]
    assert attributes["name"] == "cells masks"
    assert not data.read_only


def cells_file(tmp_path, cells):
    np.save(tmp_path / "cells.npy", cells.images)
    return tmp_path / "cells.npy"
