"""Masks as run-length tokens and back; knows nothing of models, files or windows."""

from rleseg_core.tokens.events import BlockClosed, Event, MaskEnded, RunPainted
from rleseg_core.tokens.grammar import Grammar, GrammarTables
from rleseg_core.tokens.scheme import PRESETS, Scheme, check, preset
from rleseg_core.tokens.tokenizer import Decoded, StartGrid, TokenBatch, Tokenizer
from rleseg_core.tokens.vocab import Segment, Vocabulary

__all__ = [
    "PRESETS",
    "BlockClosed",
    "Decoded",
    "Event",
    "Grammar",
    "GrammarTables",
    "MaskEnded",
    "RunPainted",
    "Scheme",
    "Segment",
    "StartGrid",
    "TokenBatch",
    "Tokenizer",
    "Vocabulary",
    "check",
    "preset",
]
