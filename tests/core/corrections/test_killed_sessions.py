"""SIGKILL at every point where something is written: every stroke that was painted is there."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

from rleseg_core.corrections import CorrectionLog, recover

SHAPE = (3, 24, 30)

# Paints, records, undoes and redoes by a fixed plan, and is killed at the nth call of a function:
# before it, after it, or, where it writes a line, with half of the line written.
PAINTER = """
import os, signal, sys
import numpy as np
from rleseg_core.corrections import CorrectionLog, cache
from rleseg_core.files import lines

folder, target, when, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
left = [n]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def killing(function, half=None):
    def call(*args, **options):
        left[0] -= 1
        if not left[0] and when == "before":
            die()
        if not left[0] and when == "half":
            half(*args)
            die()
        result = function(*args, **options)
        if not left[0]:
            die()
        return result
    return call

def half_a_line(file, line):
    file._opened().write(line[: len(line) // 2])

log = CorrectionLog(folder)
if target == "line":
    lines.LineFile.append = killing(lines.LineFile.append, half_a_line)
elif target == "fsync":
    os.fsync = killing(os.fsync)
elif target == "cut":
    os.ftruncate = killing(os.ftruncate)
else:
    cache.LabelCache.write = killing(cache.LabelCache.write)

def say(*what):
    print(*what, flush=True)

rng = np.random.default_rng(3)
for step in range(1000):
    frame, kind = step % 3, step % 7
    if kind == 5:
        say("begin undo")
        log.undo()
        say("undo")
    elif kind == 6:
        say("begin redo")
        log.redo()
        say("redo")
    elif kind in (1, 3):
        for f in range(3):
            log.record_painted(f)
    else:
        row, col, value = (int(v) for v in rng.integers((0, 0, 0), (18, 24, 3)))
        say("begin", frame, row, col, value)
        log.labels[frame, row : row + 6, col : col + 6] = value
        say("paint", frame, row, col, value)
"""


def states(prediction, said):
    """Labels after each thing that was begun, by a model of the log that knows no files."""
    labels, logged, changes, undone = prediction.copy(), prediction.copy(), [], []

    def record():
        nonlocal undone
        for frame in range(len(labels)):
            if (labels[frame] != logged[frame]).any():
                changes.append((frame, logged[frame].copy(), labels[frame].copy()))
                logged[frame], undone = labels[frame], []

    yield labels.copy()
    step = 0
    for line in said:
        while step % 7 in (1, 3):
            record()
            step += 1
        words = line.split()[1:]
        if words[0] == "undo":
            record()
            if changes:
                frame, before, after = changes.pop()
                undone.append((frame, before, after))
                labels[frame] = logged[frame] = before
        elif words[0] == "redo":
            record()
            if undone:
                frame, before, after = undone.pop()
                changes.append((frame, before, after))
                labels[frame] = logged[frame] = after
        else:
            frame, row, col, value = map(int, words)
            labels[frame, row : row + 6, col : col + 6] = value
        step += 1
        yield labels.copy()


POINTS = [
    *((("line", when), (1, 2, 3, 4, 6, 9, 13)) for when in ("before", "half", "after")),
    *((("fsync", when), (1, 2, 4, 5)) for when in ("before", "after")),
    *((("cut", when), (1, 2, 4)) for when in ("before", "after")),
    *((("masks", when), (1, 2, 4, 5)) for when in ("before", "after")),
]


@pytest.mark.parametrize(
    ("target", "when", "n"), [(*point, n) for point, counts in POINTS for n in counts]
)
def test_every_stroke_survives_sigkill(tmp_path, target, when, n):
    prediction = np.random.default_rng(0).integers(0, 2, SHAPE).astype(np.uint8)
    CorrectionLog.create(tmp_path / "s", prediction, class_names=("a", "b")).close()
    command = [sys.executable, "-c", PAINTER, tmp_path / "s", target, when, str(n)]
    painter = subprocess.run(command, capture_output=True, text=True)
    assert painter.returncode == -signal.SIGKILL, painter.stderr
    said = painter.stdout.splitlines()
    begun = [line for line in said if line.startswith("begin")]
    possible = list(states(prediction, begun))
    n_done = len(said) - len(begun)

    for _ in range(2):  # the second time there is nothing left to mend
        reports = recover(tmp_path / "s")
        try:
            while True:
                next(reports)
        except StopIteration as end:
            log = end.value
        with log:
            labels = log.labels[:]
            # the last one that was begun may be there or not; nothing else is missing
            assert any((labels == state).all() for state in possible[n_done:])
            np.testing.assert_array_equal(log.replay(), labels)
            np.testing.assert_array_equal(log.prediction[:], prediction)
        masks = zarr.open_array(tmp_path / "s" / "labels.zarr", mode="r")[:]
        np.testing.assert_array_equal(masks, labels)
        strokes = tmp_path / "s" / "strokes.jsonl"
        assert not strokes.exists() or not strokes.read_bytes()


def power_cut(folder, kept):
    """Give files the content that they had when the disk last heard of them."""
    for name, content in kept.items():
        (folder / name).write_bytes(content)


def test_power_cut_loses_only_what_was_painted_since_the_last_record(tmp_path):
    with CorrectionLog.create(
        tmp_path / "s", np.zeros(SHAPE, np.uint8), class_names=("a", "b")
    ) as log:
        log.labels[0, 2:9, 2:9] = 1
        early = (tmp_path / "s" / "strokes.jsonl").read_bytes()
        log.record_painted(0)
        log.labels[1, 2:9, 2:9] = 2
        log.labels[1, 2:9, 2:9] = 0  # painted and taken back: no change
        middle = (tmp_path / "s" / "strokes.jsonl").read_bytes()
        log.record_painted(1)
        log.undo()
        log.record(2, np.ones(SHAPE[1:], np.uint8))
        expected = log.replay()
    # strokes.jsonl and labels.zarr are not synced: an older state of them may come back
    for strokes in (early, middle, middle[: len(middle) // 2], b"\0" * 300, b""):
        power_cut(tmp_path / "s", {"strokes.jsonl": strokes})
        zarr.open_array(tmp_path / "s" / "labels.zarr", mode="r+")[:] = 0
        list(recover(tmp_path / "s"))
        with CorrectionLog(tmp_path / "s") as log:
            np.testing.assert_array_equal(log.labels[:], expected)
            assert (log.n_changes, log.n_undone) == (1, 0)


def test_strokes_after_a_session_of_version_0_1_count(tmp_path):
    """A session whose records know no strokes, continued and killed."""
    with CorrectionLog.create(tmp_path / "s", np.zeros(SHAPE, np.uint8), class_names=("a",)) as log:
        log.record(0, np.ones(SHAPE[1:], np.uint8))
    path = tmp_path / "s" / "corrections.jsonl"
    from rleseg_core.files.lines import from_line, to_line

    fields = from_line(path.read_bytes()[:-1])
    old = {key: value for key, value in fields.items() if key not in ("n", "strokes")}
    path.write_bytes(to_line(old))
    log = CorrectionLog(tmp_path / "s")
    log.labels[1, :5, :5] = 1
    log.labels[0, :5, :5] = 0
    expected = log.labels[:]
    kept = (tmp_path / "s" / "strokes.jsonl").read_bytes()
    del log  # as SIGKILL would
    with CorrectionLog(tmp_path / "s") as log:
        np.testing.assert_array_equal(log.labels[:], expected)
    # version 0.1 opened it before this one did: it records the masks, and knows no strokes
    later = {**old, "frame": 1, "time": "later"}
    path.write_bytes(to_line(old) + to_line(later))
    (tmp_path / "s" / "strokes.jsonl").write_bytes(kept)
    with CorrectionLog(tmp_path / "s") as log:
        np.testing.assert_array_equal(log.labels[:], log.replay())
        assert log.n_changes == 2


def test_half_of_a_file_that_zarr_left_is_removed_by_the_next_writer(tmp_path):
    log = CorrectionLog.create(tmp_path / "s", np.ones(SHAPE, np.uint8), class_names=("a",))
    log.close()
    half = tmp_path / "s" / "labels.zarr" / "c" / "0" / "0" / "0.d221ea17e6fb.partial"
    half.write_bytes(b"half")
    CorrectionLog(tmp_path / "s", read_only=True).close()
    assert half.exists()
    CorrectionLog(tmp_path / "s").close()
    assert not half.exists()
