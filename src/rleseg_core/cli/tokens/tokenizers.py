"""Tokenizers for masks that are named on the command line."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from rleseg_core.cli.masks import SCHEME
from rleseg_core.cli.options import POSITIVE
from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import ANY_VOCABULARY, Scheme, Tokenizer

VocabLimit = Annotated[
    int | None,
    POSITIVE,
    Parameter(
        group=SCHEME,
        help="Refuse vocabularies of more token ids than this.",
        show_default="no limit",
    ),
]


def some_usable_schemes(
    names: Sequence[str], spec: MaskSpec, writing: Mapping[str, Any]
) -> tuple[dict[str, Scheme], dict[str, str]]:
    """Schemes for masks of a spec, and why others are left out.

    Raises
    ------
    SchemeError
        If all are.
    """
    from rleseg_core.analysis.lengths import schemes_for

    usable, left_out = schemes_for(names, spec, instances=True, **writing)
    if not usable:
        raise SchemeError("; ".join(dict.fromkeys(left_out.values())))
    return usable, left_out


def build_tokenizer(scheme: Scheme, spec: MaskSpec, limit: int | None) -> Tokenizer:
    """A tokenizer whose vocabulary may have `limit` token ids, or any number."""
    return Tokenizer.build(scheme, spec, vocab_limit=limit or ANY_VOCABULARY)
