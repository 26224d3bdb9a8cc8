"""``rleseg tokens vocab``: the vocabulary of a scheme, or those of several."""

from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter

from rleseg_core.cli.console import LiteralTable, out, print_json, print_plain
from rleseg_core.cli.masks import GivenWriting, Schemes
from rleseg_core.cli.options import FLAT, POSITIVE, Reporting
from rleseg_core.cli.tokens.tokenizers import VocabLimit, build_tokenizer, some_usable_schemes
from rleseg_core.cli.values import schemes_of
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer

USUAL_LIMIT = 32_000
"""V that the authors' implementation can hold (Sec. III-A1)."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VocabOptions:
    """Masks for which the vocabulary is made.

    Parameters
    ----------
    mask_size : int
        S, the side of a mask in mask pixels.
    classes : int
        C, the number of foreground classes.
    frames : int
        N, the number of frames of a window.
    """

    scheme: Schemes = ("lac",)
    writing: Annotated[GivenWriting, FLAT] = field(default_factory=dict)
    mask_size: Annotated[int, POSITIVE] = 80
    classes: Annotated[int, POSITIVE] = 2
    frames: Annotated[int, POSITIVE] = 1
    vocab_limit: VocabLimit = None

    @property
    def spec(self) -> MaskSpec:
        """Shape and classes of the masks."""
        names = tuple(f"class{k}" for k in range(1, self.classes + 1))
        size = (self.mask_size, self.mask_size)
        return MaskSpec(size=size, class_names=names, n_frames=self.frames)


def vocab(options: VocabOptions = VocabOptions(), reporting: Reporting = Reporting()) -> None:
    """Print the vocabulary of a scheme, or compare those of several (Tables 7 to 10).

    Parameters
    ----------
    options : VocabOptions
        Masks for which the vocabulary is made.
    reporting : Reporting
        What is printed.
    """
    wanted = schemes_of(options.scheme)
    usable, left_out = some_usable_schemes(wanted, options.spec, options.writing)
    tokenizers = {
        name: build_tokenizer(scheme, options.spec, options.vocab_limit)
        for name, scheme in usable.items()
    }
    if reporting.as_json:
        rows = [_json(name, tokenizer) for name, tokenizer in tokenizers.items()]
        print_json(rows[0] if len(wanted) == 1 else {"schemes": rows, "left_out": left_out})
        return
    if reporting.quiet:
        return
    if len(wanted) == 1:
        (tokenizer,) = tokenizers.values()
        print_plain(tokenizer.vocab.describe())
    else:
        _print_table(tokenizers)
        for name, reason in left_out.items():
            print_plain(f"without {name}: {reason}")
    large = [name for name, its in tokenizers.items() if its.vocab.size > USUAL_LIMIT]
    if large:
        names = ", ".join(large)
        print_plain(f"over the {USUAL_LIMIT:,} that the published models can hold: {names}")


def _json(name: str, tokenizer: Tokenizer) -> dict[str, object]:
    segments = {
        part.name: {"offset": part.offset, "size": part.size} for part in tokenizer.vocab.segments
    }
    return {"scheme": name, "size": tokenizer.vocab.size, "segments": segments}


def _print_table(tokenizers: dict[str, Tokenizer]) -> None:
    table = LiteralTable("scheme", "V", "segments", box=None)
    for name, tokenizer in tokenizers.items():
        parts = [part for part in tokenizer.vocab.segments if part.name != "special"]
        sizes = ", ".join(f"{part.name} {part.size:,}" for part in parts)
        table.add_row(name, f"{tokenizer.vocab.size:,}", sizes)
    out.print(table)
