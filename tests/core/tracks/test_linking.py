import numpy as np
import pytest

from rleseg_core.errors import DataError
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.reports import product_of
from rleseg_core.tracks import LinkOptions, link_objects


def linked(ids, **options):
    return product_of(link_objects(ObjectStack.of(ids), LinkOptions(**options)))


def names_of(tracks, truth):
    """The true names of each track, and the names of parents by those of daughters."""
    keys = zip(tracks.frame.tolist(), tracks.object.tolist(), strict=True)
    names = {}
    for key, track in zip(keys, tracks.track.tolist(), strict=True):
        names.setdefault(track, set()).add(truth[key])
    parents = {min(names[track]): min(names[parent]) for track, parent in tracks.parents.items()}
    return sorted(map(sorted, names.values())), parents


def test_rods_that_drift_divide_vanish_and_leave_keep_their_names(colony):
    ids, truth = colony
    tracks = linked(ids)
    assert names_of(tracks, truth) == (
        [["a"], ["a1"], ["a2"], ["b"], ["c"]],
        {"a1": "a", "a2": "a"},
    )
    assert [tracks.frame[b] for _, b in tracks.gaps()] == [4]


def test_scores_are_shares_and_lower_where_there_is_an_alternative():
    ids = np.zeros((2, 40, 80), np.uint8)
    ids[:, 10:20, 4:24], ids[0, 10:20, 50:60], ids[1, 10:20, 45:55], ids[1, 10:20, 56:66] = (
        1,
        2,
        3,
        4,
    )
    tracks = linked(ids, divisions=False)
    links = tracks.links()
    score = dict(zip(tracks.object[links.source].tolist(), links.score.tolist(), strict=True))
    assert 0.9 < score[1] <= 1
    assert 0 < score[2] < 0.5
    assert np.isnan(tracks.score[tracks.before < 0]).all()


def test_gap_longer_than_allowed_begins_a_new_track(colony):
    ids, truth = colony
    names, _ = names_of(linked(ids, max_gap=0), truth)
    assert names == [["a"], ["a1"], ["a2"], ["b"], ["b"], ["c"]]


def test_without_divisions_links_are_one_to_one(colony):
    tracks = linked(colony[0], divisions=False)
    assert tracks.parents == {}
    assert np.bincount(tracks.links().source).max() == 1


def test_shift_of_the_whole_frame_is_found(colony):
    ids, truth = colony
    moved = np.zeros((6, 128, 160), np.uint32)
    for t in range(6):
        row, col = (40, 45) if t > 2 else (0, 0)
        moved[t, row : row + 64, col : col + 96] = ids[t]
    names, parents = names_of(linked(moved), truth)
    assert names == [["a"], ["a1"], ["a2"], ["b"], ["c"]]
    assert parents == {"a1": "a", "a2": "a"}


def test_bud_is_no_division():
    ids = np.zeros((2, 40, 40), np.uint8)
    ids[:, 10:26, 10:26] = 1
    ids[1, 26:30, 15:19] = 2
    tracks = linked(ids)
    assert (tracks.n_tracks, tracks.parents) == (2, {})


def test_object_whose_area_jumps_goes_on_where_nothing_else_is_left():
    ids = np.zeros((3, 60, 60), np.uint8)
    ids[0, 10:40, 10:40], ids[1, 20:40, 10:40], ids[2, 10:40, 10:40] = 1, 2, 3
    ids[:, 45:55, 45:55] = 9
    tracks = linked(ids)
    assert tracks.n_tracks == 2
    links = tracks.links()
    jumped = tracks.object[links.target] != 9
    assert links.score[jumped].max() < links.score[~jumped].min()


def test_half_whose_sister_is_there_is_no_jump():
    ids = np.zeros((2, 40, 60), np.uint8)
    ids[0, 10:20, 10:40] = 1
    ids[1, 10:20, 10:24], ids[1, 10:20, 26:40] = 2, 3
    assert linked(ids).divisions() == {1: (2, 3)}


