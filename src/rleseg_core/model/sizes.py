"""The named sizes of models: the paper's, its variants, and small ones."""

from dataclasses import replace
from typing import Any

from rleseg_core.errors import SchemeError
from rleseg_core.model.config import ModelConfig
from rleseg_core.spec import StartGrid

_PAPER = ModelConfig(vocab_size=1, max_tokens=1, image_size=640)

_SMALL = replace(
    _PAPER,
    backbone="basic",
    backbone_widths=(48, 96, 192, 320),
    backbone_blocks=(1, 2, 2, 2),
    encoder_layers=4,
    encoder_ff=768,
    decoder_layers=4,
    decoder_ff=768,
    image_size=256,
)

_VIT_B = replace(
    _PAPER,
    backbone="vit",
    backbone_widths=(),
    backbone_blocks=(),
    encoder_layers=12,
    encoder_dim=768,
    encoder_heads=12,
    encoder_ff=3072,
    decoder_dim=512,
    decoder_heads=16,
    decoder_ff=2048,
)

_SWIN_T = replace(
    _PAPER,
    backbone="swin",
    backbone_widths=(96, 192, 384, 768),
    backbone_blocks=(2, 2, 6, 2),
    fusion="early",
    n_frames=2,
)

_PUBLISHED: dict[str, ModelConfig] = {
    "paper": _PAPER,
    "resnet-c": replace(
        _PAPER,
        backbone_widths=(64, 128, 256),
        backbone_blocks=(3, 4, 6),
        encoder_layers=12,
        encoder_dim=512,
        encoder_heads=16,
        encoder_ff=2048,
        decoder_layers=8,
        decoder_dim=512,
        decoder_heads=16,
        decoder_ff=2048,
    ),
    "vit-b": _VIT_B,
    "vit-l": replace(
        _VIT_B,
        encoder_layers=24,
        encoder_dim=1024,
        encoder_heads=16,
        encoder_ff=4096,
        decoder_layers=8,
    ),
    "swin-t": _SWIN_T,
    "swin-s": replace(_SWIN_T, backbone_blocks=(2, 2, 18, 2)),
    "swin-b": replace(
        _SWIN_T, backbone_widths=(128, 256, 512, 1024), backbone_blocks=(2, 2, 18, 2)
    ),
}

SIZES: dict[str, ModelConfig] = {
    **_PUBLISHED,
    "small": _SMALL,
    "resnet50": replace(
        _SMALL,
        backbone="bottleneck",
        backbone_widths=(64, 128, 256, 512),
        backbone_blocks=(3, 4, 6, 3),
        backbone_norm="batch",
        stem="torchvision",
    ),
    "nano": replace(
        _SMALL,
        backbone_widths=(32, 64, 128, 192),
        backbone_blocks=(1, 1, 1, 1),
        encoder_dim=192,
        encoder_layers=2,
        encoder_heads=6,
        encoder_ff=576,
        decoder_dim=192,
        decoder_layers=3,
        decoder_heads=6,
        decoder_ff=576,
        mask_dim=96,
        image_size=128,
        dropout=0.0,
        drop_path=0.0,
    ),
    "test": replace(
        _SMALL,
        backbone_widths=(8, 8, 16, 16),
        backbone_blocks=(1, 1, 1, 1),
        backbone_norm="group",
        encoder_dim=16,
        encoder_layers=1,
        encoder_heads=2,
        encoder_ff=32,
        decoder_dim=16,
        decoder_layers=1,
        decoder_heads=2,
        decoder_ff=32,
        mask_dim=16,
        image_size=32,
        dropout=0.0,
        drop_path=0.0,
    ),
}


def is_published(size: str) -> bool:
    """Whether a size is one of the published implementation, with all tokens as it has them."""
    return size in _PUBLISHED


def model_config(
    size: str,
    *,
    vocab_size: int,
    max_tokens: int,
    image_size: int,
    grid: StartGrid | None = None,
    **changes: Any,
) -> ModelConfig:
    """Config of a named size for a vocabulary.

    Parameters
    ----------
    size : str
        One of `SIZES`: "paper" (the published model), "resnet-c", "vit-b", "vit-l" and, for windows
        of several frames, "swin-t", "swin-s", "swin-b" (its variants), "small" (a laptop's GPU),
        "resnet50" (the same with a backbone for ImageNet's weights), "nano" (a CPU), "test".
    vocab_size, max_tokens, image_size : int
        As in `ModelConfig`.
    grid : StartGrid, optional
        Where tokens say where runs are; then starts and ends are first-hit pointers, except in
        published sizes.
    **changes : object
        Other fields of `ModelConfig`; `n_frames` over 1 comes with middle fusion by default.

    Raises
    ------
    SchemeError
        If there is no such size or field, or the numbers do not fit together.
    """
    if size not in SIZES:
        raise SchemeError(f"there is no model size {size!r}, only {', '.join(SIZES)}")
    if size not in _PUBLISHED and grid is not None:
        changes.setdefault("starts", "first_hit")
        if changes["starts"] in ("pointer", "first_hit"):
            changes.setdefault("ends", "first_hit")
    if changes.get("n_frames", 1) > 1 and SIZES[size].fusion is None:
        changes.setdefault("fusion", "middle")
    try:
        return replace(
            SIZES[size],
            vocab_size=vocab_size,
            max_tokens=max_tokens,
            image_size=image_size,
            grid=grid,
            **changes,
        )
    except TypeError as error:
        raise SchemeError(f"a model has no such setting: {error}") from error
