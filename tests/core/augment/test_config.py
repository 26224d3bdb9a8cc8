import pytest

from rleseg_core.augment.config import AUGMENTATIONS, NO_AUGMENTATION, Augmentation
from rleseg_core.errors import DataError


def test_settings_of_version_0_1_are_translated():
    old = {"turns": False, "warped_share": 0.3, "scale": [0.9, 1.1], "angle": 20.0, "noise": 0.0}
    assert Augmentation.from_json(old) == Augmentation(
        flips_and_rotations=False, affine_probability=0.3, scale=(0.9, 1.1), angle=20.0, noise=0.0
    )


def test_nothing_is_varied_by_default_of_none():
    assert AUGMENTATIONS["none"] is NO_AUGMENTATION
    assert not NO_AUGMENTATION.flips_and_rotations
    assert NO_AUGMENTATION.affine_probability == 0


@pytest.mark.parametrize(
    "change",
    [
        {"scale": (2, 1)},
        {"contrast": 1.5},
        {"noise": -1},
        {"elastic": 0.1},
        {"stretch": 1.1},
        {"blur": -1},
        {"affine_probability": 1.5},
        {"frame_gap": (0, 1)},
    ],
)
def test_augmentation_out_of_range_is_refused(change):
    with pytest.raises(DataError):
        Augmentation(**change)