def test_each_frame_is_reported_and_read_once(colony):
    ids, _ = colony
    read = []

    class Watched:
        shape, dtype = ids.shape, ids.dtype

        def __getitem__(self, frame):
            read.append(frame)
            return ids[frame]

    run = link_objects(ObjectStack.of(Watched()))
    reports = []
    product_of(run, reports.append)
    assert read == list(range(6))
    assert [report.n_objects for report in reports] == [3, 3, 3, 3, 3, 3]
    assert [report.n_divided for report in reports] == [0, 0, 0, 1, 0, 0]
    assert [report.n_new for report in reports] == [3, 0, 0, 0, 0, 0]
    assert reports[-1].n_done == reports[-1].n_frames == 6


@pytest.mark.parametrize("frames", [[0, 1], [0], [1, 1], [1, 0, 0]])
def test_frames_without_objects_are_no_obstacle(colony, frames):
    ids = np.stack([colony[0][0] if full else np.zeros_like(colony[0][0]) for full in frames])
    tracks = linked(ids)
    assert (len(tracks), tracks.n_tracks) == (3 * sum(frames), 3 * bool(sum(frames)))


def test_objects_that_leave_the_frame_are_followed_to_its_border():
    ids = np.zeros((5, 60, 60), np.uint8)
    for t in range(5):
        for k, row in enumerate((4, 18, 32, 46)):
            ids[t, row : row + 8, 10 + 7 * t + 6 * (k % 2) : 26 + 7 * t + 6 * (k % 2)] = k + 1
    tracks = linked(ids)
    assert tracks.n_tracks == 4
    assert np.median(tracks.links().score) > 0.8


def test_objects_that_have_left_are_not_looked_for():
    ids = np.zeros((3, 40, 40), np.uint8)
    ids[0, 4:12, 28:38] = ids[2, 4:12, 30:40] = 1
    for t in range(3):
        for k, row in enumerate((14, 22, 30)):
            ids[t, row : row + 6, 2 + 12 * t : 12 + 12 * t] = k + 2
    tracks = linked(ids)
    assert tracks.n_tracks == 5
    assert list(tracks.gaps()) == []


def test_negative_gap_is_refused():
    with pytest.raises(DataError, match="max_gap must be"):
        LinkOptions(max_gap=-1)


def test_known_links_are_taken_and_the_rest_is_found():
    ids = np.zeros((2, 40, 90), np.uint8)
    ids[0, 5:15, 5:25], ids[0, 5:15, 30:50], ids[0, 25:35, 5:35] = 1, 2, 3
    ids[1, 5:15, 6:26], ids[1, 5:15, 31:51] = 11, 12
    ids[1, 25:35, 5:19], ids[1, 25:35, 21:35] = 13, 14
    crossed = {1: np.array([[1, 12, 0.9], [2, 11, 0.8]])}
    tracks = product_of(link_objects(ObjectStack.of(ids), known=crossed))
    links = tracks.links()
    found = zip(*(tracks.object[side].tolist() for side in links[:2]), links.score, strict=True)
    scores = {(one, other): float(score) for one, other, score in found}
    assert set(scores) == {(1, 12), (2, 11), (3, 13), (3, 14)}
    assert scores[1, 12] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("links", "message"),
    [([[7, 11, 1]], "frame 0 has no object 7"), ([[1, 11, 1], [1, 12, 1]], "has two links")],
)
def test_known_links_of_other_objects_are_refused(links, message):
    ids = np.zeros((2, 20, 60), np.uint8)
    ids[0, 5:15, 5:25], ids[1, 5:15, 5:25], ids[1, 5:15, 30:50] = 1, 11, 12
    with pytest.raises(DataError, match=message):
        product_of(link_objects(ObjectStack.of(ids), known={1: np.array(links)}))
