"""Weights, inputs and outputs of the published implementation, and how its weights are ours."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.model import ModelConfig, Pix2Seq

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
    (r"^model/decoder/ar_decoder.Sseq_pos_embedding(_deferred)?$", "decoder.positions"),
    (r"^model/decoder/ar_decoder.Stoken_embedding(_deferred)?$", "decoder.tokens.rows"),
    (r"^model/decoder/ar_decoder.Soutp_bias(_deferred)?$", "decoder.tokens.bias"),
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


def tiny_reference(**changes: object) -> ModelConfig:
    """The config of the tiny models of the reference data."""
    settings: dict[str, object] = {
        "vocab_size": 500,
        "max_tokens": 32,
        "image_size": 96,
        "trunk_widths": (8, 16, 32, 64),
        "encoder_dim": 48,
        "encoder_layers": 2,
        "encoder_heads": 4,
        "encoder_ff": 96,
        "decoder_dim": 32,
        "decoder_layers": 2,
        "decoder_heads": 4,
        "decoder_ff": 96,
    }
    return ModelConfig(**(settings | changes))  # type: ignore[arg-type]


class Golden:
    """One file of the reference data."""

    def __init__(self, shared: Path, name: str) -> None:
        path = shared / "golden/model" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"{path.name} is not in the reference data")
        with np.load(path, allow_pickle=False) as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}
        self.settings: dict[str, object] = {}

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin so, without that."""
        n = len(prefix)
        return {key[n:]: value for key, value in self.arrays.items() if key.startswith(prefix)}

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    @property
    def images(self) -> Tensor:
        """(B, N, 3, P, P)."""
        if "in:video" in self.arrays:
            return self["in:video"].permute(0, 1, 4, 2, 3)
        return self["in:image"].permute(0, 3, 1, 2)[:, None]

    def model(self, config: ModelConfig) -> Pix2Seq:
        """A model of the file's weights, in evaluation mode."""
        model = Pix2Seq(config).eval()
        model.load_state_dict(with_statistics(state_of(self.part("w:"))))
        return model

    def check(self, value: Tensor, name: str, tolerance: float) -> None:
        """Compare with an output, without a relative tolerance."""
        torch.testing.assert_close(value, self[f"out:{name}"], atol=tolerance, rtol=0)


def check_model(golden: Golden, model: Pix2Seq, prompt: int) -> None:
    """Memory, logits and greedy tokens are those of the file."""
    with torch.inference_mode():
        memory = model.encode(golden.images)
        golden.check(memory.context, "encoded", 5e-4)
        golden.check(model(memory, golden["in:seq"]), "logits", 3e-4)
        cache = model.new_cache(memory, 32)
        tokens, written, logits = torch.tensor([prompt] * len(memory)), [], []
        for _ in range(32):
            logits.append(model.step(tokens, cache))
            tokens = logits[-1].argmax(-1)
            written.append(tokens)
    assert torch.equal(torch.stack(written, 1), golden["out:greedy_tokens"])
    golden.check(torch.stack(logits, 1), "greedy_logits", 3e-4)
