import time
from dataclasses import replace

import numpy as np
import pytest

from rleseg_core.augment.geometry import CELLS, View, random_warp, spline
from rleseg_core.augment.intensity import Light, relight
from rleseg_core.data import (
    Augmentation,
    ImageStack,
    LabelledStack,
    PatchSampler,
    SyntheticConfig,
    grid_samples,
    subsample_labels,
    synthesize,
)
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec, WindowSpec

NAMES = ("ipsc", "dfc")


def labelled(shape=(4, 48, 64), *, instances=True, frames=None, dtype=np.uint8):
    """Squares whose grey value is 100 times their class; instance ids count them."""
    classes, ids = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for t in range(shape[0]):
        classes[t, 4:14, 6 + t : 16 + t], ids[t, 4:14, 6 + t : 16 + t] = 1, 5
        classes[t, 30:44, 40:54], ids[t, 30:44, 40:54] = 2, 9
    images = (classes * (100 if dtype == np.uint8 else 20000)).astype(dtype)
    return LabelledStack(
        images=ImageStack.from_array(images),
        classes=classes,
        class_names=NAMES,
        instances=ids if instances else None,
        frames=frames,
    )


def specs(patch=16, size=4, n_frames=1):
    return (
        WindowSpec(patch=patch, patch_stride=patch, n_frames=n_frames),
        MaskSpec(size=(size, size), class_names=NAMES, n_frames=n_frames),
    )


@pytest.mark.parametrize("n_frames", [1, 3])
def test_batch_has_the_shapes_of_the_specs(n_frames):
    sampler = PatchSampler([labelled()], *specs(n_frames=n_frames), batch_size=5)
    batch = sampler.batch(0)
    assert len(batch) == 5
    assert batch.images.shape == (5, n_frames, 3, 16, 16)
    assert batch.images.dtype == np.uint8
    assert batch.classes.shape == batch.instances.shape == (5, n_frames, 4, 4)
    assert batch.classes.dtype == np.uint8
    assert batch.instances.dtype == np.int32


def test_batch_depends_on_seed_and_step_alone():
    one, other = (PatchSampler([labelled()], *specs(), seed=3, batch_size=4) for _ in range(2))
    later = one.batch(7)
    other.batch(0)
    again = other.batch(7)
    np.testing.assert_array_equal(later.images, again.images)
    np.testing.assert_array_equal(later.classes, again.classes)
    assert not np.array_equal(one.batch(8).images, later.images)
    reseeded = PatchSampler([labelled()], *specs(), seed=4, batch_size=4)
    assert not np.array_equal(reseeded.batch(7).images, later.images)


@pytest.mark.parametrize("augment", [None, Augmentation(affine_probability=1, noise=0)])
def test_labels_follow_the_image(augment):
    plain = Augmentation(
        affine_probability=0 if augment is None else 1,
        flips_and_rotations=augment is not None,
        brightness=0,
        contrast=0,
        gamma=0,
        noise=0,
    )
    window, mask = specs(patch=32, size=32)
    batch = PatchSampler(
        [labelled()], window, mask, batch_size=24, augment=None if augment is None else plain
    ).batch(0)
    seen = np.rint(batch.images[:, :, 0] / 100).astype(int)
    agree = (seen == batch.classes).mean()
    assert agree == 1 if augment is None else agree > 0.95  # edges are interpolated
    assert ((batch.instances > 0) == (batch.classes > 0)).all()
    assert set(np.unique(batch.instances)) == {0, 5, 9}


def test_view_without_turning_is_a_crop():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 1), dtype=np.uint8)
    for side, start in ((8, (3, 5)), (7, (13, 23))):
        view = View(np.eye(2), (start[0] + side / 2, start[1] + side / 2), side)
        box = (slice(start[0], start[0] + side), slice(start[1], start[1] + side))
        np.testing.assert_array_equal(view.image(frame), frame[box])


def test_turned_views_are_the_eight_of_a_square():
    frame = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    rng = np.random.default_rng(0)
    flat = Augmentation(affine_probability=0)
    found = {
        View(random_warp(flat, 8, rng)[0], (4, 4), 8).image(frame).tobytes() for _ in range(100)
    }
    expected = {np.rot90(face, k).tobytes() for face in (frame, frame[:, ::-1]) for k in range(4)}
    assert found == expected


def test_magnified_view_shows_less_and_beyond_the_edge_is_mirrored():
    frame = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (64, 64, 1)).copy()
    twice = View(np.eye(2) / 2, (32, 32), 16).image(frame)[..., 0]
    assert (int(twice[-1, 0]) - int(twice[0, 0])) == pytest.approx(4 * 7.5, abs=1)
    half = View(np.eye(2) * 2, (0, 32), 16).image(frame)[..., 0].astype(int)
    np.testing.assert_allclose(half[:8][::-1], half[8:], atol=8)


