"""Controls of a token player: play, step, scrub, speed, and the list of tokens."""

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_rleseg.player import HIGHLIGHT_COLOUR, TokenPlayer
from napari_rleseg.widgets.token_list import TokenList

FASTEST = 1000  # events per second
SPEED_STEPS = 120  # of the slider, which is logarithmic


class PlaybackControls(QWidget):
    """Plays, pauses and steps a player, and shows where it is.

    Parameters
    ----------
    player : TokenPlayer
        What is controlled.
    start : callable
        Called when Play is pressed and the player holds nothing.
    parent : QWidget or None
        Owner.
    """

    def __init__(
        self, player: TokenPlayer, start: Callable[[], None], parent: QWidget | None = None
    ):
        super().__init__(parent)
        self._player, self._start = player, start
        self.play_button = QPushButton("Play")
        self.back_button, self.step_button = QPushButton("◀"), QPushButton("▶")
        self.scrubber = QSlider(Qt.Orientation.Horizontal)
        self.speed = QSlider(Qt.Orientation.Horizontal)
        self.speed.setRange(0, SPEED_STEPS)
        self._speed_text, self._position_text = QLabel(), QLabel()
        self.tokens = TokenList(player)
        self._lay_out()
        self.play_button.clicked.connect(self._press_play)
        self.step_button.clicked.connect(lambda: player.step(1))
        self.back_button.clicked.connect(lambda: player.step(-1))
        self.scrubber.valueChanged.connect(player.seek)
        self.speed.valueChanged.connect(self._set_speed)
        player.moved.connect(self._show_position)
        player.grew.connect(self._show_length)
        player.playing_changed.connect(self._show_state)
        self.speed.setValue(round(SPEED_STEPS * 0.45))
        self._show_position(0)
        self._show_state()

    def _lay_out(self) -> None:
        for button, tip in (
            (self.back_button, "Go back by one run"),
            (self.step_button, "Show the next run"),
        ):
            button.setToolTip(tip)
            button.setMaximumWidth(48)
        self.scrubber.setToolTip("Position in the sequence, in runs")
        self.speed.setToolTip(f"Runs per second, 1 to {FASTEST}")
        steps, speed = QHBoxLayout(), QHBoxLayout()
        for part in (self.back_button, self.play_button, self.step_button):
            steps.addWidget(part)
        for part in (QLabel("Speed"), self.speed, self._speed_text):
            speed.addWidget(part)
        legend = QLabel(  # text of ours, with a colour: no name that Qt could take for HTML
            f'the most recent run is shown in <span style="color:{HIGHLIGHT_COLOUR}">■</span>'
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(steps)
        layout.addWidget(self.scrubber)
        layout.addLayout(speed)
        layout.addWidget(self._position_text)
        layout.addWidget(self.tokens, 1)
        layout.addWidget(legend)

    def _press_play(self) -> None:
        if self._player.playing:
            self._player.pause()
        elif self._player.tokenizer is None:
            self._start()
        else:
            self._player.play()

    def _set_speed(self, value: int) -> None:
        self._player.speed = FASTEST ** (value / SPEED_STEPS)
        self._speed_text.setText(f"{self._player.speed:.0f} runs/s")

    def _show_position(self, position: int) -> None:
        self.scrubber.blockSignals(True)
        self.scrubber.setValue(position)
        self.scrubber.blockSignals(False)
        self._position_text.setText(f"{position} of {self._player.n_events} events")

    def _show_length(self, n_events: int) -> None:
        self.scrubber.blockSignals(True)
        self.scrubber.setMaximum(n_events)
        self.scrubber.blockSignals(False)
        self._position_text.setText(f"{self._player.position} of {n_events} events")
        self._show_state()

    def _show_state(self, _: object = None) -> None:
        self.play_button.setText("Pause" if self._player.playing else "Play")
        loaded = self._player.tokenizer is not None
        for control in (self.step_button, self.back_button, self.scrubber):
            control.setEnabled(loaded)
