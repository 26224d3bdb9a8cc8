import csv
import re
from collections import Counter

import numpy as np
import pytest
import torch

from rleseg_core.errors import CheckpointError
from rleseg_core.model import Pix2Seq, model_config
from rleseg_core.published import read_tf_checkpoint, to_parameters, to_state_dict

TINY = model_config(
    "paper",
    vocab_size=500,
    max_tokens=32,
    image_size=96,
    backbone_widths=(8, 16, 32, 64),
    encoder_dim=48,
    encoder_n_layers=2,
    encoder_n_heads=4,
    encoder_mlp_dim=96,
    decoder_dim=32,
    decoder_n_layers=2,
    decoder_n_heads=4,
    decoder_mlp_dim=96,
)


def weights_of(arrays):
    return {name[2:]: value for name, value in arrays.items() if name.startswith("w:")}


@pytest.fixture
def weights(golden):
    return weights_of(golden("static_tiny_frozen"))


def logits_of(arrays, state, config=TINY):
    model = Pix2Seq(config).eval()
    model.load_state_dict(state)
    images = torch.from_numpy(arrays["in:image"]).movedim(-1, -3)
    images = images if images.ndim == 5 else images[:, None]
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
    with pytest.raises(
        CheckpointError, match="unknown to our models, model/diffusion/w; only models"
    ):
        to_state_dict(weights | {"model/diffusion/w": np.ones(2, np.float32)}, TINY)
    more = weights | {"model/decoder/decoder/dec_layers/2/self_ln/beta": np.ones(32, np.float32)}
    with pytest.raises(CheckpointError, match=r"has decoder.layers.2.self_norm.bias, unlike"):
        to_state_dict(more, TINY)
    del weights["model/proj_ln/beta"]
    with pytest.raises(
        CheckpointError, match=r"lacks projection.norm.bias, unlike the model of its"
    ):
        to_state_dict(weights, TINY)


def test_another_vocabulary_is_told(weights):
    name = "model/decoder/ar_decoder.Stoken_embedding"
    weights[name] = weights[name][:400]
    with pytest.raises(CheckpointError, match=r"is \(400, 32\) in the checkpoint and \(500, 32\)"):
        to_state_dict(weights, TINY)


@pytest.mark.parametrize("n_frames", [1, 2])
def test_all_variables_of_the_published_models_have_a_place(shared_dir, n_frames):
    path = shared_dir / "reference/tf_checkpoint_vars_resnet50.tsv"
    with path.open() as file:
        lines = [line for line in file if not line.startswith("#")]
    variables = {}
    for row in csv.DictReader(lines, delimiter="\t"):
        shape = [int(side) for side in row["shape"].strip("[]").split(",")]
        variables[row["checkpoint_key"]] = np.broadcast_to(np.zeros(1, np.float32), shape).copy()
    assert len(variables) == 554
    if n_frames == 1:
        for key in [key for key in variables if "/enc_layers/5/cross" in key]:
            del variables[key]
    config = model_config(
        "paper", vocab_size=3000, max_tokens=512, image_size=640, n_frames=n_frames
    )
    state = to_state_dict(variables, config)
    n_values = sum(value.numel() for value in state.values() if value.ndim)
    assert n_values == {1: 36_640_888, 2: 37_430_648}[n_frames]