@pytest.mark.parametrize("rule", ["corner", "centre", "max"])
def test_views_subsample_as_patches_do(rule):
    labels = np.random.default_rng(0).integers(0, 3, (40, 50), dtype=np.uint8)
    patch = labels[10:34, 20:44]
    for turns in range(4):
        matrix = np.rint(np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), turns))
        turned = View(matrix, (22, 32), 24).labels(labels, (24, 24))
        assert any(np.array_equal(turned, np.rot90(patch, k)) for k in range(4))
        np.testing.assert_array_equal(
            View(matrix, (22, 32), 24).labels(labels, (6, 4), rule),
            subsample_labels(turned, (6, 4), rule),
        )


@pytest.mark.parametrize("rule", ["corner", "max"])
def test_masks_are_subsampled_by_the_rule_given(rule):
    window, mask = specs(patch=16, size=4)
    sampler = PatchSampler(
        [labelled()], window, mask, augment=None, subsample_rule=rule, batch_size=8
    )
    cut = next(grid_samples([labelled()], window, mask, subsample_rule=rule))
    for batch in (sampler.batch(0), cut):
        seen = np.rint(batch.images[:, :, 0] / 100).astype(np.uint8)  # grey says the class
        np.testing.assert_array_equal(batch.classes, subsample_labels(seen, (4, 4), rule))
        np.testing.assert_array_equal(batch.instances > 0, batch.classes > 0)


def test_foreground_share_is_met():
    shape = (2, 200, 200)
    classes = np.zeros(shape, np.uint8)
    classes[:, 100:108, 100:108] = 2
    stack = LabelledStack(
        images=ImageStack.from_array(np.zeros(shape, np.uint8)), classes=classes, class_names=NAMES
    )
    for share, low, high in ((1.0, 1, 1), (0.0, 0, 0.2), (0.5, 0.35, 0.75)):
        sampler = PatchSampler(
            [stack], *specs(patch=32, size=32), batch_size=100, augment=None, foreground_share=share
        )
        seen = sampler.batch(0).classes.any(axis=(1, 2, 3)).mean()
        assert low <= seen <= high


def test_only_labelled_frames_are_drawn():
    stack = labelled((6, 32, 64), frames=(1, 2, 5))
    images = np.zeros((6, 32, 64), np.uint8) + np.arange(6, dtype=np.uint8)[:, None, None]
    stack = LabelledStack(
        images=ImageStack.from_array(images),
        classes=stack.classes,
        class_names=NAMES,
        frames=(1, 2, 5),
    )
    one = PatchSampler([stack], *specs(), batch_size=64, augment=None).batch(0)
    assert set(np.unique(one.images)) == {1, 2, 5}
    assert one.instances is None
    two = PatchSampler([stack], *specs(n_frames=2), batch_size=8, augment=None).batch(0)
    assert {tuple(pair) for pair in two.images[:, :, 0, 0, 0].tolist()} == {(1, 2)}
    with pytest.raises(DataError, match="no stack has 3 labelled frames in a row"):
        PatchSampler([stack], *specs(n_frames=3))


def test_frames_that_do_not_fit_the_cache_are_read_again():
    sampler = PatchSampler([labelled()], *specs(), cache_bytes=1, batch_size=8)
    kept = PatchSampler([labelled()], *specs(), batch_size=8)
    for step in range(3):
        np.testing.assert_array_equal(sampler.batch(step).images, kept.batch(step).images)


def test_frame_smaller_than_the_patch_can_be_drawn():
    stack = labelled((2, 48, 64))
    batch = PatchSampler([stack], *specs(patch=80, size=8)).batch(0)
    assert batch.images.shape[-2:] == (80, 80)


def test_some_of_the_windows_are_from_all_over():
    grey = np.arange(4 * 12, dtype=np.uint8).reshape(4, 3, 4).repeat(16, 1).repeat(16, 2)
    stack = replace(labelled(), images=ImageStack.from_array(grey))

    def greys(**options):
        batches = grid_samples([stack], *specs(), **options)
        return [batch.images[:, 0, 0, 0, 0].tolist() for batch in batches]

    everything = greys(batch_size=48)[0]
    some = greys(batch_size=8, at_most=8)[0]
    assert len(set(everything)) == 48
    assert all(grey in everything[6 * k : 6 * k + 6] for k, grey in enumerate(some))
    assert greys(batch_size=5, at_most=8) == [some[:5], some[5:]]
    assert greys(batch_size=48, at_most=49) == [everything]


def test_grid_samples_are_all_windows_in_order():
    stack = labelled((3, 48, 64), frames=(0, 2))
    batches = list(grid_samples([stack, stack], *specs(), batch_size=10))
    assert [len(batch) for batch in batches] == [10] * 4 + [8]
    images = np.concatenate([batch.images for batch in batches])
    assert images.shape == (2 * 2 * 3 * 4, 1, 3, 16, 16)
    classes = np.concatenate([batch.classes for batch in batches])
    whole = classes[12:24, 0].reshape(3, 4, 4, 4).transpose(0, 2, 1, 3).reshape(12, 16)
    np.testing.assert_array_equal(whole, stack.classes[2][2::4, 2::4])


