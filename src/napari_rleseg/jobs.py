"""Jobs: generators run away from the viewer's thread, their reports brought back to it.

A job is a generator function named by its import path; it yields small reports and returns its
product. A `Runner` reports by signals that always arrive in the viewer's thread: ``reported`` (a
list, gathered over at least 16 ms), and then one of ``finished``, ``failed`` and ``cancelled``;
the runner can then be started again. Threads and processes are started here and in `process` only.
"""

import functools
import os
import threading
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal

from napari_rleseg.child import Message, failure, load, messages
from napari_rleseg.garbage import collector
from napari_rleseg.process import GRACE_S, ChildProcess
from napari_rleseg.shown import shown, without_options

POLL_S = 0.05

Job = str | Callable[..., Generator[object, None, object]]


class JobFailed(Exception):
    """An unexpected error of a job; its text holds the traceback from where the job ran."""


def default_threads() -> int:
    """Threads for a model, one core being left to the viewer."""
    return max(1, (os.cpu_count() or 2) - 1)


def show_failure(message: str, details: str) -> None:
    """Show the user that a job failed; `details` is the traceback of an unexpected error."""
    if details:
        error = JobFailed(shown(f"{message}\n\n{details}"))
        notification_manager.receive_error(JobFailed, error, error.__traceback__)
    else:
        show_error(shown(without_options(message)))


@dataclass
class _Run:
    """One job, and how the viewer speaks to the thread that watches it."""

    target: str
    args: tuple[object, ...]
    kwargs: dict[str, object]
    stop: threading.Event = field(default_factory=threading.Event)
    close: threading.Event = field(default_factory=threading.Event)  # stop, and forget the process
    child: ChildProcess | None = None  # the process that runs it

    def stopped(self) -> bool:
        return self.stop.is_set() or self.close.is_set()


class Runner(QObject):
    """Runs one job at a time and reports by signals: a `ProcessRunner` or an `InProcessRunner`.

    Parameters
    ----------
    title : str
        Name of the jobs in napari's question when it is closed while one runs.
    parent : QObject or None
        Owner.
    """

    started = Signal()
    reported = Signal(list)
    finished = Signal(object)
    failed = Signal(str, str)  # message, and a traceback or nothing
    cancelled = Signal()
    stopped = Signal()  # after any of the last three

    def __init__(self, title: str = "RLE Seg", parent: QObject | None = None):
        super().__init__(parent)
        self._title = title
        self._run: _Run | None = None
        self._warming: _Run | None = None
        self._to_prepare: _Run | None = None  # once nothing else runs

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._run is not None

    @property
    def cancelling(self) -> bool:
        """Whether the running job has been asked to stop."""
        return self._run is not None and self._run.stopped()

    def start(self, job: Job, *args: object, **kwargs: object) -> None:
        """Run a generator function, given itself or by name as ``"package.module:function"``.

        Raises
        ------
        RuntimeError
            If a job is running.
        """
        if self.busy:
            raise RuntimeError("this runner is busy; cancel its job or wait for it")
        target = job if isinstance(job, str) else f"{job.__module__}:{job.__qualname__}"
        self._run = _Run(target, args, kwargs)
        if self._warming is None:
            self._launch(self._run)
        else:
            self._warming.stop.set()
        self.started.emit()

    def prepare(self, job: str, *args: object) -> None:
        """Run a job of which no signal tells, where the jobs run and once that is idle.

        Such as one that loads a model for later jobs. A newer one replaces it, and a job that is
        started meanwhile runs after its next report.
        """
        self._to_prepare = _Run(job, args, {})
        if self._warming is not None:
            self._warming.stop.set()
        self._prepare_next()

    def warm_up(self, *modules: str) -> None:
        """Import modules where the jobs run; see `prepare`."""
        self.prepare("napari_rleseg.child:warm_up", *modules)

    def cancel(self) -> None:
        """Ask the job to stop; nothing happens when there is none."""
        if self._run is not None:
            self._run.stop.set()

    def close(self) -> None:
        """Stop the job, if there is one, and give back what the runner holds; no signal follows."""
        for run in (self._run, self._warming):
            if run is not None:
                run.close.set()
        self._run = self._warming = self._to_prepare = None

    def _prepare_next(self) -> None:
        if self._to_prepare is not None and self._warming is None and not self.busy:
            self._warming, self._to_prepare = self._to_prepare, None
            self._launch(self._warming)

    def _launch(self, run: _Run) -> None:
        worker = create_worker(_Titled(self._title, self._watch, run), _worker_class=_Worker)
        worker.yielded.connect(self._receive)
        worker.aborted.connect(self._abort)
        worker.finished.connect(collector.end_job)
        collector.begin_job()
        worker.start()

    def _watch(self, run: _Run) -> Generator[tuple[_Run, list[Message]], None, None]:
        # superqt swallows a RuntimeError of this generator and does not close it: none leaves it
        pool = QThreadPool.globalInstance()
        pool.releaseThread()  # a job takes none of the few threads that all plugins share
        try:
            for batch in self._messages(run):
                yield run, batch
        finally:
            pool.reserveThread()

    def _messages(self, run: _Run) -> Generator[list[Message], None, None]:
        raise NotImplementedError

    def _receive(self, item: tuple[_Run, list[Message]]) -> None:
        collector.collect()
        run, batch = item
        for kind, *content in batch:
            if run is self._warming and kind != "reports":
                self._warming = None
                if self._run is not None:
                    self._launch(self._run)
                self._prepare_next()
            if run is not self._run:
                return  # a job that was closed
            if kind == "reports":
                self.reported.emit(*content)
                continue
            self._run = None
            getattr(self, str(kind)).emit(*content)
            self.stopped.emit()
            self._prepare_next()

    def _abort(self) -> None:  # napari is being closed
        busy = self.busy
        self.close()
        if busy:
            self.cancelled.emit()
            self.stopped.emit()


