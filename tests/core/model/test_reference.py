"""The model computes what the published implementation does, with the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.decoding import nucleus
from rleseg_core.model import Pix2Seq
from rleseg_core.model.positions import sincos_grid
from rleseg_core.published import to_parameters

from .golden import Golden, check_model, tiny_reference

IMAGE_MODELS = {
    "static_tiny_frozen": {},
    "static_tiny_deferred": {},
    "static_tiny_batchstats": {"bn_eval": "batch"},
    "static_tiny_c4": {"backbone_widths": (8, 16, 32), "backbone_blocks": (3, 4, 6)},
}


@pytest.fixture(scope="module", params=list(IMAGE_MODELS))
def golden(request: pytest.FixtureRequest, shared_dir: Path) -> Golden:
    golden = Golden(shared_dir, request.param)
    golden.settings = IMAGE_MODELS[request.param]
    return golden


@pytest.fixture(scope="module")
def published(golden: Golden) -> Pix2Seq:
    return golden.model(tiny_reference(**golden.settings))


def check_backbone(
    golden: Golden, model: Pix2Seq, images: Tensor, prefix: str = ""
) -> list[Tensor]:
    features = model.backbone(images)
    for k, feature in enumerate(features, 1):
        golden.check(feature.permute(0, 2, 3, 1), f"{prefix}resnet_stage{k}", 1e-3)
    return features


def test_backbone_and_encoder_agree(golden: Golden, published: Pix2Seq) -> None:
    with torch.inference_mode():
        features = check_backbone(golden, published, golden.images[:, 0])
        golden.check(published.encoder(features[-1]), "encoder", 5e-4)


def test_logits_and_greedy_tokens_agree(golden: Golden, published: Pix2Seq) -> None:
    check_model(golden, published, prompt=21)


def test_images_of_odd_sides_agree(golden: Golden, published: Pix2Seq) -> None:
    if "in:image_odd" not in golden.arrays:
        pytest.skip("this file has no such image")
    images = golden["in:image_odd"].permute(0, 3, 1, 2)
    with torch.inference_mode():
        check_backbone(golden, published, images, "odd_")
        golden.check(published.encode(images[:, None]).context, "odd_encoded", 5e-4)


def test_running_averages_after_a_step_agree(shared_dir: Path) -> None:
    golden = Golden(shared_dir, "static_tiny_batchstats")
    model = golden.model(tiny_reference(dropout=0.0, drop_path=0.0)).train()
    with torch.no_grad():
        model.encode(golden.images)
    after = model.state_dict()
    expected = {
        name: value
        for name, value in to_parameters(golden.part("bn1:")).items()
        if "running" in name
    }
    assert len(expected) == 106
    for name, value in expected.items():
        torch.testing.assert_close(after[name], value, atol=1e-5, rtol=1e-4)


def test_a_frozen_backbone_keeps_its_running_averages(shared_dir: Path) -> None:
    golden = Golden(shared_dir, "static_tiny_frozen")
    model = golden.model(tiny_reference(dropout=0.0, drop_path=0.0)).train()
    model.backbone.requires_grad_(False)
    before = {name: value.clone() for name, value in model.named_buffers()}
    with torch.no_grad():
        golden.check(model.encode(golden.images).context, "encoded", 5e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


@pytest.mark.parametrize("top_p", [0.05, 0.4, 0.9])
def test_nucleus_agrees(shared_dir: Path, top_p: float) -> None:
    path = shared_dir / "golden/model/top_logits.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the reference data")
    with np.load(path, allow_pickle=False) as arrays:
        logits, expected = arrays["in:logits"], arrays[f"out:k0_p{top_p}"]
    left = nucleus(torch.from_numpy(logits), top_p).numpy()
    np.testing.assert_array_equal(np.isfinite(left), expected > -1e9)


def test_greedy_tokens_after_a_longer_prompt_agree(golden: Golden, published: Pix2Seq) -> None:
    prompt, expected = golden["in:seq"][:, :5], golden["out:greedy_tokens_prompt5"]
    with torch.inference_mode():
        cache = published.new_cache(published.encode(golden.images), 32)
        written = [published.extend(prompt, cache)[:, -1].argmax(-1)]
        while len(written) < expected.shape[1]:
            written.append(published.step(written[-1], cache).argmax(-1))
    assert torch.equal(torch.stack(written, 1), expected)


@pytest.mark.parametrize(
    ("name", "height", "width", "step"),
    [
        ("p3x2_48", 3, 2, 1),
        ("p20x20_256", 20, 20, 1),
        ("p32x32_256", 32, 32, 1),
        ("p40x40_512", 40, 40, 4),
        ("p1d_7_32", 1, 7, 1),
    ],
)
def test_codes_of_places_agree(
    shared_dir: Path, name: str, height: int, width: int, step: int
) -> None:
    expected = Golden(shared_dir, "pos_codes")[name]
    codes = sincos_grid(height, width, expected.shape[-1]).view(height, width, -1)
    codes = codes[::step, ::step].reshape(expected.shape)
    torch.testing.assert_close(codes, expected, atol=2e-6, rtol=0)
