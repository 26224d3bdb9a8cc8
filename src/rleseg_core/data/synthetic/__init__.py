"""Synthetic time-lapses of cells of many kinds, with masks, identities and parents."""

from rleseg_core.data.synthetic.config import CultureConfig, Kind, Modality, SyntheticConfig
from rleseg_core.data.synthetic.looks import LOOKS, varied_stack
from rleseg_core.data.synthetic.sequence import (
    CLASS_NAMES,
    SyntheticFrame,
    SyntheticSequence,
    frames,
    synthesize,
)

__all__ = [
    "CLASS_NAMES",
    "LOOKS",
    "CultureConfig",
    "Kind",
    "Modality",
    "SyntheticConfig",
    "SyntheticFrame",
    "SyntheticSequence",
    "frames",
    "synthesize",
    "varied_stack",
]
