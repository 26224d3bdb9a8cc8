"""The model computes what the published implementation does, with the same weights."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.model import ModelConfig, Pix2Seq, nucleus

RENAMED = [
    (r"^model/encoder/resnet/initial_conv_relu_max_pool/0/conv2d", "trunk.conv1"),
    (r"^model/encoder/resnet/initial_conv_relu_max_pool/2/bn", "trunk.bn1"),
    (r"^model/encoder/resnet/block_groups/0/layers/", "trunk.layer1."),
    (r"^model/encoder/resnet/block_groups/1/layers/", "trunk.layer2."),
    (r"^model/encoder/resnet/block_groups/2/layers/", "trunk.layer3."),
    (r"^model/encoder/resnet/block_groups/3/layers/", "trunk.layer4."),
    (r"/projection_layers/(\d)/(conv2d|bn)", r".downsample.\1"),
    (r"/conv_relu_dropblock_layers/0/conv2d", ".conv1"),
    (r"/conv_relu_dropblock_layers/1/bn", ".bn1"),
    (r"/conv_relu_dropblock_layers/3/conv2d", ".conv2"),
    (r"/conv_relu_dropblock_layers/4/bn", ".bn2"),
    (r"/conv_relu_dropblock_layers/6/conv2d", ".conv3"),
    (r"/conv_relu_dropblock_layers/7/bn", ".bn3"),
    (r"^model/encoder/stem_projection", "encoder.stem"),
    (r"^model/encoder/stem_ln", "encoder.stem_norm"),
    (r"^model/encoder/transformer_encoder/enc_layers/(\d+)/", r"encoder.layers.\1."),
    (r"^model/encoder/output_ln", "encoder.norm"),
    (r"^model/proj/", "bridge.project/"),
    (r"^model/proj_ln", "bridge.norm"),
    (r"^model/proj_mlp", "bridge.mlp"),
    (r"^model/decoder/ar_decoder.Sseq_pos_embedding$", "decoder.positions"),
    (r"^model/decoder/ar_decoder.Stoken_embedding$", "decoder.tokens.rows"),
    (r"^model/decoder/ar_decoder.Soutp_bias$", "decoder.tokens.bias"),
    (r"^model/decoder/decoder/dec_layers/(\d+)/", r"decoder.layers.\1."),
    (r"^model/decoder/output_ln", "decoder.norm"),
    (r"(self|cross)_mha/", r"\1_attention/"),
    (r"(self|cross)_ln/", r"\1_norm/"),
    (r"\.mha/", ".attention/"),
    (r"\.mha_ln/", ".norm/"),
    (r"mlp/layernorms/0", "mlp.norm"),
    (r"mlp/mlp_layers/0/dense1", "mlp.up"),
    (r"mlp/mlp_layers/0/dense2", "mlp.down"),
    (r"/gamma$", ".weight"),
    (r"/beta$", ".bias"),
    (r"/moving_mean$", ".running_mean"),
    (r"/moving_variance$", ".running_var"),
    (r"/kernel$", ".weight"),
    (r"/bias$", ".bias"),
    (r"/_output_dense", ".out"),
]


def converted(key: str, value: np.ndarray) -> tuple[str, Tensor]:
    name = key
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    tensor = torch.from_numpy(value)
    if key.endswith("kernel"):
        if tensor.ndim == 4:
            tensor = tensor.permute(3, 2, 0, 1)
        elif tensor.ndim == 3 and "_output_dense" in key:
            tensor = tensor.flatten(0, 1).T
        else:
            tensor = tensor.flatten(1).T
    elif "_dense/bias" in key:
        tensor = tensor.flatten()
    return name, tensor.contiguous()


def state_of(weights: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    parts = dict(converted(key, value) for key, value in weights.items())
    state = {name: value for name, value in parts.items() if "/_" not in name}
    joined = {"self": ("query", "key", "value"), "cross": ("key", "value")}
    for name in parts:
        if "/_query_dense" not in name:
            continue
        attention, kind = name.split("/_query_dense")
        cross = "cross" in attention
        if cross:
            state[f"{attention}.query{kind}"] = parts[name]
        target = "key_value" if cross else "qkv"
        fields = joined["cross" if cross else "self"]
        state[f"{attention}.{target}{kind}"] = torch.cat(
            [parts[f"{attention}/_{field}_dense{kind}"] for field in fields]
        )
    return state


def with_statistics(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Batch normalisations also count their batches; the count is not used."""
    counts = {
        name.replace("running_mean", "num_batches_tracked"): torch.tensor(0)
        for name in state
        if name.endswith("running_mean")
    }
    return state | counts


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> Mapping[str, np.ndarray]:
    path = shared_dir / "golden/model/static_tiny_frozen.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the reference data")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def published(reference: Mapping[str, np.ndarray]) -> Pix2Seq:
    config = ModelConfig(
        vocab_size=500,
        max_tokens=32,
        image_size=96,
        trunk_widths=(8, 16, 32, 64),
        encoder_dim=48,
        encoder_layers=2,
        encoder_heads=4,
        encoder_ff=96,
        decoder_dim=32,
        decoder_layers=2,
        decoder_heads=4,
        decoder_ff=96,
    )
    model = Pix2Seq(config).eval()
    weights = {name[2:]: value for name, value in reference.items() if name.startswith("w:")}
    model.load_state_dict(with_statistics(state_of(weights)))
    return model


