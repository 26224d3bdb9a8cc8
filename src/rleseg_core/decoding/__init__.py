"""Where model and grammar meet: sampling, the decoding loop, continuous batching, speculation.

`generate` gives a batch of windows token by token, `decode_sequences` whole sequences of many.
"""

from rleseg_core.decoding.batched import decode_sequences, generate_tokens
from rleseg_core.decoding.checking import check_objects
from rleseg_core.decoding.grammar import GrammarTables
from rleseg_core.decoding.loop import Step, generate
from rleseg_core.decoding.sampling import GREEDY, Sampling, nucleus
from rleseg_core.decoding.slots import DecodedSequence
from rleseg_core.decoding.speculation import Draft

__all__ = [
    "GREEDY",
    "DecodedSequence",
    "Draft",
    "GrammarTables",
    "Sampling",
    "Step",
    "check_objects",
    "decode_sequences",
    "generate",
    "generate_tokens",
    "nucleus",
]
