import json

import numpy as np
import pytest
import tifffile

from rleseg_core.data import LabelStack
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import metadata_of, write_labels
from rleseg_core.errors import DataError
from rleseg_core.objects import ObjectTable
from rleseg_core.tracks.files.geff_store import read_geff
from rleseg_core.tracks.files.table_file import read_tracks
from rleseg_core.tracks.opening import open_tracks

METADATA = StackMetadata(pixel_size=(0.5, 0.5), unit="micrometer", class_names=("cell",))


@pytest.fixture
def result(tmp_path):
    """Three frames of a prediction: a cell divides before the last; the ids are new in each."""
    ids = np.zeros((3, 24, 32), np.uint32)
    ids[0, 4:10, 4:20], ids[1, 5:11, 4:20] = 1, 3
    ids[2, 5:11, 4:12], ids[2, 5:11, 12:20] = 5, 6
    for t in range(3):
        ids[t, 15:21, 18:26] = 2 * t + 2 if t < 2 else 7
    table = ObjectTable.of(ids, None, ("cell",))
    write_labels(tmp_path / "out.tif", table.class_map(ids), metadata=METADATA)
    write_labels(tmp_path / "out.objects.tif", ids)
    table.write_csv(tmp_path / "out.objects.csv")
    return tmp_path


@pytest.fixture
def truth(result):
    """The same as a folder of the Cell Tracking Challenge."""
    folder = result / "01_GT" / "TRA"
    folder.mkdir(parents=True)
    ids = LabelStack.open(result / "out.objects.tif")
    names = {1: 1, 3: 1, 5: 2, 6: 3, 2: 9, 4: 9, 7: 9}
    for t in range(3):
        frame = np.vectorize(lambda i: names.get(i, 0))(np.asarray(ids.frame(t))).astype(np.uint16)
        tifffile.imwrite(folder / f"man_track{t:03}.tif", frame)
    (folder / "man_track.txt").write_text("1 0 1 0\n2 2 2 1\n3 2 2 1\n9 0 2 0\n")
    return folder.parent


def test_track_writes_masks_and_all_tables(run, result):
    out = result / "tracks.tif"
    more = ("--ctc", result / "RES", "--geff", result / "tracks.geff")
    code, told, err = run("track", result / "out.tif", "-o", out, *more)
    assert code == 0, err
    assert "7 objects in 3 frames are 4 tracks with 1 division and 0 gaps" in " ".join(told.split())
    stack, tracks = open_tracks(out)
    assert tracks.spans()[:, 1:].tolist() == [[0, 1, 0], [0, 2, 0], [2, 2, 1], [2, 2, 1]]
    assert metadata_of(out).pixel_size == (0.5, 0.5)
    assert metadata_of(out).class_names == ()
    _, again = open_tracks(result / "RES")
    assert again.spans().tolist() == tracks.spans().tolist()
    of_store = read_geff(result / "tracks.geff")
    assert (of_store.object == of_store.track).all()
    assert of_store.parents == tracks.parents
    assert read_tracks(result / "tracks.tracks.csv").object.tolist() == [1, 2, 3, 4, 7, 5, 6]
    assert stack.n_frames == 3


def test_track_reports_as_json(run, result):
    options = ("--max-gap", 0, "--no-divisions", "-o", result / "a.zarr", "--json")
    code, told, err = run("track", result / "out.objects.tif", *options)
    assert code == 0, err
    found = json.loads(told)
    assert (found["n_tracks"], found["n_divisions"]) == (3, 0)  # half of the cell goes on
    assert 0 < found["lowest_score"] <= found["median_score"] <= 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("none.tif", "-o", "a.tif"), "none.tif"),
        (("out.tif", "-o", "a.docx"), "the name must end in"),
        (("out.tif", "-o", "a.tif", "--geff", "a.zarr"), "must end in .geff"),
        (("out.tif", "-o", "out.objects.tif", "--overwrite"), "is the input"),
        (("out.tif", "-o", "a.tif", "--max-gap", "-1"), "max-gap"),
        (("out.tif", "-o", "a.tif", "--ctc", "a.tif"), "are the same"),
    ],
)
def test_track_refuses_in_a_sentence(run, result, monkeypatch, arguments, match):
    monkeypatch.chdir(result)
    before = {path.name for path in result.iterdir()}
    code, _, err = run("track", *arguments)
    assert code == 2
    assert match in " ".join(err.split())
    assert {path.name for path in result.iterdir()} == before


def test_evaluate_scores_tracks_against_a_folder(run, values, result, truth):
    out = result / "tracks.tif"
    assert run("track", result / "out.tif", "-q", "-o", out)[0] == 0
    found = values("evaluate", out, truth, "--tracks")
    assert (found["tra"], found["seg"], found["edge_f1"], found["n_id_switches"]) == (1, 1, 1, 0)
    assert found["division_f1"] == pytest.approx(1, abs=1e-3)
    code, told, _ = run("evaluate", out, truth, "--tracks")
    assert code == 0
    assert "7 true objects in 3 frames, with 1 division" in " ".join(told.split())


def test_evaluate_takes_ids_that_persist(values, result, truth):
    ids = np.stack([tifffile.imread(file) for file in sorted(truth.rglob("*.tif"))])
    write_labels(result / "ids.tif", ids)
    found = values("evaluate", result / "ids.tif", truth, "--tracks")
    assert (found["det"], found["division_f1"]) == (1, 0)
    assert found["edge_recall"] == pytest.approx(3 / 5)


def test_evaluate_reads_ids_that_look_like_marks_as_it_is_told(run, values, result, truth):
    (truth / "TRA" / "man_track.txt").write_text("1 0 1 0\n2 2 2 1\n3 2 2 1\n65535 0 2 0\n")
    ids = np.stack([tifffile.imread(file) for file in sorted(truth.rglob("*.tif"))])
    ids[ids == 9] = 65535
    for t, file in enumerate(sorted(truth.rglob("*.tif"))):
        tifffile.imwrite(file, ids[t])
    write_labels(result / "ids.tif", ids)
    command = ("evaluate", result / "ids.tif", truth, "--tracks")
    code, _, err = run(*command)
    assert code == 2
    assert "--ignore none" in " ".join(err.split())
    assert values(*command, "--ignore", "none")["det"] == 1


def test_table_of_other_masks_is_refused(run, result):
    out = result / "tracks.tif"
    assert run("track", result / "out.tif", "-q", "-o", out)[0] == 0
    ids = tifffile.imread(out)
    ids[1, 0, 0] = 4  # track 4 is in frame 2 alone
    write_labels(out, ids, overwrite=True)
    with pytest.raises(DataError, match=r"track 4 is in frame 1 in the masks but not in .*csv"):
        open_tracks(out)
    ids[1, 0, 0] = 0
    write_labels(out, ids[:2], overwrite=True)
    with pytest.raises(DataError, match=r"in frame 2 not in the masks but in .*csv"):
        open_tracks(out)


def test_reading_options_hold_for_folders_of_the_challenge(truth):
    with pytest.raises(DataError, match="label 2 is not in the masks"):
        open_tracks(truth, ReadOptions(pattern="man_track00[01].tif"))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--csv", "a.csv"), "--csv is for scores of classes; leave it out with --tracks"),
        (("--boundary",), "--metrics is for scores of classes"),
    ],
)
def test_evaluate_refuses_options_of_classes(run, result, truth, arguments, match):
    code, _, err = run("evaluate", result / "out.objects.tif", truth, "--tracks", *arguments)
    assert code == 2
    assert match in " ".join(err.split())
