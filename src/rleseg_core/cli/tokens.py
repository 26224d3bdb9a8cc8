"""``rleseg tokens``: vocabularies, the tokens of masks, and what they take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from rleseg_core.cli.console import AsJson, out, print_json
from rleseg_core.cli.predict import ImageSize
from rleseg_core.cli.token_choice import choose
from rleseg_core.cli.token_options import (
    Classes,
    InstanceIds,
    Instances,
    Order,
    Rule,
    Schemes,
    Start,
    names_of_classes,
    scheme_names,
)
from rleseg_core.cli.token_stats import stats
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.errors import DataError, SchemeError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import ANY_VOCABULARY, PRESETS, Scheme, Tokenizer

if TYPE_CHECKING:
    from rleseg_core.data import MaskStack

USUAL_LIMIT = 32_000
"""V that the authors' implementation can hold (Sec. III-A1)."""

app = typer.Typer(
    help="Vocabularies of schemes, the tokens of masks, and what they take.", no_args_is_help=True
)
app.command("stats")(stats)
app.command("choose")(choose)

SchemeName = Annotated[str, typer.Option("--scheme", help=f"One of {', '.join(PRESETS)}.")]
Limit = Annotated[
    int | None, typer.Option("--vocab-limit", min=1, help="Refuse larger vocabularies.")
]


