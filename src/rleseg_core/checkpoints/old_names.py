"""What version 0.1 called the parts and settings of a model, and what they are called now.

Files keep the names they were written with. `rleseg_core.checkpoints.file` translates them as it
reads, and nothing else knows the old ones.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import cast

from rleseg_core.normalisation import BY_TYPE

_PARTS = {"trunk": "backbone", "bridge": "projection", "cells": "mask_features"}
_WEIGHTS = {"bridge.project": "projection.linear", **_PARTS}
_MODEL = {
    "vocab_size": "tokens.vocab_size",
    "max_tokens": "tokens.max_tokens",
    "grid": "tokens.grid",
    "ramps": "tokens.ordinal_ranges",
    "heads": "tokens.heads",
    "n_frames": "frames.n_frames",
    "fusion": "frames.fusion",
    "patch_frames": "frames.patch_frames",
    "dense_frames": "frames.dense_frames",
    "sparse_pool": "frames.sparse_pool",
    "trunk": "backbone.kind",
    "trunk_widths": "backbone.widths",
    "trunk_blocks": "backbone.blocks",
    "trunk_norm": "backbone.norm",
    "stem": "backbone.stem",
    "bn_eval": "backbone.bn_eval",
    "map_size": "backbone.map_size",
    "encoder_dim": "encoder.dim",
    "encoder_layers": "encoder.n_layers",
    "encoder_heads": "encoder.n_heads",
    "encoder_ff": "encoder.mlp_dim",
    "decoder_dim": "decoder.dim",
    "decoder_layers": "decoder.n_layers",
    "decoder_heads": "decoder.n_heads",
    "decoder_ff": "decoder.mlp_dim",
    "starts": "pointer.starts",
    "ends": "pointer.ends",
    "dense_classes": "pointer.dense_classes",
    "cell_dim": "pointer.mask_dim",
}
_VALUES = {
    ("pointer.starts", "scan"): "first_hit",
    ("pointer.ends", "scan"): "first_hit",
}
_STATE = {"best_dice": "best_score"}  # from before 0.1, when Dice was the only score
_TRAINING = {
    "equalise": "class_balancing",
    "neighbour_smoothing": "ordinal_label_smoothing",
}


def part_name(name: str) -> str:
    """The present name of a part of a model, such as 'backbone' for 'trunk'."""
    return _PARTS.get(name, name)


def weight_name(name: str) -> str:
    """The present name of a weight, such as 'backbone.conv1.weight' for 'trunk.conv1.weight'."""
    for old, new in _WEIGHTS.items():
        if name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    return name


def model_settings(values: Mapping[str, object]) -> dict[str, object]:
    """The present form of the settings of `rleseg_core.model.ModelConfig`, in parts.

    Version 0.1 kept them in one flat table; a setting that is unknown stays where it is.
    """
    if not values.keys() & _MODEL.keys():
        return dict(values)
    settings: dict[str, object] = {}
    for name, value in values.items():
        dotted = _MODEL.get(name, name)
        part, _, setting = dotted.rpartition(".")
        table = settings
        if part:
            table = cast(dict[str, object], settings.setdefault(part, {}))
        table[setting] = _VALUES.get((dotted, str(value)), value)
    return settings


def window_settings(values: object) -> object:
    """Settings of windows; without a note on grey values, with the rule of version 0.1."""
    if not isinstance(values, Mapping) or "normalisation" in values:
        return values
    return {**values, "normalisation": asdict(BY_TYPE)}


def training_state(values: Mapping[str, object]) -> dict[str, object]:
    """The present form of the state of a run, whose settings are those of `TrainConfig`."""
    values = {_STATE.get(name, name): value for name, value in values.items()}
    config = values.get("config")
    if not isinstance(config, Mapping):
        return values
    config = {_TRAINING.get(name, name): value for name, value in config.items()}
    if isinstance(frozen := config.get("frozen"), list | tuple):
        config["frozen"] = [part_name(part) for part in frozen]
    if isinstance(rates := config.get("rates"), Mapping):
        config["rates"] = {part_name(part): factor for part, factor in rates.items()}
    return {**values, "config": config}
