import numpy as np
import pytest
import tifffile

from rleseg_core.data import LabelStack
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError, DataWarning, OutputError
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.reports import product_of
from rleseg_core.tracks import LinkOptions, Tracks, link_objects
from rleseg_core.tracks.files.ctc import challenge_folder, read_challenge, write_challenge
from rleseg_core.tracks.files.geff_store import read_geff, write_geff
from rleseg_core.tracks.files.table_file import read_tracks, write_tracks
from rleseg_core.tracks.gaps import with_gaps, without_gaps
from rleseg_core.tracks.relabelled import TrackIds
from rleseg_core.tracks.table import COLUMNS

METADATA = StackMetadata(pixel_size=(0.5, 0.25), unit="micrometer", frame_interval=60.0)


def assert_same(found, expected, columns=tuple(COLUMNS)):
    for name in columns:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    assert found.parents == expected.parents


def linked(ids):
    return product_of(link_objects(ObjectStack.of(ids), LinkOptions()))


def test_table_comes_back_without_a_difference(colony, tmp_path):
    tracks = linked(colony[0])
    write_tracks(tracks, tmp_path / "a.csv", METADATA)
    assert_same(read_tracks(tmp_path / "a.csv"), tracks)
    header = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert header.startswith("track,frame,object,parent,lineage,score,area,row,col,area_um2,y_um")


def test_geff_comes_back_without_a_difference(colony, tmp_path):
    tracks = linked(colony[0])
    write_geff(tracks, tmp_path / "a.geff", METADATA)
    assert_same(read_geff(tmp_path / "a.geff"), tracks)


def test_geff_holds_what_editors_look_for(tracks, tmp_path):
    import geff

    write_geff(tracks, tmp_path / "a.geff", METADATA, labels=tmp_path / "a.zarr")
    geff.validate_structure(str(tmp_path / "a.geff"))
    reader = geff.GeffReader(str(tmp_path / "a.geff"))
    about = reader.metadata
    assert about.directed
    assert [(axis.name, axis.scale) for axis in about.axes] == [("t", 60), ("y", 0.5), ("x", 0.25)]
    assert about.track_node_props == {"tracklet": "tracklet", "lineage": "lineage"}
    assert about.related_objects[0].path == "../a.zarr"
    assert about.related_objects[0].label_prop == "seg_id"
    assert set(about.edge_props_metadata) == {"score"}


def test_geff_of_another_program_gets_tracks_from_its_links(tracks, tmp_path):
    from geff import GeffMetadata
    from geff.core_io import write_arrays

    links = tracks.links()
    nodes = 10 * np.arange(len(tracks), dtype=np.uint64)[::-1]
    columns = {"t": tracks.frame, "y": tracks.row, "x": tracks.col}
    write_arrays(
        tmp_path / "a.geff",
        nodes,
        {name: {"values": values, "missing": None} for name, values in columns.items()},
        nodes[np.column_stack([links.source, links.target])],
        {},
        GeffMetadata(directed=True, node_props_metadata={}, edge_props_metadata={}),
    )
    found = read_geff(tmp_path / "a.geff")
    assert found.n_tracks == tracks.n_tracks
    pairs = {*zip(found.track.tolist(), found.row.tolist(), strict=True)}
    named = {track: {row for one, row in pairs if one == track} for track, _ in pairs}
    assert sorted(map(sorted, named.values())) == [[1.5, 2], [3, 5], [4, 6], [7]]
    assert len(found.divisions()) == 1
    assert np.isnan(found.score).all()


def _store(path, frame, edges, *, directed=True, ids=None, missing=None, score=None, **more):
    from geff import GeffMetadata
    from geff.core_io import write_arrays

    n, missing = len(frame), missing or {}
    columns = {"t": frame, "y": np.arange(n), "x": np.arange(n), **more}
    edge = {} if score is None else {"values": np.array(score), "missing": np.isnan(score)}
    write_arrays(
        path,
        np.arange(n, dtype=np.uint64) if ids is None else np.array(ids, np.uint64),
        {k: {"values": np.array(v), "missing": missing.get(k)} for k, v in columns.items()},
        np.array(edges, np.uint64),
        {"score": edge} if edge else {},
        GeffMetadata(directed=directed, node_props_metadata={}, edge_props_metadata={}),
    )
    return path


@pytest.mark.parametrize("edges", [[[0, 1], [1, 2]], [[1, 0], [2, 1]], [[1, 0], [1, 2]]])
def test_edges_of_other_programs_are_read_forward_in_time(tmp_path, edges):
    path = _store(tmp_path / "a.geff", [0, 1, 2], edges, directed=False, score=[0.5, np.nan])
    tracks = read_geff(path)
    assert (tracks.track.tolist(), tracks.parents) == ([1, 1, 1], {})
    np.testing.assert_array_equal(tracks.score, [np.nan, 0.5, np.nan])