@app.command("vocab")
def vocab(
    scheme: Schemes = ["lac"],  # noqa: B006 typer copies it
    mask_size: Annotated[int, typer.Option(min=1, help="S, the side of the mask.")] = 80,
    classes: Annotated[int, typer.Option(help="C, the number of foreground classes.", min=1)] = 2,
    frames: Annotated[int, typer.Option(help="N, the frames of a window.", min=1)] = 1,
    order: Order = None,
    start: Start = None,
    vocab_limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Print the vocabulary of a scheme, or compare those of several (Tables 7 to 10)."""
    names = tuple(f"class{k}" for k in range(1, classes + 1))
    spec = MaskSpec(size=(mask_size, mask_size), class_names=names, n_frames=frames)
    wanted = scheme_names(scheme)
    usable, left_out = _usable(wanted, spec, order, start)
    tokenizers = {name: _build(its, spec, vocab_limit) for name, its in usable.items()}
    rows = [
        {
            "scheme": name,
            "size": tokenizer.vocab.size,
            "segments": {
                part.name: {"offset": part.offset, "size": part.size}
                for part in tokenizer.vocab.segments
            },
        }
        for name, tokenizer in tokenizers.items()
    ]
    if as_json:
        print_json(rows[0] if len(wanted) == 1 else {"schemes": rows, "left_out": left_out})
        return
    if len(wanted) == 1:
        (tokenizer,) = tokenizers.values()
        _say(tokenizer.vocab.describe())
    else:
        table = Table("scheme", "V", "segments", box=None)
        for name, tokenizer in tokenizers.items():
            parts = [part for part in tokenizer.vocab.segments if part.name != "special"]
            said = ", ".join(f"{part.name} {part.size:,}" for part in parts)
            table.add_row(name, f"{tokenizer.vocab.size:,}", said)
        out.print(table)
        for name, reason in left_out.items():
            _say(f"without {name}: {reason}")
    large = [name for name, its in tokenizers.items() if its.vocab.size > USUAL_LIMIT]
    if large:
        _say(f"over the {USUAL_LIMIT:,} that the published models can hold: {', '.join(large)}")


@app.command("encode")
def encode(
    mask: Annotated[Path, typer.Argument(help=f"A mask: {input_kinds()}.")],
    scheme: SchemeName = "lac",
    mask_size: Annotated[
        int | None,
        typer.Option(min=1, help="S: subsample the mask to S x S first; as it is if left out."),
    ] = None,
    frame: Annotated[int, typer.Option(help="Frame of a stack, the first of a window.", min=0)] = 0,
    frames: Annotated[int, typer.Option(help="N, the frames of a window.", min=1)] = 1,
    image_size: ImageSize = None,
    classes: Classes = None,
    instances: Instances = False,
    instance_ids: InstanceIds = None,
    order: Order = None,
    start: Start = None,
    subsample_rule: Rule = "centre",
    vocab_limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Encode a mask and show its tokens."""
    from rleseg_core.data import subsample_labels

    stack = _open(mask, classes, instances, instance_ids, frame)
    if frame + frames > stack.n_frames:
        what = f"is no frame {frame}"
        if frames > 1:
            what = f"are no {frames} frames from frame {frame} on"
        raise DataError(f"{mask} has {stack.n_frames} frames, there {what}")
    labels, ids = _window(stack, frame, frames, image_size)
    if mask_size is not None:
        _check_divides(mask_size, labels.shape)
        size = (mask_size, mask_size)
        labels = subsample_labels(labels, size, subsample_rule)
        ids = None if ids is None else subsample_labels(ids, size, subsample_rule)
    spec = MaskSpec(size=labels.shape[1:], class_names=stack.class_names, n_frames=frames)
    usable, _ = _usable([scheme], spec, order, start)
    tokenizer = _build(usable[scheme], spec, vocab_limit)
    tokens = tokenizer.encode(labels, ids)
    counts = tokenizer.count(labels, ids)
    if as_json:
        print_json(
            {
                "scheme": scheme,
                "mask": list(labels.shape[1:]),
                "frames": frames,
                "n_runs": counts.n_runs,
                "n_blocks": counts.n_blocks,
                "n_tokens": counts.n_tokens,
                "vocabulary": tokenizer.vocab.size,
                "tokens": tokens.tolist(),
            }
        )
        return
    _print_tokens(tokenizer, tokens)
    blocks = f", {counts.n_blocks} blocks" if tokenizer.blocks is not None else ""
    each = f" in each of {len(tokens)} heads" if tokens.ndim == 2 else ""
    out.print(
        f"{counts.n_tokens} tokens{each}, {counts.n_runs} runs{blocks}, "
        f"vocabulary {tokenizer.vocab.size}"
    )


def _usable(
    names: list[str], spec: MaskSpec, order: str | None, start: str | None
) -> tuple[dict[str, Scheme], dict[str, str]]:
    """Schemes for masks of a spec, and why others are left out; an error if all are."""
    from rleseg_core.analysis.lengths import schemes_for

    usable, left_out = schemes_for(names, spec, instances=True, order=order, start=start)
    if not usable:
        raise SchemeError("; ".join(dict.fromkeys(left_out.values())))
    return usable, left_out


def _build(scheme: Scheme, spec: MaskSpec, limit: int | None) -> Tokenizer:

    return Tokenizer.build(scheme, spec, vocab_limit=limit or ANY_VOCABULARY)


def _open(
    path: Path, classes: str | None, instances: bool, instance_ids: Path | None, frame: int
) -> "MaskStack":
    """Masks whose classes are named, noted, or numbered as high as the ids of the frame go."""
    from rleseg_core.data import LabelStack, MaskStack
    from rleseg_core.data.formats.writers import recorded_class_names

    if classes is None and not instances and not recorded_class_names(path):
        labels = LabelStack.open(path)
        highest = int(labels.frame(min(frame, labels.n_frames - 1)).max(initial=1))
        names = tuple(f"class{k}" for k in range(1, highest + 1))
    else:
        names = names_of_classes(path, classes, instances)
    return MaskStack.open(path, names, instances=instances, instance_ids=instance_ids)


def _window(
    stack: "MaskStack", frame: int, n_frames: int, image_size: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Class and instance ids (N, Y, X) of some frames, as they are or as a model would see them."""
    from rleseg_core.data import Window

    chosen = range(frame, frame + n_frames)
    if image_size is None:
        ids = [stack.instance_frame(t) for t in chosen]
        known = [labels for labels in ids if labels is not None]
        return np.stack([stack.class_frame(t) for t in chosen]), np.stack(known) if known else None
    whole = (0, image_size)
    spec = WindowSpec(
        patch=image_size, patch_stride=image_size, image_size=image_size, n_frames=n_frames
    )
    return next(stack.windows(spec, [Window((frame, frame + n_frames), whole, whole)]))


def _check_divides(side: int, shape: tuple[int, ...]) -> None:
    rows, cols = shape[1:]
    if rows % side or cols % side:
        nearest = max(1, round(max(rows, cols) / side)) * side
        raise DataError(
            f"a mask of {side} x {side} does not divide a frame of {rows} x {cols}; let the frame "
            f"be resized and filled up first, with --image-size {nearest}"
        )


def _print_tokens(tokenizer: Tokenizer, tokens: np.ndarray) -> None:
    """A line for each run, each end of a block, and the end."""
    from rleseg_core.tokens import BlockClosed, MaskEnded

    for event in tokenizer.events(tokens.T.tolist()):
        if isinstance(event, MaskEnded):
            _say(f"{'':5}  {tokenizer.vocab.eos:6d}  eos")
            return
        name = "block" if isinstance(event, BlockClosed) else str(event.index)
        ids = " ".join(f"{token:6d}" for token in event.tokens)
        _say(f"{name:>5}  {ids}  {', '.join(tokenizer.texts(event))}")


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
