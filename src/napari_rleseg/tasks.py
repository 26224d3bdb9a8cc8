"""The jobs of the plugin: generators that run in another process or thread (see `jobs`).

Knows neither Qt nor napari; imports torch only in the jobs that compute with it.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import zarr

from napari_rleseg.object_files import ObjectFiles, ObjectWriter
from rleseg_core.checkpoints import read_info
from rleseg_core.data import IdOptions, ImageStack, LabelledStack
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.description import FileDescription, describe
from rleseg_core.data.formats.ngff import RECORD
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.data.ids import names_in_order
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.files import time_stamp, whole_file
from rleseg_core.locks import lock_beside
from rleseg_core.normalisation import AS_TRAINED, GreyChoice
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.table import ObjectState

if TYPE_CHECKING:
    from napari.types import LayerData

    from rleseg_core.inference import Segmenter, StitchRule
    from rleseg_core.training import Recipe, StepReport

_loaded: dict[tuple[Path, float, str], "Segmenter"] = {}


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """How a stack is segmented.

    Parameters
    ----------
    model : Path
        Model file.
    device : str
        Device that the model runs on: 'auto', 'cpu', 'cuda', 'mps', …
    stitch : {'centre', 'last', 'vote'}
        Which prediction is kept where windows overlap.
    top_p : float or None
        Probability mass of the tokens that are sampled from, 0 to 1; None takes the most likely
        token.
    batch_size : int or None
        Windows per batch; None for as many as fit into memory.
    image_size : int or None
        Longer side of a frame after resizing, in pixels; None for that of the model.
    greys : GreyChoice
        Whether the model sees the images inverted, and at which contrast.
    """

    model: Path
    device: str = "auto"
    stitch: "StitchRule" = "centre"
    top_p: float | None = None
    batch_size: int | None = None
    image_size: int | None = None
    greys: GreyChoice = AS_TRAINED


@dataclass(frozen=True, kw_only=True)
class SegmentReport:
    """Progress of a segmentation; the masks of the windows done are in the result already.

    Parameters
    ----------
    n_done, n_windows : int
        Windows done, and windows in all.
    frame : int
        First frame of the last window.
    n_tokens : int
        Tokens generated so far.
    seconds : float
        Time since the first window was begun.
    batch_size : int
        Windows per batch.
    device : str
        Device that the model runs on.
    reached : tuple of int
        Frames that were begun with the last window; their earlier objects are gone.
    finished : ObjectTable or None
        Objects of the frames that were finished with the last window; None if there are none.
    """

    n_done: int
    n_windows: int
    frame: int
    n_tokens: int
    seconds: float
    batch_size: int
    device: str
    reached: tuple[int, ...] = ()
    finished: ObjectTable | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSource:
    """Images and their true masks on disk.

    Parameters
    ----------
    images, labels : Path
        Stacks of the same (T, Y, X); or, with `images` None, `labels` is a folder of corrections.
    class_names : tuple of str
        Names of the labels 1, 2, …
    frames : tuple of int
        Frames to train on.
    ignore : tuple of int
        Labels of pixels that do not count.
    """

    images: Path | None
    labels: Path
    class_names: tuple[str, ...]
    frames: tuple[int, ...]
    ignore: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FineTuneSettings:
    """Which model is fine-tuned, how, and where the new one is written.

    Parameters
    ----------
    base : Path
        Model file to start from.
    recipe : Recipe
        Training settings, share of validation frames, share of replay data.
    run_dir : Path
        Folder of the run: checkpoints and reports.
    path : Path
        File of the new model.
    name : str
        Name of the new model, as lists show it.
    device : str
        Device to train on: 'auto', 'cpu', 'cuda' or 'mps'.
    image_size : int or None
        Longer side of a frame after resizing, in pixels; None for that of the base.
    greys : GreyChoice
        Whether the model sees the images inverted, and at which contrast.
    """

    base: Path
    recipe: "Recipe"
    run_dir: Path
    path: Path
    name: str
    device: str = "auto"
    image_size: int | None = None
    greys: GreyChoice = AS_TRAINED


def segmenter(model: Path, device: str = "auto") -> "Segmenter":
    """A model ready to segment, kept loaded in this process until another is asked for."""
    from rleseg_core.inference import Segmenter

    key = (Path(model), Path(model).stat().st_mtime if Path(model).exists() else 0.0, device)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = Segmenter.from_checkpoint(model, device)
    return _loaded[key]


def segment(
    images: Path, result: Path, settings: SegmentSettings, frames: Sequence[int] | None = None
) -> Generator[SegmentReport, None, None]:
    """Segment a stack into zarr arrays that the viewer shows; nobody else writes there meanwhile.

    Parameters
    ----------
    images : Path
        The stack.
    result : Path
        Array of the class masks; that of the objects is beside it, see `ObjectFiles`.
    settings : SegmentSettings
        Model, and how it is used.
    frames : sequence of int, optional
        Frames to segment, all by default; the others keep their masks and objects.

    Raises
    ------
    InUseError
        If another program segments into that array.
    """
    with lock_beside(result, "the masks"):
        yield from _segment(images, result, settings, frames)


def _segment(
    images: Path, result: Path, settings: SegmentSettings, frames: Sequence[int] | None
) -> Generator[SegmentReport, None, None]:
    from rleseg_core.decoding import Sampling

    stack = ImageStack.from_source(open_source(images))  # its notes were said when it was shown
    model = segmenter(settings.model, settings.device)
    labels = zarr.open_array(result, mode="r+")
    _note_hash(labels, model)
    metadata = StackMetadata.from_json(dict(labels.attrs.get(RECORD, {})))
    files = ObjectFiles.beside(result)
    state: ObjectState = "predicted" if model.tokenizer.scheme.blocks == "instance" else "pieces"
    with ObjectWriter(files, labels, model.class_names, metadata, state) as objects:
        run = model.segment(
            stack,
            frames=frames,
            classes=labels,
            objects=objects.ids,
            stitch=settings.stitch,
            sampling=Sampling(top_p=settings.top_p),
            batch_size=settings.batch_size,
            image_size=settings.image_size,
            invert=settings.greys.invert,
            contrast=settings.greys.contrast,
        )
        n_tokens, started = 0, time.perf_counter()
        with closing(run):
            for window in run:
                n_tokens += window.tokens.size
                reached = objects.add(window.frames, window.finished)
                yield SegmentReport(
                    n_done=window.n_done,
                    n_windows=window.n_windows,
                    frame=window.frames[0],
                    n_tokens=n_tokens,
                    seconds=time.perf_counter() - started,
                    batch_size=window.batch_size,
                    device=str(model.device),
                    reached=reached,
                    finished=window.finished if len(window.finished) else None,
                )


def _note_hash(labels: zarr.Array, model: "Segmenter") -> None:
    """Keep with masks which file made them; the viewer's process has no time to read it."""
    metadata = StackMetadata.from_json(dict(labels.attrs.get(RECORD, {})))
    made = {**metadata.provenance, "model_sha256": model.info.file_hash()}
    labels.attrs[RECORD] = replace(metadata, provenance=made).to_json()