class InProcessRunner(Runner):
    """Runs its jobs in a thread: for tests and for scripts that want no second process."""

    def _messages(self, run: _Run) -> Generator[list[Message], None, None]:
        try:
            job = load(run.target)(*run.args, **run.kwargs)
        except Exception as error:  # noqa: BLE001 whatever it is, the user must hear of it
            yield [failure(error)]
            return
        for message in messages(job, run.stopped):
            yield [message]


class ProcessRunner(Runner):
    """Runs its jobs in a process of its own, which it keeps, with what the jobs keep in it.

    Parameters
    ----------
    title : str
        Name of the jobs in napari's question when it is closed while one runs.
    threads : int or None
        Threads of torch and numpy there, from the next start on; None leaves a core to the viewer.
    keep : bool
        Whether the process outlives a job, so that the next finds its model loaded.
    parent : QObject or None
        Owner.
    """

    def __init__(
        self,
        title: str = "RLE Seg",
        *,
        threads: int | None = None,
        keep: bool = True,
        parent: QObject | None = None,
    ):
        super().__init__(title, parent)
        self.threads = threads
        self._keep = keep
        self._child: ChildProcess | None = None  # from the moment that it is started
        self._lock = threading.Lock()  # of `_child`, which a thread starts and the viewer ends

    def cancel(self) -> None:
        """Ask the job to stop, and end its process when it has not done so in two seconds."""
        run = self._run
        if run is not None and not run.stopped():
            super().cancel()
            QTimer.singleShot(int(GRACE_S * 1000), functools.partial(self._end_deaf, run))

    def close(self) -> None:
        """Stop the job, if there is one, and end the process, without waiting for its end."""
        super().close()
        with self._lock:  # whoever starts a process after this finds its run closed
            child, self._child = self._child, None
        if child is not None:
            child.end_soon()

    def release(self) -> None:
        """End the process if it is idle: its memory, on the graphics card too, is given back."""
        if not self.busy and self._warming is None:
            self.close()

    def _end_deaf(self, run: _Run) -> None:
        if run is self._run and run.child is not None:
            run.child.end_soon(hang_up=False)

    def _forget(self, child: ChildProcess) -> None:
        with self._lock:
            if self._child is child:
                self._child = None

    def _start_child(self, run: _Run) -> ChildProcess | None:
        """The process for a run, started if need be; None if the run was closed before."""
        with self._lock:
            if run.close.is_set():
                return None
            child = self._child
            if child is not None and child.alive:
                run.child = child
                return child
            child = self._child = run.child = ChildProcess(self.threads or default_threads())
        child.connect()
        return child

    def _messages(self, run: _Run) -> Generator[list[Message], None, None]:
        if run.stopped():
            yield [("cancelled",)]
            return
        try:
            child = self._start_child(run)
            if child is None:
                return
            child.send(("run", run.target, run.args, run.kwargs))
            cancel_sent = False
            while not run.close.is_set():
                batch = child.receive(POLL_S)
                if run.stop.is_set() and not cancel_sent:
                    child.send(("cancel",))
                    cancel_sent = True
                done = bool(batch) and batch[0][0] != "reports"
                if done and not self._keep:
                    self._forget(child)
                    child.end()
                yield batch  # an empty one too: here napari's wish to quit is seen
                if done:
                    return
        except (EOFError, OSError) as error:
            yield [self._broken(run, error)]
        except Exception as error:  # noqa: BLE001 arguments that cannot be pickled, and the like
            yield [failure(error)]

    def _broken(self, run: _Run, error: BaseException) -> Message:
        """The last message of a run whose process died, was ended, or could not be started."""
        if run.child is None:
            return failure(error)
        self._forget(run.child)
        if run.stopped():
            run.child.end_soon()
            return ("cancelled",)
        return run.child.crash_message()


class _Worker(GeneratorWorker):
    """A worker that the viewer's thread drops when its job is done.

    Its signals belong to that thread, and Qt crashes when another destroys them. So Qt's pool gets
    a function, and no runnable, which the thread of the job would destroy.
    """

    def start(self) -> None:
        """Run the job in a thread of the pool."""
        kept = [self]
        has_run = threading.Event()

        def run() -> None:
            kept[0].run()
            has_run.set()

        def drop() -> None:
            has_run.wait()  # the thread has still to return from the signal that called this
            kept.clear()

        self._worker_set.add(self)  # those that napari asks to quit
        self._finished.connect(self._set_discard)
        self.finished.connect(drop)
        QThreadPool.globalInstance().start(run)

    @property
    def quit(self) -> Callable[[], None]:
        """Asks the job to stop; napari keeps it for ever, and must not keep the worker."""
        return functools.partial(_quit, weakref.ref(self))


def _quit(known: "weakref.ref[_Worker]") -> None:
    worker = known()
    if worker is not None:
        GeneratorWorker.quit(worker)


class _Titled(functools.partial[Generator[object, None, None]]):
    """A generator function that napari can name in its question on closing."""

    def __new__(cls, title: str, *args: object) -> "_Titled":
        self = super().__new__(cls, *args)  # type: ignore[arg-type]
        self.title = title  # type: ignore[attr-defined]
        return self

    def __str__(self) -> str:
        return str(self.title)  # type: ignore[attr-defined]
