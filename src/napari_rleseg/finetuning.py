"""The fine-tuning of a model on corrections and labels: data written to disk, job, new model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari.layers import Image, Labels
from platformdirs import user_data_path
from qtpy.QtCore import QObject, Signal

from napari_rleseg.jobs import show_failure
from napari_rleseg.layers import class_names_of, notes, stack_shape
from napari_rleseg.session import Session
from napari_rleseg.tasks import FineTuneSettings, TrainingSource, fine_tune
from rleseg_core.checkpoints import ModelInfo, read_info
from rleseg_core.data import plan_windows
from rleseg_core.errors import DataError, RlesegError
from rleseg_core.spec import IGNORED, WindowSpec
from rleseg_core.training import LAST, Recipe


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What to learn from.

    Parameters
    ----------
    corrected : tuple of int
        Corrected frames of the session.
    labels : Labels or None
        A layer with the true masks of all frames of `image`.
    image : Image or None
        The image of `labels` and of the corrections.
    """

    corrected: tuple[int, ...] = ()
    labels: Labels | None = None
    image: Image | None = None

    def count(self, spec: WindowSpec) -> tuple[int, int]:
        """Labelled frames and their windows; (0, 0) if the layers have other axes."""
        try:
            n_layer = 0 if self.labels is None else stack_shape(self.labels)[0]
            n_frames = len(self.corrected) + n_layer
            shown = self.image or self.labels
            if shown is None or not n_frames:
                return n_frames, 0
            shape = (spec.n_frames, *stack_shape(shown)[1:])
            return n_frames, len(plan_windows(shape, spec)) * (n_frames // spec.frame_stride)
        except DataError:  # reported when the training is started
            return 0, 0


class FineTuning(QObject):
    """Runs `tasks.fine_tune` for a session and keeps the new model."""

    started = Signal()
    progressed = Signal(list)  # of rleseg_core.training.StepReport
    stopped = Signal(str)  # 'finished', 'cancelled' or 'failed'

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self.running = False
        self.model: ModelInfo | None = None
        self._session = session
        self._waiting = False  # until the layers are on disk
        self._last_run: tuple[list[TrainingSource], FineTuneSettings] | None = None
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
        """Fine-tune `base` on the truth, and write the new model under `name`.

        Parameters
        ----------
        base : ModelInfo
            Model to start from.
        truth : Truth
            What to learn from.
        recipe : Recipe
            Training settings.
        name : str
            Name of the new model in the user's folder of models.
        device : str
            Device to train on: 'auto', 'cpu', 'cuda' or 'mps'.
        image_size : int, optional
            Longer side of a frame after resizing, in pixels; that of the base by default.

        Raises
        ------
        DataError
            If there is nothing to learn from, or another job is running.
        """
        session = self._session
        if self.running or session.training.busy or session.reading.busy:
            raise DataError("another job is running; stop it or wait for it")
        path = model_path(name)
        sources = self._corrections(truth)
        if truth.labels is None and not sources:
            raise DataError("there is nothing to learn from; correct a frame, or choose a layer")
        frames = () if truth.labels is None else _labelled_frames(truth.labels, truth.image)
        settings = FineTuneSettings(
            base=base.path,
            recipe=recipe,
            run_dir=session.new_path(f"training-{datetime.now():%Y%m%d-%H%M%S}"),
            path=path,
            name=name,
            device=device,
            image_size=image_size,
            greys=session.greys,
        )
        self.running, self.model, self._last_run = True, None, None
        self.started.emit()
        self._write_layers(truth, frames, sources, settings)

    def _corrections(self, truth: Truth) -> list[TrainingSource]:
        """The corrected frames of the session as a source, if there are any."""
        log = self._session.corrections
        if not truth.corrected or log is None:
            return []
        corrected = TrainingSource(
            images=None, labels=log.folder, class_names=log.class_names, frames=truth.corrected
        )
        return [corrected]

    def _write_layers(
        self,
        truth: Truth,
        frames: tuple[int, ...],
        sources: list[TrainingSource],
        settings: FineTuneSettings,
    ) -> None:
        """Start the training once the truth layer and its image are on disk."""
        labels, image = truth.labels, truth.image
        if labels is None or image is None:
            self._train(sources, settings)
            return

        def train(images: Path, masks: Path) -> None:
            names = class_names_of(labels)
            ignore = (IGNORED,) if notes(labels).get("ignores") else ()
            layer = TrainingSource(
                images=images, labels=masks, class_names=names, frames=frames, ignore=ignore
            )
            self._train([*sources, layer], settings)

        def write_labels(images: Path) -> None:
            self._session.when_on_disk(labels, lambda masks: train(images, masks))

        self._waiting = True
        self._session.when_on_disk(image, write_labels)

    def _train(self, sources: list[TrainingSource], settings: FineTuneSettings) -> None:
        self._waiting = False
        self._last_run = (sources, settings)
        self._session.training.start(fine_tune, sources, settings)

    @property
    def can_resume(self) -> bool:
        """Whether the last run was stopped and left a checkpoint to resume from."""
        if self.running or self.model is not None or self._last_run is None:
            return False
        _, settings = self._last_run
        return (settings.run_dir / LAST).is_file()

    def resume(self) -> None:
        """Resume the run that was stopped; its losses are those of an uninterrupted run.

        Raises
        ------
        DataError
            If there is none, or another job is running.
        """
        if self.running or self._session.training.busy:
            raise DataError("another job is running; stop it or wait for it")
        if self._last_run is None or not self.can_resume:
            raise DataError("there is no stopped training to resume; start one")
        self.running = True
        self.started.emit()
        self._session.training.start(fine_tune, *self._last_run, resume=True)

    def cancel(self) -> None:
        """Ask the training to stop; its last checkpoint stays in the run folder."""
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
    """File of a new model of that name in the user's folder.

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


def _labelled_frames(labels: Labels, image: Image | None) -> tuple[int, ...]:
    """All frames of a truth layer; DataError if the layer cannot be trained on."""
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
