from dataclasses import replace

import numpy as np
import pytest

from rleseg_core.errors import DataError
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.tracks import Tracks


def test_rows_are_by_frame_and_track(tracks):
    assert tracks.frame.tolist() == [0, 1, 1, 2, 2, 3, 4]
    assert tracks.track.tolist() == [1, 1, 4, 2, 3, 3, 2]
    assert tracks.object[tracks.in_frame(2)].tolist() == [9, 10]
    assert (len(tracks), tracks.n_tracks) == (7, 4)


def test_spans_are_those_of_the_cell_tracking_challenge(tracks):
    assert tracks.spans().tolist() == [[1, 0, 1, 0], [2, 2, 4, 1], [3, 2, 3, 1], [4, 1, 1, 0]]


def test_links_lead_from_parents_to_daughters_and_over_gaps(tracks):
    links = tracks.links()
    edges = zip(tracks.object[links.source], tracks.object[links.target], strict=True)
    assert list(edges) == [(7, 8), (8, 9), (8, 10), (10, 12), (9, 11)]
    assert links.score.tolist() == [0.5, 0.25, 0.25, 1, 0.125]
    assert [(tracks.object[a], tracks.object[b]) for a, b in tracks.gaps()] == [(9, 11)]


def test_graph_and_lineage_go_back_to_the_first_parent(tracks):
    assert tracks.graph() == {2: [1], 3: [1]}
    assert tracks.divisions() == {1: (2, 3)}
    assert tracks.lineage().tolist() == [1, 1, 4, 1, 1, 1, 1]


def test_ids_that_persist_are_tracks_as_they_are():
    ids = np.zeros((3, 8, 8), np.uint16)
    ids[0, :4, :4] = ids[1, :4, :4] = 5
    ids[2, :2, :4], ids[2, 2:4, :4] = 8, 9
    tracks = Tracks.of_frames(ObjectStack.of(ids).each(), {8: 5, 9: 5})
    assert tracks.spans().tolist() == [[5, 0, 1, 0], [8, 2, 2, 5], [9, 2, 2, 5]]
    assert tracks.before.tolist() == [-1, 0, 1, 1]
    assert np.isnan(tracks.links().score).all()


def test_no_objects_are_no_tracks():
    tracks = Tracks.of_frames(ObjectStack.of(np.zeros((2, 4, 4), np.uint8)).each(), {})
    assert (len(tracks), tracks.spans().shape, tracks.links().source.size) == (0, (0, 4), 0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"frame": [0, 1, 2]}, "one length for all"),
        ({"track": [1, 1, 2, 3, 2, 3, 0]}, "track 0 in a table of tracks; the least is 1"),
        ({"frame": [0, 1, 2, 2, 4, 2, 1]}, "track 3 has two objects in frame 2"),
        ({"frame": [0, 1, 2, 2, 4, 2.5, 1]}, "frame 2.5 in a table of tracks; it must be a whole"),
        ({"frame": [0, 1, 2, 2, 4, np.nan, 1]}, "frame nan in a table of tracks"),
        ({"parents": {2: 9}}, "track 9 is the parent of 2, but 9 is no track"),
        ({"parents": {1: 2}}, "it must end before that begins"),
    ],
)
def test_what_is_no_table_of_tracks_is_refused(tracks, changes, match):
    columns = {
        "frame": [0, 1, 2, 2, 4, 3, 1],
        "track": [1, 1, 2, 3, 2, 3, 4],
    } | changes
    with pytest.raises(DataError, match=match):
        replace(tracks, **columns)
