"""Tokens played run by run: events painted into a preview layer, and listed."""

import collections
import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QPixmap

from rleseg_core.drawing.palette import label_colour
from rleseg_core.tokens import Event, MaskEnded, RunPainted, Tokenizer

HIGHLIGHT = 255  # label of the run that was painted last
HIGHLIGHT_COLOUR = "#ff00ff"
TO_COME = "#808080"  # text of what is not shown yet; readable on light and dark
FETCH_S = 0.004  # of the viewer's time, for reading ahead, each time it draws
IDLE_S = 0.05


@dataclass(frozen=True, eq=False)
class _Step:
    """What an event does: flat cells of the mask, their labels before and after."""

    event: Event
    cells: np.ndarray
    before: np.ndarray
    after: np.ndarray


class TokenPlayer(QObject):
    """Paints events into a labels layer at a chosen speed, forwards and backwards.

    Events that are recorded, and those that a model is still writing, take the same way: they come
    from an iterable, or by `feed`, and are shown when their time has come.

    Parameters
    ----------
    frame_rate : float
        Most updates a second.
    share : float
        Most of the viewer's time to take, 0 to 1: where drawing is slow, updates become rarer and
        show more runs each.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    speed : float
        Events a second.
    """

    moved = Signal(int)  # the number of events that are shown
    grew = Signal(int)  # the number of events that are known
    playing_changed = Signal(bool)

    def __init__(
        self, *, frame_rate: float = 30, share: float = 0.4, parent: QObject | None = None
    ):
        super().__init__(parent)
        self.speed = 20.0
        self._frame_s, self._share = 1 / frame_rate, share
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tick)
        self._rest_timer = QTimer(self)
        self._rest_timer.setSingleShot(True)
        self._rest_timer.timeout.connect(self._rest)
        self._started = self._due_since = 0.0
        self._playing = False
        self.clear()

    @property
    def playing(self) -> bool:
        """Whether it moves on by itself."""
        return self._playing

    @property
    def position(self) -> int:
        """Events shown."""
        return self._position

    @property
    def n_events(self) -> int:
        """Events known so far."""
        return len(self._steps)

    @property
    def complete(self) -> bool:
        """Whether no more events will come."""
        return self._complete

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What the events are read with."""
        return self._tokenizer

    def event_at(self, index: int) -> Event:
        """An event that is known."""
        return self._steps[index].event

    def tokens(self) -> list[int]:
        """Token ids of all events that are known, in order; without eos."""
        return [
            token
            for step in self._steps
            if not isinstance(step.event, MaskEnded)
            for token in step.event.tokens
        ]

    def clear(self) -> None:
        """Forget everything."""
        self.pause()
        self._timer.stop()
        self._rest_timer.stop()
        self._tokenizer: Tokenizer | None = None
        self._layer: Labels | None = None
        self._steps: list[_Step] = []
        self._source: Iterator[Event] = iter(())
        self._mailbox: collections.deque[Event] = collections.deque()
        self._complete, self._live = True, False
        self._position = 0
        self._due = 0.0
        self.grew.emit(0)
        self.moved.emit(0)

    def load(
        self,
        tokenizer: Tokenizer,
        layer: Labels,
        events: Iterable[Event] = (),
        *,
        live: bool = False,
    ) -> None:
        """Begin anew, paused before the first event.

        Parameters
        ----------
        tokenizer : Tokenizer
            What the events come from.
        layer : Labels
            (N, S, S) uint8; emptied.
        events : iterable of Event
            Taken a few at a time.
        live : bool
            Whether more will come by `feed`, until `finish`.
        """
        self.clear()
        self._tokenizer, self._layer = tokenizer, layer
        self._mask = np.zeros(tokenizer.spec.shape, np.uint8)  # up to the position
        self._front = self._mask.copy()  # up to the last event known
        self._source = iter(events)
        self._complete = False
        self._live = live
        self._show(0)
        self._timer.start(0)

    def feed(self, events: Iterable[Event]) -> None:
        """Append events that were just written."""
        self._mailbox.extend(events)
        self._wake()

    def finish(self) -> None:
        """No more events will be fed."""
        self._live = False
        self._wake()

    def play(self) -> None:
        """Move on; from the beginning if it is at the end."""
        if self._layer is None:
            return
        if self._complete and self._position == len(self._steps):
            self._show(0)
        self._due, self._due_since = 0.0, time.perf_counter()
        self._set_playing(True)
        self._wake()

    def pause(self) -> None:
        """Stay."""
        self._set_playing(False)

    def step(self, n_events: int = 1) -> None:
        """Pause, and show so many events more, or fewer if negative."""
        self.seek(self._position + n_events)

    def seek(self, position: int) -> None:
        """Pause, and show the first `position` events."""
        self.pause()
        self._fetch(position, 0.05)
        self._show(max(0, min(position, len(self._steps))))

    def _set_playing(self, playing: bool) -> None:
        if playing != self._playing:
            self._playing = playing
            self.playing_changed.emit(playing)

    def _wake(self) -> None:
        if self._layer is not None and not self._rest_timer.isActive():
            self._timer.start(0)

    def _tick(self) -> None:
        self._started = time.perf_counter()
        self._fetch(None, FETCH_S)
        if self._playing:
            self._advance()
        self._rest_timer.start(0)  # its turn comes after the viewer has drawn

    def _rest(self) -> None:
        cost = time.perf_counter() - self._started
        if self._playing:
            wait = max(self._frame_s - cost, cost * (1 / self._share - 1))
        elif not self._complete and not self._live:
            wait = max(0.0, cost * (1 / self._share - 1))
        else:
            return  # woken by the next command
        if self._live and self._position == len(self._steps):
            wait = max(wait, IDLE_S)
        self._timer.start(max(1, round(wait * 1000)))

    def _advance(self) -> None:
        now = time.perf_counter()
        self._due += (now - self._due_since) * self.speed
        self._due_since = now
        n_events = int(self._due)
        self._due -= n_events
        left = len(self._steps) - self._position
        if n_events > left:
            self._due = 0.0  # nothing is made up for when more events come
        if n_events:
            self._show(self._position + min(n_events, left))
        if self._complete and self._position == len(self._steps):
            self.pause()

    def _fetch(self, n_events: int | None, seconds: float) -> None:
        """Take events until there are `n_events`, none are left, or the time is over."""
        if self._complete or self._tokenizer is None:
            return
        known, end = len(self._steps), time.perf_counter() + seconds
        while n_events is None or len(self._steps) < n_events:
            event = self._mailbox.popleft() if self._mailbox else next(self._source, None)
            if event is None:
                self._complete = not self._live
                break
            self._steps.append(self._prepare(event))
            if time.perf_counter() > end:
                break
        if len(self._steps) > known:
            self.grew.emit(len(self._steps))

    def _prepare(self, event: Event) -> _Step:
        assert self._tokenizer is not None
        front = self._front.reshape(-1)
        if isinstance(event, RunPainted):
            cells = np.ravel_multi_index(self._tokenizer.run_pixels(event), self._front.shape)
            before = front[cells]
            self._tokenizer.paint(self._front, event)
        else:  # may colour what was painted before
            old = front.copy()
            self._tokenizer.paint(self._front, event)
            cells = np.flatnonzero(front != old)
            before = old[cells]
        return _Step(event, cells, before, front[cells])

    def _show(self, position: int) -> None:
        mask = self._mask.reshape(-1)
        for step in self._steps[self._position : position]:
            mask[step.cells] = step.after
        for step in reversed(self._steps[position : self._position]):
            mask[step.cells] = step.before
        self._position = position
        shown = self._mask.copy()
        if position and isinstance(self._steps[position - 1].event, RunPainted):
            shown.reshape(-1)[self._steps[position - 1].cells] = HIGHLIGHT
        if self._layer is not None:
            where = np.nonzero(self._layer.data != shown)
            if len(where[0]):
                self._layer.data_setitem(where, shown[where])
        self.moved.emit(position)


class TokenList(QAbstractListModel):
    """The events of a player as rows of text: number, what the tokens say, colour of the class.

    Parameters
    ----------
    player : TokenPlayer
        Whose events.
    line_height : int
        Pixels that a line of text takes.
    parent : QObject or None
        Owner.
    """

    def __init__(self, player: TokenPlayer, line_height: int, parent: QObject | None = None):
        super().__init__(parent)
        self._player, self._line_height = player, line_height
        self._n_rows = 0
        player.grew.connect(self._grow)

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Rows: the events that are known."""
        return 0 if parent.isValid() else self._n_rows

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Text or colour of a row; made when it comes into view."""
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
            return QColor(TO_COME)
        return None

    def _text(self, event: Event) -> str:
        if isinstance(event, MaskEnded):
            skipped = f", {event.n_skipped} skipped" if event.n_skipped else ""
            return f"end · {event.n_runs} runs, {event.n_tokens} tokens{skipped}"
        tokenizer = self._player.tokenizer
        assert tokenizer is not None
        number = f"{event.index + 1:>4}   " if isinstance(event, RunPainted) else " " * 7
        said = tokenizer.texts(event)
        return number + ("\n" + " " * len(number)).join(said)  # a line a token: panels are narrow

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
