import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from qtpy.QtCore import QObject, Qt
from superqt.utils import WorkerBase

from napari_rleseg import jobs
from napari_rleseg.jobs import InProcessRunner, ProcessRunner, Runner

pytestmark = pytest.mark.gui
IGNORE_TERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture(params=[InProcessRunner, ProcessRunner])
def runner(request: pytest.FixtureRequest, qtbot):
    runner = request.param()
    yield runner
    runner.close()


@pytest.fixture
def process(qtbot):
    runner = ProcessRunner(threads=1)
    yield runner
    runner.close()


def listen(runner: Runner) -> list:
    """Names and contents of all signals, in order."""
    heard: list = []
    runner.reported.connect(lambda reports: heard.append(("reported", reports)))
    runner.finished.connect(lambda product: heard.append(("finished", product)))
    runner.failed.connect(lambda sentence, details: heard.append(("failed", sentence, details)))
    runner.cancelled.connect(lambda: heard.append(("cancelled",)))
    return heard


def run(runner: Runner, qtbot, job: str, *args: object) -> list:
    heard = listen(runner)
    with qtbot.waitSignal(runner.stopped):
        runner.start(f"toy_jobs:{job}", *args)
    return heard


def wait_for_end(qtbot, pid: int) -> None:
    """Wait until a process runs no more; nobody may have reaped it yet."""

    def ended() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    qtbot.waitUntil(ended)


def test_every_report_arrives_in_order_and_then_the_product(runner, qtbot):
    heard = run(runner, qtbot, "count", 5000)
    reports = [report for kind, content in heard[:-1] for report in content if kind == "reported"]
    assert reports == list(range(5000))
    assert heard[-1] == ("finished", "5000 counted")
    assert not runner.busy


def test_runner_can_be_started_again_from_the_slot_of_its_last_signal(runner, qtbot):
    products: list[str] = []

    def again(product: str) -> None:
        products.append(product)
        if len(products) < 3:
            runner.start("toy_jobs:count", len(products))

    runner.finished.connect(again)
    runner.start("toy_jobs:count", 0)
    qtbot.waitUntil(lambda: len(products) == 3)
    assert products == ["0 counted", "1 counted", "2 counted"]


def test_second_job_at_once_is_refused(runner, qtbot):
    with qtbot.waitSignal(runner.stopped):
        runner.start("toy_jobs:count", 3)
        with pytest.raises(RuntimeError, match="busy"):
            runner.start("toy_jobs:count", 3)


def test_cancelled_job_runs_its_finally(runner, qtbot, tmp_path):
    heard = listen(runner)
    with qtbot.waitSignal(runner.reported):
        runner.start("toy_jobs:tidy", tmp_path / "note")
    with qtbot.waitSignal(runner.cancelled):
        runner.cancel()
        assert runner.cancelling
    assert (tmp_path / "note").read_text() == "closed"
    assert heard[-1] == ("cancelled",)


def test_runtime_error_is_told_with_its_traceback(runner, qtbot):
    (_, sentence, details) = run(runner, qtbot, "out_of_memory")[-1]
    assert sentence == "RuntimeError: CUDA out of memory"
    assert "toy_jobs.py" in details


def test_error_meant_for_the_user_is_told_as_it_is(runner, qtbot):
    assert run(runner, qtbot, "bad_input")[-1] == ("failed", "mask is (1, 2), image is (3, 4)", "")


@pytest.mark.parametrize(("job", "error"), [("missing", "AttributeError"), ("count", "TypeError")])
def test_job_that_cannot_start_fails(runner, qtbot, job, error):
    assert run(runner, qtbot, job)[-1][1].startswith(error)
    assert run(runner, qtbot, "count", 1)[-1] == ("finished", "1 counted")


def test_qt_objects_in_cycles_are_destroyed_in_the_thread_of_the_viewer(qtbot):
    """Python collects in the thread that happens to allocate; Qt crashes by that."""
    runner, ready, where = InProcessRunner(), threading.Event(), []
    assert gc.isenabled()
    with qtbot.waitSignal(runner.stopped):
        runner.start("toy_jobs:litter", ready)
        for _ in range(20):
            one = QObject()
            one.itself = one
            direct = Qt.ConnectionType.DirectConnection
            one.destroyed.connect(lambda: where.append(threading.current_thread()), direct)
        del one
        ready.set()
    gc.collect()
    assert where == [threading.main_thread()] * 20
    qtbot.waitUntil(gc.isenabled)
    runner.close()


