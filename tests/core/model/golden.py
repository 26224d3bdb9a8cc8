"""Weights, inputs and outputs of the published implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.model import SIZES, ModelConfig, Pix2Seq
from rleseg_core.published import to_state_dict


def tiny_reference(**changes: object) -> ModelConfig:
    """The config of the tiny models of the reference data."""
    settings: dict[str, object] = {
        "vocab_size": 500,
        "max_tokens": 32,
        "image_size": 96,
        "backbone_widths": (8, 16, 32, 64),
        "encoder_dim": 48,
        "encoder_n_layers": 2,
        "encoder_n_heads": 4,
        "encoder_mlp_dim": 96,
        "decoder_dim": 32,
        "decoder_n_layers": 2,
        "decoder_n_heads": 4,
        "decoder_mlp_dim": 96,
    }
    return SIZES["paper"].with_changes(**(settings | changes))


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
        model.load_state_dict(to_state_dict(self.part("w:"), config))
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
