"""Garbage in reference cycles is collected in the viewer's thread alone while threads run jobs.

Python collects it in whichever thread happens to allocate next. What is collected may be a Qt
object, of a panel that was closed for instance, and PySide destroys it there and then; Qt crashes,
sooner or later, when another thread than its own does so.
"""

import gc
import time

FULL_EVERY_S = 30.0  # between collections of everything, which take a tenth of a second and more


class ViewerCollector:
    """Holds automatic collection back while jobs run; to be called in the viewer's thread."""

    def __init__(self) -> None:
        self._n_jobs = 0
        self._was_on = False
        self._last_full = 0.0

    def begin_job(self) -> None:
        """A thread is about to run a job."""
        if self._n_jobs == 0:
            self._was_on = gc.isenabled()
            gc.disable()
        self._n_jobs += 1

    def end_job(self) -> None:
        """The thread of a job has ended."""
        self._n_jobs -= 1
        if self._n_jobs == 0 and self._was_on:
            gc.enable()

    def collect(self) -> None:
        """Collect what Python would have collected by itself by now."""
        if not (self._n_jobs and self._was_on):
            return
        is_due = [n > most > 0 for n, most in zip(gc.get_count(), gc.get_threshold(), strict=True)]
        if not is_due[0]:
            return
        now = time.monotonic()
        if is_due[1] and is_due[2] and now - self._last_full > FULL_EVERY_S:
            self._last_full = now
            gc.collect()
        else:
            gc.collect(1 if is_due[1] else 0)


collector = ViewerCollector()
