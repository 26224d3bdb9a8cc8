"""Segmentation of a stack into a file."""

import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.data.formats.registry import suffix_format
from rleseg_core.data.formats.writers import check_output, write_labels
from rleseg_core.data.formats.zarr import ZARR
from rleseg_core.data.formats.zarr_writing import create_labels, image_of, list_label
from rleseg_core.errors import DataError
from rleseg_core.files import replace_folder
from rleseg_core.inference.options import DEFAULTS, PredictKeywords, PredictOptions
from rleseg_core.inference.segmenter import Segmenter, WindowResult


@dataclass(frozen=True, kw_only=True)
class PredictionSummary:
    """Counts and speed of a finished segmentation.

    Parameters
    ----------
    frames, windows, tokens : int
        Numbers of frames, windows and tokens.
    tokens_per_s : float
        Tokens per second of wall time.
    seconds : float
        Wall time in seconds.
    batch_size : int
        Windows that were computed together, at most.
    device : str
        Where the model ran.
    out : str
        The file.
    """

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
    options: PredictOptions = DEFAULTS,
    *,
    frames: Sequence[int] | None = None,
    **changes: Unpack[PredictKeywords],
) -> Generator[WindowResult, None, PredictionSummary]:
    """Segment a stack into a file that appears only when it is complete.

    Parameters
    ----------
    segmenter : Segmenter
        The model.
    stack : ImageStack
        The images; masks of finished frames are already on the disk.
    path : Path
        As for `write_labels`; model, version and date are recorded in it.
    options, frames, **changes
        As for `Segmenter.predict`.

    Yields
    ------
    WindowResult
        Closing the generator cancels, and leaves no file.

    Returns
    -------
    PredictionSummary

    Raises
    ------
    DataError
        If no format of that suffix can be written, `path` is the file of the images, or a frame is
        out of range.
    """
    options = replace(options, **changes)
    check_output(path)
    if path.resolve() == stack.path:
        raise DataError(f"{path} holds the images; choose another name for their masks")
    record = segmenter.info.provenance(stitch=options.stitch, device=str(segmenter.device))
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    n_windows = n_tokens = batch_size = 0
    with TemporaryDirectory(prefix=".rleseg-", dir=path.parent) as folder:
        temporary = Path(folder) / "labels.zarr"
        image = image_of(path)
        metadata = stack.metadata.for_masks(segmenter.class_names, record)
        shape = stack.shape[:3]
        labels = create_labels(temporary, shape, np.dtype(np.uint8), metadata, image=image)
        run = segmenter.predict(stack, options, frames=frames, out=labels)
        try:
            for result in run:
                n_windows += 1
                n_tokens += result.tokens.size
                batch_size = max(batch_size, result.batch_size)
                yield result
        finally:
            run.close()
        seconds = time.perf_counter() - started
        if image is not None or suffix_format(path.suffix) is ZARR:  # it is written already
            replace_folder(temporary, path)
            list_label(path)
        else:
            write_labels(path, labels, metadata=metadata)
    return PredictionSummary(
        frames=stack.n_frames if frames is None else len(frames),
        windows=n_windows,
        tokens=n_tokens,
        tokens_per_s=n_tokens / seconds,
        seconds=seconds,
        batch_size=batch_size,
        device=str(segmenter.device),
        out=str(path),
    )