def test_newer_preparation_replaces_an_older_one_and_nobody_hears(runner, qtbot, tmp_path):
    heard = listen(runner)
    runner.prepare("toy_jobs:tidy", tmp_path / "long")
    runner.prepare("toy_jobs:tidy", tmp_path / "replaced")
    runner.prepare("toy_jobs:count", 1)
    qtbot.waitUntil(lambda: runner._to_prepare is None)
    assert heard == []
    assert run(runner, qtbot, "count", 1)[-1] == ("finished", "1 counted")
    assert not (tmp_path / "replaced").exists()


def test_preparation_waits_for_the_job_that_runs(runner, qtbot, tmp_path):
    with qtbot.waitSignal(runner.stopped):
        runner.start("toy_jobs:count", 3)
        runner.prepare("toy_jobs:tidy", tmp_path / "note")
        assert runner._warming is None
    qtbot.waitUntil(lambda: runner._warming is not None)


@pytest.mark.parametrize("job", ["count", "out_of_memory"])
def test_worker_is_destroyed_in_the_thread_of_the_viewer(runner, qtbot, monkeypatch, job):
    kept_by_napari, where = [], []
    window = SimpleNamespace(
        _register_task_status=lambda *_, cancel_callback: kept_by_napari.append(cancel_callback),
        _update_task_status=lambda *_, **__: None,
    )
    viewer = SimpleNamespace(window=window)
    monkeypatch.setattr("napari._qt.qthreading.current_viewer", lambda: viewer)
    with qtbot.waitSignal(runner.stopped):
        runner.start(f"toy_jobs:{job}", *([3] if job == "count" else []))
        (worker,) = map(weakref.ref, WorkerBase._worker_set)
        direct = Qt.ConnectionType.DirectConnection
        worker().signals.destroyed.connect(lambda: where.append(threading.current_thread()), direct)
    qtbot.waitUntil(lambda: worker() is None)
    assert where == [threading.main_thread()]
    for cancel in kept_by_napari:
        cancel()  # as napari does when it is closed
    assert len(kept_by_napari) == 1


def test_job_ends_when_napari_asks_its_worker_to_quit(runner, qtbot, tmp_path):
    heard = listen(runner)
    with qtbot.waitSignal(runner.reported):
        runner.start("toy_jobs:tidy", tmp_path / "note")
    with qtbot.waitSignal(runner.cancelled):
        WorkerBase._worker_set.copy().pop().quit()
    assert heard[-1] == ("cancelled",)


def test_garbage_is_collected_while_a_job_runs(qtbot, monkeypatch):
    runner = InProcessRunner()
    monkeypatch.setattr(gc, "get_count", lambda: (1000, 0, 0))
    collected = []
    monkeypatch.setattr(gc, "collect", lambda generation=2: collected.append(generation))
    with qtbot.waitSignal(runner.stopped):
        runner.start("toy_jobs:count", 1)
    assert set(collected) == {0}
    qtbot.waitUntil(gc.isenabled)
    runner.close()


def test_function_that_raises_at_once_fails(runner, qtbot):
    assert run(runner, qtbot, "not_a_generator", 7)[-1][1] == "ValueError: 7"


def test_no_signal_after_close(runner, qtbot, tmp_path):
    heard = listen(runner)
    with qtbot.waitSignal(runner.reported):
        runner.start("toy_jobs:tidy", tmp_path / "note")
    runner.close()
    n = len(heard)
    qtbot.waitUntil(lambda: (tmp_path / "note").exists())
    qtbot.wait(100)
    assert len(heard) == n
    assert not runner.busy


def test_process_is_kept_and_sleeps_when_idle(process, qtbot):
    first = run(process, qtbot, "environment")[-1][1]
    second = run(process, qtbot, "environment")[-1][1]
    assert first == second
    assert first[0] != os.getpid()
    assert first[1] == {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}


def test_released_process_is_replaced(process, qtbot):
    first = run(process, qtbot, "environment")[-1][1][0]
    process.release()
    wait_for_end(qtbot, first)
    assert run(process, qtbot, "environment")[-1][1][0] != first


def test_process_of_one_job_ends_with_it(qtbot):
    runner = ProcessRunner(keep=False)
    pid = run(runner, qtbot, "environment")[-1][1][0]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_job_that_does_not_stop_is_terminated_and_cleans_up(process, qtbot, monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "GRACE_S", 0.1)
    with qtbot.waitSignal(process.reported):
        process.start("toy_jobs:deaf", tmp_path / "note")
    with qtbot.waitSignal(process.cancelled):
        process.cancel()
    assert (tmp_path / "note").read_text() == "closed"
    assert run(process, qtbot, "count", 2)[-1] == ("finished", "2 counted")


