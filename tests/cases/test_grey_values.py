"""The same picture gives the same masks: whatever its type, extremes, gaps and further channels."""

import numpy as np
import pytest

from rleseg_core.checkpoints import find_model, read_info
from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
from rleseg_core.errors import DataWarning
from rleseg_core.inference import Segmenter
from rleseg_core.normalisation import ROBUST
from rleseg_core.reports import product_of

CELLS = synthesize(SyntheticConfig(n_frames=2, size=(128, 128), seed=3))
GREY, TRUTH = CELLS.images, CELLS.classes
WIDE = GREY.astype(np.uint16) * 10


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.from_checkpoint(find_model("demo"), "cpu")


@pytest.fixture(scope="module")
def masks(segmenter):
    """Masks of the picture as it is, from images of any kind, at their own size unless told."""

    def predict(images, image_size=128, **options):
        stack = images if isinstance(images, ImageStack) else ImageStack.from_array(images)
        run = segmenter.predict(stack, image_size=image_size, **options)
        return product_of(run, lambda _: None)

    return predict


@pytest.fixture(scope="module")
def clean(masks):
    found = masks(GREY)
    assert dice(found) > 0.94
    return found


def dice(masks, where=True):
    """Dice of the foreground against the truth, in [0, 1]."""
    found, true = (masks > 0) & where, (TRUTH > 0) & where
    return 2 * (found & true).sum() / (found.sum() + true.sum())


@pytest.mark.parametrize(
    "images",
    [
        GREY.astype(np.uint16),
        GREY.astype(">u2"),
        GREY.astype(np.int16) - 120,
        GREY.astype(np.int64) - 10**9,
        GREY.astype(np.uint64) + 10**12,
        GREY.astype(np.float16),
        GREY.astype(np.float32) / 255,
        GREY.astype(np.float64) / 255 - 3,
        GREY.astype(np.uint16) * 200,
        GREY.astype(np.uint16) + 30_000,
    ],
    ids=lambda images: f"{images.dtype}-{images.max():.4g}",
)
def test_type_scale_and_offset_change_no_mask(masks, clean, images):
    np.testing.assert_array_equal(masks(images), clean)


def test_few_grey_levels_are_enough(masks, clean):
    """D13: values 1 to 11, which as uint8 gave no cell at all."""
    dim = ((GREY.astype(int) - 79) // 10 + 2).astype(np.uint8)
    assert dim.max() < 13
    found = masks(dim)
    np.testing.assert_array_equal(masks(dim.astype(np.uint16)), found)
    assert abs(dice(found) - dice(clean)) < 0.01
    assert abs(dice(masks(GREY // 8)) - dice(clean)) < 0.01


@pytest.mark.parametrize(
    ("share", "frames"),
    [(0.001, slice(None)), (0.0098, slice(None)), (0.0098, slice(1))],
    ids=["few", "movie", "frame"],
)
@pytest.mark.parametrize("values", [(65535,), (0,), (0, 65535)], ids=["hot", "dead", "both"])
def test_scattered_extremes_change_little(masks, clean, share, values, frames):
    images, rng = WIDE.copy(), np.random.default_rng(0)
    extreme = rng.random(images[frames].shape) < share
    images[frames][extreme] = rng.choice(values, extreme.sum())
    assert abs(dice(masks(images)) - dice(clean)) < 0.01


@pytest.mark.parametrize("side", [2, 12])
@pytest.mark.parametrize("value", [0, 65535, None], ids=["dark", "bright", "random"])
def test_a_block_of_extremes_changes_little(masks, clean, side, value):
    """D14: a square of bright pixels, which left no cell."""
    images = WIDE.copy()
    random = np.random.default_rng(0).integers(10_000, 65_535, (2, side, side))
    images[:, 2 : 2 + side, 2 : 2 + side] = random if value is None else value
    assert abs(dice(masks(images)) - dice(clean)) < 0.01


def test_a_dead_column_changes_little(masks, clean):
    for value in (0, 255):
        images = GREY.copy()
        images[:, :, 70] = value
        assert abs(dice(masks(images)) - dice(clean)) < 0.01


WITHOUT_DATA = (np.nan, np.inf, -np.inf, 0, 100, 255, 1e6)
REGIONS = {
    "top": np.s_[:, :20],
    "right": np.s_[:, :, 100:],
    "tile": np.s_[:, 40:80, 50:90],
    "first": np.s_[0],
    "last": np.s_[1],
}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        pytest.param(value, where, id=f"{name}-{value}")
        for row, value in enumerate(WITHOUT_DATA)
        for column, (name, where) in enumerate(REGIONS.items())
        if (row + 2 * column) % 5 < 2  # each value and each region a few times
    ],
)
def test_regions_without_data_are_never_foreground(masks, clean, value, where):
    images, is_there = GREY.astype(np.float32), np.ones(GREY.shape, bool)
    images[where], is_there[where] = value, False
    found = masks(images)
    assert not found[~is_there].any()
    assert abs(dice(found, is_there) - dice(clean, is_there)) < 0.02  # cells are cut


def test_a_saturated_block_is_never_foreground(masks, clean):
    """In 8 bits its value may be that of the brightest cells."""
    images = np.minimum(GREY, 140)
    images[:, 2:12, 2:12] = 140
    found = masks(images)
    assert not found[:, 2:12, 2:12].any()
    is_there = np.ones(GREY.shape, bool)
    is_there[:, 2:12, 2:12] = False
    assert abs(dice(found, is_there) - dice(clean, is_there)) < 0.01


def test_a_corner_without_data_is_never_foreground(masks, clean):
    """As after a rotation."""
    rows, cols = np.indices(GREY.shape[1:])
    corner = rows + cols < 60
    images = np.where(corner, np.uint8(0), GREY)
    found = masks(images)
    assert not found[:, corner].any()
    assert abs(dice(found, ~corner) - dice(clean, ~corner)) < 0.01


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_frames_have_no_foreground(masks, value):
    assert not masks(np.full((1, 128, 128), value, np.uint8), image_size=None).any()


@pytest.mark.filterwarnings("ignore:no scale gives objects")  # there are none in noise
def test_noise_has_no_foreground(masks):
    noise = np.random.default_rng(0).normal(507, 20, (1, 128, 128))
    assert not masks(noise.astype(np.uint16), image_size=None).any()


def test_a_dark_frame_with_hot_pixels_has_no_foreground(masks, clean):
    images = WIDE.copy()
    images[1] = 90
    images[1][np.random.default_rng(0).random((128, 128)) < 0.003] = 65535
    found = masks(images)
    assert not found[1].any()
    np.testing.assert_array_equal(found[0], clean[0])


def test_a_frame_gives_the_same_mask_alone(masks, clean, segmenter):
    np.testing.assert_array_equal(masks(GREY[1:]), clean[1:])
    np.testing.assert_array_equal(masks(GREY, frames=[1])[1], clean[1])
    fading = (WIDE * np.array([1, 0.3])[:, None, None]).astype(np.uint16)
    assert abs(dice(masks(fading)) - dice(clean)) < 0.01


DARK = np.full_like(GREY, 3)
DIM = np.random.default_rng(0).poisson(3, GREY.shape).astype(np.uint8)
SPECKS = np.where(np.random.default_rng(1).random(GREY.shape) < 0.002, np.uint8(255), DIM)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ([GREY, DARK], 0),
        ([DARK, GREY], 1),
        ([DARK, DARK, DARK, GREY], 3),
        ([DIM, GREY, DIM], 1),
        ([SPECKS, GREY], 1),
        ([GREY, 255 - GREY], 0),
    ],
)
@pytest.mark.parametrize("axes", ["TYXC", "TCYX"])
def test_channels_are_not_mixed(masks, clean, channels, expected, axes):
    """D15: a further channel, which was taken for green."""
    stack = ImageStack.from_array(np.stack(channels, axes.index("C")), axes)
    with pytest.warns(DataWarning, match=f"channel {expected} is read"):
        found = masks(stack)
    np.testing.assert_array_equal(found, clean)
    assert stack.channel == expected
    assert len(stack.notes) == 1


