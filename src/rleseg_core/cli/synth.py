"""``rleseg synth``: a synthetic time-lapse on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter

from rleseg_core.cli.console import print_json, print_line
from rleseg_core.cli.options import POSITIVE, Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.outputs import new_output, result_folder

_FILES = ("images.tif", "classes.tif", "instances.tif")


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
    kind : str
        Phase contrast of two classes (cells), bacteria (rods), budding yeast, stained nuclei, or
        thin and spindly cells (spread); the seed decides how the last four look.
    """

    frames: Annotated[int, POSITIVE] = 16
    height: Annotated[int, POSITIVE] = 256
    width: Annotated[int, POSITIVE] = 256
    seed: int = 0
    kind: Literal["cells", "rods", "yeast", "nuclei", "spread"] = "cells"


def synth(
    folder: Path,
    /,
    options: SynthOptions = SynthOptions(),
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Make a synthetic time-lapse, of two cell classes or of another kind, with its true masks.

    Parameters
    ----------
    folder : Path
        Folder to write images.tif, classes.tif and instances.tif to.
    options : SynthOptions
        What the time-lapse shows.
    overwriting : Overwriting
        Whether an older time-lapse is replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.data import CultureConfig, SyntheticConfig, synthesize
    from rleseg_core.data.writers import metadata_of, write_labels

    output = result_folder(
        folder,
        "a folder with a synthetic time-lapse",
        _FILES,
        lambda path: all(
            "synthetic" in metadata_of(file).provenance
            for file in path.iterdir()
            if file.name in _FILES
        ),
    )
    overwriting.check([output], [])
    size = (options.height, options.width)
    sequence = synthesize(
        SyntheticConfig(n_frames=options.frames, size=size, seed=options.seed)
        if options.kind == "cells"
        else CultureConfig(kind=options.kind, n_frames=options.frames, size=size, seed=options.seed)
    )
    kind = {} if options.kind == "cells" else {"kind": options.kind}
    made = {"synthetic": {"seed": options.seed, **kind}}
    images, classes, instances = _FILES
    with new_output(output, overwrite=overwriting.overwrite) as temporary:
        write_labels(temporary / images, sequence.images, (), made)
        write_labels(temporary / classes, sequence.classes, sequence.class_names, made)
        write_labels(temporary / instances, sequence.instances, (), made)
    if reporting.as_json:
        print_json(
            {
                **{Path(name).stem: str(folder / name) for name in _FILES},
                "frames": options.frames,
                "class_names": list(sequence.class_names),
                "n_cells": len(np.unique(sequence.instances[sequence.instances > 0])),
            }
        )
    elif not reporting.quiet:
        rows, cols = size
        print_line(f"{options.frames} frames of {rows} x {cols} pixels in {folder}")
