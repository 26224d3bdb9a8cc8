"""The named sizes of models: the paper's, its variants, and small ones."""

from typing import Any

from rleseg_core.errors import SchemeError
from rleseg_core.model.config import ModelConfig, setting_name
from rleseg_core.model.config_parts import TokensConfig
from rleseg_core.spec import StartGrid

_PAPER = ModelConfig(image_size=640, tokens=TokensConfig(vocab_size=1, max_tokens=1))

_SMALL = _PAPER.with_changes(
    backbone_kind="basic",
    backbone_widths=(48, 96, 192, 320),
    backbone_blocks=(1, 2, 2, 2),
    encoder_n_layers=4,
    encoder_mlp_dim=768,
    decoder_n_layers=4,
    decoder_mlp_dim=768,
    image_size=256,
)

_VIT_B = _PAPER.with_changes(
    backbone_kind="vit",
    backbone_widths=(),
    backbone_blocks=(),
    encoder_n_layers=12,
    encoder_dim=768,
    encoder_n_heads=12,
    encoder_mlp_dim=3072,
    decoder_dim=512,
    decoder_n_heads=16,
    decoder_mlp_dim=2048,
)

_SWIN_T = _PAPER.with_changes(
    backbone_kind="swin",
    backbone_widths=(96, 192, 384, 768),
    backbone_blocks=(2, 2, 6, 2),
    fusion="early",
    n_frames=2,
)

_PUBLISHED: dict[str, ModelConfig] = {
    "paper": _PAPER,
    "resnet-c": _PAPER.with_changes(
        backbone_widths=(64, 128, 256),
        backbone_blocks=(3, 4, 6),
        encoder_n_layers=12,
        encoder_dim=512,
        encoder_n_heads=16,
        encoder_mlp_dim=2048,
        decoder_n_layers=8,
        decoder_dim=512,
        decoder_n_heads=16,
        decoder_mlp_dim=2048,
    ),
    "vit-b": _VIT_B,
    "vit-l": _VIT_B.with_changes(
        encoder_n_layers=24,
        encoder_dim=1024,
        encoder_n_heads=16,
        encoder_mlp_dim=4096,
        decoder_n_layers=8,
    ),
    "swin-t": _SWIN_T,
    "swin-s": _SWIN_T.with_changes(backbone_blocks=(2, 2, 18, 2)),
    "swin-b": _SWIN_T.with_changes(
        backbone_widths=(128, 256, 512, 1024), backbone_blocks=(2, 2, 18, 2)
    ),
}

SIZES: dict[str, ModelConfig] = {
    **_PUBLISHED,
    "small": _SMALL,
    "resnet50": _SMALL.with_changes(
        backbone_kind="bottleneck",
        backbone_widths=(64, 128, 256, 512),
        backbone_blocks=(3, 4, 6, 3),
        backbone_norm="batch",
        backbone_stem="torchvision",
    ),
    "nano": _SMALL.with_changes(
        backbone_widths=(32, 64, 128, 192),
        backbone_blocks=(1, 1, 1, 1),
        encoder_dim=192,
        encoder_n_layers=2,
        encoder_n_heads=6,
        encoder_mlp_dim=576,
        decoder_dim=192,
        decoder_n_layers=3,
        decoder_n_heads=6,
        decoder_mlp_dim=576,
        mask_dim=96,
        image_size=128,
        dropout=0.0,
        drop_path=0.0,
    ),
    "test": _SMALL.with_changes(
        backbone_widths=(8, 8, 16, 16),
        backbone_blocks=(1, 1, 1, 1),
        backbone_norm="group",
        encoder_dim=16,
        encoder_n_layers=1,
        encoder_n_heads=2,
        encoder_mlp_dim=32,
        decoder_dim=16,
        decoder_n_layers=1,
        decoder_n_heads=2,
        decoder_mlp_dim=32,
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
        V, L and P, as in `TokensConfig` and `ModelConfig`.
    grid : StartGrid, optional
        Where tokens say where runs are; then starts and ends are first-hit pointers, except in
        published sizes.
    **changes : object
        Other settings of `ModelConfig`, by the names of `ModelConfig.with_changes`: 'n_frames',
        'encoder_dim', 'encoder.dim'. `n_frames` over 1 comes with middle fusion by default.

    Raises
    ------
    SchemeError
        If there is no such size or setting, or the numbers do not fit together.
    """
    if size not in SIZES:
        raise SchemeError(f"there is no model size {size!r}, only {', '.join(SIZES)}")
    changes = {setting_name(name): value for name, value in changes.items()}
    if size not in _PUBLISHED and grid is not None:
        changes.setdefault("pointer.starts", "first_hit")
        changes.setdefault("pointer.stops_by_mass", changes["pointer.starts"] == "first_hit")
        if changes["pointer.starts"] in ("pointer", "first_hit"):
            changes.setdefault("pointer.ends", "first_hit")
    if changes.get("frames.n_frames", 1) > 1 and SIZES[size].frames.fusion is None:
        changes.setdefault("frames.fusion", "middle")
    return SIZES[size].with_changes(
        vocab_size=vocab_size,
        max_tokens=max_tokens,
        image_size=image_size,
        grid=grid,
        **changes,
    )
