"""``rleseg demo``: the whole job on a bundled time-lapse."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from rleseg_core.cli.console import (
    AsJson,
    Device,
    Quiet,
    err,
    has_display,
    out,
    print_json,
    progress_bar,
)
from rleseg_core.evaluation.scores import confusion_matrix, plain_number, score
from rleseg_core.files import whole_file
from rleseg_core.reports import product_of

SEED = 20_261_121
"""Of the demo's cells; the bundled model was trained on other seeds."""


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where the results go.")] = Path("demo"),
    model: Annotated[str, typer.Option("--model", "-m", help="A model file or name.")] = "demo",
    frames: Annotated[int, typer.Option(help="Frames of the time-lapse.", min=1)] = 16,
    side: Annotated[int, typer.Option(help="Rows and columns.", min=64)] = 256,
    seed: Annotated[int, typer.Option(help="Same seed, same cells.")] = SEED,
    show: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open the result in napari.", show_default="with a display"
        ),
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Segment a synthetic time-lapse with the bundled model, and look at it."""
    from rleseg_core.data import ImageStack, SyntheticConfig, WindowReader, synthesize
    from rleseg_core.data.formats.writers import write_labels
    from rleseg_core.drawing.animation import render_animation
    from rleseg_core.drawing.overlay import save_overlay
    from rleseg_core.inference import Segmenter, WindowResult, predict_to_file

    segmenter = Segmenter.from_checkpoint(model, device)
    sequence = synthesize(SyntheticConfig(n_frames=frames, size=(side, side), seed=seed))
    write_labels(folder / "images.tif", sequence.images)
    write_labels(folder / "truth.tif", sequence.classes, sequence.class_names)
    stack = ImageStack.open(folder / "images.tif")
    longest: WindowResult | None = None

    def keep_longest(result: WindowResult) -> None:
        nonlocal longest
        if longest is None or result.tokens.size > longest.tokens.size:
            longest = result
        bar.update(result.n_done, result.n_windows)

    with progress_bar("segment", quiet) as bar:
        run = predict_to_file(segmenter, stack, folder / "masks.zarr")
        figures = product_of(run, keep_longest)
    import zarr

    labels = zarr.open_array(folder / "masks.zarr", mode="r")[:]
    write_labels(folder / "masks.tif", labels, segmenter.class_names)
    scores = score(
        confusion_matrix(sequence.classes, labels, len(segmenter.class_names)),
        segmenter.class_names,
    )
    shown = np.unique(np.linspace(0, frames - 1, 4).astype(int)).tolist()
    save_overlay(folder / "overlay.png", sequence.images, labels, shown)
    if longest is not None:
        patch = WindowReader(stack, segmenter.info.window_spec).read(longest.window)
        render_animation(
            patch.transpose(0, 2, 3, 1),
            segmenter.tokenizer,
            longest.tokens,
            folder / "tokens.gif",
        )
    summary = {
        "frames": figures.frames,
        "windows": figures.windows,
        "tokens": figures.tokens,
        "tokens_per_s": round(figures.tokens_per_s, 1),
        "seconds": round(figures.seconds, 2),
        "dice": {row.name: plain_number(row.dice) for row in scores.classes},
        "mean_dice": plain_number(scores.mean_dice),
        "device": figures.device,
        "model": segmenter.info.name,
        "seed": seed,
        "out": str(folder),
    }
    with whole_file(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2))
    if as_json:
        print_json(summary)
    elif not quiet:
        out.print(_table(summary, {row.name: row.dice for row in scores.classes}))
        names = ("images.tif", "truth.tif", "masks.tif", "masks.zarr", "overlay.png", "tokens.gif")
        out.print("written: " + ", ".join(str(folder / name) for name in names))
    if show or (show is None and has_display() and not as_json):
        _open_in_napari(folder)


def _table(summary: dict[str, object], dice: dict[str, float]) -> Table:
    table = Table(
        "frames", "windows", "tokens", "tokens/s", "seconds", *(f"Dice {n}" for n in dice)
    )
    keys = ("frames", "windows", "tokens", "tokens_per_s", "seconds")
    table.add_row(*(str(summary[key]) for key in keys), *(f"{d:.3f}" for d in dice.values()))
    return table


def _open_in_napari(folder: Path) -> None:
    """Show the result in the plugin, which is another program to the core."""
    err.print("opening napari; close its window to end the demo")
    subprocess.run(
        [sys.executable, "-m", "napari_rleseg", folder / "images.tif", folder / "masks.zarr"],
        check=False,
    )