def test_colour_that_is_grey_is_read_as_grey(masks, clean):
    opaque = np.full_like(GREY, 255)
    for channels in ([GREY] * 3, [GREY, GREY, GREY, opaque]):
        stack = ImageStack.from_array(np.stack(channels, -1))
        assert stack.is_colour
        np.testing.assert_array_equal(masks(stack), clean)
        assert not stack.notes


@pytest.mark.parametrize("shown", [[0], [1], [2], [0, 1], [0, 2]])
@pytest.mark.parametrize("ground", [0, 7])
def test_grey_saved_in_one_colour_is_grey(masks, clean, shown, ground):
    channels = [GREY if k in shown else np.full_like(GREY, ground) for k in range(3)]
    np.testing.assert_array_equal(masks(ImageStack.from_array(np.stack(channels, -1))), clean)


@pytest.fixture(scope="module")
def of_cells():
    """What the heads of the model for real images see in the picture, in any form."""
    segmenter = Segmenter.from_checkpoint(find_model("cells"), "cpu")

    def predict(images, **options):
        run = segmenter.predict(images, image_size=128, preview=True, **options)
        return product_of(run, lambda _: None)

    return predict


def test_the_model_of_cells_has_the_rule_of_the_frame():
    assert read_info(find_model("cells")).window_spec.normalisation == ROBUST


def test_the_model_of_cells_gives_the_same_masks(of_cells):
    clean = of_cells(ImageStack.from_array(GREY))
    assert dice(clean) > 0.8
    for images in (GREY.astype(np.uint16), GREY.astype(np.float32) / 255, GREY * np.uint16(200)):
        np.testing.assert_array_equal(of_cells(ImageStack.from_array(images)), clean)
    inverted = ImageStack.from_array(255 - GREY)
    np.testing.assert_array_equal(of_cells(inverted, invert=True), clean)
    for channels in ([GREY, DARK], [DARK, GREY]):
        stack = ImageStack.from_array(np.stack(channels, 1), "TCYX")
        with pytest.warns(DataWarning, match="is read"):
            np.testing.assert_array_equal(of_cells(stack), clean)


def test_the_model_of_cells_bears_few_levels_and_hot_pixels(of_cells):
    clean = dice(of_cells(ImageStack.from_array(GREY)))
    assert abs(dice(of_cells(ImageStack.from_array(GREY // 8))) - clean) < 0.01
    hot = np.where(np.random.default_rng(0).random(GREY.shape) < 0.01, np.uint16(65535), WIDE)
    assert abs(dice(of_cells(ImageStack.from_array(hot))) - clean) < 0.01
