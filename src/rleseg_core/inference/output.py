"""Segmentation of a stack into a file."""

import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.data.formats.sources import source_files
from rleseg_core.errors import DataWarning
from rleseg_core.inference.existing import ExistingResult, check_result
from rleseg_core.inference.options import DEFAULTS, PredictKeywords, PredictOptions
from rleseg_core.inference.results import WindowResult
from rleseg_core.inference.scale import Scale
from rleseg_core.inference.segmenter import Segmenter
from rleseg_core.inference.size_check import SizeCheck
from rleseg_core.inference.writing import new_result
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.paths import ResultPaths


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
        The file of the masks.
    n_objects : int
        Objects in the frames that were segmented.
    objects : mapping of str to int
        How many there are of each class.
    are_pieces : bool
        Whether they are only connected pieces of classes, as the model tells no objects apart.
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
    n_objects: int
    objects: Mapping[str, int]
    are_pieces: bool
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
    """Segment a stack into files that appear only when they are complete.

    They are the masks, the ids of the objects, and the table of these: see `ResultPaths`.

    Parameters
    ----------
    segmenter : Segmenter
        The model.
    stack : ImageStack
        The images; masks of finished frames are already on the disk.
    path : Path
        The masks, as for `write_labels`; model, version and date are recorded in them.
    options, frames, **changes
        As for `Segmenter.predict`.
    overwrite : bool
        Whether it may replace an older label stack, which stays until the new one is whole.
    update : bool
        Whether, in an older result for the same stack, these frames are replaced and the others
        kept, with their objects. New ids come after the highest of those.

    Yields
    ------
    WindowResult
        Closing the generator cancels, and leaves no files.

    Returns
    -------
    PredictionSummary

    Raises
    ------
    DataError
        If no format of that suffix can be written, a frame is out of range, or there is an older
        result to be updated that is none for this stack.
    OutputError
        If one of the files is, contains or lies inside what is read, or exists.
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
    check = SizeCheck(segmenter.info, stack.shape, segmenter.window_spec(scale.image_size))
    metadata = stack.metadata.for_masks(segmenter.class_names, record)
    dtype = np.dtype(np.uint8) if existing is None else existing.labels.dtype
    totals = _Totals(segmenter)
    with new_result(
        ResultPaths.of(path), stack.shape[:3], dtype, metadata, overwrite=overwrite or update
    ) as growing:
        classes, objects = growing.classes, growing.objects
        kept = ObjectTable.empty(segmenter.class_names)
        if existing is not None:
            kept = existing.copy_to(classes, objects, frames, segmenter.class_names)
        run = segmenter.segment(stack, options, frames=frames, classes=classes, objects=objects)
        try:
            for result in run:
                totals.add(result)
                check.add(result)
                yield result
        finally:
            run.close()
        totals.stop()
        growing.finish(ObjectTable.concatenate([kept, totals.table]).in_order())
    return totals.summary(
        frames=stack.n_frames if frames is None else len(frames),
        out=str(path),
        image_size=scale.image_size,
        diameter=scale.diameter,
        notes=check.warn(),
    )


class _Totals:
    """What a segmentation comes to, window by window; the clock runs from the beginning."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._started = time.perf_counter()
        self._seconds = 0.0
        self._n_windows = self._n_tokens = self._batch_size = 0
        self._finished = [ObjectTable.empty(segmenter.class_names)]

    def add(self, result: WindowResult) -> None:
        self._n_windows += 1
        self._n_tokens += result.tokens.size
        self._batch_size = max(self._batch_size, result.batch_size)
        self._finished.append(result.finished)

    def stop(self) -> None:
        self._seconds = time.perf_counter() - self._started

    @property
    def table(self) -> ObjectTable:
        return ObjectTable.concatenate(self._finished)

    def summary(
        self,
        *,
        frames: int,
        out: str,
        image_size: int | None,
        diameter: float | None,
        notes: tuple[str, ...],
    ) -> PredictionSummary:
        table, segmenter = self.table, self._segmenter
        counts = table.counts().sum(axis=0).tolist()
        return PredictionSummary(
            frames=frames,
            windows=self._n_windows,
            tokens=self._n_tokens,
            tokens_per_s=self._n_tokens / self._seconds,
            seconds=self._seconds,
            batch_size=self._batch_size,
            device=str(segmenter.device),
            out=out,
            n_objects=len(table),
            objects=dict(zip(table.class_names, counts, strict=True)),
            are_pieces=segmenter.tokenizer.scheme.blocks != "instance",
            image_size=image_size,
            diameter=diameter,
            notes=notes,
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
        **_in_time(segmenter, options),
        top_p=options.sampling.top_p,
        image_size=spec.image_size,
        diameter=scale.diameter,
        grey_values=spec.normalisation.summary,
        draft=options.draft,
        leniency=options.leniency,
        preview=options.preview,
        refine=options.refine,
        device=str(segmenter.device),
    )
    if stack.path is not None:
        record["source"] = stack.path.name
    if stack.options.keywords():
        record["reading"] = stack.options.keywords()
    return record


def _in_time(segmenter: Segmenter, options: PredictOptions) -> dict[str, object]:
    """What decides on windows of several frames; nothing of models that see single ones."""
    spec = options.in_time(segmenter.info.window_spec)
    if spec.n_frames == 1:
        return {}
    return {"stitch_time": options.stitch_time, "frame_stride": spec.frame_stride}
