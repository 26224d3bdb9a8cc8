"""Whatever is wrong with the files of a session: it opens, or a DataError says what is wrong."""

import json
import random
import shutil

import numpy as np
import pytest

from rleseg_core.corrections import CorrectedDataset, CorrectionLog, recover
from rleseg_core.errors import DataError
from rleseg_core.files.lines import from_line, to_line

SHAPE = (3, 10, 12)
ODD = (
    *(None, True, -1, 0, 10**18, 10**400, 1.5, float("nan"), float("inf"), "", "x", "\0", "\ud800"),
    *([], [1], [[]], {}, {"a": 1}, "1", [None] * 3, [1, 2], [-1, 2, 3], [3.0, 10, 12], "é" * 5000),
    [10**9, 10**9, 10**9],
)


@pytest.fixture
def folder(tmp_path):
    prediction = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    images = prediction * 50
    with CorrectionLog.create(
        tmp_path / "s", prediction, class_names=("a", "b"), images=images
    ) as log:
        for frame, value in ((0, 1), (1, 2), (0, 2), (2, 0)):
            labels = log.frame(frame)
            labels[2:5, 3:9] = value
            log.record(frame, labels)
        log.undo()
        log.accept(1)
        log.mark_unreviewed(0, prediction[0] == 1)
        log.undo()
        log.redo()
        log.labels[2, 1:4, 1:4] = 1  # a stroke that is not in the log
    return tmp_path / "s"


def opened(folder):
    """The labels of a session, read in every way; None if a DataError refused it."""
    try:
        with CorrectionLog(folder, read_only=True) as log:
            log.labels[:]
        list(CorrectedDataset([folder]))
        reports = recover(folder)
        try:
            while True:
                next(reports)
        except StopIteration as end:
            with end.value as log:
                labels = log.replay()
                while log.undo():
                    pass
                while log.redo():
                    pass
                log.changed_pixels()
                return labels
    except DataError:
        return None


ALLOWED = {"image": (None, "x", "1", "\ud800", "é" * 5000), "class_names": ([],)}
ALLOWED["created"] = ("", "x", "1", "\0", "\ud800", "é" * 5000)
ALLOWED["provenance"] = ({}, {"a": 1})
ALLOWED["image_mark"] = (*ALLOWED["created"], None)
ALLOWED["prediction_crc"] = (None,)


@pytest.mark.parametrize("key", ["format", "shape", "dtype", *ALLOWED])
def test_odd_fields_of_the_header_are_refused_or_read(folder, key):
    path = folder / "session.json"
    header = json.loads(path.read_text())
    for odd in ODD:
        path.write_text(json.dumps({**header, key: odd}))
        try:
            CorrectionLog(folder, read_only=True)
            read = True
        except DataError:
            read = False
        assert read == (odd in ALLOWED.get(key, ())), odd


@pytest.mark.parametrize("key", ["format", "shape", "dtype", "class_names", "image", "created"])
def test_missing_field_of_the_header_is_named(folder, key):
    path = folder / "session.json"
    header = json.loads(path.read_text())
    del header[key]
    path.write_text(json.dumps(header))
    wanted = "not the header" if key == "format" else f"'{key}' is missing"
    with pytest.raises(DataError, match=wanted):
        CorrectionLog(folder)


def test_session_of_a_later_version_asks_for_an_update(folder):
    path = folder / "session.json"
    path.write_text(path.read_text().replace("corrections 1", "corrections 2"))
    with pytest.raises(DataError, match="written by a later version of rleseg"):
        CorrectionLog(folder)


FIELDS = ["kind", "frame", "time", "runs", "n_changed", "n", "of", "strokes", "stroke", "after"]


@pytest.mark.parametrize("name", ["corrections.jsonl", "strokes.jsonl"])
@pytest.mark.parametrize("key", FIELDS)
def test_impossible_fields_of_a_record_are_refused(folder, name, key):
    path = folder / name
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines):
        fields = from_line(line)
        if key not in fields:
            continue
        for odd in (..., *ODD):
            changed = {k: v for k, v in fields.items() if k != key or odd is not ...}
            if odd is not ...:
                changed[key] = odd
            content = [*lines[:number], to_line(changed)[:-1], *lines[number + 1 :], b""]
            path.write_bytes(b"\n".join(content))
            try:
                CorrectionLog(folder, read_only=True).replay()
            except DataError as error:
                assert name in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("frame", 3, "line 1: 'frame' is 3, it must be a whole number from 0 to 2"),
        ("frame", True, "'frame' is True"),
        ("runs", "AAAA", "runs of frame 0 are damaged"),
        ("runs", None, "'runs' is missing"),
        ("n_changed", 121, "from 0 to 120"),
        ("strokes", -1, "'strokes' is -1"),
        ("kind", 5, "'kind' is 5"),
    ],
)
def test_message_names_the_line_and_the_field(folder, key, value, message):
    path = folder / "corrections.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    fields = from_line(first[:-1]) | {key: value}
    path.write_bytes(to_line(fields) + b"".join(others))
    with pytest.raises(DataError, match=message):
        CorrectionLog(folder)


