"""Tokens played run by run: events painted into a preview layer at a chosen speed."""

import collections
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from rleseg_core.tokens import Event, MaskEnded, RunPainted, Tokenizer

HIGHLIGHT = 255  # label of the run that was painted last
HIGHLIGHT_COLOUR = "#ff00ff"
FETCH_S = 0.004  # seconds of reading ahead in one turn of the event loop
MAX_STEPS = 4000  # events that a seek shows or takes back in one turn, some milliseconds
IDLE_S = 0.05  # between two looks for events that a model is still writing


@dataclass(frozen=True, eq=False)
class _Step:
    """What an event does: flat indices of mask pixels, and their labels before and after."""

    event: Event
    pixels: np.ndarray
    before: np.ndarray
    after: np.ndarray


class TokenPlayer(QObject):
    """Paints events into a labels layer at a chosen speed, forwards and backwards.

    Recorded events come from an iterable, and those that a model is still writing come by `feed`;
    both are read ahead, and shown when they are due.

    Parameters
    ----------
    frame_rate : float
        Updates per second, at most.
    share : float
        Share of the viewer's time to take at most, 0 to 1: where drawing is slow, updates become
        rarer and show more runs each.
    clock : callable
        Time in seconds.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    speed : float
        Events per second.
    """

    moved = Signal(int)  # number of events that are shown
    grew = Signal(int)  # number of events that are known
    playing_changed = Signal(bool)

    def __init__(
        self,
        *,
        frame_rate: float = 30,
        share: float = 0.4,
        clock: Callable[[], float] = time.perf_counter,
        parent: QObject | None = None,
    ):
        super().__init__(parent)
        self.speed = 20.0
        self._clock = clock
        self._target: int | None = None  # events that a seek is to show
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
        """Whether it plays."""
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
        """Tokenizer of the events; None when nothing is loaded."""
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
        """Load a new sequence, paused before the first event.

        Parameters
        ----------
        tokenizer : Tokenizer
            Tokenizer of the events.
        layer : Labels
            (N, S, S) uint8; it is cleared.
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
        """Play on; from the beginning if it is at the end."""
        if self._layer is None:
            return
        if self._complete and self._position == len(self._steps):
            self._show(0)
        self._target = None
        self._due, self._due_since = 0.0, self._clock()
        self._set_playing(True)
        self._wake()

    def pause(self) -> None:
        """Stop where it is, also on the way to where a seek was to go."""
        self._target = None
        self._set_playing(False)

    def step(self, n_events: int = 1) -> None:
        """Pause, and show `n_events` more events, or fewer if negative."""
        self.seek(self._position + n_events)

    def seek(self, position: int) -> None:
        """Pause, and show the first `position` events.

        A far position is reached within several turns of the event loop. Events that a model has
        still to write are waited for, until another command comes.
        """
        self.pause()
        if self._layer is None:
            return
        self._target = max(0, position)
        self._fetch(self._target, FETCH_S)
        self._approach()
        if self._target is not None:
            self._wake()

    def _set_playing(self, playing: bool) -> None:
        if playing != self._playing:
            self._playing = playing
            self.playing_changed.emit(playing)

    def _wake(self) -> None:
        if self._layer is not None and not self._rest_timer.isActive():
            self._timer.start(0)

    def _tick(self) -> None:
        self._started = self._clock()
        self._fetch(None, FETCH_S)
        if self._target is not None:
            self._approach()
        elif self._playing:
            self._advance()
        self._rest_timer.start(0)  # its turn comes after the viewer has drawn

    def _rest(self) -> None:
        cost = self._clock() - self._started
        if self._playing:
            wait = max(self._frame_s - cost, cost * (1 / self._share - 1))
        elif self._has_work():
            wait = max(0.0, cost * (1 / self._share - 1))
        else:
            return  # woken by the next command
        if self._live and self._position == len(self._steps):
            wait = max(wait, IDLE_S)
        self._timer.start(max(1, round(wait * 1000)))

    def _has_work(self) -> bool:
        """Whether there are events to read ahead, or known ones that a seek has not reached."""
        if self._mailbox or not (self._complete or self._live):
            return True
        return self._target is not None and self._position != min(self._target, len(self._steps))

    def _approach(self) -> None:
        """Move towards the target of a seek, as far as one turn of the event loop allows."""
        assert self._target is not None
        known = min(self._target, len(self._steps))
        nearest, farthest = self._position - MAX_STEPS, self._position + MAX_STEPS
        self._show(max(nearest, min(known, farthest)))
        if self._position == self._target or (self._complete and self._position == known):
            self._target = None

    def _advance(self) -> None:
        now = self._clock()
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
        known, end = len(self._steps), self._clock() + seconds
        while n_events is None or len(self._steps) < n_events:
            event = self._mailbox.popleft() if self._mailbox else next(self._source, None)
            if event is None:
                self._complete = not self._live
                break
            self._steps.append(self._prepare(event))
            if self._clock() > end:
                break
        if len(self._steps) > known:
            self.grew.emit(len(self._steps))

    def _prepare(self, event: Event) -> _Step:
        assert self._tokenizer is not None
        front = self._front.reshape(-1)
        if isinstance(event, RunPainted):
            pixels = np.ravel_multi_index(self._tokenizer.run_pixels(event), self._front.shape)
            before = front[pixels]
            self._tokenizer.paint(self._front, event)
        else:  # may colour what was painted before
            old = front.copy()
            self._tokenizer.paint(self._front, event)
            pixels = np.flatnonzero(front != old)
            before = old[pixels]
        return _Step(event, pixels, before, front[pixels])

    def _show(self, position: int) -> None:
        mask = self._mask.reshape(-1)
        for step in self._steps[self._position : position]:
            mask[step.pixels] = step.after
        for step in reversed(self._steps[position : self._position]):
            mask[step.pixels] = step.before
        self._position = position
        shown = self._mask.copy()
        if position and isinstance(self._steps[position - 1].event, RunPainted):
            shown.reshape(-1)[self._steps[position - 1].pixels] = HIGHLIGHT
        if self._layer is not None:
            where = np.nonzero(self._layer.data != shown)
            if len(where[0]):
                self._layer.data_setitem(where, shown[where])
        self.moved.emit(position)
