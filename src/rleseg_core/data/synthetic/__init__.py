"""Synthetic phase-contrast time-lapses of two cell classes, with masks, identities and parents."""

from rleseg_core.data.synthetic.sequence import (
    CLASS_NAMES,
    SyntheticConfig,
    SyntheticFrame,
    SyntheticSequence,
    frames,
    synthesize,
)

__all__ = [
    "CLASS_NAMES",
    "SyntheticConfig",
    "SyntheticFrame",
    "SyntheticSequence",
    "frames",
    "synthesize",
]
