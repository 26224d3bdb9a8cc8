"""Synthetic phase-contrast time-lapses of two cell classes, with masks, identities and parents."""

from rleseg_core.data.synthetic.config import SyntheticConfig
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
    "SyntheticConfig",
    "SyntheticFrame",
    "SyntheticSequence",
    "frames",
    "synthesize",
    "varied_stack",
]
