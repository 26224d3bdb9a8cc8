"""What is written of a plane of symbols: each kind of run owns all its rules, in one file."""

from rleseg_core.tokens.runs.base import (
    Cursor,
    DecodedRun,
    GrammarRules,
    RunDecoder,
    RunKind,
    start_fields,
)
from rleseg_core.tokens.runs.change import Change
from rleseg_core.tokens.runs.foreground import Foreground
from rleseg_core.tokens.runs.tiling import Tiling

RUN_KINDS: dict[str, type[RunKind]] = {
    "foreground": Foreground,
    "tiling": Tiling,
    "change": Change,
}
"""The kind of each `Scheme.runs`: what is here can be chosen."""

__all__ = [
    "RUN_KINDS",
    "Change",
    "Cursor",
    "DecodedRun",
    "Foreground",
    "GrammarRules",
    "RunDecoder",
    "RunKind",
    "Tiling",
    "start_fields",
]
