"""What a device sees is what the host sees."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rleseg_core.augment.device import augment
from rleseg_core.checkpoints.build import new_model
from rleseg_core.checkpoints.file import read_info
from rleseg_core.data import (
    AUGMENTATIONS,
    Augmentation,
    ImageStack,
    LabelledStack,
    PatchSampler,
    SyntheticConfig,
    synthesize,
)
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import LAST, TrainConfig, Trainer
from rleseg_core.training.run_state import resumed_settings

NAMES = ("ipsc", "dfc")
CPU = torch.device("cpu")
STRONG = replace(AUGMENTATIONS["strong"], noise=0, elastic=0.06)
PLAIN_LIGHT = {"brightness": 0, "contrast": 0, "gamma": 0, "noise": 0, "stretch": 0, "blur": 0}
WARPED = replace(STRONG, affine_probability=1.0, **PLAIN_LIGHT)


def sampler(augmentation, n_frames=1, size=32, rule="centre", colour=False):
    sequence = synthesize(SyntheticConfig(n_frames=n_frames + 1, size=(90, 110), seed=1))
    images = sequence.images
    if colour:
        images = np.stack([images, 255 - images, images // 2], axis=-1)
    stack = LabelledStack(
        images=ImageStack.from_array(images),
        classes=sequence.classes,
        class_names=NAMES,
        instances=sequence.instances,
    )
    return PatchSampler(
        [stack],
        WindowSpec(patch=64, patch_stride=64, n_frames=n_frames),
        MaskSpec(size=(size, size), class_names=NAMES, n_frames=n_frames),
        augment=augmentation,
        subsample_rule=rule,
        batch_size=12,
    )


@pytest.mark.parametrize("rule", ["corner", "centre", "max"])
@pytest.mark.parametrize("n_frames", [1, 2])
def test_masks_are_those_of_the_host(rule, n_frames):
    one = sampler(WARPED, n_frames, rule=rule)
    for step in range(3):
        ours, theirs = augment(one.crops(step), CPU), one.batch(step)
        differ = (ours.classes.numpy() != theirs.classes).mean()
        assert differ < 2e-4  # a pixel on the line between two may fall either way
        assert (ours.instances.numpy() != theirs.instances).mean() < 2e-4
        assert ours.classes.dtype == torch.uint8
        assert ours.instances.dtype == torch.int32


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("augmentation", [None, Augmentation(**PLAIN_LIGHT), WARPED])
def test_images_are_those_of_the_host(augmentation, colour):
    one = sampler(augmentation, colour=colour)
    for step in range(3):
        ours, theirs = augment(one.crops(step), CPU).images.numpy(), one.batch(step).images
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs / 255).max() < (0.6 if augmentation else 0.001) / 255


def test_light_is_that_of_the_host():
    one = sampler(STRONG, n_frames=2)
    for step in range(3):
        difference = augment(one.crops(step), CPU).images.numpy() - one.batch(step).images / 255
        assert np.abs(difference).mean() < 1 / 255  # the host rounds between the steps
        assert np.quantile(np.abs(difference), 0.999) < 5 / 255


@pytest.mark.parametrize("light", ["blur", "stretch", "gamma", "contrast", "brightness"])
def test_each_light_is_that_of_the_host(light):
    most = {"blur": 2.0, "stretch": 0.5, "gamma": 0.3, "contrast": 0.5, "brightness": 0.3}[light]
    one = sampler(Augmentation(**(PLAIN_LIGHT | {light: most}), affine_probability=0))
    lit = augment(one.crops(0), CPU).images.numpy() - one.batch(0).images / 255
    assert np.abs(lit).max() < 3 / 255
    assert np.abs(lit).mean() < 0.6 / 255


def test_noise_is_of_the_step_alone():
    one = sampler(AUGMENTATIONS["standard"])
    first = augment(one.crops(3), CPU)
    augment(one.crops(4), CPU)
    torch.rand(1)
    again = augment(one.crops(3), CPU)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.classes, again.classes)
    assert not torch.equal(first.images, augment(one.crops(4), CPU).images)
    still = replace(AUGMENTATIONS["standard"], noise=0)
    noise = (first.images - augment(sampler(still).crops(3), CPU).images)[0]
    assert 0 < noise.std() < 0.03


@pytest.mark.parametrize("where", ["host", "device"])
def test_bent_labels_follow_the_image(where):
    """Grey says the class; where it is interpolated, the nearest pixel wins."""
    classes = np.zeros((1, 200, 200), np.uint8)
    classes[:, 30:90, 40:120], classes[:, 110:170, 60:150] = 2, 2
    stack = LabelledStack(
        images=ImageStack.from_array(classes * 100), classes=classes, class_names=NAMES
    )
    one = PatchSampler(
        [stack],
        WindowSpec(patch=128, patch_stride=128),
        MaskSpec(size=(128, 128), class_names=NAMES),
        augment=replace(WARPED, elastic=1 / 16),
        batch_size=6,
    )
    if where == "host":
        batch = one.batch(0)
        images, masks = batch.images[:, :, 0] / 200, batch.classes // 2
    else:
        batch = augment(one.crops(0), CPU)
        images, masks = batch.images[:, :, 0].numpy() * 255 / 200, batch.classes.numpy() // 2
    assert ((images < 0.01) | (images > 0.99)).mean() > 0.9
    assert images[masks == 1].min() > 0.24  # a corner of an object has a quarter of it
    assert images[masks == 0].max() < 0.76


@pytest.mark.parametrize("where", ["auto", "host", "device"])
def test_a_run_augments_where_it_is_told_and_goes_on_the_same(tmp_path, monkeypatch, where):
    one = sampler(AUGMENTATIONS["strong"])
    info = new_model(
        tmp_path / "model.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=one.mask_spec,
        window_spec=one.window_spec,
        max_tokens=128,
    )
    config = TrainConfig(n_steps=4, batch_size=12, augment=one.augment, augment_on=where)
    monkeypatch.setattr(one, "crops" if where != "device" else "batch", None)
    whole = [report.loss for report in Trainer(info, config, one, tmp_path, device="cpu").run()]
    run = Trainer(info, config, one, tmp_path, device="cpu").run()
    first = [next(run).loss for _ in range(2)]
    run.close()
    assert resumed_settings(read_info(tmp_path / LAST))[1] == config
    rest = [report.loss for report in Trainer.resume(tmp_path, one, device="cpu").run()]
    assert first + rest == whole


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_cuda_sees_what_the_cpu_sees():
    one = sampler(STRONG, n_frames=2)
    ours, theirs = augment(one.crops(0), torch.device("cuda")), augment(one.crops(0), CPU)
    assert (ours.images.cpu() - theirs.images).abs().max() < 1e-3
    assert (ours.classes.cpu() != theirs.classes).float().mean() < 2e-4
