"""Finds what a test of the plugin leaves behind: widgets, timers, threads and processes."""

import gc
import sys
import weakref
from collections.abc import Callable

import psutil
from qtpy.QtCore import QCoreApplication, QEvent, QThreadPool, QTimer
from qtpy.QtWidgets import QApplication, QWidget
from superqt.utils import WorkerBase

OURS = "napari_rleseg"
PATIENCE_MS = 300_000  # what has not ended by then hangs


class Leaks:
    """What is there before a test, to be compared with what is there after it.

    Qt keeps no list of timers, so that those that the plugin starts are noted as they start.
    """

    def __init__(self) -> None:
        self._widgets = set(_widgets())
        self._children = {child.pid for child in psutil.Process().children()}
        self._timers: weakref.WeakSet[QTimer] = weakref.WeakSet()

    def noting(self, start: Callable[..., None]) -> Callable[..., None]:
        """`QTimer.start`, which notes the timers of the plugin."""

        def noted(timer: QTimer, *interval: int) -> None:
            if sys._getframe(1).f_globals.get("__name__", "").startswith(OURS):
                self._timers.add(timer)
            start(timer, *interval)

        return noted

    def found(self) -> list[str]:
        """Names of what was left over; empty if the test cleaned up after itself."""
        return [*self._threads(), *self._processes(), *self._qt_objects()]

    def _threads(self) -> list[str]:
        if QThreadPool.globalInstance().waitForDone(PATIENCE_MS):
            return []
        return [f"thread of {worker!r}" for worker in WorkerBase._worker_set]

    def _processes(self) -> list[str]:
        new = [c for c in psutil.Process().children() if c.pid not in self._children]
        _, alive = psutil.wait_procs(new, PATIENCE_MS / 1000)
        return [f"process {' '.join(child.cmdline())}" for child in alive]

    def _qt_objects(self) -> list[str]:
        if QApplication.instance() is None:
            return []
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        if not self._left():
            return []
        gc.collect()  # a widget without a parent lives as long as its Python object
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        return self._left()

    def _left(self) -> list[str]:
        widgets = [f"widget {widget!r}" for widget in _widgets() if widget not in self._widgets]
        timers = [f"timer {t!r} of {t.parent()!r}" for t in list(self._timers) if _is_active(t)]
        return [*widgets, *timers]


def _widgets() -> list[QWidget]:
    """Windows, and widgets of ours wherever they are."""
    if QApplication.instance() is None:
        return []
    windows = QApplication.topLevelWidgets()
    return [
        w for w in QApplication.allWidgets() if w in windows or type(w).__module__.startswith(OURS)
    ]


def _is_active(timer: QTimer) -> bool:
    try:
        return timer.isActive()
    except RuntimeError:  # Qt has deleted it
        return False
