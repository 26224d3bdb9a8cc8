"""Training: tokens made on the device, a loop that reports, checkpoints that hold everything."""

from rleseg_core.training.config import TrainConfig
from rleseg_core.training.finetune import fine_tune, split_frames, train, transfer_weights
from rleseg_core.training.reports import StepReport, logged, read_reports
from rleseg_core.training.trainer import BEST, LAST, Trainer

__all__ = [
    "BEST",
    "LAST",
    "StepReport",
    "TrainConfig",
    "Trainer",
    "fine_tune",
    "logged",
    "read_reports",
    "split_frames",
    "train",
    "transfer_weights",
]
