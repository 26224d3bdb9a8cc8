"""The names of the published implementation's variables, translated to our parameters."""

import re

from rleseg_core.errors import CheckpointError

ROOT = "model/"
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
"""Applied to each key one after the other, without its root; a slash that is left is an error.

An @ with a number or a letter marks a part of one of our parameters, such as `qkv@1`.
"""


def parameter_name(key: str) -> str:
    """Our name of a variable, given by its key without the suffix that all keys share.

    Raises
    ------
    CheckpointError
        If our models have no such parameter.
    """
    if re.search(r"(inp|outp)_token_embedding", key):
        raise CheckpointError(
            f"the checkpoint has an embedding of its own for output tokens ({key}), and our "
            "decoder reads and writes with one table; only models with shared_decoder_embedding "
            "can be imported"
        )
    if key.startswith(f"{ROOT}decoder_"):
        raise CheckpointError(
            f"the checkpoint has a decoder for each head ({key}), and our heads share one; only "
            "models with shared_mha can be imported"
        )
    name = key.removeprefix(ROOT)
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    if "/" in name:
        raise CheckpointError(
            f"the checkpoint has a variable unknown to our models, {key}; only models "
            "for segmentation by Pix2Seq can be imported"
        )
    return name
