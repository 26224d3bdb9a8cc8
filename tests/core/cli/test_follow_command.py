import json

import numpy as np
import pytest
import tifffile

from rleseg_core.inference.follow.region import RegionFinder
from rleseg_core.tracks.files.ctc import read_challenge
from rleseg_core.tracks.opening import open_tracks


@pytest.fixture
def movie(tmp_path, monkeypatch):
    """Four frames of a square that moves, which the model finds."""
    ids = np.zeros((4, 40, 50), np.uint8)
    for frame in range(4):
        ids[frame, 10:22, 8 + 3 * frame : 20 + 3 * frame] = 1
    tifffile.imwrite(tmp_path / "movie.tif", ids * 200, photometric="minisblack")
    tifffile.imwrite(tmp_path / "mask.tif", ids[1])
    monkeypatch.setattr(
        RegionFinder, "find", lambda _, frame, box: ids[frame].astype(np.uint32) * (frame + 3)
    )
    return tmp_path, ids


def test_object_at_a_pixel_is_followed_and_written(run, movie):
    folder, ids = movie
    out = folder / "cell.tif"
    where = ("--frame", 2, "--at", "15,20", "-m", "demo-objects", "--ctc", folder / "RES")
    code, told, err = run("follow", folder / "movie.tif", "-o", out, *where)
    assert code == 0, err
    assert "Found in 4 frames, 0 to 3, as 1 tracks with 0 divisions" in " ".join(told.split())
    np.testing.assert_array_equal(tifffile.imread(out), ids)
    _, tracks = open_tracks(out)
    assert tracks.spans().tolist() == [[1, 0, 3, 0]]
    assert len(read_challenge(folder / "RES")[1]) == 4


def test_mask_and_frames_are_taken(run, movie):
    folder, _ = movie
    out = folder / "cell.tif"
    where = ("--frame", 1, "--mask", folder / "mask.tif", "--frames", "1-2", "-m", "demo-objects")
    code, told, err = run("follow", folder / "movie.tif", "-o", out, *where, "--json")
    assert code == 0, err
    assert json.loads(told)["n_objects"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "give --at Y,X or --mask FILE"),
        (("--at", "3"), "row and the column of a pixel"),
        (("--at", "39,49"), "finds no object at 39, 49"),
        (("--at", "15,20", "--frame", "9"), "no frame 9"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(run, movie, given, message):
    folder, _ = movie
    out = folder / "cell.tif"
    code, _, err = run("follow", folder / "movie.tif", "-o", out, "-m", "demo-objects", *given)
    assert code == 2
    assert message.lower() in " ".join(err.split()).lower()
    assert not out.exists()