def without_backbone(weights):
    kept = {k: v for k, v in weights.items() if "/resnet/" not in k and "/stem_proj" not in k}
    assert len(kept) == len(weights) - 267
    return kept


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_patches_of_a_vision_transformer(weights):
    kernel, bias = random(16, 16, 3, 48), random(48)
    names = {"model/encoder/stem_conv/kernel": kernel, "model/encoder/stem_conv/bias": bias}
    config = TINY.with_changes(backbone_kind="vit", backbone_widths=(), backbone_blocks=())
    state = to_state_dict(without_backbone(weights) | names, config)
    np.testing.assert_array_equal(state["backbone.conv.weight"], kernel.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(state["backbone.conv.bias"], bias)


def swin(widths, blocks, patch_frames):
    """Variables of a VideoSwin backbone."""

    def dense(name, inputs, outputs):
        return {f"{name}/kernel": random(inputs, outputs), f"{name}/bias": random(outputs)}

    def norm(name, dim):
        return {f"{name}/gamma": random(dim), f"{name}/beta": random(dim)}

    root = "model/encoder/backbone"
    found = {f"{root}/patch_embed/proj/kernel": random(patch_frames, 4, 4, 3, widths[0])}
    found[f"{root}/patch_embed/proj/bias"] = random(widths[0])
    found |= norm(f"{root}/patch_embed/norm", widths[0])
    for s, (dim, n) in enumerate(zip(widths, blocks, strict=True)):
        stage = f"{root}/basic_layers/{s}"
        for b in range(n):
            block = f"{stage}/blocks/{b}"
            found |= norm(f"{block}/norm1", dim) | norm(f"{block}/norm2", dim)
            found |= dense(f"{block}/attn/qkv", dim, 3 * dim)
            found |= dense(f"{block}/attn/proj", dim, dim)
            found |= dense(f"{block}/mlp/fc1", dim, 4 * dim)
            found |= dense(f"{block}/mlp/fc2", 4 * dim, dim)
            table = random(15 * 13 * 13, dim // 32)
            found[f"{block}/attn/relative_position_bias_table"] = table
        if s < len(widths) - 1:
            found |= norm(f"{stage}/downsample/norm", 4 * dim)
            found[f"{stage}/downsample/reduction/kernel"] = random(4 * dim, 2 * dim)
    return found | dense("model/encoder/stem_proj_swin", widths[-1], 48)


@pytest.mark.parametrize("patch_frames", [2, 4])
def test_video_swin(weights, patch_frames):
    backbone = swin((32, 64), (2, 1), patch_frames)
    places = {}
    if patch_frames == 2:
        places["model/encoder/rest.Svis_pos_embedding"] = random(2 * 144, 48)
        places["model/proj.Svis_pos_embedding"] = random(2 * 144, 32)
    config = TINY.with_changes(
        backbone_kind="swin",
        backbone_widths=(32, 64),
        backbone_blocks=(2, 1),
        fusion="early",
        n_frames=4,
        patch_frames=patch_frames,
    )
    state = to_state_dict(without_backbone(weights) | backbone | places, config)
    kernel = backbone["model/encoder/backbone/patch_embed/proj/kernel"]
    expected = kernel.transpose(4, 3, 0, 1, 2)
    np.testing.assert_array_equal(state["backbone.patch_embed.proj.weight"], expected)
    table = backbone[
        "model/encoder/backbone/basic_layers/1/blocks/0/attn/relative_position_bias_table"
    ]
    found = state["backbone.layers.1.blocks.0.attn.relative_position_bias_table"]
    np.testing.assert_array_equal(found, table)


@pytest.mark.parametrize("name", ["video_tiny_middle_n2", "video_tiny_late_n2"])
def test_published_video_models_give_the_published_logits(golden, name):
    arrays = golden(name)
    fusion = name.split("_")[2]
    config = TINY.with_changes(n_frames=2, fusion=fusion, map_size=(3, 2))
    arrays["in:image"] = arrays["in:video"]
    expected = torch.from_numpy(arrays["out:logits"])
    state = to_state_dict(weights_of(arrays), config)
    torch.testing.assert_close(logits_of(arrays, state, config), expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize("deferred", ["", "_deferred"])
def test_the_tables_of_heads_lie_one_after_the_other(golden, deferred):
    renamed = weights_of(golden("mhd_tiny_shared"))
    tables = [key for key in renamed if re.search(r"(token_embedding|outp_bias)_[xylc]$", key)]
    assert len(tables) == 8
    values = {key[-1]: renamed[key] for key in tables if "token" in key}
    for key in tables:
        renamed[key + deferred] = renamed.pop(key)
    found = to_parameters(renamed)["decoder.tokens.rows"]
    np.testing.assert_array_equal(found, np.concatenate([values[head] for head in "xylc"]))
    assert [len(values[head]) for head in "xylc"] == [45, 45, 37, 9]


def test_separate_decoders_are_refused(weights):
    weights["model/decoder_x/output_ln/beta"] = np.ones(32, np.float32)
    with pytest.raises(CheckpointError, match="only models with shared_mha can be imported"):
        to_state_dict(weights, TINY)
