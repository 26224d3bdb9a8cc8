"""What version 0.1 called the parts and settings of a model, and what they are called now.

Files keep the names they were written with. `rleseg_core.checkpoints.file` translates them as it
reads, and nothing else knows the old ones.
"""

from collections.abc import Mapping

_PARTS = {"trunk": "backbone", "bridge": "projection", "cells": "mask_features"}
_WEIGHTS = {"bridge.project": "projection.linear", **_PARTS}
_MODEL = {
    "trunk": "backbone",
    "trunk_widths": "backbone_widths",
    "trunk_blocks": "backbone_blocks",
    "trunk_norm": "backbone_norm",
    "ramps": "ordinal_ranges",
    "cell_dim": "mask_dim",
}
_VALUES = {"starts": {"scan": "first_hit"}, "ends": {"scan": "first_hit"}}
_STATE = {"best_dice": "best_score"}  # from before 0.1, when Dice was the only score
_TRAINING = {
    "equalise": "class_balancing",
    "neighbour_smoothing": "ordinal_label_smoothing",
}


def weight_name(name: str) -> str:
    """The present name of a weight, such as 'backbone.conv1.weight' for 'trunk.conv1.weight'."""
    for old, new in _WEIGHTS.items():
        if name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    return name


def model_settings(values: Mapping[str, object]) -> dict[str, object]:
    """The present form of the settings of `rleseg_core.model.ModelConfig`."""
    renamed = {_MODEL.get(name, name): value for name, value in values.items()}
    for name, words in _VALUES.items():
        if isinstance(value := renamed.get(name), str):
            renamed[name] = words.get(value, value)
    return renamed


def training_state(values: Mapping[str, object]) -> dict[str, object]:
    """The present form of the state of a run, whose settings are those of `TrainConfig`."""
    values = {_STATE.get(name, name): value for name, value in values.items()}
    config = values.get("config")
    if not isinstance(config, Mapping):
        return values
    config = {_TRAINING.get(name, name): value for name, value in config.items()}
    if isinstance(frozen := config.get("frozen"), list | tuple):
        config["frozen"] = [_PARTS.get(part, part) for part in frozen]
    if isinstance(rates := config.get("rates"), Mapping):
        config["rates"] = {_PARTS.get(part, part): factor for part, factor in rates.items()}
    return {**values, "config": config}
