"""The configuration of our model for a published one, from its settings and its variables."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from rleseg_core.errors import CheckpointError
from rleseg_core.model import (
    SIZES,
    BackboneConfig,
    DecoderConfig,
    EncoderConfig,
    FramesConfig,
    Head,
    ModelConfig,
    TokensConfig,
)
from rleseg_core.published.settings import Settings

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # by depth


def architecture(settings: Settings, variables: Mapping[str, np.ndarray]) -> ModelConfig:
    """The configuration of a published model.

    Parameters
    ----------
    settings : Settings
        Its ``config.json``.
    variables : mapping of str to array
        Its variables by key; their names show the kind of backbone, fusion and heads.

    Raises
    ------
    CheckpointError
        If a setting is missing, or our model has no such part.
    """
    heads, vocab_size = _heads(variables), 0
    if heads:
        vocab_size = max(head.offset + head.size for head in heads)
    return ModelConfig(
        image_size=settings.image_size,
        tokens=TokensConfig(
            vocab_size=vocab_size or settings.number("model.vocab_size"),
            max_tokens=settings.number("model.max_seq_len"),
            heads=heads,
        ),
        frames=_frames(settings, variables),
        backbone=_backbone(settings, variables),
        encoder=EncoderConfig(
            dim=settings.number("model.dim_att"),
            n_layers=settings.number("model.num_encoder_layers"),
            n_heads=settings.number("model.num_heads"),
            mlp_dim=settings.number("model.dim_mlp"),
        ),
        decoder=DecoderConfig(
            dim=settings.number("model.dim_att_dec"),
            n_layers=settings.number("model.num_decoder_layers"),
            n_heads=settings.number("model.num_heads_dec"),
            mlp_dim=settings.number("model.dim_mlp_dec"),
        ),
        dropout=settings.real("model.drop_units", default=0),
        drop_path=settings.real("model.drop_path", default=0),
    )


def _backbone(settings: Settings, variables: Mapping[str, np.ndarray]) -> BackboneConfig:
    """The network that turns pixels into feature maps."""
    bn_eval = settings.bn_eval()
    if "model/encoder/stem_conv/kernel" in variables:
        return BackboneConfig(kind="vit", widths=(), blocks=(), bn_eval=bn_eval)
    if any(key.startswith("model/encoder/backbone/") for key in variables):
        variant = settings.get("model.swin_variant")
        if f"swin-{variant}" not in SIZES:
            raise settings.missing("model.swin_variant")
        return replace(SIZES[f"swin-{variant}"].backbone, bn_eval=bn_eval)
    variant, depth = (
        str(settings.get("model.resnet_variant")),
        settings.number("model.resnet_depth"),
    )
    n_stages = {"standard": 4, "c4": 3}.get(variant)
    if n_stages is None or depth not in _BLOCKS:
        raise CheckpointError(
            f"{settings.path} has a ResNet of variant {variant!r} and depth {depth}, and ours are "
            f"'standard' and 'c4' of depths {', '.join(map(str, _BLOCKS))}"
        )
    width = 64 * settings.real("model.resnet_width_multiplier", default=1)
    return BackboneConfig(
        widths=tuple(round(width * 2**k) for k in range(n_stages)),
        blocks=_BLOCKS[depth][:n_stages],
        bn_eval=bn_eval,
    )


def _frames(settings: Settings, variables: Mapping[str, np.ndarray]) -> FramesConfig:
    """The frames of a window, and how they are fused."""
    n_frames = settings.n_frames
    if n_frames == 1:
        return FramesConfig()
    if settings.first_frame_only:
        return FramesConfig(n_frames=n_frames, fusion="first")
    if any(key.startswith("model/encoder/backbone/") for key in variables):
        patch_frames = settings.number("model.swin_patch_dim", default=0) or None
        return FramesConfig(n_frames=n_frames, fusion="early", patch_frames=patch_frames)
    attends_across = any("/cross_mha/" in key for key in variables if "/enc_layers/" in key)
    return FramesConfig(n_frames=n_frames, fusion="middle" if attends_across else "late")


def _heads(variables: Mapping[str, np.ndarray]) -> tuple[Head, ...]:
    """Heads for rows, columns, lengths and classes; the first three may share a table."""
    sizes: dict[str, int] = {}
    for key, value in variables.items():
        if found := re.search(r"token_embedding_(xyl|[xylc])(_deferred)?$", key):
            sizes[found[1][0]] = len(value)
    if not sizes:
        return ()
    heads: list[Head] = []
    end = 0
    for prompt, name in enumerate("xylc", 1):
        if name in sizes:
            heads.append(Head(offset=end, size=sizes[name], prompt=prompt))
            end += sizes[name]
        else:
            heads.append(replace(heads[0], prompt=prompt))
    return tuple(heads)
