import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest

from rleseg_core.data import ImageStack, open_labels
from rleseg_core.errors import DataError, DataWarning


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 9), (1, 8, 9, 1)),
        ((4, 8, 9), (4, 8, 9, 1)),
        ((8, 9, 3), (1, 8, 9, 3)),
        ((4, 8, 9, 2), (4, 8, 9, 2)),
    ],
)
def test_numpy_array_is_read(tmp_path, shape, expected):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    with nullcontext() if expected[3] == 1 else pytest.warns(DataWarning, match="does not name"):
        stack = ImageStack.open(tmp_path / "a.npy")
    assert stack.shape == expected
    np.testing.assert_array_equal(stack.data.compute(), array.reshape(expected))


def test_axes_of_a_numpy_array_can_be_given(tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (8, 9, 4), dtype=np.uint16)
    np.save(tmp_path / "a.npy", array)
    stack = ImageStack.open(tmp_path / "a.npy", axes="YXT")
    np.testing.assert_array_equal(stack.frame(3)[..., 0], array[..., 3])
    with pytest.raises(DataError, match="does not fit the axes 'TYXC'"):
        ImageStack.open(tmp_path / "a.npy", axes="TYXC")


def test_numpy_masks_are_read(tmp_path):
    ids = np.random.default_rng(0).integers(0, 5, (2, 8, 9), dtype=np.int32)
    np.save(tmp_path / "a.npy", ids)
    np.testing.assert_array_equal(open_labels(tmp_path / "a.npy").frame(1), ids[1])


def test_numpy_frames_stay_on_the_disk(tmp_path):
    frames = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (64, 256, 256))
    frames[40] = 7
    frames.flush()
    del frames
    ImageStack.open(tmp_path / "a.npy").frame(0)  # what is imported and cached at first
    tracemalloc.start()
    try:
        assert (ImageStack.open(tmp_path / "a.npy").frame(40) == 7).all()
        assert tracemalloc.get_traced_memory()[1] < 32 * 256 * 256
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["objects", "cut", "empty", "complex"])
def test_numpy_files_that_hold_no_images_are_refused(tmp_path, kind):
    path = tmp_path / "a.npy"
    if kind == "objects":
        np.save(path, np.array([{}, {}]), allow_pickle=True)
    elif kind == "complex":
        np.save(path, np.zeros((3, 4), complex))
    else:
        np.save(path, np.zeros((3, 4)))
        path.write_bytes(path.read_bytes()[: 150 if kind == "cut" else 0])
    with pytest.raises(DataError, match=r"a\.npy"):
        ImageStack.open(path)


def test_a_cut_array_is_told(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 40, 40)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"a.npy is truncated"):
        ImageStack.open(path)
