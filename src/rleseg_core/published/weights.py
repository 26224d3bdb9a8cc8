"""The variables of the published implementation as the parameters of our model."""

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rleseg_core.errors import CheckpointError
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.pix2seq import Pix2Seq

_ROOT = "model/"
_NAMES: tuple[tuple[str, str], ...] = (
    # backbone
    (r"^encoder/resnet/initial_conv_relu_max_pool/0/conv2d", "backbone.conv1"),
    (r"^encoder/resnet/initial_conv_relu_max_pool/2/bn", "backbone.bn1"),
    (r"^encoder/resnet/block_groups/0/layers/", "backbone.layer1."),
    (r"^encoder/resnet/block_groups/1/layers/", "backbone.layer2."),
    (r"^encoder/resnet/block_groups/2/layers/", "backbone.layer3."),
    (r"^encoder/resnet/block_groups/3/layers/", "backbone.layer4."),
    (r"/projection_layers/([01])/(conv2d|bn)/", r".downsample.\1/"),
    (r"/conv_relu_dropblock_layers/0/conv2d/", ".conv1/"),
    (r"/conv_relu_dropblock_layers/1/bn/", ".bn1/"),
    (r"/conv_relu_dropblock_layers/3/conv2d/", ".conv2/"),
    (r"/conv_relu_dropblock_layers/4/bn/", ".bn2/"),
    (r"/conv_relu_dropblock_layers/6/conv2d/", ".conv3/"),
    (r"/conv_relu_dropblock_layers/7/bn/", ".bn3/"),
    (r"^encoder/backbone/patch_embed/", "backbone.patch_embed."),
    (r"^encoder/backbone/basic_layers/(\d+)/blocks/(\d+)/", r"backbone.layers.\1.blocks.\2."),
    (r"^encoder/backbone/basic_layers/(\d+)/downsample/", r"backbone.layers.\1.downsample."),
    (r"\.(attn|mlp)/(qkv|proj|fc1|fc2|relative_position_bias_table)\b", r".\1.\2"),
    (r"^encoder/stem_conv/", "backbone.conv/"),
    # encoder, projection
    (r"^encoder/(?:stem_projection|stem_proj_swin)/", "encoder.stem/"),
    (r"^encoder/(?:.*\.S)?vis_pos_emb(?:edding)?$", "encoder.positions"),
    (r"^(?:proj\.S)?vis_pos_emb(?:edding)?$", "projection.positions"),
    (r"^encoder/transformer_encoder/enc_layers/\d+/cross_mlp/", "encoder.fusion.mlp/"),
    (r"^encoder/transformer_encoder/enc_layers/\d+/cross_", "encoder.fusion.cross_"),
    (r"^encoder/stem_ln/", "encoder.stem_norm/"),
    (r"^encoder/transformer_encoder/enc_layers/(\d+)/", r"encoder.layers.\1."),
    (r"^encoder/output_ln/", "encoder.norm/"),
    (r"^proj/", "projection.linear/"),
    (r"^proj_ln/", "projection.norm/"),
    (r"^proj_mlp/", "projection.mlp/"),
    # decoder; whether its tables were taken over from an older checkpoint changes their names
    (r"^decoder/(?:.*\.S)?seq_pos_emb(?:edding)?(?:_deferred)?$", "decoder.positions"),
    (r"^decoder/(?:.*\.S)?token_embedding(?:_deferred)?$", "decoder.tokens.rows"),
    (r"^decoder/(?:.*\.S)?outp_bias(?:_deferred)?$", "decoder.tokens.bias"),
    (r"^decoder/(?:.*\.S)?token_embedding_(\w+?)(?:_deferred)?$", r"decoder.tokens.rows@\1"),
    (r"^decoder/(?:.*\.S)?outp_bias_(\w+?)(?:_deferred)?$", r"decoder.tokens.bias@\1"),
    (r"^decoder/decoder/dec_layers/(\d+)/", r"decoder.layers.\1."),
    (r"^decoder/output_ln/", "decoder.norm/"),
    # parts of the layers; @ and a number: one of the matrices that are one of ours
    (r"\.self_ln/", ".self_norm/"),
    (r"\.cross_ln/", ".cross_norm/"),
    (r"\.mha_ln/", ".norm/"),
    (r"\.mha/", ".attention/"),
    (r"\.self_mha/", ".self_attention/"),
    (r"\.cross_mha/_query_dense/", ".cross_attention.query/"),
    (r"\.cross_mha/_key_dense/", ".cross_attention.key_value@0/"),
    (r"\.cross_mha/_value_dense/", ".cross_attention.key_value@1/"),
    (r"\.cross_mha/", ".cross_attention/"),
    (r"^encoder\.fusion\.cross_", "encoder.fusion."),
    (r"attention/_query_dense/", "attention.qkv@0/"),
    (r"attention/_key_dense/", "attention.qkv@1/"),
    (r"attention/_value_dense/", "attention.qkv@2/"),
    (r"attention/_output_dense/", "attention.out/"),
    (r"mlp/layernorms/0/", "mlp.norm/"),
    (r"mlp/mlp_layers/0/dense1/", "mlp.up/"),
    (r"mlp/mlp_layers/0/dense2/", "mlp.down/"),
    (r"/(?:gamma|kernel)$", ".weight"),
    (r"/(?:beta|bias)$", ".bias"),
    (r"/moving_mean$", ".running_mean"),
    (r"/moving_variance$", ".running_var"),
)
"""One after the other on each key, without its root; a name with a slash left has no place here."""

