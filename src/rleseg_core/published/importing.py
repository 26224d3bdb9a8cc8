"""From a checkpoint of the published implementation to a model file of ours."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rleseg_core.checkpoints import ModelInfo, build_model, save_checkpoint
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
from rleseg_core.published.tensorflow import find_index, read_tf_checkpoint
from rleseg_core.published.weights import to_state_dict
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset

BnEval = Literal["auto", "moving", "batch"]
_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_OF_DECODER = ("decoder.tokens.rows", "decoder.tokens.bias")
_SUPPORTED: dict[str, tuple[object, ...]] = {
    "model.use_cls_token": (None, False),
    "model.dec_proj_mode": (None, "mlp"),
    "model.resnet_sk_ratio": (None, 0),
}


def import_checkpoint(
    checkpoint: str | Path,
    out: Path,
    *,
    config: Path | None = None,
    changes: Mapping[str, object] | None = None,
    class_names: tuple[str, ...] | None = None,
    bn_eval: BnEval = "auto",
    card: Mapping[str, object] | None = None,
) -> ModelInfo:
    """Write a model file from a TensorFlow checkpoint of the published implementation.

    Parameters
    ----------
    checkpoint : str or Path
        As to `read_tf_checkpoint`: ``ckpt-N``, its index, or the folder.
    out : Path
        The model file.
    config : Path, optional
        Its ``config.json``, if not beside it.
    changes : mapping, optional
        Values by dotted name, such as ``model.vocab_size``, that count instead of the file's.
    class_names : tuple of str, optional
        Of the foreground classes; by default those of the dataset, where they are known.
    bn_eval : {'auto', 'moving', 'batch'}
        What batch normalisation uses in evaluation; auto: as the published code does, which is
        moving averages if the backbone was frozen in training, else statistics of the batch.
    card : mapping, optional
        What people should know of it.

    Returns
    -------
    ModelInfo
        Its header. A model that detects objects gives a base to train from: its weights, with
        fresh embeddings for binary masks of an eighth of the input side.

    Raises
    ------
    CheckpointError
        If the checkpoint or its settings are missing, damaged or those of another kind of model,
        or do not go together.
    SchemeError
        If the settings describe tokens that cannot be.
    """
    index = find_index(checkpoint)
    settings = Settings.read(config or index.with_name("config.json"), changes)
    for name, values in _SUPPORTED.items():
        if settings.get(name) not in values:
            raise CheckpointError(
                f"{settings.path} has {name} = {settings.get(name)!r}, which our model does not "
                "have; only the published models for segmentation can be imported"
            )
    variables = read_tf_checkpoint(index, under="model/")
    model = architecture(settings, variables)
    if bn_eval != "auto":
        model = model.with_changes(bn_eval=bn_eval)
    weights = to_state_dict(variables, model)
    info = ModelInfo(
        path=out,
        model=model.to_json(),
        scheme={},
        mask_spec=MaskSpec(size=(1, 1), class_names=("object",)),
        window_spec=settings.window_spec(),
        step=_step(index),
        card={"name": index.parent.name, "source": str(index), "bn_eval": model.backbone.bn_eval}
        | dict(card or {}),
    )
    if settings.segments:
        largest = max((head.size for head in model.tokens.heads), default=model.tokens.vocab_size)
        names = class_names or settings.class_names()
        tokenizer, layout = settings.tokenizer(names, vocab_size=largest)
        info = replace(
            info,
            scheme=tokenizer.scheme.to_json(),
            mask_spec=tokenizer.spec,
            layout=asdict(layout),
        )
    else:
        info, weights = _base(info, model, weights)
    save_checkpoint(info, weights)
    return info


def architecture(settings: Settings, variables: Mapping[str, np.ndarray]) -> ModelConfig:
    """The model of these settings; which kind of encoder it has is seen from its variables.

    Raises
    ------
    CheckpointError
        If something is missing, or our model has no such part.
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
    """The frames of a window, and how they are joined."""
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
    """Rows, columns, lengths and classes, if each has a table; the first three may share one."""
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


def _base(
    info: ModelInfo, model: ModelConfig, weights: dict[str, Tensor]
) -> tuple[ModelInfo, dict[str, Tensor]]:
    """A model for binary masks with the weights of a detector, as the authors begin theirs."""
    side = max(1, model.image_size // 8)
    mask_spec = MaskSpec(size=(side, side), class_names=("object",))
    tokenizer = Tokenizer.build(preset("binary"), mask_spec)
    model = model.with_changes(vocab_size=tokenizer.vocab.size)
    info = replace(
        info,
        model=model.to_json(),
        scheme=tokenizer.scheme.to_json(),
        mask_spec=mask_spec,
        card=info.card | {"note": "weights of a detector: train it before it can segment"},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = build_model(info).state_dict()
    return info, weights | {name: fresh[name] for name in _OF_DECODER}


def _step(index: Path) -> int:
    """The optimizer steps that the file's name tells."""
    found = re.search(r"-(\d+)$", index.stem)
    return int(found[1]) if found else 0
