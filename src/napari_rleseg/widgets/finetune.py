"""The panel that fine-tunes a model on corrected frames."""

from napari.layers import Image, Labels
from qtpy.QtWidgets import (
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.finetuning import FineTuning, Truth, unused_name
from napari_rleseg.preferences import preference
from napari_rleseg.session import Session
from napari_rleseg.shown import on_button
from napari_rleseg.signals import listen
from napari_rleseg.widgets.choosers import LayerBox, ModelBox
from napari_rleseg.widgets.controls import clock, form_layout, text_label
from napari_rleseg.widgets.corrected import CorrectedFrames
from napari_rleseg.widgets.curves import TrainingCurves
from napari_rleseg.widgets.recipes import RecipeBox
from rleseg_core.checkpoints import list_models
from rleseg_core.errors import DataError, RlesegError
from rleseg_core.training import StepReport, TrainConfig


class FinetuneWidget(QWidget):
    """Fine-tunes the chosen model on corrected frames or on a labels layer.

    Parameters
    ----------
    session : Session
        Image, corrections, model and runners.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.finetuning = FineTuning(session, self)
        self.base = ModelBox(session)
        self.name = QLineEdit()
        self._suggested = self._message = ""
        self._config = TrainConfig()  # of the run
        self._resumed_at: int | None = None  # last step of the run before
        self.frames = CorrectedFrames(session)
        self.truth = LayerBox(session.viewer, Labels, none="none")
        self.truth.setToolTip(
            "A layer with true masks of the image; all frames are used for training"
        )
        self.recipe_box = RecipeBox()
        self.button = QPushButton("Start training")
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m steps")
        self.progress.hide()
        self.curves = TrainingCurves(session.viewer)
        self.curves.hide()
        self.status = text_label()
        self.use = QPushButton("Use this model")
        self.use.hide()
        self.resume_button = QPushButton("Resume the stopped training")
        self.resume_button.hide()
        self._lay_out()
        self.base.chosen.connect(self._suggest_name)
        listen(session.model_changed, self._suggest_name, self)
        for signal in (
            self.recipe_box.changed,
            self.base.chosen,
            self.truth.chosen,
            self.frames.ticked_changed,
        ):
            signal.connect(self._match_defaults)
        for signal in (session.model_changed, session.image_changed):
            listen(signal, self._match_defaults, self)
        self.button.clicked.connect(self._press)
        self.use.clicked.connect(self.use_model)
        self.resume_button.clicked.connect(self.resume)
        listen(session.corrections_changed, self._clear_status, self)
        self.finetuning.started.connect(self._show_started)
        self.finetuning.progressed.connect(self._show_progress)
        self.finetuning.stopped.connect(self._show_stopped)
        self._suggest_name()
        self._match_defaults()

    def start(self) -> None:
        """Start the training; errors appear in the status line."""
        model = self.base.model
        try:
            if model is None:
                raise DataError("no model is installed; choose a model file to begin with")
            device = str(preference("inference", "device"))
            size = self.recipe_box.image_size.value() or None
            name, recipe = self.name.text(), self.recipe_box.recipe
            self.finetuning.start(model, self._truth(), recipe, name, device, size)
        except RlesegError as error:
            self.status.setText(str(error))

    def resume(self) -> None:
        """Resume the training that was stopped."""
        try:
            self.finetuning.resume()
        except RlesegError as error:
            self.status.setText(str(error))

    def use_model(self) -> None:
        """Make the new model the model of the session."""
        if self.finetuning.model is not None:
            self._session.model = self.finetuning.model
            self.status.setText(f"{self.finetuning.model.name} is now the model of the Segment tab")
            self.use.hide()

    def _truth(self) -> Truth:
        labels, image = self.truth.layer, self._session.image
        return Truth(
            corrected=self.frames.ticked(),
            labels=labels if isinstance(labels, Labels) else None,
            image=image if isinstance(image, Image) else None,
        )

    def _match_defaults(self, *_: object) -> None:
        if self.base.model is not None:
            self.recipe_box.match_defaults(self.base.model, self._truth())

    def _clear_status(self, *_: object) -> None:
        if not self.finetuning.running:
            self.status.clear()

    def _press(self) -> None:
        if self.finetuning.running:
            self.button.setText("Stopping…")
            self.button.setEnabled(False)
            self.finetuning.cancel()
        else:
            self.start()

    def _show_started(self) -> None:
        self.button.setText("Stop")
        self.use.hide()
        self.resume_button.hide()
        self.progress.setRange(0, 0)
        self.progress.show()
        self.curves.show()
        self._config = self.recipe_box.recipe.config
        self.curves.clear(self._config.n_steps)
        self._message, self._resumed_at = "", None
        self.status.setText("Starting…")

    def _show_progress(self, reports: list[StepReport]) -> None:
        last = reports[-1]
        self.progress.setRange(0, last.n_steps)
        self.progress.setValue(last.step)
        self.curves.add(reports)
        if self._resumed_at is None:
            self._resumed_at = reports[0].step - 1
        seconds_per_step = last.seconds / (last.step - self._resumed_at)
        left = seconds_per_step * (last.n_steps - last.step)
        best = self.curves.best
        dice = "" if best is None else f"best Dice {best[1]:.3f}, at step {best[0]} · "
        text = f"{dice}loss {last.loss:.3f} · {clock(left)} left"
        self._message = next((r.message for r in reversed(reports) if r.message), self._message)
        self.status.setText(f"{text}\n{self._message}" if self._message else text)
        self.recipe_box.seconds_per_window = seconds_per_step / self._config.batch_size

    def _show_stopped(self, how: str) -> None:
        self.button.setText("Start training")
        self.button.setEnabled(True)
        self.progress.hide()
        self.resume_button.setVisible(self.finetuning.can_resume)
        model = self.finetuning.model
        if how == "finished" and model is not None:
            note = f" {self._message[0].upper()}{self._message[1:]}." if self._message else ""
            self.status.setText(f"{model.name} is trained and installed.{note}")
            self.use.setText(on_button(f"Use {model.name}"))
            self.use.show()
            self._suggested = self.name.text()  # taken now
            self._suggest_name()
        elif how == "cancelled":
            self.status.setText(
                "Stopped; the last checkpoint is kept, and training can be resumed."
            )

    def _suggest_name(self, _: object = None) -> None:
        model = self.base.model
        if model is not None and self.name.text() == self._suggested:  # not the user's own
            taken = [installed.path.stem for installed in list_models()]
            self._suggested = unused_name(model.path.stem, taken)
            self.name.setText(self._suggested)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        form = form_layout()
        form.addRow("Base model", self.base)
        form.addRow("New name", self.name)
        form.addRow("Truth layer", self.truth)
        layout.addLayout(form)
        for part in (self.frames, self.recipe_box, self.button, self.progress):
            layout.addWidget(part)
        for part in (self.curves, self.status, self.use, self.resume_button):
            layout.addWidget(part)
        layout.addStretch()