def test_dead_process_fails_once_and_the_runner_goes_on(process, qtbot):
    heard = run(process, qtbot, "dies")
    assert [kind for kind, *_ in heard].count("failed") == 1
    assert heard[-1][1].startswith("The process of this job stopped with exit code 3.")
    assert run(process, qtbot, "count", 2)[-1] == ("finished", "2 counted")


def test_product_that_cannot_be_sent_fails(process, qtbot):
    assert "pickle" in run(process, qtbot, "unpicklable")[-1][1]
    assert run(process, qtbot, "count", 2)[-1] == ("finished", "2 counted")


def test_argument_that_cannot_be_sent_fails(process, qtbot):
    assert run(process, qtbot, "count", lambda: None)[-1][0] == "failed"
    assert run(process, qtbot, "count", 2)[-1] == ("finished", "2 counted")


def test_job_started_while_the_process_warms_up_runs_after_it(process, qtbot):
    process.warm_up("rleseg_core.spec", "no_such_module_at_all")
    assert not process.busy
    assert run(process, qtbot, "count", 2)[-1] == ("finished", "2 counted")


def test_job_cancelled_while_the_process_warms_up_is_cancelled(process, qtbot, tmp_path):
    process.warm_up("rleseg_core.spec")
    process.start("toy_jobs:tidy", tmp_path / "note")
    with qtbot.waitSignal(process.cancelled):
        process.cancel()


def test_process_that_warms_up_can_be_closed(qtbot):
    runner = ProcessRunner()
    runner.warm_up("rleseg_core.spec")
    runner.close()
    assert run(runner, qtbot, "count", 2)[-1] == ("finished", "2 counted")
    runner.close()


def test_closing_ends_a_process_that_ignores_sigterm_and_what_it_started(
    process, qtbot, monkeypatch
):
    monkeypatch.setattr("napari_rleseg.process.GRACE_S", 0.1)
    with qtbot.waitSignal(process.reported) as reported:
        process.start("toy_jobs:stubborn")
    child, grandchild = process._child.process.pid, reported.args[0][0]
    process.close()
    wait_for_end(qtbot, child)
    wait_for_end(qtbot, grandchild)
    assert run(process, qtbot, "count", 2)[-1] == ("finished", "2 counted")


def test_cancelled_job_that_ignores_sigterm_is_killed(process, qtbot, monkeypatch):
    monkeypatch.setattr("napari_rleseg.process.GRACE_S", 0.1)
    with qtbot.waitSignal(process.reported) as reported:
        process.start("toy_jobs:stubborn")
    child, grandchild = process._child.process.pid, reported.args[0][0]
    with qtbot.waitSignal(process.cancelled):
        process.cancel()
    wait_for_end(qtbot, child)
    wait_for_end(qtbot, grandchild)


def test_closing_ends_a_process_that_has_not_answered_yet(process, qtbot, monkeypatch):
    mute = (sys.executable, "-c", IGNORE_TERM)
    with monkeypatch.context() as patch:
        patch.setattr("napari_rleseg.process.COMMAND", mute)
        patch.setattr("napari_rleseg.process.GRACE_S", 0.1)
        heard = listen(process)
        process.start("toy_jobs:count", 2)
        qtbot.waitUntil(lambda: process._child is not None)
        child, (worker,) = process._child.process.pid, WorkerBase._worker_set
        process.close()
        wait_for_end(qtbot, child)
        qtbot.waitUntil(lambda: not worker.is_running)
        assert heard == []
    assert run(process, qtbot, "count", 2)[-1] == ("finished", "2 counted")


def test_closing_before_the_thread_runs_starts_no_process(process, qtbot, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "ChildProcess", started.append)
    with process._lock:  # the thread waits here before it starts a process
        process.start("toy_jobs:count", 2)
        (worker,) = WorkerBase._worker_set
        Runner.close(process)
    qtbot.waitUntil(lambda: not worker.is_running)
    assert started == []


SCRIPT = """
import os, signal, sys
from pathlib import Path
from qtpy.QtCore import QCoreApplication
from napari_rleseg.jobs import ProcessRunner

app = QCoreApplication([])
runner = ProcessRunner()
runner.reported.connect(lambda _: os.kill(os.getpid(), signal.SIGKILL))
runner.start("toy_jobs:tidy", Path(sys.argv[1]))
app.exec()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_job_is_closed_when_the_viewer_is_killed(qtbot, tmp_path):
    paths = os.pathsep.join(path for path in sys.path if path)
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "note"],
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    qtbot.waitUntil(lambda: (tmp_path / "note").exists())