def test_specs_that_do_not_fit_are_refused():
    window, mask = specs()
    with pytest.raises(DataError, match="no labelled stacks"):
        PatchSampler([], window, mask)
    with pytest.raises(DataError, match="both need the same"):
        PatchSampler([labelled()], window, MaskSpec(size=(4, 4), class_names=("cell",)))
    with pytest.raises(DataError, match="windows have 1 frames, masks 2"):
        PatchSampler([labelled()], window, specs(n_frames=2)[1])
    with pytest.raises(DataError, match="does not divide"):
        next(grid_samples([labelled()], window, MaskSpec(size=(5, 5), class_names=NAMES)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_batch_is_cheap(dtype):
    sequence = synthesize(SyntheticConfig(n_frames=3, size=(256, 256)))
    stack = LabelledStack(
        images=ImageStack.from_array(sequence.images.astype(dtype)),
        classes=sequence.classes,
        class_names=sequence.class_names,
        instances=sequence.instances,
    )
    sampler = PatchSampler([stack], *specs(patch=128, size=32), batch_size=16)
    sampler.batch(0)
    started = time.perf_counter()
    for step in range(10):
        sampler.batch(step)
    assert (time.perf_counter() - started) / 10 < 0.1  # 15 ms on an idle core


def test_bent_patches_never_fold():
    rng = np.random.default_rng(0)
    every, most = np.arange(64), 64 / 16
    wildest = [rng.choice((-most, most), (2, CELLS + 3, CELLS + 3)) for _ in range(50)]
    for bend in [*wildest, *(random_warp(BENT, 64, rng)[1] for _ in range(50))]:
        view = View(np.eye(2), (500, 500), 64, bend.astype(np.float32))
        rows, cols = view.places(every, every, (1000, 1000))
        down, right = (np.diff(place, axis=0)[:, :-1] for place in (rows, cols))
        below, beside = (np.diff(place, axis=1)[:-1] for place in (rows, cols))
        assert (down * beside - right * below > 0).all()
        assert np.abs(rows - every[:, None] - 468).max() <= most + 1e-3
    np.testing.assert_allclose(spline(every, 64).sum(axis=1), 1, rtol=1e-6)


BENT = Augmentation(affine_probability=1, elastic=1 / 16)


def test_what_is_off_draws_no_random_numbers():
    plain, bent = (np.random.default_rng(0) for _ in range(2))
    first = random_warp(Augmentation(affine_probability=1), 16, plain)
    other = random_warp(BENT, 16, bent)
    assert first[1] is None
    np.testing.assert_array_equal(first[0], other[0])
    assert other[1].shape == (2, CELLS + 3, CELLS + 3)
    assert plain.random() != bent.random()


def test_stretched_patches_use_more_of_the_grey_values():
    patches = np.random.default_rng(0).integers(100, 140, (1, 32, 32, 1), dtype=np.uint8)
    rng = np.random.default_rng(0)
    lit = relight(patches, Light(stretch=1.0), rng)
    assert lit.min() == 0
    assert lit.max() == 255
    flat = relight(np.full((1, 8, 8, 1), 100, np.uint8), Light(stretch=1.0), rng)
    assert len(np.unique(flat)) == 1
    blurred = relight(patches, Light(blur=2.0), rng)
    assert blurred.std() < patches.std() / 3
    assert relight(patches, Light(), rng).tobytes() == patches.tobytes()


def test_frames_of_a_window_can_be_apart():
    images = np.zeros((12, 32, 64), np.uint8) + np.arange(12, dtype=np.uint8)[:, None, None]
    known = (0, 1, 2, 3, 4, 6, 8, 10)
    stack = LabelledStack(
        images=ImageStack.from_array(images),
        classes=np.zeros(images.shape, np.uint8),
        class_names=NAMES,
        frames=known,
    )
    still = {
        "flips_and_rotations": False,
        "affine_probability": 0,
        "brightness": 0,
        "contrast": 0,
        "gamma": 0,
    }
    apart = Augmentation(**still, noise=0, frame_gap=(1, 2))
    batch = PatchSampler([stack], *specs(n_frames=3), batch_size=200, augment=apart).batch(0)
    seen = {tuple(frames) for frames in batch.images[:, :, 0, 0, 0].tolist()}
    assert seen == {
        *((start, start + 1, start + 2) for start in range(3)),
        *((start, start + 2, start + 4) for start in (0, 2, 4, 6)),
    }
    far = Augmentation(frame_gap=(7, 7))
    with pytest.raises(DataError, match="3 labelled frames 7 apart"):
        PatchSampler([stack], *specs(n_frames=3), augment=far)
