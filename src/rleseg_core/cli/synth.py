"""``rleseg synth``: a synthetic time-lapse on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from rleseg_core.cli.console import out, print_json
from rleseg_core.cli.options import POSITIVE, Reporting


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SynthOptions:
    """What the time-lapse shows.

    Parameters
    ----------
    frames : int
        Number of frames.
    height : int
        Rows of a frame, in pixels.
    width : int
        Columns of a frame, in pixels.
    seed : int
        The same seed gives the same cells.
    """

    frames: Annotated[int, POSITIVE] = 16
    height: Annotated[int, POSITIVE] = 256
    width: Annotated[int, POSITIVE] = 256
    seed: int = 0


def synth(
    folder: Path,
    /,
    options: SynthOptions = SynthOptions(),
    reporting: Reporting = Reporting(),
) -> None:
    """Make a synthetic phase-contrast time-lapse of two cell classes, with its true masks.

    Parameters
    ----------
    folder : Path
        Folder to write images.tif, classes.tif and instances.tif to.
    options : SynthOptions
        What the time-lapse shows.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.data import SyntheticConfig, synthesize
    from rleseg_core.data.formats.writers import write_labels

    size = (options.height, options.width)
    sequence = synthesize(SyntheticConfig(n_frames=options.frames, size=size, seed=options.seed))
    made = {"synthetic": {"seed": options.seed}}
    paths = {
        "images": write_labels(folder / "images.tif", sequence.images, (), made),
        "classes": write_labels(
            folder / "classes.tif", sequence.classes, sequence.class_names, made
        ),
        "instances": write_labels(folder / "instances.tif", sequence.instances, (), made),
    }
    if reporting.as_json:
        print_json(
            {
                **{name: str(path) for name, path in paths.items()},
                "frames": options.frames,
                "class_names": list(sequence.class_names),
                "n_cells": len(np.unique(sequence.instances[sequence.instances > 0])),
            }
        )
    elif not reporting.quiet:
        rows, cols = size
        out.print(f"{options.frames} frames of {rows} x {cols} pixels in {folder}")
