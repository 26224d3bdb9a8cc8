"""Masks as run-length tokens and back; knows nothing of models, files or windows."""

from rleseg_core.tokens.budget import Drop
from rleseg_core.tokens.choices import check, for_classes
from rleseg_core.tokens.draft import Draft
from rleseg_core.tokens.events import BlockClosed, Event, MaskEnded, RunPainted
from rleseg_core.tokens.grammar import Grammar, GrammarTables
from rleseg_core.tokens.layouts import CompactLayout, Layout, PublishedLayout
from rleseg_core.tokens.results import Counts, Decoded, TokenBatch
from rleseg_core.tokens.scheme import PRESETS, Scheme, preset
from rleseg_core.tokens.tokenizer import Tokenizer
from rleseg_core.tokens.vocab import ANY_VOCABULARY, Segment, Vocabulary

__all__ = [
    "ANY_VOCABULARY",
    "PRESETS",
    "BlockClosed",
    "CompactLayout",
    "Counts",
    "Decoded",
    "Draft",
    "Drop",
    "Event",
    "Grammar",
    "GrammarTables",
    "Layout",
    "MaskEnded",
    "PublishedLayout",
    "RunPainted",
    "Scheme",
    "Segment",
    "TokenBatch",
    "Tokenizer",
    "Vocabulary",
    "check",
    "for_classes",
    "preset",
]