def open_images(
    path: Path, options: ReadOptions | None = None, is_last: bool = True
) -> Generator[None, None, tuple[ImageStack, tuple[float, float] | None] | FileDescription]:
    """An image stack and limits for its contrast (None for colour), or what there is to choose."""
    if options is None or not is_last:
        found = describe(path, options or ReadOptions())
        yield
        if found.is_a_choice:
            return found
    stack = ImageStack.from_source(open_source(path, options or ReadOptions()))
    yield
    return stack, (None if stack.is_colour else stack.intensity_range())


def open_session(path: Path) -> "Generator[None, None, list[LayerData]]":
    """Layer data of an earlier session."""
    from napari_rleseg.io import read_session

    yield
    return read_session(str(path))


def sample() -> "Generator[None, None, list[LayerData]]":
    """Layer data of the simulated time-lapse."""
    from napari_rleseg.sample_data import cells

    yield
    return cells()


def save_stack(
    data: np.ndarray | da.Array | zarr.Array, shape: tuple[int, int, int], target: Path
) -> Generator[int, None, Path]:
    """Write the data of a layer as zarr, one chunk a frame; it appears when it is whole.

    Parameters
    ----------
    data : (Y, X[, 3 or 4]) or (T, Y, X[, 3 or 4])
        Images or labels.
    shape : (T, Y, X)
        As which they are read.
    target : Path
        New folder, its name ending in ``.zarr``.

    Yields
    ------
    int
        Frames written.
    """
    if tuple(data.shape[:3]) != shape:  # one frame
        data = data[None]
    with whole_file(target, overwrite=False) as temporary:
        array = create_stack(temporary, (*shape, *data.shape[3:]), data.dtype)
        for frame in range(shape[0]):
            array[frame] = np.asarray(data[frame])
            yield frame + 1
    return target


def fine_tune(
    sources: Sequence[TrainingSource], settings: FineTuneSettings, *, resume: bool = False
) -> Generator["StepReport", None, Path]:
    """Fine-tune a model on corrected frames and on labels; returns the path of the new model.

    With `resume` the run in the run folder is resumed where it stopped.
    """
    from rleseg_core import training

    recipe = settings.recipe
    stacks = [labelled_stack(source) for source in sources]
    replay: list[LabelledStack] = []
    if recipe.replay_share:
        base = read_info(settings.base)
        known = base.mask_spec.class_names
        names = names_in_order(known, stacks[0].class_names, f"the model {base.name}")
        replay = training.replay_stacks(base, names, settings.image_size)
    data = training.TrainingData(
        stacks=stacks,
        validation_share=recipe.validation_share,
        replay=replay,
        replay_share=recipe.replay_share,
    )
    n_frames = sum(len(source.frames) for source in sources)
    card: dict[str, object] = {
        "name": settings.name,
        "data": f"{n_frames} frames corrected or labelled in napari",
        "date": time_stamp(),
    }
    options = training.FineTuneOptions(
        path=settings.path,
        image_size=settings.image_size,
        invert=settings.greys.invert,
        contrast=settings.greys.contrast,
        card=card,
    )
    return (
        yield from training.fine_tune(
            settings.base,
            data,
            recipe.config,
            settings.run_dir,
            options=options,
            device=settings.device,
            resume=resume,
        )
    )


def labelled_stack(source: TrainingSource) -> LabelledStack:
    """Training data of a source, read lazily."""
    if source.images is None:
        from rleseg_core.corrections import CorrectedDataset

        (stack,) = CorrectedDataset([source.labels])
        return replace(stack, frames=source.frames)
    return LabelledStack.from_paths(
        source.images,
        source.labels,
        source.class_names,
        frames=source.frames,
        ids=IdOptions(ignore=source.ignore or None),
    )
