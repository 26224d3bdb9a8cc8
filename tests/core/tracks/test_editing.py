"""Corrections of tracks: what they do, that they can be undone, and that they are kept."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core import product_of
from rleseg_core.errors import DataError, InUseError
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.tracks import Node, TrackEditor, Tracks
from rleseg_core.tracks.edits import EditLog, TrackEdit
from rleseg_core.tracks.files.ctc import read_challenge, write_challenge
from rleseg_core.tracks.files.geff_store import read_geff, write_geff
from rleseg_core.tracks.files.table_file import read_tracks, write_tracks
from rleseg_core.tracks.table import COLUMNS, tracks_of_links

KINDS = ("link", "cut", "divide", "unite", "swap", "accept")


def same(tracks: Tracks, others: Tracks) -> bool:
    columns = [
        np.array_equal(getattr(tracks, name), getattr(others, name), equal_nan=name == "score")
        for name in COLUMNS
    ]
    return all(columns) and tracks.parents == others.parents


def state(editor: TrackEditor) -> list[list]:
    return [editor.track.tolist(), editor.before.tolist(), repr(editor.score.tolist())]


def spans(editor: TrackEditor) -> list[list[int]]:
    return editor.tracks.spans().tolist()


@st.composite
def random_tracks(draw) -> Tracks:
    """Up to five objects in each of five frames, each linked to one of the two frames before."""
    frame = [t for t in range(5) for _ in range(draw(st.integers(0, 5)))]
    n = len(frame)
    before = np.full(n, -1)
    for row in range(n):
        earlier = [r for r in range(row) if frame[row] - 2 <= frame[r] < frame[row]]
        before[row] = draw(st.sampled_from([-1, *earlier]))
    track = tracks_of_links(before, np.array(frame, np.int64))
    begins = [r for r in range(n) if before[r] >= 0 and track[before[r]] != track[r]]
    return Tracks(
        frame=frame,
        object=np.arange(1, n + 1),
        track=track,
        row=np.arange(n),
        col=np.arange(n) * 2,
        area=np.ones(n),
        score=np.where(before < 0, np.nan, draw(st.floats(0, 1))),
        parents={int(track[r]): int(track[before[r]]) for r in begins},
    )


@st.composite
def random_edits(draw, tracks: Tracks) -> list[TrackEdit]:
    nodes = [
        Node(int(t), int(one)) for t, one in zip(tracks.frame, tracks.object, strict=True)
    ] or [Node(0, 1)]
    kinds = draw(st.lists(st.sampled_from(KINDS), max_size=12))
    node = st.sampled_from(nodes)
    return [
        TrackEdit(kind, (draw(node),) if kind == "cut" else (draw(node), draw(node)))
        for kind in kinds
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_corrections_leave_tracks_and_can_be_undone_and_redone(data):
    base = data.draw(random_tracks())
    editor, states = TrackEditor(base), []
    for edit in data.draw(random_edits(base)):
        states.append(state(editor))
        try:
            editor.apply(edit)
        except DataError:
            assert state(editor) == states.pop()
            continue
        tracks = editor.tracks  # whose constructor checks them
        links = {
            (int(tracks.object[a]), int(tracks.object[b]))
            for a, b in zip(*tracks.links()[:2], strict=True)
        }
        rows = np.flatnonzero(editor.before >= 0)
        known = zip(editor.object[editor.before[rows]], editor.object[rows], strict=True)
        assert links == {(int(a), int(b)) for a, b in known}
    last = state(editor)
    again = TrackEditor(base)
    for edit, _ in editor._done:
        again.apply(edit)
    assert state(again) == last
    for earlier in reversed(states):
        assert editor.undo() is not None
        assert state(editor) == earlier
    assert editor.undo() is None
    assert same(editor.tracks, base)
    while editor.redo() is not None:
        pass
    assert state(editor) == last


def test_corrected_tracks_come_back_from_files(editor, tmp_path):
    editor.cut(Node(3, 12))
    editor.divide(Node(1, 13), Node(4, 11))
    editor.link(Node(0, 7), Node(2, 9))
    tracks = editor.tracks
    assert same(read_tracks(write_tracks(tracks, tmp_path / "tracks.csv")), tracks)
    assert same(read_geff(write_geff(tracks, tmp_path / "tracks.geff")), tracks)
    ids = np.zeros((5, 1, 20), np.uint32)
    ids[tracks.frame, 0, tracks.object] = tracks.object
    product_of(write_challenge(ObjectStack.of(ids), tracks, tmp_path / "ctc"))
    _, found = read_challenge(tmp_path / "ctc")
    assert edges(found, found.col) == edges(tracks, tracks.object)


def edges(tracks: Tracks, name: np.ndarray) -> set[tuple[int, ...]]:
    """Links by frame and a name (n,) of each object."""
    source, target, _ = tracks.links()
    return {
        (int(tracks.frame[a]), int(name[a]), int(tracks.frame[b]), int(name[b]))
        for a, b in zip(source, target, strict=True)
    }


@pytest.fixture
def editor(tracks) -> TrackEditor:
    return TrackEditor(tracks)


def test_linked_object_goes_on_as_that_one_alone(editor):
    # object 8 divides into 9 and 10; 13 ends beside it
    editor.link(Node(1, 13), Node(2, 10))
    assert spans(editor) == [[1, 0, 4, 0], [4, 1, 3, 0]]
    assert editor.score[editor.row_of(Node(2, 10))] == 1
    editor.link(Node(1, 8), Node(2, 10))
    assert spans(editor) == [[1, 0, 3, 0], [4, 1, 1, 0], [5, 2, 4, 0]]


def test_cut_track_goes_on_with_a_new_id(editor):
    editor.cut(Node(3, 12))
    assert spans(editor) == [[1, 0, 1, 0], [2, 2, 4, 1], [3, 2, 2, 1], [4, 1, 1, 0], [5, 3, 3, 0]]
    assert np.isnan(editor.score[editor.row_of(Node(3, 12))])


def test_cut_daughter_leaves_the_other_to_go_on(editor):
    editor.cut(Node(2, 9))
    assert spans(editor) == [[1, 0, 3, 0], [2, 2, 4, 0], [4, 1, 1, 0]]


def test_joined_tracks_are_one_over_a_gap(editor):
    editor.join(2, 4)
    assert spans(editor) == [[1, 0, 3, 0], [4, 1, 4, 0]]
    with pytest.raises(DataError, match="there is no track 2"):
        editor.join(1, 2)


def test_missed_division_splits_the_track(editor):
    editor.unite(Node(2, 10))
    assert spans(editor) == [[1, 0, 3, 0], [2, 2, 4, 0], [4, 1, 1, 0]]
    editor.divide(Node(1, 8), Node(2, 9))
    assert spans(editor) == [[1, 0, 1, 0], [2, 2, 4, 1], [4, 1, 1, 0], [5, 2, 3, 1]]
    assert editor.tracks.divisions() == {1: (2, 5)}


def test_swapped_tracks_exchange_all_that_follows(editor):
    editor.swap(Node(2, 9), Node(2, 10))  # daughters of one object
    assert spans(editor) == [[1, 0, 1, 0], [2, 2, 4, 1], [3, 2, 3, 1], [4, 1, 1, 0]]
    editor.swap(Node(4, 11), Node(3, 12))
    assert spans(editor) == [[1, 0, 1, 0], [2, 2, 3, 1], [3, 2, 4, 1], [4, 1, 1, 0]]


def test_doubtful_links_come_in_order_until_they_are_accepted(editor):
    assert editor.object[editor.doubtful()].tolist() == [11, 9, 8]  # the sister of 9 is 10
    editor.accept(Node(2, 9))
    assert editor.object[editor.doubtful()].tolist() == [11, 8]
    assert editor.score[editor.row_of(Node(2, 10))] == 1
    editor.undo()
    assert editor.object[editor.doubtful()].tolist() == [11, 9, 8]


@pytest.mark.parametrize(
    ("kind", "nodes", "match"),
    [
        ("link", ((2, 9), (2, 10)), "object 10 of frame 2 cannot follow object 9 of frame 2"),
        ("link", ((2, 9), (5, 77)), "the tracks have no object 77 of frame 5"),
        ("link", ((2, 10), (3, 12)), "nothing was changed"),
        ("unite", ((1, 13), (2, 9)), "object 9 of frame 2 no longer follows object 13"),
        ("cut", ((0, 7),), "nothing was changed"),
        ("swap", ((1, 8), (4, 11)), "cannot follow"),
    ],
)
def test_impossible_corrections_say_why(editor, kind, nodes, match):
    before = state(editor)
    with pytest.raises(DataError, match=match):
        editor.apply(TrackEdit(kind, tuple(Node(*node) for node in nodes)))
    assert state(editor) == before
    assert editor.n_edits == 0


def test_corrections_are_kept_with_what_was_undone(tracks, tmp_path):
    log = EditLog(tmp_path / "tracks.jsonl")
    editor = TrackEditor(tracks, log)
    editor.cut(Node(3, 12))
    editor.accept(Node(2, 9))
    editor.cut(Node(4, 11))
    editor.undo()
    editor.undo()
    now = state(editor)
    editor.close()
    again = TrackEditor(tracks, EditLog(log.path))
    assert (state(again), again.n_edits, again.n_undone) == (now, 1, 2)
    again.redo()
    assert again.score[again.row_of(Node(2, 10))] == 1
    again.cut(Node(1, 8))
    assert again.n_undone == 0
    again.close()
    assert TrackEditor(tracks, EditLog(log.path)).n_edits == 3


def test_corrections_hold_in_tracks_that_were_linked_anew(tracks, tmp_path):
    editor = TrackEditor(tracks, EditLog(tmp_path / "tracks.jsonl"))
    editor.divide(Node(1, 13), Node(4, 11))
    editor.cut(Node(3, 12))
    editor.close()
    kept = tracks.object != 12
    columns = {name: getattr(tracks, name)[kept] for name in COLUMNS}
    again = TrackEditor(
        Tracks(**columns, parents=tracks.parents), EditLog(tmp_path / "tracks.jsonl")
    )
    assert (again.n_edits, again.n_skipped) == (2, 1)
    assert again.track[again.row_of(Node(4, 11))] == 4
    again.undo()
    assert (again.n_edits, again.n_skipped) == (1, 0)


def test_torn_line_is_left_out_and_others_count(tracks, tmp_path):
    path = tmp_path / "tracks.jsonl"
    editor = TrackEditor(tracks, EditLog(path))
    editor.cut(Node(3, 12))
    editor.cut(Node(4, 11))
    editor.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 1):
        path.write_bytes(whole[:end])
        log = EditLog(path)
        assert len(log.standing) == 1
        assert log.n_damaged == (end > first)
    TrackEditor(tracks, log).cut(Node(1, 8))
    log.close()
    found = EditLog(path)
    assert (len(found.standing), found.n_damaged) == (2, 1)


def test_line_that_is_whole_and_wrong_is_refused(tmp_path):
    from rleseg_core.files.lines import to_line

    path = tmp_path / "tracks.jsonl"
    path.write_bytes(to_line({"kind": "cut", "nodes": [[1, "x"]], "n": 0}))
    with pytest.raises(DataError, match=r"tracks\.jsonl, line 1: 'nodes' is .* put the file back"):
        EditLog(path)
    path.write_bytes(to_line({"kind": "colour", "n": 0}))
    assert EditLog(path).n_unknown == 1


def test_one_program_writes_at_a_time(tracks, tmp_path):
    path = tmp_path / "tracks.jsonl"
    one, other = (TrackEditor(tracks, EditLog(path)) for _ in range(2))
    one.cut(Node(3, 12))
    with pytest.raises(InUseError, match="is in use by this program"):
        other.cut(Node(3, 12))
    one.close()
    with pytest.raises(DataError, match="was changed by another program"):
        other.cut(Node(3, 12))
    assert (other.n_edits, other.tracks.n_tracks) == (0, 4)
    looking = TrackEditor(tracks, EditLog(path, read_only=True))
    assert looking.n_edits == 1
    with pytest.raises(DataError, match="read-only"):
        looking.undo()


KILLED = """
import os, signal, sys
from pathlib import Path
from rleseg_core.tracks.edits import EditLog, Node, TrackEdit

log = EditLog(Path(sys.argv[1]))
log.append(TrackEdit("cut", (Node(3, 12),)))
log.append(TrackEdit("accept", (Node(1, 8), Node(2, 9))))
log.undo()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_corrections_survive_sigkill(tracks, tmp_path):
    path = tmp_path / "tracks.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path], env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    editor = TrackEditor(tracks, EditLog(path))
    assert (editor.n_edits, editor.n_undone) == (1, 1)
    editor.redo()
    editor.close()
