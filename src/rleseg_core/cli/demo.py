"""``rleseg demo``: the whole job on a bundled time-lapse."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter

from rleseg_core.checks import Within
from rleseg_core.cli.console import (
    LiteralTable,
    err,
    has_display,
    out,
    print_json,
    print_line,
    progress_bar,
)
from rleseg_core.cli.options import POSITIVE, Device, Reporting, within
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.evaluation.scores import confusion_matrix, plain_number, score
from rleseg_core.outputs import new_output, result_folder
from rleseg_core.reports import product_of

if TYPE_CHECKING:
    from rleseg_core.data import ImageStack
    from rleseg_core.inference import Segmenter, WindowResult
    from rleseg_core.inference.output import PredictionSummary

SEED = 20_261_121
"""Seed of the demo's cells; the bundled model was trained on other seeds."""

_SUMMARY = "summary.json"
_FILES = (
    *("images.tif", "truth.tif", "masks.tif", "masks.zarr", "masks.objects.csv"),
    *("overlay.png", "tokens.gif"),
    _SUMMARY,
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What is segmented, and where the results go.

    Parameters
    ----------
    folder : Path
        Folder to write the results to.
    model : str
        A model file, or the name of an installed model.
    frames : int
        Number of frames of the time-lapse.
    side : int
        Rows and columns of a frame in pixels, 64 or more.
    seed : int
        The same seed gives the same cells.
    show : bool or None
        Open the result in napari.
    """

    folder: Annotated[Path, Parameter(name="--out")] = Path("demo")
    model: Annotated[str, Parameter(alias="-m")] = "demo-objects"
    frames: Annotated[int, POSITIVE] = 16
    side: Annotated[int, within(Within(64, 2**14))] = 256
    seed: int = SEED
    show: Annotated[
        bool | None,
        Parameter(name="--open", negative="--no-open", show_default="where there is a display"),
    ] = None
    device: Device = "auto"


def demo(
    options: DemoOptions = DemoOptions(),
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Segment a synthetic time-lapse with the bundled model, and look at it.

    Parameters
    ----------
    options : DemoOptions
        What is segmented, and where the results go.
    overwriting : Overwriting
        Whether the results of an earlier demo are replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.checkpoints import find_model

    folder = options.folder
    output = result_folder(folder, "a folder with the results of a demo", _FILES, _has_summary)
    overwriting.check([output], [find_model(options.model)])
    with new_output(output, overwrite=overwriting.overwrite) as temporary:
        summary = _write_results(temporary, options, reporting.quiet)
    if reporting.as_json:
        print_json(summary)
    elif not reporting.quiet:
        out.print(_table(summary))
        names = (str(folder / name) for name in _FILES if (folder / name).exists())
        print_line("written: " + ", ".join(names))
    wanted = options.show
    if wanted or (wanted is None and has_display() and not reporting.as_json):
        _open_in_napari(folder)


def _write_results(folder: Path, options: DemoOptions, quiet: bool) -> dict[str, object]:
    """Write all files to a folder, and return the summary, which is one of them."""
    from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
    from rleseg_core.data.formats.zarr_writing import open_written
    from rleseg_core.data.writers import write_labels
    from rleseg_core.inference import Segmenter
    from rleseg_core.objects.paths import ResultPaths

    size = (options.side, options.side)
    segmenter = Segmenter.from_checkpoint(options.model, options.device)
    sequence = synthesize(SyntheticConfig(n_frames=options.frames, size=size, seed=options.seed))
    write_labels(folder / "images.tif", sequence.images)
    write_labels(folder / "truth.tif", sequence.classes, sequence.class_names)
    stack = ImageStack.open(folder / "images.tif")
    run, longest = _segment(segmenter, stack, folder, quiet)
    masks, metadata = open_written(folder / "masks.zarr")
    labels = np.asarray(masks[:])
    write_labels(folder / "masks.tif", labels, metadata=metadata)
    ids = np.asarray(open_written(ResultPaths.of(folder / "masks.zarr").ids)[0][:])
    _draw(folder, sequence.images, labels, ids)
    if longest is not None:
        _animate(folder, segmenter, stack, longest)
    names = segmenter.class_names
    scores = score(confusion_matrix(sequence.classes, labels, len(names)), names)
    summary = {
        "frames": run.frames,
        "windows": run.windows,
        "tokens": run.tokens,
        "tokens_per_s": round(run.tokens_per_s, 1),
        "seconds": round(run.seconds, 2),
        "dice": {row.name: plain_number(row.dice) for row in scores.classes},
        "mean_dice": plain_number(scores.mean_dice),
        "ap50": plain_number(_precision(sequence.instances, ids)),
        "n_objects": run.n_objects,
        "objects": run.objects,
        "n_true_objects": sum(len(np.unique(ids[ids > 0])) for ids in sequence.instances),
        "device": run.device,
        "model": segmenter.info.name,
        "seed": options.seed,
        "out": str(options.folder),
    }
    (folder / _SUMMARY).write_text(json.dumps(summary, indent=2), "utf-8")
    return summary


def _has_summary(folder: Path) -> bool:
    summary = json.loads((folder / _SUMMARY).read_text("utf-8"))
    return {"frames", "windows", "tokens", "model", "seed", "out"} <= set(summary)


def _segment(
    segmenter: "Segmenter", stack: "ImageStack", folder: Path, quiet: bool
) -> "tuple[PredictionSummary, WindowResult | None]":
    """Write masks.zarr; what the run came to, and its window of most tokens."""
    from rleseg_core.inference import predict_to_file

    longest: WindowResult | None = None

    def keep_longest(result: "WindowResult") -> None:
        nonlocal longest
        if longest is None or result.tokens.size > longest.tokens.size:
            longest = result
        bar.update(result.n_done, result.n_windows)

    with progress_bar("segment", quiet) as bar:
        run = predict_to_file(segmenter, stack, folder / "masks.zarr")
        return product_of(run, keep_longest), longest


def _precision(truth: np.ndarray, ids: np.ndarray) -> float:
    """Average precision of the objects (T, Y, X) of all frames, at an IoU of 0.5."""
    from rleseg_core.evaluation.instances import instance_scores, match_counts

    pairs = zip(truth, ids.astype(np.int64), strict=True)
    return instance_scores(np.sum([match_counts(*pair) for pair in pairs], axis=0)).ap50


def _draw(folder: Path, images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> None:
    """Write overlay.png: the masks over four of the frames, each object outlined and numbered."""
    from rleseg_core.drawing.overlay import save_overlay

    shown = np.unique(np.linspace(0, len(images) - 1, 4).astype(int)).tolist()
    save_overlay(folder / "overlay.png", images, labels, shown, ids=ids)


def _animate(
    folder: Path, segmenter: "Segmenter", stack: "ImageStack", result: "WindowResult"
) -> None:
    """Write tokens.gif: how the tokens of a window become its mask."""
    from rleseg_core.data import WindowReader
    from rleseg_core.drawing.animation import render_animation

    patch = WindowReader(stack, segmenter.info.window_spec).read(result.window)
    render_animation(
        patch.transpose(0, 2, 3, 1), segmenter.tokenizer, result.tokens, folder / "tokens.gif"
    )


def _table(summary: dict[str, object]) -> LiteralTable:
    dice = summary["dice"]
    assert isinstance(dice, dict)
    table = LiteralTable(
        "frames", "cells", "true", "tokens", "tokens/s", "seconds",
        *(f"Dice {name}" for name in dice), "AP50",
    )  # fmt: skip
    keys = ("frames", "n_objects", "n_true_objects", "tokens", "tokens_per_s", "seconds")
    scores = (*dice.values(), summary["ap50"])
    numbers = (f"{math.nan if value is None else value:.3f}" for value in scores)
    table.add_row(*(str(summary[key]) for key in keys), *numbers)
    return table


def _open_in_napari(folder: Path) -> None:
    """Show the result in the plugin, which is another program to the core."""
    print_line("opening napari; close its window to end the demo", err)
    subprocess.run(
        [sys.executable, "-m", "napari_rleseg", folder / "images.tif", folder / "masks.zarr"],
        check=False,
    )
