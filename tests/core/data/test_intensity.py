import numpy as np
import pytest

from rleseg_core.data.intensity import extremes, normalise, robust_limits
from rleseg_core.data.no_data import filled, no_data
from rleseg_core.errors import SchemeError
from rleseg_core.normalisation import BY_TYPE, ROBUST, Normalisation
from rleseg_core.spec import WindowSpec

RNG = np.random.default_rng(0)
TEXTURE = RNG.normal(100, 10, (64, 80, 1))
TYPE_LIMITS = (0.0, 255.0)


def spots(share, side=200):
    """Smooth bright spots on dark ground that cover a share of the frame."""
    rows, cols = np.indices((side, side))
    image = RNG.normal(10, 1, (side, side))
    radius = np.sqrt(share * side**2 / np.pi / 4)
    for row, col in ((40, 50), (40, 150), (150, 60), (140, 140)):
        distance = np.hypot(rows - row, cols - col)
        image += 200 / (1 + np.exp(2 * (distance - radius)))
    return image[..., None]


@pytest.mark.parametrize("share", [0.005, 0.01, 0.03])
def test_few_bright_cells_on_dark_ground_are_no_extremes(share):
    image = spots(share)
    assert extremes(image) is None
    low, high = robust_limits(image, ROBUST)
    assert 5 < low < 10
    assert high > 150


def test_hot_pixels_beside_few_bright_cells_are_extremes():
    image = spots(0.01)
    image[5:15, 5:15] = 60000
    found = extremes(image)
    assert found is not None
    assert found.sum() == 100
    assert found[5:15, 5:15].all()


def test_noise_is_not_stretched_to_the_whole_range():
    image, _ = normalise(TEXTURE, ROBUST, TYPE_LIMITS)
    assert image.std() < 0.15
    low, high = robust_limits(TEXTURE, Normalisation(least_range=0))
    assert high - low < 100


def test_limits_of_an_inverted_image_are_mirrored():
    image = spots(0.03)
    how = Normalisation(low=1, high=99.5)
    low, high = robust_limits(image, how)
    inverted = robust_limits(-image, how.changed(invert=True))
    assert inverted == pytest.approx((-high, -low))
    grey, _ = normalise(image, how, TYPE_LIMITS)
    same, _ = normalise(-image, how.changed(invert=True), TYPE_LIMITS)
    np.testing.assert_allclose(same, grey, atol=1e-6)


def test_contrast_wins_over_the_rule():
    for how in (ROBUST, BY_TYPE):
        image, _ = normalise(TEXTURE, how.changed(contrast=(80, 120)), TYPE_LIMITS)
        np.testing.assert_allclose(image, np.clip((TEXTURE - 80) / 40, 0, 1), atol=1e-6)
        assert how.changed(contrast=(80, 120)).changed(contrast="auto") == ROBUST


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (3, 2, 3), (500, 3, 1)])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_any_shape_is_scaled(shape, value):
    image = RNG.random(shape)
    image[0, 0] = value
    scaled, _ = normalise(image, ROBUST, TYPE_LIMITS)
    assert scaled.shape == shape
    assert scaled.dtype == np.float32
    assert 0 <= scaled.min() <= scaled.max() <= 1


def test_large_frames_are_scaled_as_small_ones_are():
    image = np.tile(TEXTURE, (20, 20, 1))
    how = Normalisation(contrast=(60, 140))
    whole, _ = normalise(image, how, TYPE_LIMITS)
    part, _ = normalise(TEXTURE, how, TYPE_LIMITS)
    np.testing.assert_array_equal(whole, np.tile(part, (20, 20, 1)))


def test_rule_of_the_type_is_that_of_version_0_1():
    image = RNG.integers(0, 256, (20, 30, 1)).astype(np.uint8)
    expected = image.astype(np.float32) * np.float32(1 / 255)
    scaled, missing = normalise(image, BY_TYPE, TYPE_LIMITS)
    np.testing.assert_array_equal(scaled, expected)
    assert missing is None


@pytest.mark.parametrize(
    "region",
    [np.s_[:10], np.s_[:, 60:], np.s_[20:40, 30:50], np.s_[:8, :9]],
    ids=["top", "right", "tile", "corner"],
)
def test_constant_regions_hold_no_data(region):
    image = TEXTURE.copy()
    image[region] = 40
    found = no_data(image)
    expected = np.zeros(image.shape[:2], bool)
    expected[region] = True
    np.testing.assert_array_equal(found, expected)
    assert no_data(image, constant=False) is None
    assert filled(image, found).min() > 50
    np.testing.assert_array_equal(filled(image, found)[~expected], image[~expected])


def test_saturated_cells_hold_data():
    image = np.minimum(spots(0.06), 150)
    assert (image == 150).mean() > 0.03
    assert no_data(image) is None


def test_flat_ground_between_cells_holds_data():
    image = np.round(np.maximum(spots(0.06) - 20, 0))
    assert (image == 0).mean() > 0.5
    assert no_data(image) is None


def test_flat_ground_of_few_grey_levels_holds_data():
    rows, cols = np.indices((100, 100))
    assert no_data(((rows + cols) // 25)[..., None].astype(np.uint8)) is None


def test_flat_ground_around_a_single_cell_holds_data():
    image = spots(0.06)
    image[100:], image[:, 100:] = 0, 0
    image[image < 40] = 0
    assert no_data(image) is None


def test_a_saturated_block_holds_no_data():
    image = np.clip(TEXTURE, 70, 120)
    image[5:11, 40:46] = 120
    assert no_data(image).sum() == 36


def test_drawn_squares_hold_data():
    image = np.zeros((64, 64, 1), np.uint8)
    image[10:30, 10:30], image[40:60, 35:60] = 100, 200
    assert no_data(image) is None


def test_a_constant_frame_holds_none():
    for image in (np.full((5, 6, 1), 3), np.full((5, 6, 3), np.nan)):
        found = no_data(image)
        assert found.all()
        assert not filled(image, found).any()


def test_a_constant_frame_with_hot_pixels_holds_none():
    image = np.full((64, 80, 1), 7, np.uint16)
    image[RNG.integers(64, size=15), RNG.integers(80, size=15)] = 65535
    assert no_data(image).all()


def test_pixels_are_missing_where_one_channel_is():
    image = np.dstack([TEXTURE] * 3)
    image[3, 4, 1], image[5, 6, 2] = np.nan, np.inf
    found = no_data(image)
    assert found.sum() == 2
    assert found[3, 4]
    assert found[5, 6]


@pytest.mark.parametrize(
    "values",
    [
        {"rule": "mean"},
        {"rule": 3},
        {"low": -1},
        {"low": 60},
        {"high": 101},
        {"high": float("nan")},
        {"low": True},
        None,
        {"least_range": float("inf")},
        {"invert": "no"},
        {"contrast": [3, 3]},
        {"contrast": [1, float("inf")]},
        {"contrast": "12"},
        {"gamma": 1.0},
        [1, 2],
        "frame",
    ],
)
def test_other_notes_are_refused(values):
    with pytest.raises(SchemeError):
        WindowSpec.from_json({"patch": 8, "patch_stride": 8, "normalisation": values})


def test_a_window_keeps_its_normalisation():
    how = Normalisation(low=1, invert=True, contrast=(3, 400))
    spec = WindowSpec(patch=8, patch_stride=8, normalisation=how)
    assert WindowSpec.from_json(spec.to_json()) == spec
    assert WindowSpec(patch=8, patch_stride=8).normalisation == ROBUST
