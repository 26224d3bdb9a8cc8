"""The panel that segments: image, model, frames, and one button."""

from contextlib import suppress

from napari.layers import Image
from qtpy.QtCore import QElapsedTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.layers import current_frame, stack_shape
from napari_rleseg.loading import ModelLoader
from napari_rleseg.segmentation import Segmentation
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.tasks import SegmentReport, SegmentSettings
from napari_rleseg.widgets.advanced import AdvancedSettings
from napari_rleseg.widgets.choosers import LayerBox, ModelBox
from napari_rleseg.widgets.controls import clock, form_layout, text_label
from napari_rleseg.widgets.diameter import DiameterBox
from napari_rleseg.widgets.greys import GreyValues
from napari_rleseg.widgets.objects import ObjectsPanel
from rleseg_core.data.windows import resized_shape
from rleseg_core.errors import DataError, RlesegError
from rleseg_core.spec import WindowSpec

ALL, CURRENT, RANGE = "All frames", "Current frame", "Range"


class SegmentWidget(QWidget):
    """Segments the session's image with a model.

    Parameters
    ----------
    session : Session
        Image, model and runners.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.segmentation = Segmentation(session, self)
        self._clock = QElapsedTimer()
        self._seen = ""  # at which size frames are seen
        self.image = LayerBox(session.viewer, Image)
        self.model = ModelBox(session)
        self.frames = QComboBox()
        self.frames.addItems([ALL, CURRENT, RANGE])
        self.first, self.last = QSpinBox(), QSpinBox()
        self.advanced = AdvancedSettings(session)
        self.loader = ModelLoader(session, self.advanced.device, self)
        self.greys = GreyValues(session)
        self.diameter = DiameterBox(session, lambda: self.settings)
        self.scale = text_label()
        self.follow_box = QCheckBox("Follow the frame being segmented")
        self.follow_box.setChecked(True)
        self.button = QPushButton("Segment")
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m windows")
        self.progress.hide()
        self.status = text_label()
        self.objects = ObjectsPanel(session)
        self._lay_out()
        self.image.chosen.connect(self._choose_image)
        self.model.chosen.connect(self._choose_model)
        self.frames.currentTextChanged.connect(self._show_range)
        self.diameter.told.connect(self.status.setText)
        self.button.clicked.connect(self._press)
        self.follow_box.toggled.connect(self._set_follow)
        self.segmentation.started.connect(self._show_started)
        self.segmentation.told.connect(self.status.setText)
        self.segmentation.progressed.connect(self._show_progress)
        self.segmentation.stopped.connect(self._show_stopped)
        listen(session.image_changed, self._show_image, self)
        listen(session.window_spec_changed, self._show_scale, self)
        self._choose_image(self.image.layer)
        self._choose_model(self.model.model)
        self._show_range()

    @property
    def settings(self) -> SegmentSettings:
        """Settings of the controls.

        Raises
        ------
        DataError
            If there is no model.
        """
        model = self.model.model
        if model is None:
            raise DataError("no model is installed; choose a model file, or train one")
        return self.advanced.settings(model.path)

    def chosen_frames(self) -> list[int] | None:
        """Frames to segment; None for all."""
        if self.frames.currentText() == CURRENT:
            image = self._session.image
            return [0 if image is None else current_frame(self._session.viewer, image)]
        if self.frames.currentText() == RANGE:
            first, last = sorted((self.first.value(), self.last.value()))
            return list(range(first, last + 1))
        return None

    def start(self) -> None:
        """Start the segmentation; errors appear in the status line."""
        try:
            settings = self.settings
            model = self.model.model
            assert model is not None
            self.segmentation.follow = self.follow_box.isChecked()
            self.segmentation.start(model, settings, self.chosen_frames())
        except RlesegError as error:
            self.status.setText(str(error))

    def start_with(self, frames: str) -> None:
        """Segment 'All frames' or the 'Current frame'."""
        self.frames.setCurrentText(frames)
        self.start()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        form = form_layout()
        form.addRow("Image", self.image)
        form.addRow("Model", self.model)
        form.addRow("Frames", self.frames)
        self._range = QWidget()
        line = QHBoxLayout(self._range)
        line.setContentsMargins(0, 0, 0, 0)
        for part in (self.first, QLabel("to"), self.last):
            line.addWidget(part)
        line.addStretch()
        form.addRow(self._range)
        form.addRow("Diameter", self.diameter)
        layout.addLayout(form)
        layout.addWidget(self.scale)
        layout.addWidget(self.greys)
        layout.addWidget(self.advanced)
        for part in (self.follow_box, self.button, self.progress, self.status, self.objects):
            layout.addWidget(part)
        layout.addStretch()

    def _press(self) -> None:
        if self.segmentation.running:
            self.segmentation.cancel()
            self.button.setText("Cancelling…")
            self.button.setEnabled(False)
        else:
            self.start()

    def _set_follow(self, on: bool) -> None:
        self.segmentation.follow = on

    def _show_started(self) -> None:
        self.button.setText("Cancel")
        self.progress.setRange(0, 0)
        self.progress.show()
        self.status.setText("Loading the model…")
        self._seen = ""
        self._clock.start()

    def _show_progress(self, report: SegmentReport) -> None:
        self.progress.setRange(0, report.n_windows)
        self.progress.setValue(report.n_done)
        left = report.seconds / report.n_done * (report.n_windows - report.n_done)
        speed = report.n_tokens / max(report.seconds, 1e-6)
        told = [f"{clock(left)} left · {speed:,.0f} tokens/s · {report.device}"]
        self._seen = _seen_text(report)
        self.status.setText("\n".join([*told, self._seen]).strip())

    def _show_stopped(self, how: str) -> None:
        self.button.setText("Segment")
        self.button.setEnabled(True)
        done, total = self.progress.value(), self.progress.maximum()
        self.progress.hide()
        spent = clock(self._clock.elapsed() / 1000)
        told = {
            "finished": f"{total} windows segmented in {spent}",
            "cancelled": f"Cancelled after {max(done, 0)} of {total} windows, which are kept",
            "failed": "Failed; see the notification",
        }[how]
        self.status.setText(f"{told}\n{self._seen}".strip())

    def _choose_image(self, layer: Image | None) -> None:
        self._session.image = layer
        try:
            n_frames = stack_shape(layer)[0] if layer is not None else 1
        except DataError as error:
            self.status.setText(str(error))
            n_frames = 1
        for box in (self.first, self.last):
            box.setMaximum(n_frames - 1)
        self.last.setValue(n_frames - 1)
        self._show_scale()

    def _choose_model(self, model: object) -> None:
        self._session.model = self.model.model

    def _show_scale(self, _: object = None) -> None:
        """Show to which size frames are resized, if they are."""
        layer, spec = self.image.layer, self._session.window_spec
        text = ""
        if layer is not None and spec is not None:
            with suppress(DataError):  # shown where the image is chosen
                text = _scale_text(stack_shape(layer), spec)
        self.scale.setText(text)
        self.scale.setVisible(bool(text))

    def _show_image(self, layer: Image | None) -> None:
        if layer is not None and layer is not self.image.layer:
            self.image.layer = layer

    def _show_range(self, _: str = "") -> None:
        self._range.setVisible(self.frames.currentText() == RANGE)


def _seen_text(report: SegmentReport) -> str:
    """At which size the frames are seen, and what is odd about that; mostly nothing."""
    text = "" if report.scale is None else report.scale.text
    parts = [part[0].upper() + part[1:] for part in (text, report.warning) if part]
    return ". ".join(parts)


def _scale_text(shape: tuple[int, int, int], spec: WindowSpec) -> str:
    """To which size frames of a stack are resized; empty if they are not."""
    _, height, width = shape
    rows, cols = resized_shape(shape, spec)
    if (rows, cols) == (height, width):
        return ""
    return (
        f"Frames of {width} × {height} pixels are resized to {cols} × {rows}; to change this, set "
        "the diameter, or Image size in the advanced settings."
    )
