"""Random training batches: what is drawn, and that images and masks go together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rleseg_core.augment.config import AUGMENTATIONS, NO_AUGMENTATION, Augmentation
from rleseg_core.data import (
    ImageStack,
    LabelledStack,
    SyntheticConfig,
    subsample_labels,
    synthesize,
)
from rleseg_core.errors import DataError
from rleseg_core.normalisation import BY_TYPE
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.training.sampling import PatchSampler, SamplingOptions, patches_on

NAMES = ("ipsc", "dfc")
CPU = torch.device("cpu")
SAME_LIGHT = {"brightness": 0, "contrast": 0, "gamma": 0, "noise": 0, "stretch": 0, "blur": 0}
WARPED = replace(AUGMENTATIONS["strong"], affine_probability=1.0, elastic=1 / 16, **SAME_LIGHT)


def labelled(shape=(4, 48, 64), *, instances=True):
    """Squares whose grey value is 100 times their class; instance ids count them."""
    classes, ids = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for t in range(shape[0]):
        classes[t, 4:14, 6 + t : 16 + t], ids[t, 4:14, 6 + t : 16 + t] = 1, 5
        classes[t, 30:44, 40:54], ids[t, 30:44, 40:54] = 2, 9
    return LabelledStack(
        images=ImageStack.from_array(classes * 100),
        classes=classes,
        class_names=NAMES,
        instances=ids if instances else None,
    )


def specs(patch=16, size=4, n_frames=1):
    return (
        WindowSpec(patch=patch, patch_stride=patch, n_frames=n_frames, normalisation=BY_TYPE),
        MaskSpec(size=(size, size), class_names=NAMES, n_frames=n_frames),
    )


def sampler(stack=None, patch=16, size=4, n_frames=1, **options):
    stack = stack or labelled()
    return PatchSampler([stack], *specs(patch, size, n_frames), SamplingOptions(**options))


def seen(one, step=0, rows=slice(None)):
    return patches_on(one.batch(step, rows), CPU)


def cells(colour=False):
    sequence = synthesize(SyntheticConfig(n_frames=3, size=(90, 110), seed=1))
    images = sequence.images
    if colour:
        images = np.stack([images, 255 - images, images // 2], axis=-1)
    return LabelledStack(
        images=ImageStack.from_array(images),
        classes=sequence.classes,
        class_names=NAMES,
        instances=sequence.instances,
    )


@pytest.mark.parametrize("strength", AUGMENTATIONS)
@pytest.mark.parametrize("n_frames", [1, 3])
def test_batch_has_the_shapes_of_the_specs(strength, n_frames):
    one = sampler(n_frames=n_frames, batch_size=5, augment=AUGMENTATIONS[strength])
    assert len(one.batch(0)) == 5
    batch = seen(one)
    assert batch.images.shape == (5, n_frames, 3, 16, 16)
    assert batch.images.dtype == torch.float32
    assert 0 <= batch.images.min() <= batch.images.max() <= 1
    assert batch.classes.shape == batch.instances.shape == (5, n_frames, 4, 4)
    assert batch.classes.dtype == torch.uint8
    assert batch.instances.dtype == torch.int32


def test_instances_are_left_out_where_they_are_not_known():
    one = PatchSampler([labelled(), labelled(instances=False)], *specs())
    assert one.batch(0).crops.instances is None
    assert seen(one).instances is None


def test_batch_depends_on_seed_and_step_alone():
    one, other = (sampler(cells(), seed=3, batch_size=4) for _ in range(2))
    later = seen(one, 7)
    seen(other, 0)
    torch.rand(1)
    again = seen(other, 7)
    assert torch.equal(later.images, again.images)
    assert torch.equal(later.classes, again.classes)
    assert not torch.equal(seen(one, 8).images, later.images)
    assert not torch.equal(seen(sampler(cells(), seed=4, batch_size=4), 7).images, later.images)


@pytest.mark.parametrize("strength", ["standard", "strong"])
def test_row_is_the_same_in_whatever_part_of_the_batch_it_is_drawn(strength):
    """Several processes share a batch; what they learn must not depend on how many there are."""
    one = sampler(cells(), 32, 16, batch_size=6, augment=AUGMENTATIONS[strength])
    whole = seen(one, 5)
    parts = [seen(one, 5, slice(first, first + 2)) for first in (0, 2, 4)]
    parts += [seen(one, 5, slice(1, None, 3))]
    rows = [0, 1, 2, 3, 4, 5, 1, 4]
    images = torch.cat([part.images for part in parts])
    torch.testing.assert_close(images, whole.images[rows], rtol=0, atol=1e-6)
    assert torch.equal(torch.cat([part.classes for part in parts]), whole.classes[rows])
    assert torch.equal(torch.cat([part.instances for part in parts]), whole.instances[rows])


@pytest.mark.parametrize("augment", [NO_AUGMENTATION, WARPED])
def test_labels_follow_the_image(augment):
    batch = seen(sampler(patch=32, size=32, batch_size=24, augment=augment))
    grey = torch.round(batch.images[:, :, 0] * 255 / 100)
    agree = (grey == batch.classes).float().mean()
    assert agree == 1 if augment is NO_AUGMENTATION else agree > 0.95  # edges are interpolated
    assert torch.equal(batch.instances > 0, batch.classes > 0)
    assert set(batch.instances.unique().tolist()) == {0, 5, 9}


@pytest.mark.parametrize("rule", ["corner", "centre", "max"])
@pytest.mark.parametrize("augment", [NO_AUGMENTATION, WARPED])
def test_masks_are_subsampled_as_subsample_labels_does(rule, augment):
    options = {"augment": augment, "subsample_rule": rule, "batch_size": 8}
    fine, coarse = (seen(sampler(cells(), 32, size, **options)) for size in (32, 8))
    for name in ("classes", "instances"):
        expected = subsample_labels(getattr(fine, name).numpy(), (8, 8), rule)
        np.testing.assert_array_equal(getattr(coarse, name).numpy(), expected)
    assert coarse.classes.any()


def test_masks_need_not_be_square():
    window = WindowSpec(patch=32, patch_stride=32)
    mask = MaskSpec(size=(8, 16), class_names=NAMES)
    for rule in ("centre", "max"):
        one = PatchSampler([cells()], window, mask, SamplingOptions(subsample_rule=rule))
        assert seen(one).classes.shape == (16, 1, 8, 16)


def test_colour_is_kept_and_grey_is_in_all_channels():
    none = {"batch_size": 4, "augment": NO_AUGMENTATION}
    colour, grey = (seen(sampler(cells(colour), 32, 8, **none)).images for colour in (True, False))
    assert torch.equal(colour[:, :, 0], grey[:, :, 0])
    torch.testing.assert_close(colour[:, :, 1], 1 - grey[:, :, 0])
    assert torch.equal(grey[:, :, 1], grey[:, :, 0])


def test_what_lies_beyond_the_frame_is_mirrored():
    """A patch as large as its frame, seen from twice as far, shows the frame mirrored."""
    ramp = np.broadcast_to(np.arange(0, 64, dtype=np.uint8)[:, None] * 3, (64, 64))
    stack = LabelledStack(
        images=ImageStack.from_array(ramp[None]),
        classes=np.zeros((1, 64, 64), np.uint8),
        class_names=NAMES,
    )
    far = replace(
        NO_AUGMENTATION, affine_probability=1, scale=(0.5, 0.5), angle=0, flips_and_rotations=False
    )
    rows = seen(sampler(stack, 64, 16, batch_size=1, augment=far)).images[0, 0, 0, :, 32] * 255 / 3
    inside = np.arange(64) * 2 - 31.5  # where the rows lie
    mirrored = np.abs(inside)
    mirrored = 63 - np.abs(63 - mirrored)
    np.testing.assert_allclose(rows, mirrored, atol=0.51)  # between the pixels at the edges


def test_frames_that_do_not_fit_the_cache_are_read_again():
    small, kept = (sampler(batch_size=8, cache_bytes=n) for n in (1, 1 << 20))
    for step in range(3):
        assert torch.equal(seen(small, step).images, seen(kept, step).images)


def test_frame_gap_is_that_of_the_augmentation():
    images = np.zeros((8, 32, 64), np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None]
    stack = LabelledStack(
        images=ImageStack.from_array(images), classes=images * 0, class_names=NAMES
    )
    apart = replace(NO_AUGMENTATION, frame_gap=(3, 3))
    frames = sampler(stack, n_frames=2, augment=apart).batch(0).crops.images[:, :, 0, 0, 0]
    assert (frames[:, 1] - frames[:, 0] == 3).all()
    with pytest.raises(DataError, match="2 labelled frames 9 apart"):
        sampler(stack, n_frames=2, augment=Augmentation(frame_gap=(9, 9)))


def test_empty_batch_is_refused():
    with pytest.raises(DataError, match="batch_size must be a whole number of 1 or more, got 0"):
        SamplingOptions(batch_size=0)


def test_iteration_goes_from_step_to_step():
    one = sampler(batch_size=2)
    for step, batch in zip(range(3), one, strict=False):
        np.testing.assert_array_equal(batch.crops.images, one.batch(step).crops.images)
