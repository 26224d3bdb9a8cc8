import json
from pathlib import Path

import numpy as np
import pytest

from rleseg_core.data import resize_labels, subsample_labels, upsample_labels
from rleseg_core.errors import DataError

RULES = ("corner", "centre", "max")


def blocks(labels, size):
    """Cells (rows, cols, pixels of a cell) of labels (Y, X)."""
    height, width = labels.shape[0] // size[0], labels.shape[1] // size[1]
    cells = labels.reshape(size[0], height, size[1], width).swapaxes(1, 2)
    return cells.reshape(*size, height * width)


def golden(shared_dir: Path, group: str):
    """Arrays and parameters of the cases of a group."""
    folder = shared_dir / "golden" / "tokens"
    for case in json.loads((folder / "index.json").read_text())["cases"]:
        if case["group"] == group:
            with np.load(folder / case["file"]) as arrays:
                yield dict(arrays), case["params"]["S"]


def test_published_subsampling_is_reproduced(shared_dir):
    n_compared = 0
    for arrays, side in golden(shared_dir, "subsample"):
        mask, size = arrays["mask"], (side, side)
        expected = {"cv2_nearest": "corner", "tf_nearest": "centre"}
        for name, rule in expected.items():
            np.testing.assert_array_equal(resize_labels(mask, size, rule), arrays[name])
            n_compared += 1
        if "block_max" in arrays:  # what the published code cannot do, we refuse
            expected["block_max"] = "max"
            for name, rule in expected.items():
                np.testing.assert_array_equal(subsample_labels(mask, size, rule), arrays[name])
                n_compared += 1
        else:
            with pytest.raises(DataError, match="does not divide"):
                subsample_labels(mask, size, "max")
        larger = arrays["supersample_of_cv2"]
        np.testing.assert_array_equal(upsample_labels(arrays["cv2_nearest"], larger.shape), larger)
        n_compared += 1
    print(f"{n_compared} masks compared")  # noqa: T201
    assert n_compared >= 40


def test_published_tensorflow_path_takes_the_centre(shared_dir):
    n_compared = 0
    for arrays, side in golden(shared_dir, "tf_subsample"):
        mask, expected = (np.squeeze(arrays[key]) for key in ("mask", "mask_sub"))
        np.testing.assert_array_equal(subsample_labels(mask, (side, side), "centre"), expected)
        n_compared += 1
    print(f"{n_compared} masks compared")  # noqa: T201
    assert n_compared >= 4


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("shape", "size"), [((12, 12), (4, 4)), ((6, 20), (3, 4)), ((5, 5), (1, 1))]
)
def test_cell_takes_its_corner_centre_or_highest_pixel(rule, shape, size):
    labels = np.random.default_rng(0).permutation(shape[0] * shape[1]).reshape(shape)
    cells = blocks(labels, size)
    height, width = shape[0] // size[0], shape[1] // size[1]
    expected = {
        "corner": cells[..., 0],
        "centre": cells[..., height // 2 * width + width // 2],
        "max": cells.max(axis=-1),
    }[rule]
    np.testing.assert_array_equal(subsample_labels(labels, size, rule), expected)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16])
def test_frames_and_dtype_are_kept(rule, dtype):
    labels = np.random.default_rng(1).integers(0, 4, (3, 2, 8, 8)).astype(dtype)
    mask = subsample_labels(labels, (4, 2), rule)
    assert mask.shape == (3, 2, 4, 2)
    assert mask.dtype == dtype
    np.testing.assert_array_equal(mask[2, 1], subsample_labels(labels[2, 1], (4, 2), rule))


@pytest.mark.parametrize("rule", RULES)
def test_mask_of_the_size_of_its_patch_stays_as_it_is(rule):
    labels = np.random.default_rng(2).integers(0, 3, (1, 6, 6))
    np.testing.assert_array_equal(subsample_labels(labels, (6, 6), rule), labels)


def test_only_the_maximum_keeps_every_object():
    labels = np.zeros((1, 64, 64), np.uint8)
    labels[0, 9, :] = 1  # one pixel high, off corners and centres
    labels[0, 30, 30] = 2
    assert set(np.unique(subsample_labels(labels, (8, 8), "max"))) == {0, 1, 2}
    for rule in ("corner", "centre"):
        assert not subsample_labels(labels, (8, 8), rule).any()


def test_higher_class_wins_a_shared_cell():
    labels = np.ones((1, 4, 4), np.uint8)
    labels[0, 3, 3] = 2
    assert subsample_labels(labels, (1, 1), "max").item() == 2
    assert subsample_labels(labels, (1, 1), "corner").item() == 1


@pytest.mark.parametrize("rule", RULES)
def test_size_that_does_not_divide_is_refused_by_every_rule(rule):
    with pytest.raises(DataError, match=r"\(3, 4\) does not divide a patch of \(8, 8\)"):
        subsample_labels(np.zeros((1, 8, 8), np.uint8), (3, 4), rule)
