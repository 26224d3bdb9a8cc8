import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.objects.refining import refined


def disc(size: int, radius: float) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size] - (size - 1) / 2
    return radius - np.hypot(rows, cols)


def test_steps_of_a_coarse_mask_become_the_outline_that_is_seen() -> None:
    odds = disc(60, 20.0)
    coarse = (odds[2::6, 2::6] > 0).repeat(6, axis=0).repeat(6, axis=1).astype(np.int32) * 7
    found = refined(coarse, odds, 6.0)
    assert ((coarse > 0) != (odds > 0)).sum() > 60
    np.testing.assert_array_equal(found, np.where(odds > 0, 7, 0))


def test_what_is_far_from_an_outline_stays() -> None:
    ids = np.zeros((40, 40), np.int32)
    ids[10:30, 10:30] = 3
    found = refined(ids, np.full(ids.shape, -1.0), 2.0)
    assert (found[12:28, 12:28] == 3).all()  # seen as background, but written as an object
    assert not found[:, :10].any()
    everywhere = refined(ids, np.full(ids.shape, 1.0), 2.0)
    assert (everywhere > 0).sum() < 25 * 25


def test_touching_objects_keep_their_border_and_take_what_is_nearest() -> None:
    ids = np.zeros((12, 20), np.int32)
    ids[3:9, 4:10], ids[3:9, 10:16] = 1, 2
    odds = np.where(np.pad(ids > 0, 1)[1:-1, 1:-1], 1.0, -1.0)
    odds[2, 4:16] = 1.0  # one row more
    found = refined(ids, odds, 1.5)
    assert found[2, 4:16].tolist() == 6 * [1] + 6 * [2]
    np.testing.assert_array_equal(found[3:9], ids[3:9])


@given(st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_no_object_is_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 6, (8, 8)).repeat(3, axis=0).repeat(3, axis=1)
    found = refined(ids, rng.normal(size=ids.shape), 3.0)
    assert set(np.unique(ids)) - {0} <= set(np.unique(found))
    counts = [np.bincount(one.ravel(), minlength=6)[1:] for one in (ids, found)]
    assert (counts[1] >= 0.5 * counts[0]).all()


def test_nothing_and_everything() -> None:
    for ids in (np.zeros((4, 4), np.int32), np.ones((4, 4), np.int32)):
        np.testing.assert_array_equal(refined(ids, np.zeros((4, 4)), 2.0), ids)
