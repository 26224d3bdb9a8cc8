import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.affinities import AFFINITIES, pair_slices
from rleseg_core.objects.partition import partition, renumbered


def affinities_of(ids: np.ndarray, step: tuple[int, int] = (1, 1), sure: float = 5.0) -> np.ndarray:
    """What a perfect head says of a mask of ids (Y, X)."""
    found = np.full((len(AFFINITIES), *ids.shape), -sure, np.float32)
    for k, (rows, cols) in enumerate(AFFINITIES):
        here, there = pair_slices(ids.shape, (rows * step[0], cols * step[1]))
        found[k][here] = np.where((ids[here] == ids[there]) & (ids[here] > 0), sure, -sure)
    return found


def touching_discs(seed: int, size: int = 48, radius: int = 7) -> np.ndarray:
    """Discs and what later ones leave of earlier ones, whole or in pieces of some size."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((size, size), np.int32)
    rows, cols = np.mgrid[:size, :size]
    for number in range(1, 10):
        row, col = rng.integers(0, size, 2)
        ids[(rows - row) ** 2 + (cols - col) ** 2 < radius**2] = number
    return ids


@pytest.mark.parametrize("step", [(1, 1), (2, 2), (3, 3), (1, 4), (3, 2)])
def test_perfect_affinities_part_a_touching_grid(step: tuple[int, int]) -> None:
    rows, cols = np.mgrid[: 24 * step[0], : 24 * step[1]]
    rows, cols = rows // (8 * step[0]), cols // (8 * step[1])
    ids = (rows * 3 + cols + 1).astype(np.int32)
    found = partition(ids > 0, affinities_of(ids, step), AFFINITIES, step=step)
    np.testing.assert_array_equal(found, ids)


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_no_object_holds_pixels_of_two(seed: int, step: int) -> None:
    ids = touching_discs(seed).repeat(step, axis=0).repeat(step, axis=1)
    found = partition(ids > 0, affinities_of(ids, (step, step)), AFFINITIES, step=(step, step))
    assert np.array_equal(found > 0, ids > 0)
    for number in range(1, found.max() + 1):
        owners, counts = np.unique(ids[found == number], return_counts=True)
        assert counts.max() >= 0.95 * counts.sum(), (number, owners, counts)


def test_nested_objects_are_two() -> None:
    rows, cols = np.mgrid[:32, :32] - 15.5
    far = np.hypot(rows, cols)
    ids = np.where(far < 6, 1, np.where(far < 14, 2, 0)).astype(np.int32)
    found = partition(ids > 0, affinities_of(ids), AFFINITIES)
    assert found.max() == 2
    assert len(np.unique(np.stack((ids.ravel(), found.ravel())), axis=1).T) == 3


def test_a_doubtful_line_does_not_cut_an_object() -> None:
    ids = np.ones((16, 16), np.int32)
    affinities = affinities_of(ids)
    affinities[1, 8] = -1.0  # the row above seems to be another object, a little
    assert partition(ids > 0, affinities, AFFINITIES).max() == 1


def test_small_objects_and_background_are_left_out() -> None:
    ids = np.zeros((12, 12), np.int32)
    ids[2:8, 2:8], ids[10, 10] = 1, 2
    found = partition(ids > 0, affinities_of(ids), AFFINITIES, smallest=4)
    np.testing.assert_array_equal(found, np.where(ids == 1, 1, 0))
    assert not partition(ids > 9, affinities_of(ids), AFFINITIES).any()


@pytest.mark.parametrize("filled", [True, False])
def test_numbers_are_in_the_order_of_first_pixels(filled: bool) -> None:
    ids = np.array([[9, 9, 4], [2, 4, 4]])
    ids[0, 0] = 9 if filled else 0
    assert renumbered(ids).tolist() == [[1 if filled else 0, 1, 2], [3, 2, 2]]