@pytest.fixture(scope="module")
def check(reference: Mapping[str, np.ndarray]) -> Callable[[Tensor, str, float], None]:
    def close(value: Tensor, name: str, tolerance: float) -> None:
        expected = torch.from_numpy(reference[f"out:{name}"])
        torch.testing.assert_close(value, expected, atol=tolerance, rtol=0)

    return close


Check = Callable[[Tensor, str, float], None]


@pytest.mark.parametrize("suffix", ["", "_odd"])
def test_trunk_encoder_and_bridge_agree(
    published: Pix2Seq, reference: Mapping[str, np.ndarray], check: Check, suffix: str
) -> None:
    images = torch.from_numpy(reference[f"in:image{suffix}"]).permute(0, 3, 1, 2)
    prefix = "odd_" if suffix else ""
    with torch.inference_mode():
        features = published.trunk(images)
        for k, feature in enumerate(features, 1):
            check(feature.permute(0, 2, 3, 1), f"{prefix}resnet_stage{k}", 1e-3)
        if not suffix:
            check(published.encoder(features[-1]), "encoder", 5e-4)
        check(published.encode(images[:, None]).context, f"{prefix}encoded", 5e-4)


def test_logits_agree(
    published: Pix2Seq, reference: Mapping[str, np.ndarray], check: Check
) -> None:
    images = torch.from_numpy(reference["in:image"]).permute(0, 3, 1, 2)[:, None]
    with torch.inference_mode():
        logits = published(published.encode(images), torch.from_numpy(reference["in:seq"]))
    check(logits, "logits", 3e-4)


def test_greedy_tokens_are_the_same(
    published: Pix2Seq, reference: Mapping[str, np.ndarray], check: Check
) -> None:
    images = torch.from_numpy(reference["in:image"]).permute(0, 3, 1, 2)[:, None]
    with torch.inference_mode():
        cache = published.new_cache(published.encode(images), 32)
        tokens, written, logits = torch.tensor([21, 21]), [], []
        for _ in range(32):
            logits.append(published.step(tokens, cache))
            tokens = logits[-1].argmax(-1)
            written.append(tokens)
    assert torch.stack(written, 1).tolist() == reference["out:greedy_tokens"].tolist()
    check(torch.stack(logits, 1), "greedy_logits", 3e-4)


@pytest.mark.parametrize("top_p", [0.05, 0.4, 0.9])
def test_nucleus_agrees(shared_dir: Path, top_p: float) -> None:
    path = shared_dir / "golden/model/top_logits.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the reference data")
    with np.load(path, allow_pickle=False) as arrays:
        logits, expected = arrays["in:logits"], arrays[f"out:k0_p{top_p}"]
    left = nucleus(torch.from_numpy(logits), top_p).numpy()
    np.testing.assert_array_equal(np.isfinite(left), expected > -1e9)
