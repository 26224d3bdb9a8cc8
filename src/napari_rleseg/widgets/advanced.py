"""The settings of a segmentation that few people change."""

from pathlib import Path

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_rleseg.jobs import ProcessRunner, Runner
from napari_rleseg.preferences import preference
from napari_rleseg.tasks import SegmentSettings
from napari_rleseg.widgets.controls import Folded, form_layout, image_size_box


class AdvancedSettings(QWidget):
    """Device, stitching, sampling, batch and image size, folded away until asked for.

    Parameters
    ----------
    runner : Runner
        Whose memory "Release memory" gives back.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, runner: Runner, parent: QWidget | None = None):
        super().__init__(parent)
        self._runner = runner
        self.device = QComboBox()
        self.device.addItems(["auto", "cpu", "cuda", "mps"])
        self.device.setCurrentText(str(preference("inference", "device")))
        self.stitch = QComboBox()
        self.stitch.addItem("nearest window centre wins", "centre")
        self.stitch.addItem("later window wins", "last")
        self.stitch.addItem("windows vote", "vote")
        self.stitch.setToolTip("What counts where windows overlap")
        self.sampling = QComboBox()
        self.sampling.addItems(["likeliest token", "nucleus sampling"])
        self.top_p = QDoubleSpinBox(minimum=0.05, maximum=1.0, value=0.4, singleStep=0.05)
        self.top_p.setToolTip("Probability that the tokens drawn from have together")
        self.top_p.setEnabled(False)
        self.sampling.currentIndexChanged.connect(self._enable_top_p)
        self.batch_size = QSpinBox(minimum=0, maximum=256, specialValueText="automatic")
        self.batch_size.setToolTip("Windows computed at once; halved by itself when memory is full")
        self.batch_size.setValue(int(str(preference("inference", "batch_size"))))
        self.image_size = image_size_box()
        self.release = QPushButton("Release memory")
        self.release.setToolTip("End the process that keeps the model loaded")
        self.release.clicked.connect(self._release)
        self._lay_out()

    def settings(self, model: Path) -> SegmentSettings:
        """What the controls say, for a model file."""
        return SegmentSettings(
            model=model,
            device=self.device.currentText(),
            stitch=self.stitch.currentData(),
            top_p=self.top_p.value() if self.sampling.currentIndex() else None,
            batch_size=self.batch_size.value() or None,
            image_size=self.image_size.value() or None,
        )

    def _lay_out(self) -> None:
        inner = QWidget()
        form = form_layout(inner)
        form.addRow("Device", self.device)
        form.addRow("Overlaps", self.stitch)
        form.addRow("Choose", self.sampling)
        form.addRow("Nucleus", self.top_p)
        form.addRow("Batch", self.batch_size)
        form.addRow("Image size", self.image_size)
        form.addRow(self.release)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Folded("Advanced settings", inner))

    def _enable_top_p(self, index: int) -> None:
        self.top_p.setEnabled(index > 0)

    def _release(self) -> None:
        if isinstance(self._runner, ProcessRunner):
            self._runner.release()
