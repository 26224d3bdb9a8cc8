"""The animation of one window: its tokens, from a model or from masks, played in the viewer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_rleseg import tracing
from napari_rleseg.jobs import InProcessRunner, Runner, show_failure
from napari_rleseg.layers import stack_shape, stack_transform
from napari_rleseg.player import TokenPlayer
from napari_rleseg.preferences import preference
from napari_rleseg.preview import WindowPreview
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from rleseg_core.checkpoints import ModelInfo, build_tokenizer
from rleseg_core.data import Window, plan_windows, resized_shape
from rleseg_core.drawing.animation import FrameWritten
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Event


class Animation(QObject):
    """Fetches the tokens of a window and plays them on the image.

    Parameters
    ----------
    session : Session
        Image, model, and the process that computes.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    player : TokenPlayer
        Plays the window that is shown.
    window : Window or None
        The window that is shown, in resized pixels.
    """

    shown = Signal()  # a window is in the viewer; its tokens follow
    completed = Signal()  # all tokens of the window are known
    exported = Signal(object)  # Path
    progressed = Signal(int, int)  # animation frames written, in all
    stopped = Signal(str)  # 'cancelled', or the message of an error

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self.window: Window | None = None
        self._preview = WindowPreview(session.viewer)
        self._view: tuple[tuple[float, ...], float] | None = None  # before it was zoomed
        self.player = TokenPlayer(
            frame_rate=float(str(preference("animation", "frame_rate"))),
            share=float(str(preference("animation", "load"))) / 100,
            parent=self,
        )
        self._window_spec: WindowSpec | None = None  # with which `window` was planned
        self._model: ModelInfo | None = None  # whose tokens `window` has
        self._hidden: list[Labels] = []
        self._next: Callable[[], None] | None = None  # what was asked for while a job was running
        self._job = ""  # that a runner does for us; see `busy`
        self._runner: Runner | None = None
        self._encoder = InProcessRunner("RLE Seg: encoding masks", self)
        for runner in (session.reading, session.inference, self._encoder):
            self._connect(runner)
        listen(session.viewer.layers.events.removed, self._removed, self)

    @property
    def preview(self) -> Labels | None:
        """The layer of the window that is shown, or None."""
        return self._preview.mask

    @property
    def busy(self) -> str:
        """The running job: 'write' (of the image to disk), 'tokens', 'export', or ''."""
        return self._job

    def windows(self) -> list[Window]:
        """Windows of the frame that is shown, row by row."""
        image, _, spec = self._subject()
        shape = stack_shape(image)
        first = max(0, min(self._frame(image), shape[0] - spec.n_frames))
        frames = (first, min(first + spec.n_frames, shape[0]))
        planned = plan_windows((spec.n_frames, *shape[1:]), spec)
        return [replace(window, frames=frames) for window in planned]

    def window_in_view(self) -> Window:
        """The window whose centre is nearest to the centre of the view."""
        image, _, spec = self._subject()
        shape = stack_shape(image)
        rows, cols = resized_shape(shape, spec)
        world = (
            *self._session.viewer.dims.point[:-2],
            *self._session.viewer.scene.camera.center[-2:],
        )
        row, col = image.world_to_data(world)[-2:]
        row, col = float(row) * rows / shape[1], float(col) * cols / shape[2]

        def distance(window: Window) -> float:
            return abs(sum(window.rows) / 2 - row) + abs(sum(window.cols) / 2 - col)

        return min(self.windows(), key=distance)

    def show(self, window: Window, masks: Labels | None = None, *, device: str = "auto") -> None:
        """Play a window from its first token on.

        Parameters
        ----------
        window : Window
            One of `windows`.
        masks : Labels or None
            Layer whose masks are encoded as tokens; None for the tokens that the model writes,
            live.
        device : str
            Device of the model: 'auto', 'cpu', 'cuda' or 'mps'.

        Raises
        ------
        DataError
            If there is no image or model, the masks do not fit, or another job is running.
        """
        image, model, spec = self._subject()
        session = self._session
        if masks is not None and stack_shape(masks) != stack_shape(image):
            raise DataError(
                f"masks are {stack_shape(masks)}, the image is {stack_shape(image)}; "
                "both must be the same"
            )
        if self._job:  # ours: show the window when it has stopped
            self._next = lambda: self.show(window, masks, device=device)
            self.cancel()
            return
        if masks is None:
            session.check_idle()
        tokenizer = build_tokenizer(model)
        self._model, self._window_spec, self.window = model, spec, window
        transform = _mask_transform(image, window, spec, tokenizer.spec)
        preview = self._preview.show(tokenizer.spec, transform)
        session.viewer.layers.selection.active = image
        self.player.load(tokenizer, preview, live=True)
        self.shown.emit()
        if masks is not None:
            data = masks.data if masks.ndim == 3 else masks.data[None]
            self._run("tokens", self._encoder, tracing.encode, data, window, spec, tokenizer)
        else:
            source = (model.path, device, window, spec)
            self._with_image(
                lambda path: self._run("tokens", session.inference, tracing.trace, path, *source)
            )

    def export(
        self,
        path: Path,
        *,
        fps: int = 20,
        max_seconds: float = 20.0,
        overwrite: bool = False,
    ) -> None:
        """Write the animation of the window that is shown, as GIF or MP4.

        An older animation is replaced only with `overwrite`.

        Raises
        ------
        DataError
            If no window is shown, its tokens are not complete, or another job is running.
        """
        window, spec, model = self.window, self._window_spec, self._model
        tokenizer = self.player.tokenizer if self.player.complete else None
        if window is None or spec is None or model is None or tokenizer is None:
            raise DataError("there is nothing to export yet; play a window, or wait for its tokens")
        session = self._session
        session.check_idle(busy=bool(self._job))
        sequence = tracing.WindowTokens(
            window=window,
            window_spec=spec,
            model=model,
            tokens=tokenizer.with_end(self.player.tokens()),
        )
        limits = {"fps": fps, "max_seconds": max_seconds, "overwrite": overwrite}
        self._with_image(
            lambda images: self._run(
                "export", session.inference, tracing.export, images, sequence, path, **limits
            )
        )

    def cancel(self) -> None:
        """Stop the running job; tokens that have come can be played."""
        if self._runner is not None:
            self._runner.cancel()

    def zoom(self) -> None:
        """Fit the window to the view."""
        if self.preview is not None:
            camera = self._session.viewer.scene.camera
            self._view = self._view or (tuple(camera.center), float(camera.zoom))
            self._session.viewer.fit_to_view(layers=[self.preview])

    def hide_others(self, hidden: bool) -> None:
        """Hide all other masks while a window is shown, or show them again."""
        if hidden and self.preview is not None:
            for layer in self._session.viewer.layers:
                if isinstance(layer, Labels) and not self._preview.owns(layer) and layer.visible:
                    layer.visible = False
                    self._hidden.append(layer)
        elif not hidden:
            for layer in self._hidden:
                layer.visible = True
            self._hidden.clear()

    def close(self) -> None:
        """Hide the window, and restore the view."""
        self.cancel()
        self._forget()

    def _subject(self) -> tuple[Image, ModelInfo, WindowSpec]:
        session = self._session
        image, model, spec = session.needed_image(), session.model, session.window_spec
        if model is None or spec is None:
            raise DataError("no model is chosen; choose one in the Segment tab")
        return image, model, spec

    def _frame(self, image: Image) -> int:
        if image.ndim - (1 if image.rgb else 0) < 3 and image.ndim < 3:
            return 0
        frame = round(float(image.world_to_data(self._session.viewer.dims.point)[0]))
        return max(0, min(frame, stack_shape(image)[0] - 1))

    def _with_image(self, then: Callable[[Path], None]) -> None:
        session = self._session
        assert session.image is not None
        self._job, self._runner = "write", session.reading
        session.when_on_disk(session.image, then)

    def _run(self, job: str, runner: Runner, *arguments: object, **options: object) -> None:
        self._job, self._runner = job, runner
        runner.start(*arguments, **options)  # type: ignore[arg-type]

    def _connect(self, runner: Runner) -> None:
        runner.reported.connect(lambda reports: self._report(runner, reports))
        runner.finished.connect(lambda product: self._finish(runner, product))
        runner.failed.connect(lambda sentence, details: self._fail(runner, sentence, details))
        runner.cancelled.connect(lambda: self._stop(runner))

    def _report(self, runner: Runner, reports: list[Event | FrameWritten]) -> None:
        if runner is not self._runner:
            return
        if self._job == "tokens":
            self.player.feed(reports)  # type: ignore[arg-type]
        elif self._job == "export" and isinstance(reports[-1], FrameWritten):
            self.progressed.emit(reports[-1].n_done, reports[-1].n_frames)

    def _finish(self, runner: Runner, product: object) -> None:
        if runner is not self._runner or self._job == "write":
            return
        job, self._job, self._runner = self._job, "", None
        if job == "tokens":
            self.player.finish()
            self.completed.emit()
        else:
            self.exported.emit(product)
        self._show_next()

    def _stop(self, runner: Runner) -> None:
        if runner is self._runner:
            self._end("cancelled")

    def _fail(self, runner: Runner, sentence: str, details: str) -> None:
        if runner is self._runner:
            self._end(sentence)
            show_failure(sentence, details)

    def _end(self, why: str) -> None:
        self._job, self._runner = "", None
        self.player.finish()
        self.stopped.emit(why)
        self._show_next()

    def _show_next(self) -> None:
        wanted, self._next = self._next, None
        if wanted is not None:
            try:
                wanted()
            except DataError as error:
                self._end(str(error))
                show_failure(str(error), "")

    def _removed(self, event: object) -> None:
        layer = getattr(event, "value", None)
        ends = layer is not None and layer is self.preview
        if layer is not None:
            self._preview.forget(layer)
        if ends:
            self._forget()

    def _forget(self) -> None:
        self.player.clear()
        self.hide_others(False)
        self._preview.hide()
        self.window = None
        if self._view is not None:
            camera = self._session.viewer.scene.camera
            camera.center, camera.zoom = self._view
            self._view = None


def _mask_transform(
    image: Image, window: Window, spec: WindowSpec, mask_spec: MaskSpec
) -> dict[str, tuple]:
    """Scale, translation and units that put the mask pixels of a window onto the image."""
    shape, transform = stack_shape(image), stack_transform(image)
    scale, shift = list(transform["scale"]), list(transform["translate"])
    shift[0] += window.frames[0] * scale[0]
    sides = zip((1, 2), resized_shape(shape, spec), (window.rows, window.cols), strict=True)
    for axis, n_resized, (first, _) in sides:
        source = shape[axis] / n_resized  # source pixels per resized pixel
        side = source * spec.patch / mask_spec.size[axis - 1]  # of a mask pixel, in source pixels
        shift[axis] += scale[axis] * (first * source - 0.5 + side / 2)
        scale[axis] *= side
    return {"scale": tuple(scale), "translate": tuple(shift), "units": transform["units"]}
