"""The fine-tuning of a model on what a session holds: data brought to disk, the job, the model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari.layers import Image, Labels
from platformdirs import user_data_path
from qtpy.QtCore import QObject, Signal

from napari_rleseg.jobs import show_failure
from napari_rleseg.layers import class_names_of, stack_shape
from napari_rleseg.session import Session
from napari_rleseg.tasks import TrainingSource
from rleseg_core.checkpoints import ModelInfo, read_info
from rleseg_core.data import plan_windows
from rleseg_core.errors import DataError, RlesegError
from rleseg_core.spec import WindowSpec
from rleseg_core.training import LAST, Recipe

TASK = "napari_rleseg.tasks:fine_tune"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What to learn from.

    Parameters
    ----------
    corrected : tuple of int
        Frames of the session's corrections.
    labels : Labels or None
        A layer that holds the truth of `image` in all frames.
    image : Image or None
        What `labels` belong to, and what was corrected.
    """

    corrected: tuple[int, ...] = ()
    labels: Labels | None = None
    image: Image | None = None

    def count(self, spec: WindowSpec) -> tuple[int, int]:
        """Labelled frames, and windows in them, as far as the layers can be read."""
        try:
            n_layer = 0 if self.labels is None else stack_shape(self.labels)[0]
            n_frames = len(self.corrected) + n_layer
            shown = self.image or self.labels
            if shown is None or not n_frames:
                return n_frames, 0
            shape = (spec.n_frames, *stack_shape(shown)[1:])
            return n_frames, len(plan_windows(shape, spec)) * (n_frames // spec.frame_stride)
        except DataError:  # layers of other axes; said when it starts
            return 0, 0


class FineTuning(QObject):
    """Runs `tasks.fine_tune` for a session and keeps the model that comes out."""

    started = Signal()
    progressed = Signal(list)  # of rleseg_core.training.StepReport
    stopped = Signal(str)  # 'finished', 'cancelled' or 'failed'

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self.running = False
        self.model: ModelInfo | None = None
        self._session = session
        self._waiting = False  # for data to be on disk
        self._arguments: tuple[object, ...] = ()  # of the last run
        runner = session.training
        runner.reported.connect(self.progressed)
        runner.finished.connect(self._finish)
        runner.cancelled.connect(self._stop)
        runner.failed.connect(self._fail)
        session.reading.failed.connect(self._fail_to_read)
        session.reading.cancelled.connect(self._stop_reading)

    def start(
        self,
        base: ModelInfo,
        truth: Truth,
        recipe: Recipe,
        name: str,
        device: str = "auto",
        image_size: int | None = None,
    ) -> None:
        """Train `base` on with the truth, and write the new model under `name`.

        Parameters
        ----------
        base : ModelInfo
            Model to begin with.
        truth : Truth
            What to learn from.
        recipe : Recipe
            How.
        name : str
            Of the new model, which goes into the user's folder of models.
        device : str
            'auto', 'cpu', 'cuda' or 'mps'.
        image_size : int, optional
            Longer side of a frame after resizing, if not as for the base.

        Raises
        ------
        DataError
            If there is nothing to learn from, or another job is in the way.
        """
        session = self._session
        if self.running or session.training.busy or session.reading.busy:
            raise DataError("another job is running; stop it or wait for it")
        path = model_path(name)
        sources: list[TrainingSource] = []
        if truth.corrected and session.corrections is not None:
            log = session.corrections
            sources.append(
                TrainingSource(
                    images=None,
                    labels=log.folder,
                    class_names=log.class_names,
                    frames=truth.corrected,
                )
            )
        if truth.labels is None and not sources:
            raise DataError("there is nothing to learn from; correct a frame, or choose a layer")
        labels, image = truth.labels, truth.image
        frames: tuple[int, ...] = ()
        if labels is not None:
            frames = _check(labels, image)
        run_dir = session.new_path(f"training-{datetime.now():%Y%m%d-%H%M%S}")
        self.running, self.model, self._arguments = True, None, ()
        self.started.emit()

        def go() -> None:
            self._waiting = False
            settings = (recipe, run_dir, path, name, device, image_size)
            self._arguments = (base.path, sources, *settings)
            session.training.start(TASK, *self._arguments)

        if labels is None or image is None:
            go()
            return

        def with_images(images: Path) -> None:
            session.when_on_disk(labels, lambda masks: with_both(images, masks))

        def with_both(images: Path, masks: Path) -> None:
            names = class_names_of(labels)
            sources.append(
                TrainingSource(images=images, labels=masks, class_names=names, frames=frames)
            )
            go()

        self._waiting = True
        session.when_on_disk(image, with_images)

    @property
    def can_resume(self) -> bool:
        """Whether the last run was stopped and left a checkpoint to resume from."""
        if self.running or self.model is not None or not self._arguments:
            return False
        return (Path(str(self._arguments[3])) / LAST).is_file()

    def resume(self) -> None:
        """Resume the run that was stopped; its losses are those of an uninterrupted run.

        Raises
        ------
        DataError
            If there is none, or another job is in the way.
        """
        if self.running or self._session.training.busy:
            raise DataError("another job is running; stop it or wait for it")
        if not self.can_resume:
            raise DataError("there is no stopped training to resume; start one")
        self.running = True
        self.started.emit()
        self._session.training.start(TASK, *self._arguments, resume=True)

    def cancel(self) -> None:
        """Ask it to stop; its last checkpoint stays in the folder of the run."""
        if self._waiting:
            self._session.reading.cancel()
        else:
            self._session.training.cancel()

    def _finish(self, product: object) -> None:
        try:
            self.model = read_info(Path(str(product)))
        except RlesegError as error:
            self._fail(str(error), "")
            return
        self._session.models_changed.emit()
        self._end("finished")

    def _stop(self) -> None:
        self._end("cancelled")

    def _fail(self, sentence: str, details: str) -> None:
        self._end("failed")
        show_failure(sentence, details)

    def _fail_to_read(self, sentence: str, details: str) -> None:
        if self._waiting:
            self._fail(sentence, details)

    def _stop_reading(self) -> None:
        if self._waiting:
            self._end("cancelled")

    def _end(self, how: str) -> None:
        self.running = self._waiting = False
        self.stopped.emit(how)


def model_path(name: str) -> Path:
    """Where a model of that name goes.

    Raises
    ------
    DataError
        If the name is empty, or there is one of that name.
    """
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name.strip())
    if not stem.strip("-."):
        raise DataError("the new model needs a name")
    path = user_data_path("rleseg") / "models" / f"{stem}.safetensors"
    if path.exists():
        raise DataError(f"there is a model named {name!r} already; choose another name")
    return path


def _check(labels: Labels, image: Image | None) -> tuple[int, ...]:
    """Frames of the labels, if they can be learnt from."""
    if image is None:
        raise DataError(f"choose the image that {labels.name!r} belongs to")
    if stack_shape(labels) != stack_shape(image):
        raise DataError(
            f"masks {labels.name!r} are {stack_shape(labels)}, images {image.name!r} are "
            f"{stack_shape(image)}; both must be (T, Y, X)"
        )
    if not class_names_of(labels):
        raise DataError(f"the classes of {labels.name!r} have no names; open it in the Load tab")
    return tuple(range(stack_shape(labels)[0]))


def unused_name(base: str, taken: Sequence[str]) -> str:
    """A name for a model made from `base` that is not taken."""
    base = re.sub(r"-tuned-\d+$", "", base)
    number = next(n for n in range(1, len(taken) + 2) if f"{base}-tuned-{n}" not in taken)
    return f"{base}-tuned-{number}"
