import numpy as np
import pytest
import tifffile

from rleseg_core.data.masks import MaskStack
from rleseg_core.data.windows import plan_windows
from rleseg_core.errors import DataError
from rleseg_core.spec import WindowSpec


@pytest.fixture
def files(tmp_path):
    classes = np.zeros((3, 6, 8), np.uint8)
    classes[:, 1:3, 1:4], classes[1, 4, 4:] = 1, 2
    instances = (classes * 7).astype(np.uint16)
    for name, stack in (("classes", classes), ("instances", instances)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    return tmp_path, classes, instances


def test_classes_with_the_instances_of_another_file(files):
    folder, classes, instances = files
    masks = MaskStack.open(
        folder / "classes.tif", ("a", "b"), instance_ids=folder / "instances.tif"
    )
    assert masks.shape == (3, 6, 8)
    np.testing.assert_array_equal(masks.class_frame(1), classes[1])
    np.testing.assert_array_equal(masks.instance_frame(1), instances[1])


def test_masks_of_instances_are_of_one_class(files):
    folder, classes, instances = files
    masks = MaskStack.open(folder / "instances.tif", ("cell",), instances=True)
    np.testing.assert_array_equal(masks.class_frame(1), classes[1] > 0)
    np.testing.assert_array_equal(masks.instance_frame(1), instances[1])


def test_classes_alone_have_no_instances(files):
    masks = MaskStack.open(files[0] / "classes.tif", ("a", "b"))
    assert masks.instance_frame(0) is None
    spec = WindowSpec(patch=4, patch_stride=4)
    assert all(ids is None for _, ids in masks.windows(spec))


def test_ids_that_are_no_classes_are_told_with_the_file(files):
    masks = MaskStack.open(files[0] / "classes.tif", ("a",))
    with pytest.raises(DataError, match=r"classes\.tif holds the ids 0, 1 and 2, .*1 class \(a\)"):
        masks.class_frame(0)


def test_windows_are_cut_as_planned(files):
    folder, classes, instances = files
    masks = MaskStack.open(
        folder / "classes.tif", ("a", "b"), instance_ids=folder / "instances.tif"
    )
    spec = WindowSpec(patch=4, patch_stride=3, n_frames=2)
    windows = plan_windows(masks.shape, spec)
    for window, (labels, ids) in zip(windows, masks.windows(spec), strict=True):
        place = (slice(*window.frames), slice(*window.rows), slice(*window.cols))
        np.testing.assert_array_equal(labels, classes[place])
        np.testing.assert_array_equal(ids, instances[place])
    ((labels, ids),) = masks.windows(spec, windows[:1], instances=False)
    assert labels.shape == (2, 4, 4)
    assert ids is None


def test_shapes_must_agree(files):
    folder, _, instances = files
    tifffile.imwrite(folder / "cut.tif", instances[:2], photometric="minisblack")
    with pytest.raises(DataError, match=r"\(2, 6, 8\)"):
        MaskStack.open(folder / "classes.tif", ("a", "b"), instance_ids=folder / "cut.tif")
    with pytest.raises(DataError, match="neither"):
        MaskStack(class_names=("a",))
