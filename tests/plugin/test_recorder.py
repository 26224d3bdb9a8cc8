import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_rleseg.recorder import CorrectionRecorder
from rleseg_core.corrections import CorrectionLog, recover

pytestmark = pytest.mark.gui

SHAPE = (4, 40, 50)


@pytest.fixture
def prediction():
    return np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def log(tmp_path, prediction):
    return CorrectionLog.create(tmp_path / "s", prediction, class_names=("a", "b"))


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def layer(viewer, log):
    layer = viewer.add_labels(log.labels, scale=(1, 0.5, 0.5), translate=(0, 3, 4))
    viewer.dims.set_current_step(0, 1)
    return layer


@pytest.fixture
def recorder(qtbot, layer, log, viewer):
    recorder = CorrectionRecorder(layer, log, viewer.dims)
    yield recorder
    recorder.close()


def stroke(layer, frame, row, col, label, size=7):
    layer.brush_size = size
    with layer.block_history():
        for step in range(3):
            layer.paint((frame, row, col + step), label)


def reopened(log):
    return CorrectionLog(log.folder, read_only=True).replay()


def test_stroke_is_recorded_after_a_pause(qtbot, recorder, layer, log, prediction):
    with qtbot.waitSignal(recorder.saved):
        stroke(layer, 1, 10, 10, 2)
        assert recorder.pending
        assert log.n_changes == 0
    assert log.n_changes == 1
    assert recorder.frame == 1
    np.testing.assert_array_equal(reopened(log), layer.data[:])
    np.testing.assert_array_equal(log.prediction[:], prediction)
    qtbot.waitUntil(lambda: not recorder.pending)
    assert "1 frame corrected" in recorder.status
    assert f"{(layer.data[:] != prediction).sum()} px changed, saved " in recorder.status


def test_strokes_in_quick_succession_are_one_change(qtbot, recorder, layer, log):
    with qtbot.waitSignal(recorder.saved):
        for col in (10, 20, 30):
            stroke(layer, 1, 10, col, 2)
            qtbot.wait(50)
    assert log.n_changes == 1


def test_strokes_that_do_not_cease_are_recorded_two_seconds_after_the_first(
    recorder, layer, monkeypatch
):
    elapsed = [0]
    monkeypatch.setattr(
        recorder, "_waiting", SimpleNamespace(start=int, elapsed=lambda: elapsed[0])
    )
    for col, (since_first, wait) in enumerate(((0, 300), (1500, 300), (1900, 100), (2500, 0))):
        elapsed[0] = since_first
        stroke(layer, 1, 10, 5 * col, 2)
        assert recorder._timer.interval() == wait
        assert recorder._timer.isActive()


def test_undo_and_redo_of_napari_are_recorded(qtbot, recorder, layer, log, prediction):
    with qtbot.waitSignal(recorder.saved):
        stroke(layer, 1, 10, 10, 2)
    painted = layer.data[:].copy()
    with qtbot.waitSignal(recorder.saved):
        layer.undo()
    np.testing.assert_array_equal(reopened(log), prediction)
    assert log.corrected_frames() == []
    with qtbot.waitSignal(recorder.saved):
        layer.redo()
    np.testing.assert_array_equal(reopened(log), painted)


def test_undo_in_a_frame_that_is_not_shown(qtbot, recorder, layer, log, viewer, prediction):
    with qtbot.waitSignal(recorder.saved):
        stroke(layer, 1, 10, 10, 2)
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: not recorder.pending)
    with qtbot.waitSignal(recorder.saved):
        layer.undo()
    np.testing.assert_array_equal(reopened(log), prediction)


def test_leaving_the_frame_records_at_once(qtbot, recorder, layer, log, viewer):
    stroke(layer, 1, 10, 10, 2)
    with qtbot.waitSignal(recorder.saved, timeout=250):
        viewer.dims.set_current_step(0, 2)
    np.testing.assert_array_equal(reopened(log), layer.data[:])


@pytest.mark.parametrize("tool", ["fill", "polygon", "setitem", "erase"])
def test_every_tool_is_noticed(qtbot, recorder, layer, log, tool):
    with qtbot.waitSignal(recorder.saved):
        if tool == "fill":
            new = 1 + int(layer.data[1, 5, 5]) % 2
            layer.fill((1, 5, 5), new)
        elif tool == "polygon":
            layer.paint_polygon(np.array([[1, 5, 5], [1, 5, 25], [1, 25, 15]]), 2)
        elif tool == "setitem":
            rows, cols = np.mgrid[3:9, 3:9].reshape(2, -1)
            layer.data_setitem((np.ones_like(rows), rows, cols), 2)
        else:
            stroke(layer, 1, 20, 20, 0)
    np.testing.assert_array_equal(reopened(log), layer.data[:])


