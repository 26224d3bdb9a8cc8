"""``rleseg tokens``: the vocabulary of a scheme, and the tokens of a mask."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from rleseg_core.cli.console import AsJson, out, print_json
from rleseg_core.cli.evaluate import class_names
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PRESETS, Tokenizer, preset

app = typer.Typer(
    help="The vocabulary of a scheme, and the tokens of a mask.", no_args_is_help=True
)

SchemeName = Annotated[str, typer.Option("--scheme", help=f"One of {', '.join(PRESETS)}.")]
Order = Annotated[
    Literal["C", "F"], typer.Option("--order", help="Runs along rows (C) or columns (F).")
]
Start = Annotated[
    Literal["flat", "coords"], typer.Option("--start", help="1D (flat) or 2D (coords) starts.")
]
Limit = Annotated[int, typer.Option("--vocab-limit", help="Largest vocabulary allowed.")]


@app.command("vocab")
def vocab(
    scheme: SchemeName = "lac",
    mask_size: Annotated[int, typer.Option(help="S, the side of the mask.")] = 80,
    classes: Annotated[int, typer.Option(help="C, the number of foreground classes.", min=1)] = 2,
    order: Order = "C",
    start: Start = "flat",
    vocab_limit: Limit = 32_000,
    as_json: AsJson = False,
) -> None:
    """Print the vocabulary table of a scheme."""
    names = tuple(f"class{k}" for k in range(1, classes + 1))
    spec = MaskSpec(size=(mask_size, mask_size), class_names=names)
    tokenizer = Tokenizer.build(
        preset(scheme, order=order, start=start), spec, vocab_limit=vocab_limit
    )
    if as_json:
        rows = {s.name: {"offset": s.offset, "size": s.size} for s in tokenizer.vocab.segments}
        print_json({"scheme": scheme, "size": tokenizer.vocab.size, "segments": rows})
    else:
        out.print(tokenizer.vocab.describe(), highlight=False, markup=False, soft_wrap=True)


@app.command("encode")
def encode(
    mask: Annotated[Path, typer.Argument(help="A mask: PNG (palette index), TIFF, zarr, …")],
    scheme: SchemeName = "lac",
    mask_size: Annotated[
        int | None, typer.Option(help="S: subsample the mask to S x S first; as it is if left out.")
    ] = None,
    frame: Annotated[int, typer.Option(help="Frame of a stack.", min=0)] = 0,
    classes: Annotated[str | None, typer.Option(help="Names of the classes, as ipsc,dfc.")] = None,
    order: Order = "C",
    start: Start = "flat",
    vocab_limit: Limit = 32_000,
    as_json: AsJson = False,
) -> None:
    """Encode a mask and show its tokens."""
    from rleseg_core.data import class_ids, open_labels, subsample_labels

    stack = open_labels(mask)
    if frame >= stack.n_frames:
        raise DataError(f"{mask} has {stack.n_frames} frames, there is no frame {frame}")
    labels = stack.frame(frame)
    if mask_size is not None:
        labels = subsample_labels(labels[None], (mask_size, mask_size))[0]
    names = class_names(classes, instances=False) if classes else _names(labels)
    labels = class_ids(labels, len(names))
    spec = MaskSpec(size=labels.shape, class_names=names)
    tokenizer = Tokenizer.build(
        preset(scheme, order=order, start=start), spec, vocab_limit=vocab_limit
    )
    tokens = tokenizer.encode(labels[None])
    if as_json:
        shape = list(labels.shape)
        print_json(
            {"scheme": scheme, "mask": shape, "n_tokens": len(tokens), "tokens": tokens.tolist()}
        )
        return
    k = tokenizer.tokens_per_run
    for run, first in enumerate(range(0, len(tokens), k)):
        ids = tokens[first : first + k].tolist()
        words = ", ".join(tokenizer.vocab.text(token) for token in ids)
        out.print(f"{run:5d}  {' '.join(f'{token:6d}' for token in ids)}  {words}", markup=False)
    out.print(f"{len(tokens)} tokens, {len(tokens) // k} runs, vocabulary {tokenizer.vocab.size}")


def _names(labels: np.ndarray) -> tuple[str, ...]:
    """Names for the class ids of a mask, at least one."""
    highest = max(1, int(labels.max(initial=0)))
    return tuple(f"class{k}" for k in range(1, highest + 1))
