"""``rleseg synth``: a synthetic time-lapse on disk."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from rleseg_core.cli.console import AsJson, Quiet, out, print_json


def synth(
    folder: Annotated[
        Path, typer.Argument(help="Where images.tif, classes.tif, instances.tif go.")
    ],
    frames: Annotated[int, typer.Option(help="Frames.")] = 16,
    height: Annotated[int, typer.Option(help="Rows.")] = 256,
    width: Annotated[int, typer.Option(help="Columns.")] = 256,
    seed: Annotated[int, typer.Option(help="Same seed, same cells.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic phase-contrast time-lapse of two cell classes, with its true masks."""
    from rleseg_core.data import SyntheticConfig, synthesize
    from rleseg_core.data.formats.writers import write_labels

    config = SyntheticConfig(n_frames=frames, size=(height, width), seed=seed)
    sequence = synthesize(config)
    made = {"synthetic": {"seed": seed}}
    paths = {
        "images": write_labels(folder / "images.tif", sequence.images, (), made),
        "classes": write_labels(
            folder / "classes.tif", sequence.classes, sequence.class_names, made
        ),
        "instances": write_labels(folder / "instances.tif", sequence.instances, (), made),
    }
    if as_json:
        print_json(
            {
                **{name: str(path) for name, path in paths.items()},
                "frames": frames,
                "class_names": list(sequence.class_names),
                "n_cells": len(np.unique(sequence.instances[sequence.instances > 0])),
            }
        )
    elif not quiet:
        out.print(f"{frames} frames of {height} x {width} pixels in {folder}")
