import numpy as np
import pytest
import torch

from rleseg_core.augment.config import AUGMENTATIONS, NO_AUGMENTATION, Augmentation
from rleseg_core.augment.geometry import (
    GRID,
    Warp,
    draw_warp,
    margin,
    spline_weights,
    warped,
)

ELASTIC = Augmentation(affine_probability=1, elastic=1 / 16)


def squares(n, side, seed=0, channels=1):
    """Random images (n, 1, side, side, C) and ids beyond what a float can hold."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 1, side, side, channels), dtype=np.uint8)
    ids = rng.integers(0, 3, (n, 1, side, side), dtype=np.int32) * (2**30 + 1) // 2
    return torch.from_numpy(images), torch.from_numpy(ids)


def see(images, ids, warps, patch):
    patches, (masks,) = warped(images, [ids], warps, patch)
    return patches.numpy(), masks.numpy()


def coordinates(warp, patch):
    """Where patch pixels lie from the centre, worked out in numpy."""
    offsets = np.stack(np.meshgrid(*[np.arange(patch) - (patch - 1) / 2] * 2, indexing="ij"))
    if warp.displacements is not None:
        weights = spline_weights(patch)
        offsets = offsets + weights @ warp.displacements @ weights.T
    return np.tensordot(warp.matrix, offsets, 1)


@pytest.mark.parametrize("n_around", [0, 3])
def test_patch_that_is_not_varied_is_the_middle_of_its_square(n_around):
    images, ids = squares(2, 8 + 2 * n_around, channels=3)
    warp = draw_warp(NO_AUGMENTATION, 8, np.random.default_rng(0))
    patches, masks = see(images, ids, [warp, warp], 8)
    box = slice(n_around, n_around + 8)
    expected = images.numpy()[:, :, box, box].transpose(0, 1, 4, 2, 3).astype(np.float32) / 255
    np.testing.assert_array_equal(patches, expected)
    np.testing.assert_array_equal(masks, ids.numpy()[:, :, box, box])
    assert masks.dtype == np.int32


def test_flips_and_rotations_are_the_eight_of_a_square():
    rng = np.random.default_rng(0)
    images, ids = squares(1, 8)
    frame = images.numpy()[0, 0, :, :, 0]
    turns = Augmentation(affine_probability=0)
    faces = {np.rot90(face, k).tobytes() for face in (frame, frame[:, ::-1]) for k in range(4)}
    found = set()
    for _ in range(100):
        patches, masks = see(images, ids, [draw_warp(turns, 8, rng)], 8)
        turned = np.rint(patches[0, 0, 0] * 255).astype(np.uint8)
        found.add(turned.tobytes())
        where = np.argwhere(frame == turned[0, 0])
        if len(where) == 1:
            assert masks[0, 0, 0, 0] == ids.numpy()[0, 0, *where[0]]
    assert found == faces


def test_exact_and_interpolated_patches_agree():
    images, ids = squares(1, 16)
    warps = [
        draw_warp(Augmentation(affine_probability=0), 8, np.random.default_rng(k))
        for k in range(20)
    ]
    still = np.zeros((2, GRID + 3, GRID + 3), np.float32)
    for warp in warps:
        assert warp.is_exact
        by_grid = Warp(warp.matrix, still)
        assert not by_grid.is_exact
        exact, interpolated = (see(images, ids, [one], 8) for one in (warp, by_grid))
        np.testing.assert_allclose(exact[0], interpolated[0], atol=1e-5)
        np.testing.assert_array_equal(exact[1], interpolated[1])


def test_magnified_patch_shows_less():
    rows = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None] * 4, (64, 64)).copy()
    images = torch.from_numpy(rows)[None, None, :, :, None]
    twice = warped(images, [], [Warp(np.eye(2) / 2)], 16)[0][0, 0, 0, :, 0] * 255
    assert twice[-1] - twice[0] == pytest.approx(4 * 7.5, abs=0.01)
    half = warped(images, [], [Warp(np.eye(2) * 2)], 16)[0][0, 0, 0, :, 0] * 255
    assert half[-1] - half[0] == pytest.approx(4 * 30, abs=0.01)


@pytest.mark.parametrize("augmentation", [*AUGMENTATIONS.values(), ELASTIC])
def test_image_and_labels_are_seen_alike(augmentation):
    """Grey says the class; where it is interpolated, the nearest pixel wins."""
    patch = 96
    side = patch + 2 * margin(augmentation, patch)
    ids = np.zeros((6, 1, side, side), np.uint8)
    ids[:, :, side // 4 : side // 2, side // 5 : side // 2] = 2
    images, labels = torch.from_numpy(ids * 100)[..., None], torch.from_numpy(ids)
    warps = [draw_warp(augmentation, patch, np.random.default_rng(k)) for k in range(6)]
    patches, masks = see(images, labels, warps, patch)
    grey = patches[:, :, 0] * 255 / 200
    assert set(np.unique(masks)) == {0, 2}
    assert ((grey < 0.01) | (grey > 0.99)).mean() > 0.9
    assert grey[masks == 2].min() > 0.24  # a corner of an object has a quarter of it
    assert grey[masks == 0].max() < 0.76


def test_labels_keep_their_ids():
    images, ids = squares(6, 64)
    warps = [draw_warp(ELASTIC, 24, np.random.default_rng(k)) for k in range(6)]
    _, masks = see(images, ids, warps, 24)
    assert set(np.unique(masks)) == set(np.unique(ids.numpy()))


@pytest.mark.parametrize(
    "augmentation", [AUGMENTATIONS["standard"], AUGMENTATIONS["strong"], ELASTIC]
)
def test_margin_holds_all_that_a_warp_reaches(augmentation):
    patch = 32
    around = margin(augmentation, patch)
    limit = around + (patch - 1) / 2
    extreme = Augmentation(
        affine_probability=1,
        scale=(augmentation.scale[0],) * 2,
        angle=180,
        elastic=augmentation.elastic,
    )
    most = 0.0
    for seed in range(200):
        warp = draw_warp(extreme, patch, np.random.default_rng(seed))
        most = max(most, np.abs(coordinates(warp, patch)).max())
    assert limit - 0.25 * patch < most <= limit + 1e-3


def test_deformed_patches_never_fold_and_move_as_far_as_they_may():
    patch, rng = 64, np.random.default_rng(0)
    most = patch / 16
    shape = (2, GRID + 3, GRID + 3)
    wildest = [rng.choice((-most, most), shape).astype(np.float32) for _ in range(50)]
    drawn = [draw_warp(ELASTIC, patch, rng).displacements for _ in range(50)]
    furthest = 0.0
    for displacements in [*wildest, *drawn]:
        rows, cols = coordinates(Warp(np.eye(2), displacements), patch)
        down, right = (np.diff(values, axis=0)[:, :-1] for values in (rows, cols))
        below, beside = (np.diff(values, axis=1)[:-1] for values in (rows, cols))
        assert (down * beside - right * below > 0).all()
        moved = np.abs(rows - (np.arange(patch) - (patch - 1) / 2)[:, None]).max()
        assert moved <= most + 1e-3
        furthest = max(furthest, moved)
    assert furthest > 0.8 * most
    np.testing.assert_allclose(spline_weights(patch).sum(axis=1), 1, rtol=1e-6)


def test_patch_is_taken_where_its_warp_says():
    patch = 64
    side = patch + 2 * margin(ELASTIC, patch)
    ramps = np.stack(np.meshgrid(*[np.arange(side)] * 2, indexing="ij"), axis=-1)
    images = torch.from_numpy(ramps.astype(np.uint8))[None, None]
    for seed in range(5):
        warp = draw_warp(ELASTIC, patch, np.random.default_rng(seed))
        seen = warped(images, [], [warp], patch)[0][0, 0].numpy() * 255 - (side - 1) / 2
        np.testing.assert_allclose(seen, coordinates(warp, patch), atol=0.01)


def test_what_is_off_draws_no_random_numbers():
    plain, elastic = (np.random.default_rng(0) for _ in range(2))
    first = draw_warp(Augmentation(affine_probability=1), 16, plain)
    other = draw_warp(ELASTIC, 16, elastic)
    assert first.displacements is None
    np.testing.assert_array_equal(first.matrix, other.matrix)
    assert other.displacements.shape == (2, GRID + 3, GRID + 3)
    assert plain.random() != elastic.random()


def test_affine_probability_is_met():
    rng = np.random.default_rng(0)
    half = Augmentation(affine_probability=0.5)
    exact = np.mean([draw_warp(half, 16, rng).is_exact for _ in range(400)])
    assert 0.4 < exact < 0.6
