"""Correction sessions: nothing that was painted is lost, whatever else happens to them."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from rleseg_core.corrections import CorrectedDataset, CorrectionLog, recover
from rleseg_core.data import SyntheticConfig, synthesize
from rleseg_core.errors import DataError, InUseError

FIRST_WRITTEN = Path(__file__).parents[1] / "core" / "corrections" / "written_by_0_1"

PAINTER = """
import sys
from rleseg_core.corrections import CorrectionLog
log = CorrectionLog(sys.argv[1])
log.labels[0, 4:20, 4:36] = 2
print("painted", flush=True)
for line in sys.stdin:
    log.record_painted(0)
    print("recorded", flush=True)
"""


@pytest.fixture
def cells():
    return synthesize(SyntheticConfig(n_frames=3, size=(48, 64), seed=1))


@pytest.fixture
def folder(tmp_path, cells):
    CorrectionLog.create(
        tmp_path / "s", cells.classes * 0, class_names=("a", "b"), images=cells.images
    ).close()
    return tmp_path / "s"


@pytest.fixture
def painter(folder):
    """A program that has painted 512 pixels, and records them when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", PAINTER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "painted\n"
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def record(painter):
    painter.stdin.write("\n")
    painter.stdin.flush()
    assert painter.stdout.readline() == "recorded\n"


def opened(folder):
    """The session, after its labels and its log were brought together."""
    reports = recover(folder)
    while True:
        try:
            next(reports)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("recorded", [False, True])
def test_killed_program_has_lost_nothing(folder, painter, recorded):
    if recorded:
        record(painter)
    painter.send_signal(signal.SIGKILL)
    painter.wait()
    with opened(folder) as log:
        assert np.count_nonzero(log.labels[:] == 2) == 512
        assert log.changed_pixels() == {0: 512}
        assert log.n_changes == 1


def test_masks_from_before_the_power_cut_undo_nothing(tmp_path, folder, painter):
    shutil.copytree(folder / "labels.zarr", tmp_path / "before.zarr")
    record(painter)
    painter.kill()
    painter.wait()
    shutil.rmtree(folder / "labels.zarr")
    shutil.copytree(tmp_path / "before.zarr", folder / "labels.zarr")
    with opened(folder) as log:
        assert np.count_nonzero(log.labels[:] == 2) == 512
        assert log.n_changes == 1
    assert np.count_nonzero(zarr.open_array(folder / "labels.zarr")[:] == 2) == 512


def test_second_program_cannot_undo_the_first_one_s_stroke(folder, painter):
    record(painter)
    with pytest.raises(InUseError, match=rf"\(process {painter.pid} on .+, since 20.+\)") as told:
        CorrectionLog(folder)
    assert told.value.holder.pid == painter.pid
    with CorrectionLog(folder, read_only=True) as log:
        assert log.changed_pixels() == {0: 512}
        with pytest.raises(DataError, match="read-only"):
            log.undo()
    painter.communicate()  # it closes the session
    with CorrectionLog(folder) as log:
        assert log.changed_pixels() == {0: 512}


def test_corrections_teach_while_somebody_corrects(folder, painter, cells):
    record(painter)
    (stack,) = CorrectedDataset([folder])
    assert stack.frames == (0,)
    assert np.count_nonzero(np.asarray(stack.classes[0]) == 2) == 512
    np.testing.assert_array_equal(stack.images.frame(0)[..., 0], cells.images[0])


def test_session_of_the_first_version_is_mended_too(tmp_path):
    folder = shutil.copytree(FIRST_WRITTEN, tmp_path / "s")
    with CorrectionLog(folder, read_only=True) as log:
        expected, prediction = log.replay(), log.prediction[:]
    masks = zarr.open_array(folder / "labels.zarr", mode="r+")
    masks[:] = prediction  # older than the log
    masks[1, 0, :4] = 1  # painted when the first version was killed
    expected[1, 0, :4] = 1
    with opened(folder) as log:
        np.testing.assert_array_equal(log.labels[:], expected)
        assert log.n_changes == 3
        log.undo()
        assert log.frame(1)[0, 0] == prediction[1, 0, 0]
