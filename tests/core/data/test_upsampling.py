import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.data import subsample_labels, upsample_labels
from rleseg_core.data.upsampling import FinePixels, upsample_ids


def upsampled(ids, patch):
    fine = FinePixels.at(np.arange(patch), ids.shape[-1], patch)
    return upsample_ids(ids, fine, fine)


masks = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 4, (2, 6, 6))
)


@given(ids=masks, factor=st.integers(1, 5))
@settings(deadline=None)
def test_foreground_is_that_of_a_single_class(ids, factor):
    fine = upsampled(ids, 6 * factor)
    binary = upsample_labels((ids > 0).astype(np.uint8), (6 * factor, 6 * factor), "smooth")
    np.testing.assert_array_equal(fine > 0, binary > 0)


@given(ids=masks)
@settings(deadline=None)
def test_grid_of_the_same_size_changes_nothing(ids):
    np.testing.assert_array_equal(upsampled(ids, 6), ids)


def test_ids_never_mix():
    ids = np.zeros((1, 8, 8), np.int32)
    ids[0, 2:6, 1:4], ids[0, 2:6, 4:7] = 1, 9
    fine = upsampled(ids, 64)
    assert set(np.unique(fine)) == {0, 1, 9}
    left, right = (fine[0] == 1).nonzero()[1], (fine[0] == 9).nonzero()[1]
    assert left.max() + 1 == right.min()  # neither a gap between them nor an overlap
    rows = [np.flatnonzero((fine[0] > 0).any(axis=0) & (fine[0][row] > 0)) for row in range(64)]
    assert all(row.size == 0 or np.ptp(row) + 1 == row.size for row in rows)  # no notch either


def test_outline_of_a_disk_is_smooth():
    row, col = np.mgrid[:256, :256]
    disk = ((row - 128) ** 2 + (col - 128) ** 2 < 80**2).astype(np.int32)[None]
    coarse = subsample_labels(disk, (32, 32))
    smooth = upsampled(coarse, 256)
    steps = upsample_labels(coarse, (256, 256), "nearest")
    error = [np.count_nonzero(fine != disk) for fine in (smooth, steps)]
    assert error[0] < 0.8 * error[1]


def test_positions_between_pixels_are_allowed():
    ids = np.zeros((1, 4, 4), np.int32)
    ids[0, :, 2:] = 5
    fine = FinePixels.at((np.arange(40) + 0.5) * 8 / 40 - 0.5, 4, 8)  # 8 patch pixels as 40
    result = upsample_ids(ids, fine, fine)
    assert result.shape == (1, 40, 40)
    edge = np.flatnonzero(result[0, 20] == 5).min()
    assert edge == pytest.approx(20, abs=3)
    assert (result[0] == result[0, 0]).all()


def test_one_mask_pixel_is_everywhere():
    assert (upsampled(np.full((1, 1, 1), 3), 4) == 3).all()
