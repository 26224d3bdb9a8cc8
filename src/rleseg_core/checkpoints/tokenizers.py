"""The tokenizer of a model file; made without torch, so that a viewer can show tokens at once."""

from rleseg_core.checkpoints.file import ModelInfo
from rleseg_core.errors import CheckpointError
from rleseg_core.tokens import ANY_VOCABULARY, PublishedLayout, Scheme, Tokenizer


def build_tokenizer(info: ModelInfo) -> Tokenizer:
    """Tokenizer of a model file.

    Raises
    ------
    CheckpointError
        If the header names a token layout that this version does not know.
    SchemeError
        If its scheme does not fit its masks.
    """
    scheme = Scheme.from_json(info.scheme)
    if not info.layout:
        return Tokenizer.build(scheme, info.mask_spec)
    try:
        layout = PublishedLayout(**info.layout)  # type: ignore[arg-type]
    except TypeError as error:
        raise CheckpointError(
            f"{info.path} has token ids that this version does not know ({error}); update "
            "napari-rleseg"
        ) from error
    # the layout says how many ids there are; the model in the same file has a row for each
    return Tokenizer.build(scheme, info.mask_spec, vocab_limit=ANY_VOCABULARY, layout=layout)
