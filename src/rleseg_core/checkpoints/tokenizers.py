"""The tokenizer of a model file; made without torch, so that a viewer can show tokens at once."""

from rleseg_core.checkpoints.header import ModelInfo, tokenizer_of
from rleseg_core.errors import CheckpointError, SchemeError
from rleseg_core.tokens import Tokenizer


def build_tokenizer(info: ModelInfo) -> Tokenizer:
    """Tokenizer of a model file.

    Raises
    ------
    CheckpointError
        If the scheme or the token layout of the header cannot be, or does not fit its masks.
    """
    try:
        return tokenizer_of(info)
    except SchemeError as error:
        raise CheckpointError(f"{info.path} has tokens that cannot be: {error}") from error
