"""The jobs that compute with a model: generators that run in another process (see `jobs`).

Knows neither Qt nor napari; imports torch only in the jobs that compute with it.
"""

import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import zarr

from napari_rleseg.first_view import Preview, Previewed, View
from napari_rleseg.loaded import segmenter
from napari_rleseg.object_files import ObjectFiles, ObjectWriter
from rleseg_core.checkpoints import read_info
from rleseg_core.data import IdOptions, ImageStack, LabelledStack
from rleseg_core.data.formats.ngff import RECORD
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.ids import names_in_order
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataWarning
from rleseg_core.files import time_stamp
from rleseg_core.locks import lock_beside
from rleseg_core.normalisation import AS_TRAINED, GreyChoice
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.table import ObjectState

if TYPE_CHECKING:
    from rleseg_core.inference import PredictOptions, Scale, Segmenter, StitchRule
    from rleseg_core.objects.scale import DiameterEstimate
    from rleseg_core.training import Recipe, StepReport


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
    diameter : float or None
        Diameter of the objects in source pixels, which decides on that size instead.
    greys : GreyChoice
        Whether the model sees the images inverted, and at which contrast.
    """

    model: Path
    device: str = "auto"
    stitch: "StitchRule" = "centre"
    top_p: float | None = None
    batch_size: int | None = None
    image_size: int | None = None
    diameter: float | None = None
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
    scale : Scale or None
        At which size the frames are seen, and why.
    warning : str
        What is odd about that size; mostly nothing.
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
    scale: "Scale | None" = None
    warning: str = ""


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


def segment(
    images: Path,
    result: Path,
    settings: SegmentSettings,
    frames: Sequence[int] | None = None,
    view: View | None = None,
) -> Generator[SegmentReport | Previewed | str, None, None]:
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
    view : View, optional
        What comes first, if it is among those frames: what the dense heads see there, if the model
        has any, and then its frame.

    Yields
    ------
    SegmentReport, Previewed or str
        After each window; before the first, what is done.

    Raises
    ------
    InUseError
        If another program segments into that array.
    """
    with lock_beside(result, "the masks"):
        yield from _segment(images, result, settings, frames, view)


def _segment(
    images: Path,
    result: Path,
    settings: SegmentSettings,
    frames: Sequence[int] | None,
    view: View | None,
) -> Generator[SegmentReport | Previewed | str, None, None]:
    stack = ImageStack.from_source(open_source(images))  # its notes were said when it was shown
    model = segmenter(settings.model, settings.device)
    options = predict_options(settings)
    if model.info.object_diameter is not None:
        yield "Looking how large the objects are…"
    scale, warning = _scale(model, stack, options)
    labels = zarr.open_array(result, mode="r+")
    _note_source(labels, model, scale)
    metadata = StackMetadata.from_json(dict(labels.attrs.get(RECORD, {})))
    files = ObjectFiles.beside(result)
    state: ObjectState = "predicted" if model.tokenizer.scheme.blocks == "instance" else "pieces"
    wanted = list(range(stack.n_frames)) if frames is None else list(frames)
    with (
        ObjectWriter(files, labels, model.class_names, metadata, state) as objects,
        closing(Preview(labels, objects.ids)) as preview,
    ):
        if view is not None and view.frame in wanted:
            wanted.sort(key=lambda frame: frame != view.frame)
            if preview.show(model, stack, options, view):
                yield Previewed(view.frame)
        run = model.segment(stack, options, frames=wanted, classes=labels, objects=objects.ids)
        n_tokens, started = 0, time.perf_counter()
        with closing(run):
            for window in run:
                n_tokens += window.tokens.size
                preview.forget(window.frames)
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
                    scale=scale,
                    warning=warning,
                )


def predict_options(settings: SegmentSettings) -> "PredictOptions":
    """The settings of a segmentation as the core takes them."""
    from rleseg_core.decoding import Sampling
    from rleseg_core.inference import PredictOptions

    return PredictOptions(
        stitch=settings.stitch,
        sampling=Sampling(top_p=settings.top_p),
        batch_size=settings.batch_size,
        image_size=settings.image_size,
        diameter=settings.diameter,
        invert=settings.greys.invert,
        contrast=settings.greys.contrast,
    )


def _scale(model: "Segmenter", stack: ImageStack, options: "PredictOptions") -> "tuple[Scale, str]":
    """The size at which frames are seen, and the warning that came with it, if any."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        scale = model.scale(stack, options)
    told = []
    for one in caught:
        if issubclass(one.category, DataWarning) and str(one.message) not in stack.notes:
            told.append(str(one.message))
        else:  # about the images, not about their scale
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return scale, "; ".join(told)


def _note_source(labels: zarr.Array, model: "Segmenter", scale: "Scale") -> None:
    """Keep with masks which file made them, and at which size; the viewer cannot know either."""
    metadata = StackMetadata.from_json(dict(labels.attrs.get(RECORD, {})))
    made = {**metadata.provenance, "model_sha256": model.info.file_hash()}
    made |= {} if scale.origin == "model" else {"image_size": scale.image_size}
    labels.attrs[RECORD] = replace(metadata, provenance=made).to_json()


def estimate_diameter(
    images: Path, settings: SegmentSettings
) -> Generator[str, None, "DiameterEstimate"]:
    """Job that estimates how wide the objects of a stack are, as a model sees them.

    Parameters
    ----------
    images : Path
        The stack.
    settings : SegmentSettings
        Model, device and grey values.

    Yields
    ------
    str
        What is done next.

    Raises
    ------
    DataError
        If the model does not know how wide the objects were that it was trained on.
    """
    stack = ImageStack.from_source(open_source(images))
    yield "Loading the model…"
    model = segmenter(settings.model, settings.device)
    yield "Looking at a few windows at several sizes…"
    return model.estimate_diameter(
        stack, invert=settings.greys.invert, contrast=settings.greys.contrast
    )


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
