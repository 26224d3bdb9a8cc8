import csv
from collections import Counter

import numpy as np
import pytest
import torch

from rleseg_core.errors import CheckpointError
from rleseg_core.model import ModelConfig, Pix2Seq, model_config
from rleseg_core.model.published import read_tf_checkpoint, to_state_dict

TINY = ModelConfig(
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


def weights_of(arrays):
    return {name[2:]: value for name, value in arrays.items() if name.startswith("w:")}


@pytest.fixture
def weights(golden):
    return weights_of(golden("static_tiny_frozen"))


def logits_of(arrays, state, config=TINY):
    model = Pix2Seq(config).eval()
    model.load_state_dict(state)
    images = torch.from_numpy(arrays["in:image"]).permute(0, 3, 1, 2)[:, None]
    with torch.inference_mode():
        return model(model.encode(images), torch.from_numpy(arrays["in:seq"]))


@pytest.mark.parametrize("name", ["static_tiny_frozen", "static_tiny_deferred"])
def test_a_published_checkpoint_gives_the_published_logits(golden, golden_checkpoint, name):
    arrays = golden(name)
    state = to_state_dict(read_tf_checkpoint(golden_checkpoint(name)), TINY)
    expected = torch.from_numpy(arrays["out:logits"])
    torch.testing.assert_close(logits_of(arrays, state), expected, atol=3e-4, rtol=0)


def test_every_value_is_taken_over_to_the_bit(weights):
    def bits(arrays):
        return Counter(np.concatenate([a.ravel() for a in arrays]).view(np.int32).tolist())

    state = to_state_dict(weights, TINY)
    floats = [value.numpy() for value in state.values() if value.is_floating_point()]
    assert bits(floats) == bits(weights.values())


def test_plain_attribute_names_are_the_same_variables(weights):
    plain = {
        "ar_decoder.Stoken_embedding": "token_embedding",
        "ar_decoder.Soutp_bias": "outp_bias",
        "ar_decoder.Sseq_pos_embedding": "seq_pos_emb",
    }
    renamed = dict(weights)
    for name, other in plain.items():
        renamed[f"model/decoder/{other}"] = renamed.pop(f"model/decoder/{name}")
    expected, state = to_state_dict(weights, TINY), to_state_dict(renamed, TINY)
    assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_the_optimizer_is_left_out(weights):
    more = weights | {
        "optimizer/_variables/1": np.ones(3, np.float32),
        "global_step": np.array(3),
        "model/proj/kernel/.OPTIMIZER_SLOT/optimizer/m": np.ones((48, 32), np.float32),
    }
    assert to_state_dict(more, TINY).keys() == to_state_dict(weights, TINY).keys()


def test_embeddings_that_are_not_shared_are_refused(weights):
    table = weights.pop("model/decoder/ar_decoder.Stoken_embedding")
    for kind in ("inp", "outp"):
        weights[f"model/decoder/ar_decoder.S{kind}_token_embedding"] = table
    with pytest.raises(CheckpointError, match="only models with shared_decoder_embedding"):
        to_state_dict(weights, TINY)


def test_other_models_are_refused(weights):
    with pytest.raises(CheckpointError, match="no place for, model/diffusion/w; only models"):
        to_state_dict(weights | {"model/diffusion/w": np.ones(2, np.float32)}, TINY)
    more = weights | {"model/decoder/decoder/dec_layers/2/self_ln/beta": np.ones(32, np.float32)}
    with pytest.raises(CheckpointError, match=r"has decoder.layers.2.self_norm.bias, unlike"):
        to_state_dict(more, TINY)
    del weights["model/proj_ln/beta"]
    with pytest.raises(CheckpointError, match=r"lacks bridge.norm.bias, unlike the model of its"):
        to_state_dict(weights, TINY)


def test_another_vocabulary_is_told(weights):
    name = "model/decoder/ar_decoder.Stoken_embedding"
    weights[name] = weights[name][:400]
    with pytest.raises(CheckpointError, match=r"is \(400, 32\) in the checkpoint and \(500, 32\)"):
        to_state_dict(weights, TINY)


def test_all_variables_of_the_published_model_have_a_place(shared_dir):
    path = shared_dir / "reference/tf_checkpoint_vars_resnet50.tsv"
    with path.open() as file:
        lines = [line for line in file if not line.startswith("#")]
    variables = {}
    for row in csv.DictReader(lines, delimiter="\t"):
        shape = [int(side) for side in row["shape"].strip("[]").split(",")]
        variables[row["checkpoint_key"]] = np.broadcast_to(np.zeros(1, np.float32), shape).copy()
    fused = [key for key in variables if "/enc_layers/5/cross" in key]
    assert len(fused) == 16
    for key in fused:  # those of videos
        del variables[key]
    config = model_config("paper", vocab_size=3000, max_tokens=512, image_size=640)
    state = to_state_dict(variables, config)
    assert sum(value.numel() for value in state.values() if value.ndim) == 36_640_888
