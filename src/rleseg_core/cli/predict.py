"""``rleseg predict``: segment a stack with a model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rleseg_core.cli.console import (
    AsJson,
    Device,
    Quiet,
    out,
    print_json,
    progress_bar,
)
from rleseg_core.data.formats.registry import input_kinds, output_suffixes
from rleseg_core.errors import DataError
from rleseg_core.reports import product_of

Frames = Annotated[
    str | None,
    typer.Option("--frames", help="Such as 0-9,15; the others stay background. All by default."),
]

ImageSize = Annotated[
    int | None,
    typer.Option(min=1, help="I: frames are resized so that the longer side is this."),
]


def predict(
    stack: Annotated[Path, typer.Argument(help=f"One of: {input_kinds()}.")],
    output: Annotated[
        Path, typer.Option("--out", "-o", help=f"The masks: a new {output_suffixes()}.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="A model file or name.")] = "cells",
    stitch: Annotated[
        Literal["centre", "last", "vote"],
        typer.Option(help="Where windows overlap: the nearest centre, the last one or the most."),
    ] = "centre",
    sampling: Annotated[
        Literal["greedy", "nucleus"], typer.Option(help="How the next token is chosen.")
    ] = "greedy",
    frames: Frames = None,
    image_size: ImageSize = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Windows at once; automatic by default.", min=1)
    ] = None,
    draft: Annotated[
        Literal["none", "frame", "dense"],
        typer.Option(
            help="Guess from the frame before, or from the dense head; same masks, fewer passes."
        ),
    ] = "none",
    preview: Annotated[
        bool, typer.Option(help="Masks of the dense head, without tokens: much faster, less exact.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Segment a stack, and write its masks to a file."""
    from rleseg_core.data import ImageStack
    from rleseg_core.data.formats.writers import check_output
    from rleseg_core.decoding import Sampling
    from rleseg_core.inference import Segmenter, predict_to_file

    check_output(output)
    images = ImageStack.open(stack)
    chosen = parse_frames(frames, images.n_frames)
    segmenter = Segmenter.from_checkpoint(model, device)
    run = predict_to_file(
        segmenter,
        images,
        output,
        frames=chosen,
        stitch=stitch,
        sampling=Sampling(top_p=None if sampling == "greedy" else 0.4),
        batch_size=batch_size,
        image_size=image_size,
        draft=draft,
        preview=preview,
    )
    with progress_bar("segment", quiet) as bar:
        figures = product_of(run, lambda result: bar.update(result.n_done, result.n_windows))
    if as_json:
        print_json(figures.to_json())
    elif not quiet:
        out.print(
            f"{figures.frames} frames, {figures.windows} windows, {figures.tokens} tokens "
            f"({figures.tokens_per_s:.0f}/s) in {figures.seconds:.1f} s: {output}",
            soft_wrap=True,
        )


def parse_frames(text: str | None, n_frames: int) -> list[int] | None:
    """Frame numbers of a text such as '0-9,15'; None for all.

    Raises
    ------
    DataError
        If the text is not such a list, or names a frame that is not there.
    """
    if text is None:
        return None
    frames: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal() or int(first) > int(last):
            raise DataError(f"frames are given like 0-9,15; got {text!r}")
        if int(last) >= n_frames:
            raise DataError(f"the stack has frames 0 to {n_frames - 1}, got {text!r}")
        frames += range(int(first), int(last) + 1)
    return sorted(set(frames))
