"""Jobs for the tests of the runners: importable in the child, and free of torch."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

from rleseg_core.errors import DataError


def count(n: int, pause: float = 0.0) -> Generator[int, None, str]:
    for i in range(n):
        time.sleep(pause)
        yield i
    return f"{n} counted"


def environment() -> Generator[str, None, tuple[int, dict[str, str]]]:
    yield "one"
    return os.getpid(), {name: os.environ[name] for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}


def tidy(note: Path) -> Generator[int, None, None]:
    try:
        for i in range(10_000):
            time.sleep(0.005)
            yield i
    finally:
        note.write_text("closed")


def deaf(note: Path) -> Generator[int, None, None]:
    try:
        yield 0
        time.sleep(600)
    finally:
        note.write_text("closed")


IGNORE_TERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def stubborn() -> Generator[int, None, None]:
    """Ignores SIGTERM, as does the process that it starts and whose id it reports."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen([sys.executable, "-c", IGNORE_TERM])
    yield grandchild.pid
    time.sleep(600)


def out_of_memory() -> Generator[int, None, None]:
    yield 1
    raise RuntimeError("CUDA out of memory")


def bad_input() -> Generator[int, None, None]:
    yield 1
    raise DataError("mask is (1, 2), image is (3, 4)")


def dies() -> Generator[int, None, None]:
    yield 1
    time.sleep(0.05)
    os._exit(3)


def unpicklable() -> Generator[int, None, object]:
    yield 1
    return lambda: None


def litter(ready: threading.Event) -> Generator[None, None, None]:
    """Makes garbage in cycles, enough for Python to collect it many times."""
    ready.wait()
    for _ in range(20_000):
        cycle: list[object] = []
        cycle.append(cycle)
    yield


def not_a_generator(n: int) -> int:
    raise ValueError(n)