def test_runs_outside_the_frame_or_its_classes_are_refused(folder):
    from rleseg_core.corrections import Correction

    good = Correction(0, *(np.array([value]) for value in (5, 3, 0, 1)))
    for odd in (
        {"starts": 118},
        {"starts": -1},
        {"lengths": 0},
        {"lengths": 2**62},
        {"after": 256},
    ):
        parts = {name: getattr(good, name) for name in ("starts", "lengths", "before", "after")}
        parts |= {name: np.array([value]) for name, value in odd.items()}
        text = Correction(0, **parts).to_text()
        with pytest.raises(DataError, match="runs of frame 0"):
            Correction.from_text(0, text, n_pixels=120, n_ids=256)
    overlapping = Correction(0, *(np.array(v) for v in ([1, 2], [5, 5], [0, 0], [1, 1])))
    with pytest.raises(DataError, match="do not lie in its 120 pixels"):
        Correction.from_text(0, overlapping.to_text(), n_pixels=120, n_ids=256)


def garbage(rng, content):
    """Content that was damaged in one of many ways."""
    lines = content.split(b"\n")
    place = rng.randrange(len(content))
    n_bytes = rng.randrange(1, 60)
    chosen = rng.randrange(len(lines))
    return rng.choice(
        [
            b"",
            b"\0" * len(content),
            rng.randbytes(200),
            b"[" * 10_000,
            b'{"a":' * 10_000,
            content[:place],
            content[place:],
            content[:place] + rng.randbytes(n_bytes) + content[place + n_bytes :],
            content[:place] + b"\n" + content[place:],
            b"\n".join(lines[:chosen] + lines[chosen : chosen + 1] * 3 + lines[chosen + 1 :]),
            b"\n".join(rng.sample(lines, len(lines))),
            b"\n".join([*lines[:chosen], lines[chosen][: n_bytes % 40], *lines[chosen + 1 :]]),
            content.decode().encode("utf-16"),
            b"\xef\xbb\xbf" + content,
            content.replace(b"\n", b"\r\n"),
        ]
    )


@pytest.mark.parametrize("name", ["session.json", "corrections.jsonl", "strokes.jsonl"])
@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_raise_nothing_else(folder, name, seed):
    rng = random.Random(f"{name} {seed}")
    content = (folder / name).read_bytes()
    for n in range(4):
        copy = shutil.copytree(folder, folder.with_name(f"copy-{n}"))
        (copy / name).write_bytes(garbage(rng, content))
        opened(copy)


@pytest.mark.parametrize("name", ["session.json", "corrections.jsonl", "strokes.jsonl"])
def test_folder_in_the_place_of_a_file_is_refused(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    assert opened(folder) is None


def test_session_without_its_log_says_what_to_do(folder):
    with CorrectionLog(folder) as log:
        expected = log.labels[:]
    collected = recover(folder)
    log = None
    while log is None:
        try:
            next(collected)
        except StopIteration as end:
            log = end.value
    log.close()
    (folder / "corrections.jsonl").unlink()
    with pytest.raises(DataError, match="make an empty file of that name"):
        CorrectionLog(folder)
    (folder / "corrections.jsonl").touch()
    np.testing.assert_array_equal(opened(folder), expected)


def test_repeated_and_reordered_lines_count_once_and_in_order(folder):
    path = folder / "corrections.jsonl"
    with CorrectionLog(folder, read_only=True) as log:
        expected = (log.replay(), log.n_changes, log.n_undone)
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (lines * 2, lines[::-1], [line for line in lines for _ in range(3)]):
        path.write_bytes(b"".join(changed))
        with CorrectionLog(folder, read_only=True) as log:
            np.testing.assert_array_equal(log.replay(), expected[0])
            assert (log.n_changes, log.n_undone) == expected[1:]


def test_undo_of_a_damaged_change_undoes_no_other(tmp_path):
    with CorrectionLog.create(tmp_path / "s", np.zeros(SHAPE, np.uint8), class_names=("a",)) as log:
        for frame in (0, 1):
            log.record(frame, np.ones(SHAPE[1:], np.uint8))
        log.undo()
    path = tmp_path / "s" / "corrections.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:30] + b"\n" + lines[2])
    with CorrectionLog(tmp_path / "s") as log:
        assert (log.n_changes, log.n_damaged) == (1, 1)
        assert log.frame(0).all()


def test_records_of_a_later_version_are_kept_and_not_followed(folder):
    path = folder / "corrections.jsonl"
    with CorrectionLog(folder, read_only=True) as log:
        expected = log.replay()
    line = to_line({"kind": "not in this version", "frame": "?", "n": 100})
    path.write_bytes(path.read_bytes() + line)
    with CorrectionLog(folder) as log:
        assert log.n_unknown == 1
        np.testing.assert_array_equal(log.replay(), expected)
        log.accept(0)
    assert line in path.read_bytes()
    with CorrectionLog(folder, read_only=True) as log:
        assert log.accepted_frames() == [0, 1]
