"""The list of tokens beside an animation: one row for each event."""

import functools

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, QSize, Qt
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QListView, QWidget

from napari_rleseg.player import TokenPlayer
from rleseg_core.drawing.palette import label_colour
from rleseg_core.tokens import Event, MaskEnded, RunPainted

NOT_SHOWN = "#808080"  # text of events that are not shown yet; readable on light and dark


class TokenList(QListView):
    """Lists the events of a player, follows its position, and seeks where it is clicked.

    Parameters
    ----------
    player : TokenPlayer
        Holds the events.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, player: TokenPlayer, parent: QWidget | None = None):
        super().__init__(parent)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.85)
        self.setFont(font)
        self.rows = EventRows(player, self.fontMetrics().lineSpacing() + 5, self)
        self.setModel(self.rows)
        self.setUniformItemSizes(True)
        self.setWordWrap(True)  # or only the first line is drawn
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMinimumHeight(180)
        self.clicked.connect(lambda index: player.seek(index.row() + 1))
        player.moved.connect(self._show_position)

    def _show_position(self, position: int) -> None:
        index = self.rows.index(position - 1) if position else QModelIndex()
        self.setCurrentIndex(index)
        if position:
            self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
        else:
            self.scrollToTop()
        self.viewport().update()  # rows after the position are paler


class EventRows(QAbstractListModel):
    """The events of a player as rows of text: number, meaning of each token, colour of the class.

    Parameters
    ----------
    player : TokenPlayer
        Holds the events.
    line_height : int
        Height of a line of text, in screen pixels.
    parent : QObject or None
        Owner.
    """

    def __init__(self, player: TokenPlayer, line_height: int, parent: QObject | None = None):
        super().__init__(parent)
        self._player, self._line_height = player, line_height
        self._n_rows = 0
        player.grew.connect(self._grow)

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """One row for each event that is known."""
        return 0 if parent.isValid() else self._n_rows

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Text, colour or size of a row, made when the row scrolls into view."""
        if not index.isValid() or index.row() >= self._n_rows:
            return None
        event = self._player.event_at(index.row())
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(event)
        if role == Qt.ItemDataRole.SizeHintRole and self._player.tokenizer is not None:
            return QSize(0, self._player.tokenizer.tokens_per_run * self._line_height)
        if role == Qt.ItemDataRole.DecorationRole and not isinstance(event, MaskEnded):
            assert self._player.tokenizer is not None
            return _swatch(label_colour(event.label, self._player.tokenizer.spec.n_classes))
        if role == Qt.ItemDataRole.ForegroundRole and index.row() >= self._player.position:
            return QColor(NOT_SHOWN)
        return None

    def _text(self, event: Event) -> str:
        if isinstance(event, MaskEnded):
            skipped = f", {event.n_skipped} skipped" if event.n_skipped else ""
            return f"end · {event.n_runs} runs, {event.n_tokens} tokens{skipped}"
        tokenizer = self._player.tokenizer
        assert tokenizer is not None
        number = f"{event.index + 1:>4}   " if isinstance(event, RunPainted) else " " * 7
        texts = tokenizer.texts(event)
        return number + ("\n" + " " * len(number)).join(texts)  # a line a token: panels are narrow

    def _grow(self, n_events: int) -> None:
        if n_events > self._n_rows:
            self.beginInsertRows(QModelIndex(), self._n_rows, n_events - 1)
            self._n_rows = n_events
            self.endInsertRows()
        elif n_events < self._n_rows:
            self.beginResetModel()
            self._n_rows = n_events
            self.endResetModel()


@functools.cache
def _swatch(colour: str) -> QPixmap:
    pixmap = QPixmap(9, 9)
    pixmap.fill(QColor(colour))
    return pixmap