@pytest.mark.parametrize("named", [[0, 0, 0], [1, 1, 1], [1, 1, 2]])
def test_property_that_numbers_no_tracks_is_left_out(tmp_path, named):
    path = _store(tmp_path / "a.geff", [0.0, 1, 1], [[0, 1], [0, 2]], track=named, note=["a"] * 3)
    tracks = read_geff(path)
    assert (tracks.track.tolist(), tracks.parents) == ([1, 2, 3], {2: 1, 3: 1})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"edges": [[0, 1], [1, 77]]}, "an edge of node 77, which is not there"),
        ({"edges": [[0, 15], [10, 20]], "ids": [0, 10, 20]}, "an edge of node 15"),
        ({"ids": [0, 1, 1]}, "two nodes of one id"),
        ({"frame": [0, 0, 1]}, "an edge between two objects of frame 0"),
        ({"frame": [0, 0.5, 1]}, r"a.geff: frame 0.5 in a table of tracks"),
        ({"edges": [[0, 2], [1, 2]]}, "two parents"),
        ({"missing": {"t": np.array([False, True, False])}}, "no 't' of node 1"),
        ({"seg_id": [5, 6, 7], "missing": {"seg_id": np.arange(3) == 2}}, "no 'seg_id' of node 2"),
        ({"seg_id": ["a", "b", "c"]}, "it must be numbers"),
    ],
)
def test_stores_that_are_no_tracks_are_refused(tmp_path, changes, match):
    plain = {"frame": [0, 1, 2], "edges": [[0, 1], [1, 2]]}
    with pytest.raises(DataError, match=match):
        read_geff(_store(tmp_path / "a.geff", **plain | changes))


def test_ids_may_be_high(tmp_path):
    tracks = Tracks(
        frame=[0, 1, 1],
        object=[1, 1, 2],
        track=[2**40, 2**41, 2**42],
        **{name: [1, 2, 3] for name in ("row", "col", "area")},
        score=[np.nan] * 3,
        parents={2**41: 2**40, 2**42: 2**40},
    )
    write_geff(tracks, tmp_path / "a.geff")
    assert_same(read_geff(tmp_path / "a.geff"), tracks)


@pytest.mark.parametrize("side", ["result", "truth"])
def test_challenge_folder_comes_back_without_a_difference(colony, tmp_path, side):
    ids = colony[0]
    tracks, folder = linked(ids), tmp_path / "01_RES"
    product_of(write_challenge(ObjectStack.of(ids), tracks, folder, side=side))
    stack, found = read_challenge(folder)
    assert_same(found, tracks, ("frame", "track", "row", "col", "area"))
    of_tracks = TrackIds(ObjectStack.of(ids), tracks)
    again = TrackIds(stack, found)
    for frame in range(6):
        np.testing.assert_array_equal(again[frame], of_tracks[frame])
    product_of(write_challenge(stack, found, tmp_path / "again", side=side))
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_truth_is_found_below_its_folder(tracks, tmp_path):
    folder = tmp_path / "01_GT" / "TRA"
    folder.mkdir(parents=True)
    (folder / "man_track.txt").write_text("")
    assert challenge_folder(tmp_path / "01_GT") == folder
    assert challenge_folder(tmp_path) is None


def test_gaps_are_cut_and_closed_again(tracks):
    cut = without_gaps(tracks)
    assert list(cut.gaps()) == []
    assert cut.spans().tolist()[-1] == [5, 4, 4, 2]
    assert_same(with_gaps(cut), tracks)


def test_daughters_of_a_track_with_a_gap_have_its_last_part_as_parent():
    nan = float("nan")
    columns = {name: [1, 1, 1, 1] for name in ("row", "col", "area")}
    tracks = Tracks(
        frame=[0, 2, 3, 3],
        object=[1, 1, 1, 2],
        track=[1, 1, 2, 3],
        score=[nan] * 4,
        **columns,
        parents={2: 1, 3: 1},
    )
    cut = without_gaps(tracks)
    assert cut.parents == {2: 4, 3: 4, 4: 1}
    assert_same(with_gaps(cut), tracks)


def test_objects_without_a_track_are_background(colony, tracks):
    ids = np.zeros((5, 4, 4), np.uint8)
    ids[0, 0] = 7
    ids[0, 2] = 90
    found = TrackIds(ObjectStack.of(ids), tracks)
    assert found[0].tolist() == [[1] * 4, [0] * 4, [0] * 4, [0] * 4]
    assert found[4].tolist() == [[0] * 4] * 4
    assert (found.shape, found.dtype) == ((5, 4, 4), np.uint8)


