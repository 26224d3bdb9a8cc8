"""The panel that shows how a mask is written, token by token."""

from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListView,
    QProgressBar,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.animation import Animation
from napari_rleseg.player import HIGHLIGHT_COLOUR, TokenList
from napari_rleseg.preferences import preference
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.widgets.choosers import LayerBox, ModelBox
from napari_rleseg.widgets.controls import form_layout, narrow, text_label
from rleseg_core.data import Window
from rleseg_core.errors import DataError, RlesegError

FASTEST = 1000  # events a second
STEPS = 120  # of the speed's slider, which is logarithmic
IN_VIEW = "In the middle of the view"
WAITING = "Waiting for the first token…"


class AnimateWidget(QWidget):
    """Plays the tokens of a window of the session's image: patch, mask and token list.

    Parameters
    ----------
    session : Session
        What the viewer works on.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.animation = Animation(session, self)
        self.player = self.animation.player
        self.source = LayerBox(session.viewer, Labels, none="The model, as it writes")
        self.model = ModelBox(session)
        self.window_box = narrow(QComboBox())
        self.load_button = QPushButton("Show tokens")
        self.zoom_box = QCheckBox("Zoom in")
        self.hide_box = QCheckBox("Hide masks")
        for box in (self.zoom_box, self.hide_box):
            box.setChecked(True)
        self.play_button = QPushButton("Play")
        self.back_button, self.step_button = QPushButton("◀"), QPushButton("▶")
        self.scrubber = QSlider(Qt.Orientation.Horizontal)
        self.speed = QSlider(Qt.Orientation.Horizontal)
        self.speed.setRange(0, STEPS)
        self._speed_text, self._position_text = QLabel(), QLabel()
        self.tokens = QListView()
        font = self.tokens.font()
        font.setPointSizeF(font.pointSizeF() * 0.85)
        self.tokens.setFont(font)
        self._rows = TokenList(self.player, self.tokens.fontMetrics().lineSpacing() + 5, self)
        self.export_button = QPushButton("Export GIF or MP4…")
        self.close_button = QPushButton("Close")
        self.progress = QProgressBar()
        self.status = text_label()
        self._lay_out()
        self._connect()
        self.speed.setValue(round(STEPS * 0.45))
        self._show_windows()
        self._show_position(0)
        self._show_state()

    def start(self) -> None:
        """Fetch the tokens of the chosen window and play them; what stands against it is told."""
        try:
            window = self.window_box.currentData()
            if not isinstance(window, Window):
                window = self.animation.window_in_view()
            masks = self.source.layer
            device = str(preference("inference", "device"))
            self.animation.show(window, masks if isinstance(masks, Labels) else None, device=device)
        except RlesegError as error:
            self._tell(error)

    def export(self, path: str | Path) -> None:
        """Write the film of the window that is shown."""
        try:
            self.animation.export(Path(path))
        except RlesegError as error:
            self._tell(error)
        self._show_state()

    def _lay_out(self) -> None:
        form = form_layout()
        form.addRow("Tokens of", self.source)
        form.addRow("Model", self.model)
        form.addRow("Window", self.window_box)
        boxes, steps, speed, last = QHBoxLayout(), QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for line, parts in (
            (boxes, (self.zoom_box, self.hide_box)),
            (steps, (self.back_button, self.play_button, self.step_button)),
            (speed, (QLabel("Speed"), self.speed, self._speed_text)),
            (last, (self.export_button, self.close_button)),
        ):
            for part in parts:
                line.addWidget(part)
        for button, tip in (
            (self.back_button, "Take the last run back"),
            (self.step_button, "Write the next run"),
        ):
            button.setToolTip(tip)
            button.setMaximumWidth(48)
        self.tokens.setModel(self._rows)
        self.tokens.setUniformItemSizes(True)
        self.tokens.setWordWrap(True)  # or only the first line is drawn
        self.tokens.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.tokens.setMinimumHeight(180)
        self._marker = text_label()
        self._marker.setText(
            f'the run written last is <span style="color:{HIGHLIGHT_COLOUR}">■</span>'
        )
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(boxes)
        layout.addWidget(self.load_button)
        layout.addLayout(steps)
        layout.addWidget(self.scrubber)
        layout.addLayout(speed)
        layout.addWidget(self._position_text)
        layout.addWidget(self.tokens, 1)
        layout.addWidget(self._marker)
        layout.addLayout(last)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)

    def _connect(self) -> None:
        player, animation = self.player, self.animation
        self.load_button.clicked.connect(self._press_load)
        self.play_button.clicked.connect(self._press_play)
        self.step_button.clicked.connect(lambda: player.step(1))
        self.back_button.clicked.connect(lambda: player.step(-1))
        self.scrubber.valueChanged.connect(player.seek)
        self.speed.valueChanged.connect(self._set_speed)
        self.tokens.clicked.connect(lambda index: player.seek(index.row() + 1))
        self.export_button.clicked.connect(self._press_export)
        self.close_button.clicked.connect(animation.close)
        self.hide_box.toggled.connect(animation.hide_others)
        self.model.chosen.connect(self._choose_model)
        player.moved.connect(self._show_position)
        player.grew.connect(self._show_length)
        player.playing_changed.connect(self._show_state)
        animation.shown.connect(self._show_window)
        animation.completed.connect(self._show_state)
        animation.exported.connect(self._show_exported)
        animation.progressed.connect(self._show_progress)
        animation.stopped.connect(self._show_stopped)
        listen(self._session.image_changed, self._show_windows, self)
        listen(self._session.model_changed, self._show_windows, self)
        listen(self._session.viewer.dims.events.current_step, self._show_windows, self)

    def _tell(self, error: RlesegError) -> None:
        self.status.setText(str(error))

    def _press_load(self) -> None:
        if self.animation.busy:
            self.animation.cancel()
        else:
            self.start()

    def _press_play(self) -> None:
        if self.player.playing:
            self.player.pause()
        elif self.player.tokenizer is None:
            self.start()
        else:
            self.player.play()

    def _press_export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export the animation", "tokens.gif", "Animations (*.gif *.mp4)"
        )
        if name:
            self.export(name)

    def _set_speed(self, value: int) -> None:
        self.player.speed = FASTEST ** (value / STEPS)
        self._speed_text.setText(f"{self.player.speed:.0f} runs/s")

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
            text = f"frame {window.frames[0]}, rows {top}–{bottom}, columns {left}–{right}"
            self.window_box.addItem(text, window)
        self.window_box.setCurrentIndex(chosen if 0 < chosen <= len(windows) else 0)

    def _show_window(self) -> None:
        if self.zoom_box.isChecked():
            self.animation.zoom()
        if self.hide_box.isChecked():
            self.animation.hide_others(True)
        self.status.setText(WAITING)
        self.player.play()
        self._show_state()

    def _show_position(self, position: int) -> None:
        self.scrubber.blockSignals(True)
        self.scrubber.setValue(position)
        self.scrubber.blockSignals(False)
        self._position_text.setText(f"{position} of {self.player.n_events} events")
        index = self._rows.index(position - 1) if position else QModelIndex()
        self.tokens.setCurrentIndex(index)
        if position:
            self.tokens.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
        else:
            self.tokens.scrollToTop()
        self.tokens.viewport().update()  # rows to come are paler

    def _show_length(self, n_events: int) -> None:
        self.scrubber.blockSignals(True)
        self.scrubber.setMaximum(n_events)
        self.scrubber.blockSignals(False)
        self._position_text.setText(f"{self.player.position} of {n_events} events")
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

    def _show_stopped(self, why: str) -> None:
        self.status.setText("" if why == "cancelled" else why)
        self._show_state()

    def _show_state(self, _: object = None) -> None:
        busy, loaded = self.animation.busy, self.player.tokenizer is not None
        self.load_button.setText("Cancel" if busy else "Show tokens")
        self.play_button.setText("Pause" if self.player.playing else "Play")
        for button in (self.step_button, self.back_button, self.scrubber, self.close_button):
            button.setEnabled(loaded)
        self.export_button.setEnabled(loaded and not busy)
        self.progress.setVisible(busy == "film")
