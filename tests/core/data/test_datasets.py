from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from rleseg_core.data import (
    IdOptions,
    ImageStack,
    LabelledStack,
    grid_samples,
    open_labels,
    plan_windows,
)
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec, WindowSpec


def save(folder, names, frames):
    folder.mkdir(exist_ok=True)
    for name, frame in zip(names, frames, strict=True):
        Image.fromarray(frame).save(folder / name)
    return folder


@pytest.fixture
def fields():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 16, 20), dtype=np.uint8)
    return images, rng.integers(0, 5, (3, 16, 20), dtype=np.uint8)


def test_folders_are_matched_by_stem(tmp_path, fields):
    images, ids = fields
    left = save(tmp_path / "images", ["b2.png", "b10.png", "b1.png"], images)
    right = tmp_path / "masks"
    right.mkdir()
    for name, mask in zip(["b2.tif", "b10.tif", "b1.tif"], ids, strict=True):
        tifffile.imwrite(right / name, mask.astype(np.uint16))
    stack = LabelledStack.from_paths(left, right, ["cell"], instances=True)
    order = [2, 0, 1]
    assert stack.frames == (0, 1, 2)
    for t, index in enumerate(order):
        np.testing.assert_array_equal(stack.images.frame(t)[..., 0], images[index])
        np.testing.assert_array_equal(stack.instance_frame(t), ids[index])
        np.testing.assert_array_equal(stack.class_frame(t), ids[index] > 0)


def test_folders_are_else_matched_by_number(tmp_path, fields):
    images, ids = fields
    left = save(tmp_path / "images", ["t000.png", "t001.png", "t002.png"], images)
    right = save(tmp_path / "masks", ["mask1_x.png", "mask2_x.png", "mask0_x.png"], ids)
    stack = LabelledStack.from_paths(left, right, "abcd")
    for t, index in enumerate([2, 0, 1]):
        np.testing.assert_array_equal(stack.class_frame(t), ids[index])


def test_missing_counterparts_are_listed(tmp_path, fields):
    images, ids = fields
    left = save(tmp_path / "images", ["a.png", "b.png", "c.png"], images)
    right = save(tmp_path / "masks", ["a.png", "d.png"], ids[:2])
    with pytest.raises(
        DataError, match=r"2 of 3 images \(b.png, c.png\) have no mask and 1 of 2 masks \(d.png\)"
    ):
        LabelledStack.from_paths(left, right, ["cell"])


def test_movies_of_another_shape_are_refused(tmp_path, fields):
    images, ids = fields
    tifffile.imwrite(tmp_path / "images.tif", images, photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks.tif", ids[:, :-1], photometric="minisblack")
    with pytest.raises(DataError, match=r"mask is \(3, 15, 20\), the image is \(3, 16, 20\)"):
        LabelledStack.from_paths(tmp_path / "images.tif", tmp_path / "masks.tif", "abcd")


def test_grey_levels_of_masks_become_ids(tmp_path, fields):
    images, ids = fields
    tifffile.imwrite(tmp_path / "images.tif", images, photometric="minisblack")
    levels = np.array([0, 128, 255], np.uint8)[ids % 3]
    tifffile.imwrite(tmp_path / "masks.tif", levels, photometric="minisblack")
    stack = LabelledStack.from_paths(
        tmp_path / "images.tif", tmp_path / "masks.tif", ["anchor ice", "frazil ice"]
    )
    np.testing.assert_array_equal(stack.class_frame(1), ids[1] % 3)


def test_ids_that_are_no_classes_are_told_at_once(tmp_path, fields):
    images, ids = fields
    tifffile.imwrite(tmp_path / "images.tif", images, photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks.tif", ids, photometric="minisblack")
    with pytest.raises(DataError, match=r"masks\.tif holds the ids 0, .* and 4, but there is 1"):
        LabelledStack.from_paths(
            tmp_path / "images.tif", tmp_path / "masks.tif", ["cell"], frames=[1]
        )


def test_instances_take_mapped_classes(tmp_path, fields):
    images, ids = fields
    tifffile.imwrite(tmp_path / "images.tif", images, photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks.tif", ids, photometric="minisblack")
    stack = LabelledStack.from_paths(
        tmp_path / "images.tif",
        tmp_path / "masks.tif",
        ["ipsc", "dfc"],
        instances=True,
        ids=IdOptions(class_of_object={1: 1, 2: 2, 3: 1, 4: 2}),
    )
    np.testing.assert_array_equal(stack.class_frame(0), np.array([0, 1, 2, 1, 2])[ids[0]])


def test_frames_are_sorted_and_can_be_replaced(fields):
    images, ids = fields
    stack = LabelledStack(
        images=ImageStack.from_array(images), classes=ids, class_names="abcd", frames=(2, 0)
    )
    assert stack.frames == (0, 2)
    assert replace(stack, frames=(1,)).frames == (1,)
    assert replace(stack, frames=()).frames == ()


@pytest.mark.parametrize(
    "changes", [{"frames": (0, 3)}, {"classes": np.zeros((3, 16, 20), complex)}]
)
def test_what_does_not_fit_is_refused(fields, changes):
    images, ids = fields
    values = {"images": ImageStack.from_array(images), "classes": ids, "class_names": "abcd"}
    with pytest.raises(DataError):
        LabelledStack(**(values | changes))


def test_real_fields_with_instance_ids(shared_dir, tmp_path):
    source = shared_dir / "data" / "usiigaci_gt50"
    if not source.is_dir():
        pytest.skip(f"{source} is not here")
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for name in ("set01.png", "set02.png"):
            (tmp_path / kind / name).symlink_to(source / kind / name)
    stack = LabelledStack.from_paths(
        tmp_path / "images", tmp_path / "masks", ["cell"], instances=True
    )
    assert stack.images.shape == (2, 1022, 1024, 1)
    assert stack.class_frame(0).max() == 1
    assert 38 <= len(np.unique(stack.instance_frame(0))) - 1 <= 114
    window = WindowSpec(patch=128, patch_stride=96, image_size=512)
    mask = MaskSpec(size=(32, 32), class_names=("cell",))
    batches = list(grid_samples([stack], window, mask))
    assert any(batch.classes.any() for batch in batches)
    assert max(batch.instances.max() for batch in batches) > 1
    n_windows = sum(len(batch) for batch in batches)
    assert n_windows == len(plan_windows(stack.images.shape, window))


def test_real_movie(shared_dir):
    folder = shared_dir / "data" / "usiigaci_t98g_timelapse"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    stack = ImageStack.open(folder / "demo_crop_16x512x512.tif")
    assert stack.shape == (16, 512, 512, 1)
    assert stack.frame(15).std() > 1
    labels = open_labels(folder / "demo_crop_16x512x512_masks.tif")
    assert labels.shape == (16, 512, 512)
    assert labels.dtype == np.uint16
    stack = ImageStack.open(folder / "01")
    assert stack.shape == (37, 1022, 1024, 1)