def _folder(path, table, frames=((1, 0),)):
    path.mkdir()
    (path / "res_track.txt").write_text(table)
    for t, frame in enumerate(frames):
        tifffile.imwrite(path / f"mask{t:03}.tif", np.array([frame], np.uint16))
    return path


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("1 0 0", "line 1: '1 0 0' is no track; a line has label"),
        ("1 0 0 0\n2 0 0 0", "label 2 is not in the masks but in .*res_track.txt"),
        ("", "label 1 is in the masks but not in"),
        ("1 0 0 0\n1 0 0 0", "two lines for label 1"),
        (f"{10**30} 0 0 0", "line 1: 10+ is too high for a label"),
        ("1 0 0 7", "track 7 is the parent of 1, but 7 is no track"),
    ],
)
def test_folders_that_contradict_themselves_are_refused(tmp_path, table, match):
    with pytest.raises(DataError, match=match):
        read_challenge(_folder(tmp_path / "RES", table))


def test_frames_of_the_masks_count(tmp_path):
    with pytest.warns(DataWarning, match="label 1 in frames 0 to 3, the masks in 0 to 1"):
        _, tracks = read_challenge(_folder(tmp_path / "RES", "1 0 3 0", [(1, 0), (1, 1)]))
    assert tracks.spans().tolist() == [[1, 0, 1, 0]]


def test_folder_without_a_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no tracks"):
        read_challenge(tmp_path)


def test_ids_beyond_16_bits_are_numbered_anew(tmp_path):
    ids = np.array([[[70_000, 70_000]], [[80_000, 90_000]]], np.uint32)
    tracks = Tracks.of_frames(ObjectStack.of(ids).each(), {80_000: 70_000, 90_000: 70_000})
    product_of(write_challenge(ObjectStack.of(ids), tracks, tmp_path / "RES"))
    stack, found = read_challenge(tmp_path / "RES")
    assert found.spans().tolist() == [[1, 0, 0, 0], [2, 1, 1, 1], [3, 1, 1, 1]]
    assert stack.objects(1).ids.tolist() == [[2, 3]]


def test_more_tracks_than_the_masks_hold_are_refused(tmp_path):
    n = 65_536
    columns = {name: np.ones(n) for name in ("row", "col", "area", "score")}
    each = np.arange(1, n + 1)
    many = Tracks(frame=np.zeros(n), object=each, track=each, **columns)
    stack = ObjectStack.of(np.zeros((1, 2, 2), np.uint32))
    with pytest.raises(DataError, match=r"there are 65,536 tracks, .* hold 65,535"):
        product_of(write_challenge(stack, many, tmp_path / "RES"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".csv", ".geff"])
def test_nothing_else_is_written_over(tracks, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write = {".csv": write_tracks, ".geff": write_geff}[suffix]
    write(tracks, path)
    with pytest.raises(OutputError, match="exists already"):
        write(tracks, path)
    write(tracks, path, overwrite=True)
    other = tmp_path / f"b{suffix}"
    other.mkdir()
    (other / "zarr.json").write_text("{}")
    with pytest.raises(OutputError, match="b"):
        write(tracks, other, overwrite=True)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("id,frame\n", "has no column 'track'"),
        ("track,frame,object,parent,score,area,row,col\n1,x,1,0,,1,1,1\n", "line 2: 'x' is no"),
        ("track,frame,object,parent,score,area,row,col\n1,0,1,4,,1,1,1\n", "a.csv: track 4 is the"),
        (f"track,frame,object,parent,score,area,row,col\n{10**30},0,1,0,,1,1,1\n", "line 2: '10+'"),
        (
            "track,frame,object,parent,score,area,row,col\n"
            "1,0,1,0,,1,1,1\n2,1,1,1,,1,1,1\n2,2,1,0,,1,1,1\n",
            "several parents of track 2",
        ),
    ],
)
def test_tables_of_something_else_are_refused(tmp_path, text, match):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=match):
        read_tracks(tmp_path / "a.csv")


def test_what_is_no_geff_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .* as GEFF"):
        read_geff(tmp_path)
    with pytest.raises(DataError, match=r"must end in \.geff"):
        write_geff(linked(np.zeros((1, 2, 2), np.uint8)), tmp_path / "a.zarr")


def test_label_stack_of_tracks_is_what_the_folder_holds(colony, tmp_path):
    ids = colony[0]
    product_of(write_challenge(ObjectStack.of(ids), linked(ids), tmp_path / "RES"))
    labels = LabelStack.open(tmp_path / "RES")
    assert tuple(labels.shape) == ids.shape
