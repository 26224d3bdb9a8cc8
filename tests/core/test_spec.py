import pytest

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec, WindowSpec


def test_specs_come_back_from_json():
    mask = MaskSpec(size=(8, 6), class_names=("a", "b"), n_frames=2)
    window = WindowSpec(patch=16, patch_stride=8, image_size=40, n_frames=2)
    assert MaskSpec.from_json(mask.to_json()) == mask
    assert WindowSpec.from_json(window.to_json()) == window


@pytest.mark.parametrize(
    ("size", "names", "told"),
    [
        ((0, 8), ("cell",), "size must be 2 values, each a whole number from 1 to 65,536, got"),
        ((8.5, 8), ("cell",), "size must be 2 values"),
        ((8, 8), ("cell", 3), "class_names must be a list, each text"),
        ((8, 8), (), "needs a name"),
        ((8, 8), ("cell", ""), "needs a name"),
        ((8, 8), ("cell", "cell"), "must differ"),
    ],
)
def test_masks_that_cannot_be(size, names, told):
    with pytest.raises(SchemeError, match=told):
        MaskSpec(size=size, class_names=names)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"patch": 0, "patch_stride": 0}, "patch must be a whole number from 1 to 65,536, got 0"),
        (
            {"patch": 8, "patch_stride": 8, "image_size": 1},
            "image_size must be a whole number from 8",
        ),
        ({"patch": 8, "patch_stride": 9}, "leave gaps"),
        ({"patch": 8, "patch_stride": 8, "frame_stride": 2}, "leave gaps"),
    ],
)
def test_windows_that_cannot_be(numbers, told):
    with pytest.raises(SchemeError, match=told):
        WindowSpec(**numbers)