def test_painting_through_all_frames_is_noticed(qtbot, recorder, layer, log):
    layer.n_edit_dimensions = 3
    with qtbot.waitSignal(recorder.saved):
        stroke(layer, 1, 10, 10, 2, size=9)
    qtbot.waitUntil(lambda: not recorder.pending)
    assert len(log.corrected_frames()) > 1
    np.testing.assert_array_equal(reopened(log), layer.data[:])


def test_recorded_changes_are_undone_and_redone(qtbot, recorder, layer, log, prediction):
    stroke(layer, 1, 10, 10, 2)
    recorder.flush()
    painted = layer.data[:].copy()
    layer.mode = "paint"
    assert recorder.undo() == 1
    assert layer.mode == "paint"
    np.testing.assert_array_equal(layer.data[:], prediction)
    assert recorder.undo() is None
    assert recorder.redo() == 1
    np.testing.assert_array_equal(layer.data[:], painted)
    layer.undo()  # napari has forgotten its own history
    np.testing.assert_array_equal(layer.data[:], painted)


def test_stroke_that_is_not_yet_recorded_is_undone_first(recorder, layer, log, prediction):
    stroke(layer, 1, 10, 10, 2)
    assert recorder.undo() == 1
    np.testing.assert_array_equal(layer.data[:], prediction)


def test_reverted_frame_is_the_prediction_again(recorder, layer, log, prediction):
    stroke(layer, 1, 10, 10, 2)
    recorder.accept(1)
    assert log.corrected_frames() == [1]
    recorder.revert(1)
    np.testing.assert_array_equal(layer.data[:], prediction)
    assert log.corrected_frames() == []
    recorder.undo()
    assert log.corrected_frames() == [1]


def test_closing_records_what_is_left(qtbot, layer, log, viewer):
    recorder = CorrectionRecorder(layer, log, viewer.dims)
    stroke(layer, 1, 10, 10, 2)
    recorder.close()
    np.testing.assert_array_equal(reopened(log), layer.data[:])
    stroke(layer, 1, 20, 10, 2)
    assert not recorder.pending


def test_failure_is_told_and_tried_again(qtbot, recorder, layer, log, monkeypatch):
    def full(*args):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rleseg_core.corrections.log.os.fsync", full)
        with qtbot.waitSignal(recorder.failed) as told:
            stroke(layer, 1, 10, 10, 2)
    assert "not saved" in told.args[0]
    assert recorder.pending
    with qtbot.waitSignal(recorder.saved):
        stroke(layer, 1, 30, 10, 2)
    np.testing.assert_array_equal(reopened(log), layer.data[:])


PAINTER = """
import sys
from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication
from napari_rleseg.recorder import CorrectionRecorder
from rleseg_core.corrections import CorrectionLog

app = QCoreApplication([])
log = CorrectionLog(sys.argv[1])
viewer = ViewerModel()
layer = viewer.add_labels(log.labels)
layer.brush_size = 5
recorder = CorrectionRecorder(layer, log, viewer.dims)
for n in range(100_000):
    frame, row, col = n % 4, 3 + 7 * (n // 4 % 5), 3 + 7 * (n // 20 % 6)
    viewer.dims.set_current_step(0, frame)
    layer.paint((frame, row, col), 3)
    app.processEvents()
    print(frame, row, col, flush=True)
"""


@pytest.mark.slow
def test_killed_viewer_loses_no_stroke(log, prediction):
    log.close()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PAINTER, log.folder],
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = [process.stdout.readline() for _ in range(30)]
    os.kill(process.pid, signal.SIGKILL)
    seen += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    strokes = [tuple(map(int, line.split())) for line in seen if line.endswith("\n")]
    assert len(strokes) >= 30

    list(recover(log.folder))  # which leaves it closed
    again = CorrectionLog(log.folder)
    labels = again.replay()
    np.testing.assert_array_equal(labels, again.labels[:])
    np.testing.assert_array_equal(again.prediction[:], prediction)
    assert all(labels[stroke] == 3 for stroke in strokes)
    assert again.n_damaged <= 1
    again.close()
