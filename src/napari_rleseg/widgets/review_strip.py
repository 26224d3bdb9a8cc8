"""A bar with the review state of every frame; a click goes to a frame."""

from collections.abc import Collection

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

TO_REVIEW, EDITED, ACCEPTED = (112, 118, 128), (230, 159, 0), (0, 158, 115)
HEIGHT = 16


class ReviewStrip(QWidget):
    """One colour per frame: grey to review, orange corrected, green accepted."""

    clicked = Signal(int)  # frame

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self._colours = np.zeros((1, 0, 3), np.uint8)
        self._frame = 0
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "grey: to review · orange: corrected · green: accepted\nclick to go to a frame"
        )

    @property
    def n_frames(self) -> int:
        """Frames shown."""
        return int(self._colours.shape[1])

    def show_states(
        self, n_frames: int, edited: Collection[int], accepted: Collection[int], frame: int
    ) -> None:
        """Show which frames were changed and accepted, and mark the one that is shown."""
        colours = np.empty((1, n_frames, 3), np.uint8)
        colours[:] = TO_REVIEW
        colours[0, list(edited)] = EDITED
        colours[0, list(accepted)] = ACCEPTED
        self._colours, self._frame = colours, frame
        self.update()

    def mark(self, frame: int) -> None:
        """Mark the frame that is shown."""
        self._frame = frame
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw one tick a frame."""
        n_frames = self.n_frames
        if not n_frames:
            return
        painter = QPainter(self)
        data = self._colours.tobytes()
        image = QImage(data, n_frames, 1, 3 * n_frames, QImage.Format.Format_RGB888)
        painter.drawImage(self.rect(), image)
        width = self.width() / n_frames
        if width >= 4:  # room for lines between the frames
            painter.setPen(self.palette().window().color())
            for frame in range(1, n_frames):
                painter.drawLine(round(frame * width), 0, round(frame * width), HEIGHT)
        painter.setPen(QColor("white"))
        left = round(self._frame * width)
        painter.drawRect(left, 0, max(2, round(width) - 1), HEIGHT - 1)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the frame under the cursor."""
        if self.n_frames and event.button() == Qt.MouseButton.LeftButton:
            frame = int(event.pos().x() / max(1, self.width()) * self.n_frames)
            self.clicked.emit(max(0, min(frame, self.n_frames - 1)))
