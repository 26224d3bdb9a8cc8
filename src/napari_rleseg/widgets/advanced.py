"""The settings of a segmentation that are rarely changed."""

from pathlib import Path

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_rleseg.jobs import ProcessRunner
from napari_rleseg.preferences import preference
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.tasks import SegmentSettings
from napari_rleseg.widgets.controls import Folded, form_layout, image_size_box, narrow


class AdvancedSettings(QWidget):
    """Device, stitching, sampling, batch and image size, folded away until asked for.

    Parameters
    ----------
    session : Session
        Its image size is set here; "Release memory" ends its inference process.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.device = narrow(QComboBox())
        self.device.setToolTip("Device that the model runs on")
        self.device.addItems(["auto", "cpu", "cuda", "mps"])
        self.device.setCurrentText(str(preference("inference", "device")))
        self.stitch = narrow(QComboBox())
        self.stitch.addItem("nearest window centre wins", "centre")
        self.stitch.addItem("later window wins", "last")
        self.stitch.addItem("windows vote", "vote")
        self.stitch.setToolTip("Which prediction is kept where windows overlap")
        self.sampling = narrow(QComboBox())
        self.sampling.setToolTip("How the next token is chosen")
        self.sampling.addItems(["most likely token", "nucleus sampling"])
        self.top_p = QDoubleSpinBox(minimum=0.05, maximum=1.0, value=0.4, singleStep=0.05)
        self.top_p.setToolTip("Probability mass of the tokens that are sampled from, 0 to 1")
        self.top_p.setEnabled(False)
        self.sampling.currentIndexChanged.connect(self._enable_top_p)
        self.batch_size = QSpinBox(minimum=0, maximum=256, specialValueText="automatic")
        self.batch_size.setToolTip("Windows per batch; halved automatically when memory runs out")
        self.batch_size.setValue(int(str(preference("inference", "batch_size"))))
        self.image_size = image_size_box()
        self.image_size.valueChanged.connect(self._choose_image_size)
        listen(session.window_spec_changed, self._show_image_size, self)
        self.release = QPushButton("Release memory")
        self.release.setToolTip("End the process that keeps the model loaded")
        self.release.clicked.connect(self._release)
        self._lay_out()

    def settings(self, model: Path) -> SegmentSettings:
        """The settings of the controls, for a model file."""
        return SegmentSettings(
            model=model,
            device=self.device.currentText(),
            stitch=self.stitch.currentData(),
            top_p=self.top_p.value() if self.sampling.currentIndex() else None,
            batch_size=self.batch_size.value() or None,
            image_size=self._session.image_size,
            diameter=self._session.diameter,
            greys=self._session.greys,
        )

    def _lay_out(self) -> None:
        inner = QWidget()
        form = form_layout(inner)
        form.addRow("Device", self.device)
        form.addRow("Overlaps", self.stitch)
        form.addRow("Decoding", self.sampling)
        form.addRow("Top-p", self.top_p)
        form.addRow("Batch", self.batch_size)
        form.addRow("Image size", self.image_size)
        form.addRow(self.release)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Folded("Advanced settings", inner))

    def _enable_top_p(self, index: int) -> None:
        self.top_p.setEnabled(index > 0)

    def _choose_image_size(self, size: int) -> None:
        self._session.image_size = size or None

    def _show_image_size(self, _: object) -> None:
        self.image_size.setValue(self._session.image_size or 0)

    def _release(self) -> None:
        if isinstance(self._session.inference, ProcessRunner):
            self._session.inference.release()
