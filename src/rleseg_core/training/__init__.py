"""Training: batches tokenized on the device, a loop that reports, checkpoints that hold everything.

Importing the package does not import torch: a form that only needs `TrainConfig` opens at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rleseg_core.training.config import TrainConfig
from rleseg_core.training.reports import BEST, LAST, StepReport, logged, read_reports

if TYPE_CHECKING:
    from rleseg_core.training.data import TrainingData, split_frames
    from rleseg_core.training.presets import (
        ENOUGH_TO_HOLD_OUT,
        FINE_TUNING,
        PresetName,
        Recipe,
        count_windows,
        from_scratch,
    )
    from rleseg_core.training.replay import replay_stacks
    from rleseg_core.training.sampling import PatchSampler, SamplingOptions
    from rleseg_core.training.start import FineTuneOptions, fine_tune, train
    from rleseg_core.training.trainer import Trainer
    from rleseg_core.training.transfer import image_weights, transfer_weights

__all__ = [
    "BEST",
    "ENOUGH_TO_HOLD_OUT",
    "FINE_TUNING",
    "LAST",
    "FineTuneOptions",
    "PatchSampler",
    "PresetName",
    "Recipe",
    "SamplingOptions",
    "StepReport",
    "TrainConfig",
    "Trainer",
    "TrainingData",
    "count_windows",
    "fine_tune",
    "from_scratch",
    "image_weights",
    "logged",
    "read_reports",
    "replay_stacks",
    "split_frames",
    "train",
    "transfer_weights",
]

_MODULES = {
    "ENOUGH_TO_HOLD_OUT": "presets",
    "FINE_TUNING": "presets",
    "FineTuneOptions": "start",
    "PatchSampler": "sampling",
    "PresetName": "presets",
    "Recipe": "presets",
    "SamplingOptions": "sampling",
    "Trainer": "trainer",
    "TrainingData": "data",
    "count_windows": "presets",
    "fine_tune": "start",
    "from_scratch": "presets",
    "image_weights": "transfer",
    "replay_stacks": "replay",
    "split_frames": "data",
    "train": "start",
    "transfer_weights": "transfer",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
