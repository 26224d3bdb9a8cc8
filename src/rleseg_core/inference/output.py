"""Segmentation of a stack into a file."""

import time
import warnings
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.data.formats.registry import suffix_format
from rleseg_core.data.formats.sources import source_files
from rleseg_core.data.formats.zarr import ZARR
from rleseg_core.data.formats.zarr_writing import create_labels, image_of, list_label
from rleseg_core.data.writers import label_output, write_labels
from rleseg_core.errors import DataWarning
from rleseg_core.inference.existing import ExistingResult, check_result
from rleseg_core.inference.options import DEFAULTS, PredictKeywords, PredictOptions
from rleseg_core.inference.results import WindowResult
from rleseg_core.inference.scale import Scale
from rleseg_core.inference.segmenter import Segmenter
from rleseg_core.inference.size_check import SizeCheck
from rleseg_core.outputs import new_output


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
    image_size : int or None
        Longer side of the frames that the model saw, in pixels; None: as they are.
    diameter : float or None
        Median diameter of the objects in source pixels that decided on it; None where none did.
    notes : tuple of str
        Sentences on what is odd about the result, such as next to no objects.
    """

    frames: int
    windows: int
    tokens: int
    tokens_per_s: float
    seconds: float
    batch_size: int
    device: str
    out: str
    image_size: int | None = None
    diameter: float | None = None
    notes: tuple[str, ...] = ()

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
    overwrite: bool = False,
    update: bool = False,
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
    overwrite : bool
        Whether it may replace an older label stack, which stays until the new one is whole.
    update : bool
        Whether, in an older result for the same stack, these frames are replaced and the others
        kept.

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
        If no format of that suffix can be written, a frame is out of range, or there is an older
        result to be updated that is none for this stack.
    OutputError
        If `path` is, contains or lies inside what is read, or exists.
    """
    options = replace(options, **changes)
    inputs = source_files(segmenter.info.path)
    check_result(path, stack, inputs, frames=frames, overwrite=overwrite, update=update)
    _tell_masks(stack)
    scale = segmenter.scale(stack, options)
    options = replace(options, image_size=scale.image_size, diameter=None)
    record = _record(segmenter, stack, options, scale)
    existing = ExistingResult.read(path) if update and path.exists() else None
    if existing is not None:
        record = existing.record_with(record, frames)
    started = time.perf_counter()
    n_windows = n_tokens = batch_size = 0
    check = SizeCheck(segmenter.info, stack.shape, segmenter.window_spec(scale.image_size))
    image = image_of(path)
    is_zarr = image is not None or suffix_format(path.suffix) is ZARR
    metadata = stack.metadata.for_masks(segmenter.class_names, record)
    with new_output(label_output(path), overwrite=overwrite or update) as temporary:
        growing = temporary if is_zarr else temporary.with_name("labels.zarr")
        dtype = np.dtype(np.uint8) if existing is None else existing.labels.dtype
        labels = create_labels(growing, stack.shape[:3], dtype, metadata, image=image)
        if existing is not None:
            existing.copy_to(labels, frames)
        run = segmenter.predict(stack, options, frames=frames, out=labels)
        try:
            for result in run:
                n_windows += 1
                n_tokens += result.tokens.size
                batch_size = max(batch_size, result.batch_size)
                check.add(result)
                yield result
        finally:
            run.close()
        seconds = time.perf_counter() - started
        if not is_zarr:
            write_labels(temporary, labels, metadata=metadata)
    list_label(path)
    return PredictionSummary(
        frames=stack.n_frames if frames is None else len(frames),
        windows=n_windows,
        tokens=n_tokens,
        tokens_per_s=n_tokens / seconds,
        seconds=seconds,
        batch_size=batch_size,
        device=str(segmenter.device),
        out=str(path),
        image_size=scale.image_size,
        diameter=scale.diameter,
        notes=check.warn(),
    )


def _tell_masks(stack: ImageStack) -> None:
    """Warn of masks that are taken for images: of such as name their classes."""
    if stack.metadata.class_names:
        warnings.warn(
            f"{stack.path} holds masks of {', '.join(stack.metadata.class_names)}, not images; "
            "they are segmented as if they were images",
            DataWarning,
            stacklevel=3,
        )


def _record(
    segmenter: Segmenter, stack: ImageStack, options: PredictOptions, scale: Scale
) -> dict[str, object]:
    """What is stored with the masks: the model, what decided besides the images, and the source."""
    spec = segmenter.window_spec(options.image_size, options.invert, options.contrast)
    record = segmenter.info.provenance(
        model_sha256=segmenter.info.file_hash(),
        stitch=options.stitch,
        top_p=options.sampling.top_p,
        image_size=spec.image_size,
        diameter=scale.diameter,
        grey_values=spec.normalisation.summary,
        draft=options.draft,
        preview=options.preview,
        device=str(segmenter.device),
    )
    if stack.path is not None:
        record["source"] = stack.path.name
    if stack.options.keywords():
        record["reading"] = stack.options.keywords()
    return record
