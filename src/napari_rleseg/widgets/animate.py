"""The panel that shows how a mask is written, token by token."""

from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.animation import Animation
from napari_rleseg.preferences import preference
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.widgets.choosers import LayerBox, ModelBox
from napari_rleseg.widgets.controls import form_layout, narrow, text_label
from napari_rleseg.widgets.playback import PlaybackControls
from rleseg_core.data import Window
from rleseg_core.errors import DataError, RlesegError

IN_VIEW = "In the middle of the view"
WAITING = "Waiting for the first token…"


class AnimateWidget(QWidget):
    """Plays the tokens of a window of the session's image: patch, mask and token list.

    Parameters
    ----------
    session : Session
        Image, model and viewer.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.animation = Animation(session, self)
        self.player = self.animation.player
        self.source = LayerBox(session.viewer, Labels, none="The model, as it writes")
        self.source.setToolTip("Tokens that the model generates, or those that encode a layer")
        self.model = ModelBox(session)
        self.window_box = narrow(QComboBox())
        self.window_box.setToolTip("Windows of the current frame, in pixels of the resized frame")
        self.load_button = QPushButton("Show tokens")
        self.zoom_box = QCheckBox("Zoom in")
        self.zoom_box.setToolTip("Fit the window to the view")
        self.hide_box = QCheckBox("Hide masks")
        self.hide_box.setToolTip("Hide all other masks while a window is shown")
        for box in (self.zoom_box, self.hide_box):
            box.setChecked(True)
        self.playback = PlaybackControls(self.player, self.start)
        self.export_button = QPushButton("Export GIF or MP4…")
        self.close_button = QPushButton("Close")
        self.close_button.setToolTip("Hide the window and restore the view")
        self.progress = QProgressBar()
        self.status = text_label()
        self._lay_out()
        self._connect()
        self._show_windows()
        self._show_state()

    def start(self) -> None:
        """Fetch the tokens of the chosen window and play them; errors appear in the status line."""
        try:
            window = self.window_box.currentData()
            if not isinstance(window, Window):
                window = self.animation.window_in_view()
            masks = self.source.layer
            device = str(preference("inference", "device"))
            self.animation.show(window, masks if isinstance(masks, Labels) else None, device=device)
        except RlesegError as error:
            self.status.setText(str(error))

    def export(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the animation of the current window to a GIF or MP4 file."""
        try:
            self.animation.export(Path(path), overwrite=overwrite)
        except RlesegError as error:
            self.status.setText(str(error))
        self._show_state()

    def _lay_out(self) -> None:
        form = form_layout()
        form.addRow("Tokens of", self.source)
        form.addRow("Model", self.model)
        form.addRow("Window", self.window_box)
        boxes, last = QHBoxLayout(), QHBoxLayout()
        for line, parts in (
            (boxes, (self.zoom_box, self.hide_box)),
            (last, (self.export_button, self.close_button)),
        ):
            for part in parts:
                line.addWidget(part)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(boxes)
        layout.addWidget(self.load_button)
        layout.addWidget(self.playback, 1)
        layout.addLayout(last)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)

    def _connect(self) -> None:
        animation = self.animation
        self.load_button.clicked.connect(self._press_load)
        self.export_button.clicked.connect(self._press_export)
        self.close_button.clicked.connect(animation.close)
        self.hide_box.toggled.connect(animation.hide_others)
        self.model.chosen.connect(self._choose_model)
        self.player.grew.connect(self._show_length)
        animation.shown.connect(self._show_window)
        animation.completed.connect(self._show_state)
        animation.exported.connect(self._show_exported)
        animation.progressed.connect(self._show_progress)
        animation.stopped.connect(self._show_stopped)
        listen(self._session.image_changed, self._show_windows, self)
        listen(self._session.window_spec_changed, self._show_windows, self)
        listen(self._session.viewer.dims.events.current_step, self._show_windows, self)

    def _press_load(self) -> None:
        if self.animation.busy:
            self.animation.cancel()
        else:
            self.start()

    def _press_export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export the animation", "tokens.gif", "Animations (*.gif *.mp4)"
        )
        if name:
            self.export(name, overwrite=True)  # the dialog has asked

    def _choose_model(self, _: object) -> None:
        self._session.model = self.model.model

    def _show_windows(self, _: object = None) -> None:
        chosen = self.window_box.currentIndex()
        self.window_box.clear()
        self.window_box.addItem(IN_VIEW, None)
        try:
            windows = self.animation.windows()
        except DataError:
            return
        for window in windows:
            (top, bottom), (left, right) = window.rows, window.cols
            text = f"rows {top}–{bottom}, cols {left}–{right}"  # the panel is narrow
            self.window_box.addItem(text, window)
            first, last = window.frames[0], window.frames[1] - 1
            frames = f"frame {first}" if first == last else f"frames {first}–{last}"
            tip = f"{frames}, {text}, in pixels of the resized frame"
            self.window_box.setItemData(
                self.window_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole
            )
        self.window_box.setCurrentIndex(chosen if 0 < chosen <= len(windows) else 0)

    def _show_window(self) -> None:
        if self.zoom_box.isChecked():
            self.animation.zoom()
        if self.hide_box.isChecked():
            self.animation.hide_others(True)
        self.status.setText(WAITING)
        self.player.play()
        self._show_state()

    def _show_length(self, n_events: int) -> None:
        if n_events and self.status.text() == WAITING:
            self.status.setText("")
        if not n_events:
            self._show_state()

    def _show_progress(self, n_done: int, n_frames: int) -> None:
        self.progress.setRange(0, n_frames)
        self.progress.setValue(n_done)

    def _show_exported(self, path: object) -> None:
        self.status.setText(f"Written to {path}")
        self._show_state()

    def _show_stopped(self, reason: str) -> None:
        self.status.setText("" if reason == "cancelled" else reason)
        self._show_state()

    def _show_state(self, _: object = None) -> None:
        busy, loaded = self.animation.busy, self.player.tokenizer is not None
        self.load_button.setText("Cancel" if busy else "Show tokens")
        self.close_button.setEnabled(loaded)
        self.export_button.setEnabled(loaded and not busy)
        self.progress.setVisible(busy == "export")
