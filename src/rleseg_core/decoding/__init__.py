"""Where model and grammar meet: sampling, the decoding loop, batches of sequences."""

from rleseg_core.decoding.batched import Written, generate_tokens, write_sequences
from rleseg_core.decoding.loop import GrammarTables, Sampling, Step, generate, nucleus

__all__ = [
    "GrammarTables",
    "Sampling",
    "Step",
    "Written",
    "generate",
    "generate_tokens",
    "nucleus",
    "write_sequences",
]
