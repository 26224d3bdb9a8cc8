"""Every test here fails if it leaves something behind; this is what the check sees."""

import subprocess
import sys
import threading

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel

from napari_rleseg.jobs import InProcessRunner
from napari_rleseg.player import TokenPlayer

from . import leaks
from .leaks import Leaks

pytestmark = pytest.mark.gui

begun, go_on = threading.Event(), threading.Event()


def hang():
    """A job that yields nothing before it is let go."""
    begun.set()
    go_on.wait()
    yield


@pytest.fixture
def before(qtbot, monkeypatch) -> Leaks:
    monkeypatch.setattr(leaks, "PATIENCE_MS", 50)
    return Leaks()


def test_window_is_found(before):
    label = QLabel("forgotten")
    (found,) = before.found()
    assert "QLabel" in found
    label.deleteLater()
    assert not before.found()


def test_timer_of_the_plugin_is_found_while_it_runs(before, monkeypatch):
    monkeypatch.setattr(QTimer, "start", before.noting(QTimer.start))
    player = TokenPlayer()
    player._timer.start(60_000)  # by the test itself
    assert not before.found()
    player._layer = object()
    player._wake()
    (found,) = before.found()
    assert found.startswith("timer")
    player._timer.stop()
    assert not before.found()


def test_thread_is_found(before, qtbot):
    go_on.clear()
    runner = InProcessRunner("a job that hangs")
    runner.start(hang)
    qtbot.waitUntil(begun.is_set)
    runner.close()
    (found,) = before.found()
    assert found.startswith("thread")
    go_on.set()
    qtbot.waitUntil(lambda: not before.found())


def test_process_is_found(before):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (found,) = before.found()
    assert "input()" in found
    process.communicate(b"\n")
    assert not before.found()
