from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from rleseg_core.augment.config import AUGMENTATIONS, NO_AUGMENTATION, Augmentation
from rleseg_core.augment.intensity import Jitter, draw_jitter, jittered

STRONG = AUGMENTATIONS["strong"]


def patches(n=2, n_frames=1, channels=1, side=32, low=0.0, high=1.0):
    values = np.random.default_rng(0).uniform(low, high, (n, n_frames, channels, side, side))
    return torch.from_numpy(values.astype(np.float32))


def change(values, jitters, augmentation=STRONG):
    return jittered(values.clone(), jitters, augmentation).numpy()


def test_jitter_that_changes_nothing_changes_nothing():
    values = patches(channels=3)
    np.testing.assert_array_equal(change(values, [Jitter()] * 2, NO_AUGMENTATION), values)
    np.testing.assert_allclose(change(values, [Jitter()] * 2), values, atol=1e-6)


def test_no_augmentation_draws_the_jitter_that_changes_nothing():
    drawn = draw_jitter(NO_AUGMENTATION, np.random.default_rng(0))
    assert replace(drawn, noise_seed=0) == Jitter()


def test_grey_values_change_window_by_window():
    values = patches(n=3)
    jitters = [Jitter(gamma=1.5), Jitter(contrast=0.5), Jitter(brightness=0.1)]
    seen, grey = change(values, jitters), values.numpy()
    np.testing.assert_allclose(seen[0], grey[0] ** 1.5, atol=1e-5)
    np.testing.assert_allclose(seen[1], (grey[1] - 0.5) * 0.5 + 0.5, atol=1e-6)
    np.testing.assert_allclose(seen[2], np.clip(grey[2] + 0.1, 0, 1), atol=1e-6)


def test_black_stays_black_under_gamma():
    assert (change(torch.zeros(1, 1, 1, 4, 4), [Jitter(gamma=0.5)]) == 0).all()


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.0])
def test_blur_is_a_gaussian(sigma):
    values = patches(n_frames=2, channels=3)
    seen = change(values, [Jitter(blur=sigma), Jitter()])
    truth = gaussian_filter(values[0].numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=5)
    np.testing.assert_allclose(seen[0], truth, atol=5e-3)
    np.testing.assert_allclose(seen[1], values[1], atol=1e-6)


def test_stretched_patches_use_more_of_the_grey_values():
    values = patches(n=1, low=0.4, high=0.55)
    full = change(values, [Jitter(stretch=1.0)])
    assert full.min() == 0
    assert full.max() == 1
    assert (full == 0).mean() < 0.03  # the tail
    half = change(values, [Jitter(stretch=0.5)])
    assert values.std() < half.std() < full.std()


def test_flat_patches_are_stretched_no_further_than_eight_times():
    values = patches(n=1, low=0.5, high=0.502)
    seen = change(values, [Jitter(stretch=1.0)])
    assert np.ptp(seen) == pytest.approx(8 * np.ptp(values.numpy()), rel=0.01)
    flat = change(torch.full((1, 1, 1, 8, 8), 0.4), [Jitter(stretch=1.0)])
    assert len(np.unique(flat)) == 1


def test_noise_has_the_mean_and_the_deviation_that_it_should():
    grey = torch.full((2, 2, 3, 64, 64), 0.5)
    seen = change(grey, [Jitter(noise=0.02, noise_seed=1), Jitter(noise=0.05, noise_seed=2)]) - 0.5
    n = seen[0].size
    for one, sigma in zip(seen, (0.02, 0.05), strict=True):
        assert one.std() == pytest.approx(sigma, rel=0.03)
        assert abs(one.mean()) < 4 * sigma / np.sqrt(n)
        neighbours = np.corrcoef(one[..., 1:].ravel(), one[..., :-1].ravel())[0, 1]
        assert abs(neighbours) < 0.05
    assert abs(np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1]) < 0.05


def test_window_comes_out_the_same_whatever_else_is_in_the_batch():
    values = patches(n=4, n_frames=2)
    jitters = [draw_jitter(STRONG, np.random.default_rng(k)) for k in range(4)]
    whole = change(values, jitters)
    alone = np.concatenate([change(values[k : k + 1], jitters[k : k + 1]) for k in range(4)])
    np.testing.assert_allclose(whole, alone, atol=1e-6)
    torch.rand(1)
    np.testing.assert_array_equal(whole, change(values, jitters))


def test_jitters_lie_within_the_amounts_of_the_augmentation():
    drawn = [draw_jitter(STRONG, np.random.default_rng(k)) for k in range(300)]
    bounds = {
        "gamma": (2**-STRONG.gamma, 2**STRONG.gamma),
        "contrast": (1 - STRONG.contrast, 1 + STRONG.contrast),
        "brightness": (-STRONG.brightness, STRONG.brightness),
        "noise": (0, STRONG.noise),
        "blur": (0, STRONG.blur),
        "stretch": (0, STRONG.stretch),
    }
    assert {field.name for field in fields(Jitter)} == {*bounds, "noise_seed"}
    for name, (low, high) in bounds.items():
        values = [getattr(jitter, name) for jitter in drawn]
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high
    assert len({jitter.noise_seed for jitter in drawn}) == 300


def test_all_together_stays_in_range():
    wild = Augmentation(brightness=0.9, contrast=0.9, gamma=2, stretch=1, blur=2, noise=0.5)
    jitters = [draw_jitter(wild, np.random.default_rng(k)) for k in range(8)]
    seen = change(patches(n=8), jitters, wild)
    assert np.isfinite(seen).all()
    assert seen.min() >= 0
    assert seen.max() <= 1
