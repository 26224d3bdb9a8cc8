"""Images in, logits of tokens out; what the tokens mean is not known here."""

from rleseg_core.model.cache import Cache
from rleseg_core.model.config import SIZES, Head, ModelConfig, StartGrid, model_config
from rleseg_core.model.decoder import Memory
from rleseg_core.model.generate import (
    GrammarTables,
    Sampling,
    Step,
    generate,
    nucleus,
)
from rleseg_core.model.pix2seq import Pix2Seq
from rleseg_core.model.writing import Written, generate_tokens, write_sequences

__all__ = [
    "SIZES",
    "Cache",
    "GrammarTables",
    "Head",
    "Memory",
    "ModelConfig",
    "Pix2Seq",
    "Sampling",
    "StartGrid",
    "Step",
    "Written",
    "generate",
    "generate_tokens",
    "model_config",
    "nucleus",
    "write_sequences",
]