_PLACES = {"0": 0, "1": 1, "2": 2, "xyl": 0, "x": 0, "y": 1, "l": 2, "c": 3}
"""The order of parts; the heads of rows, columns, lengths and classes have one table of ours."""


def to_state_dict(variables: Mapping[str, np.ndarray], config: ModelConfig) -> dict[str, Tensor]:
    """The weights of our model, from variables of the published implementation.

    Parameters
    ----------
    variables : mapping of str to array
        What `read_tf_checkpoint` gave; keys outside ``model/`` are not looked at.
    config : ModelConfig
        The model they are for.

    Returns
    -------
    dict of str to Tensor
        Its state dict, bit for bit.

    Raises
    ------
    CheckpointError
        If they are not the variables of this model; the message names the first that differs.
    """
    return _checked(to_parameters(variables), config)


def to_parameters(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The same without a model to compare with; gradients or moments will do as well."""
    parts: dict[str, dict[int, Tensor]] = {}
    for key, value in variables.items():
        if not key.startswith(_ROOT) or "/.OPTIMIZER_SLOT/" in key:
            continue
        name, _, rest = _our_name(key).partition("@")
        number, _, last = rest.partition(".")
        name = f"{name}.{last}" if last else name
        parts.setdefault(name, {})[_PLACES.get(number, 0)] = _our_axes(key, value)
    return {
        name: torch.cat([tensors[k] for k in sorted(tensors)]).contiguous()
        for name, tensors in parts.items()
    }


def _our_name(key: str) -> str:
    if re.search(r"(inp|outp)_token_embedding", key):
        raise CheckpointError(
            f"the checkpoint has an embedding of its own for what is written ({key}), and our "
            "decoder reads and writes with one table; only models with shared_decoder_embedding "
            "can be imported"
        )
    if key.startswith(f"{_ROOT}decoder_"):
        raise CheckpointError(
            f"the checkpoint has a decoder for each head ({key}), and our heads share one; only "
            "models with shared_mha can be imported"
        )
    name = key.removeprefix(_ROOT)
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    if "/" in name:
        raise CheckpointError(
            f"the checkpoint has a variable that our models have no place for, {key}; only models "
            "for segmentation by Pix2Seq can be imported"
        )
    return name


def _our_axes(key: str, value: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(value)
    if "_dense/bias" in key:
        return tensor.flatten()  # (heads, D / heads)
    if "vis_pos_emb" in key:
        return tensor.flatten(0, -2)  # (frames, cells, D)
    if not key.endswith("kernel"):
        return tensor
    if tensor.ndim >= 4:  # (..., in, out) of a convolution
        return tensor.permute(-1, -2, *range(tensor.ndim - 2))
    if "_output_dense" in key:
        return tensor.flatten(0, 1).T  # (heads, D / heads, D)
    return tensor.flatten(1).T  # (in, out) or (D, heads, D / heads)


def _checked(found: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The same with what our model counts and theirs does not, if it is all there."""
    with torch.device("meta"):
        wanted = Pix2Seq(config).state_dict()
    for name in wanted:
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(0)
    for what, names in (("lacks", wanted.keys() - found), ("has", found.keys() - wanted)):
        if names:
            raise CheckpointError(
                f"the checkpoint {what} {min(names)}, unlike the model of its settings "
                f"({len(names)} such); it belongs to another config.json"
            )
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise CheckpointError(
                f"{name} is {tuple(found[name].shape)} in the checkpoint and {tuple(tensor.shape)} "
                "in the model of its settings; it belongs to another config.json"
            )
    return {name: found[name] for name in wanted}
