"""The choice of how to train: a preset, an estimate of its duration, and advanced settings."""

from dataclasses import replace

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_rleseg.finetuning import Truth
from napari_rleseg.forms import Form
from napari_rleseg.preferences import preference
from napari_rleseg.widgets.controls import Folded, form_layout, image_size_box, text_label
from rleseg_core.checkpoints import ModelInfo, count_parameters
from rleseg_core.training import FINE_TUNING, Recipe, TrainConfig

SHOWN = ("n_steps", "batch_size", "learning_rate", "validate_every", "patience", "seed")
LABELS = {"n_steps": "Steps", "batch_size": "Batch", "learning_rate": "Learning rate"}
LABELS |= {"validate_every": "Validate every", "patience": "Patience", "seed": "Seed"}
OPTIONS: dict[str, dict[str, object]] = {
    "n_steps": {"min": 1, "max": 1_000_000},
    "batch_size": {"min": 1, "max": 1024},
    "learning_rate": {"min": 1e-7, "max": 1.0, "step": 1e-6},
    "validate_every": {"min": 0, "max": 100_000},
    "patience": {"min": 0, "max": 1000},
    "seed": {"min": 0, "max": 2**31 - 1},
}
AIMS = {
    "quick": "A first improvement, from a single corrected frame",
    "thorough": "The best that your frames allow",
}
CPU_SECONDS = 2e-8
"""Seconds for a window and a parameter of the model, measured on one core of a 2.5 GHz Xeon."""


class RecipeBox(QWidget):
    """Chooses a preset, estimates its training on the frames at hand, and lets its numbers be set.

    Parameters
    ----------
    parent : QWidget or None
        Owner.
    """

    changed = Signal()  # preset or image size; `match_defaults` is called in return

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.preset = QComboBox()
        for name in AIMS:
            self.preset.addItem(name.capitalize(), name)
        self.estimate = text_label()
        self.form = Form(TrainConfig(), SHOWN, labels=LABELS, options=OPTIONS)
        self.image_size = image_size_box()
        self.seconds_per_window: float | None = None  # measured in an earlier run
        self._matched = self.form.value
        self._recipe = Recipe(config=self._matched, validation_share=0.2, replay_share=0.0)
        self._lay_out()
        self.preset.currentIndexChanged.connect(self._choose)
        self.image_size.valueChanged.connect(self.changed)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the preset, with the numbers of the form."""
        return replace(self._recipe, config=self.form.value)

    def match_defaults(self, base: ModelInfo, truth: Truth) -> None:
        """Set the preset's numbers for a model and its training data.

        Numbers that the user has changed stay, until another preset is chosen.
        """
        if not base.path.is_file():  # reported when the training is started
            return
        size = self.image_size.value() or base.window_spec.image_size
        n_frames, n_windows = truth.count(replace(base.window_spec, image_size=size))
        device = str(preference("inference", "device"))
        device = "cpu" if device == "auto" else device  # to ask torch would take seconds here
        self._recipe = FINE_TUNING[self.preset.currentData()](n_frames, n_windows, device, base)
        if self.form.value == self._matched:
            self.form.value = self._recipe.config
            self._matched = self.form.value
        seconds = self.seconds_per_window or CPU_SECONDS * count_parameters(base.path)
        aim = AIMS[self.preset.currentData()]
        self.estimate.setText(f"{aim}. {estimate_text(self.recipe, n_frames, seconds)}")

    def _choose(self) -> None:
        self._matched = self.form.value  # the numbers of the new preset, whatever was changed
        self.changed.emit()

    def _lay_out(self) -> None:
        advanced = QWidget()
        inner = form_layout(advanced)
        inner.addRow(self.form)
        inner.addRow("Image size", self.image_size)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        choice = form_layout()
        choice.addRow("Training", self.preset)
        layout.addLayout(choice)
        for part in (self.estimate, Folded("Advanced settings", advanced)):
            layout.addWidget(part)


def estimate_text(recipe: Recipe, n_frames: int, seconds_per_window: float) -> str:
    """One or two sentences on the length and the validation of a training.

    Parameters
    ----------
    recipe : Recipe
        The training.
    n_frames : int
        Number of labelled frames.
    seconds_per_window : float
        Training time per window.
    """
    if not n_frames:
        return "Correct a frame, or choose a truth layer."
    config = recipe.config
    minutes = seconds_per_window * config.n_steps * config.batch_size / 60
    time = "less than a minute" if minutes < 1 else f"about {minutes:.0f} min"
    text = f"{config.n_steps} steps, {time} on a CPU."
    if recipe.validation_share:
        early = "; training stops when the score no longer improves" if config.patience else ""
        return f"{text} One frame in five is held out for validation{early}."
    frames = "The frame is" if n_frames == 1 else f"All {n_frames} frames are"
    return f"{text} {frames} used for training; none is held out for validation."
