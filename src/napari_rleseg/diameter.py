"""The diameter of the objects of a session: estimated by a model, or drawn by hand."""

import functools
from collections.abc import Generator
from pathlib import Path

import numpy as np
from napari.layers import Image, Layer, Shapes
from qtpy.QtCore import QObject, Signal

from napari_rleseg.calibration import NOTES
from napari_rleseg.jobs import Runner, show_failure
from napari_rleseg.layers import current_frame
from napari_rleseg.player import HIGHLIGHT_COLOUR
from napari_rleseg.session import Session
from napari_rleseg.tasks import SegmentSettings
from rleseg_core.objects.scale import DiameterEstimate

CIRCLE = "diameter"
LEAST = 2.0  # pixels; a shorter line is a click


class DiameterEstimation(QObject):
    """Runs `tasks.estimate_diameter` in the process that segments, and sets the diameter.

    Parameters
    ----------
    session : Session
        Its diameter is set.
    parent : QObject or None
        Owner.
    """

    started = Signal()
    told = Signal(str)  # what is done, and in the end what came of it
    stopped = Signal()

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self._runner: Runner | None = None  # the one that runs our job
        for runner in (session.reading, session.inference):
            runner.cancelled.connect(functools.partial(self._cancelled, runner))
            runner.failed.connect(functools.partial(self._fail, runner))
        session.inference.reported.connect(self._report)
        session.inference.finished.connect(self._finish)

    @property
    def running(self) -> bool:
        """Whether an estimate is made."""
        return self._runner is not None

    def start(self, settings: SegmentSettings) -> None:
        """Estimate the diameter of the objects of the session's image.

        Raises
        ------
        DataError
            If there is no image, or another job is running.
        """
        session = self._session
        image = session.needed_image()
        session.check_idle(busy=self.running)
        self._runner = session.reading
        self.started.emit()
        session.when_on_disk(image, lambda images: self._estimate(images, settings))

    def cancel(self) -> None:
        """Give the estimate up."""
        if self._runner is not None:
            self._session.reading.cancel()
            self._session.inference.cancel()

    def _estimate(self, images: Path, settings: SegmentSettings) -> None:
        inference = self._session.inference
        if self._runner is None or inference.busy:
            self._end("Another job is running; try again when it has ended")
            return
        self._runner = inference
        inference.start("napari_rleseg.tasks:estimate_diameter", images, settings)

    def _report(self, reports: list[object]) -> None:
        if self._runner is self._session.inference:
            self.told.emit(str(reports[-1]))

    def _finish(self, product: object) -> None:
        if self._runner is not self._session.inference:
            return
        assert isinstance(product, DiameterEstimate)
        if product.diameter is None:
            self._end("No object looks like those that the model knows; draw a diameter")
            return
        self._session.diameter = round(product.diameter, 1)
        self._end(f"Objects are about {product.diameter:.3g} px wide")

    def _cancelled(self, runner: Runner) -> None:
        if runner is self._runner:
            self._end("Cancelled")

    def _fail(self, runner: Runner, sentence: str, details: str) -> None:
        if runner is self._runner:
            self._end("No diameter was estimated")
            show_failure(sentence, details)

    def _end(self, sentence: str) -> None:
        self._runner = None
        self.told.emit(sentence)
        self.stopped.emit()


class DiameterDrawing(QObject):
    """Measures an object by a line that is dragged across it.

    While it is on, the mouse neither moves the view nor chooses objects, and a circle shows the
    line. That layer is kept, hidden: napari 0.9.2 can crash after layers were removed.

    Parameters
    ----------
    session : Session
        Its diameter is set.
    parent : QObject or None
        Owner.
    """

    stopped = Signal()  # drawn, or given up

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self._image: Image | None = None
        self._before: tuple[Layer | None, bool] = (None, True)
        self._circle: Shapes | None = None

    @property
    def on(self) -> bool:
        """Whether the mouse draws."""
        return self._image is not None

    def start(self) -> None:
        """Let the mouse draw on the session's image.

        Raises
        ------
        DataError
            If there is no image.
        """
        viewer, image = self._session.viewer, self._session.needed_image()
        if self.on:
            return
        self._image = image
        active = viewer.layers.selection.active
        image.visible = True
        viewer.layers.selection.active = image  # a brush would paint
        self._before = (active, viewer.scene.camera.mouse_pan)
        viewer.scene.camera.mouse_pan = False
        viewer.mouse_drag_callbacks.append(self._drag)
        self._session.objects.picks = False

    def stop(self) -> None:
        """Give the mouse back."""
        if not self.on:
            return
        viewer, (active, pans) = self._session.viewer, self._before
        self._image = None
        viewer.mouse_drag_callbacks.remove(self._drag)
        if active in viewer.layers:
            viewer.layers.selection.active = active
        viewer.scene.camera.mouse_pan = pans
        self._session.objects.picks = True
        if self._circle is not None and self._circle in viewer.layers:
            self._circle.visible = False
        self.stopped.emit()

    def _drag(self, viewer: object, event: object) -> Generator[None, None, None]:
        image = self._image
        if image is None:
            return
        first = self._place(event)
        length = 0.0
        yield
        while event.type == "mouse_move":  # type: ignore[attr-defined]
            last = self._place(event)
            length = float(np.hypot(*(last - first)))
            self._show_circle((first + last) / 2, length / 2)
            yield
        if length >= LEAST and self.on:
            self._session.diameter = round(length, 1)
        self.stop()

    def _place(self, event: object) -> np.ndarray:
        """Row and column of the mouse, in pixels of the image."""
        assert self._image is not None
        position = event.position  # type: ignore[attr-defined]
        return np.array(self._image.world_to_data(position)[-2:], float)

    def _show_circle(self, centre: np.ndarray, radius: float) -> None:
        image, viewer = self._image, self._session.viewer
        assert image is not None
        corners = centre + radius * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        if image.ndim == 3:
            corners = np.insert(corners, 0, current_frame(viewer, image), axis=1)
        circle = self._circle
        if circle is None or circle not in viewer.layers or circle.ndim != image.ndim:
            circle = self._circle = viewer.add_shapes(
                name=CIRCLE, ndim=image.ndim, metadata={NOTES: {"preview": True}}
            )
            viewer.layers.selection.active = image
            viewer.scene.camera.mouse_pan = False
        circle.scale, circle.translate, circle.units = image.scale, image.translate, image.units
        circle.data = []
        circle.add_ellipses(
            corners,
            edge_color=HIGHLIGHT_COLOUR,
            face_color="transparent",
            edge_width=max(1.0, radius / 20),
        )
        circle.visible = True
