"""Segmentation of a stack into a file."""

import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.data.formats.registry import suffix_format
from rleseg_core.data.formats.writers import check_output, write_labels
from rleseg_core.data.formats.zarr import ZARR, create_stack
from rleseg_core.errors import DataError
from rleseg_core.files import replace_folder
from rleseg_core.inference.segmenter import Segmenter, WindowResult
from rleseg_core.inference.stitch import StitchRule


@dataclass(frozen=True, kw_only=True)
class PredictionFigures:
    """What a segmentation took: counts, seconds of wall time, and tokens per second of it."""

    frames: int
    windows: int
    tokens: int
    tokens_per_s: float
    seconds: float
    batch_size: int
    device: str
    out: str

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def predict_to_file(
    segmenter: Segmenter,
    stack: ImageStack,
    path: Path,
    *,
    frames: list[int] | None = None,
    stitch: StitchRule = "centre",
    **options: object,
) -> Generator[WindowResult, None, PredictionFigures]:
    """Segment a stack into a file that appears only when it is whole.

    Parameters
    ----------
    segmenter : Segmenter
        The model.
    stack : ImageStack
        What is segmented; frames go to the disk as they are done.
    path : Path
        As for `write_labels`; model, version and date are noted in it.
    frames, stitch, **options
        As of `Segmenter.predict`.

    Yields
    ------
    WindowResult
        Closing the generator cancels, and leaves no file.

    Returns
    -------
    PredictionFigures

    Raises
    ------
    DataError
        If no format of that suffix can be written, the images lie at `path`, or a frame is not
        there.
    """
    check_output(path)
    if path.resolve() == stack.path:
        raise DataError(f"{path} holds the images; choose another name for their masks")
    record = segmenter.info.provenance(stitch=stitch, device=str(segmenter.device))
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    n_windows = n_tokens = batch_size = 0
    with TemporaryDirectory(prefix=".rleseg-", dir=path.parent) as folder:
        draft = Path(folder) / "labels.zarr"
        labels = create_stack(draft, stack.shape[:3], np.dtype(np.uint8), record)
        run = segmenter.predict(stack, frames=frames, stitch=stitch, out=labels, **options)  # type: ignore[arg-type]
        try:
            for result in run:
                n_windows += 1
                n_tokens += len(result.tokens)
                batch_size = max(batch_size, result.batch_size)
                yield result
        finally:
            run.close()
        seconds = time.perf_counter() - started
        if suffix_format(path.suffix) is ZARR:  # it is written already
            replace_folder(draft, path)
        else:
            write_labels(path, labels, segmenter.class_names, record)
    return PredictionFigures(
        frames=stack.n_frames if frames is None else len(frames),
        windows=n_windows,
        tokens=n_tokens,
        tokens_per_s=n_tokens / seconds,
        seconds=seconds,
        batch_size=batch_size,
        device=str(segmenter.device),
        out=str(path),
    )
