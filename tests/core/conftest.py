"""What the tests of the core share: processes that a test may kill."""

import multiprocessing
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_PRELOADED = ("torch._dynamo", "accelerate", "rleseg_core.cli.train", "rleseg_core.training.start")
_PRELUDE = """
import os, sys
os.environ.update({variables!r})
for descriptor, name in ((1, "out"), (2, "err")):
    os.dup2(os.open(os.path.join({folder!r}, name), os.O_WRONLY | os.O_APPEND), descriptor)
import torch
torch.set_num_threads(1)
"""


class Child:
    """A process of a test, and what it writes.

    It is forked from one that has imported torch and the trainer already, where the system can: to
    import them takes seconds, which each new interpreter would spend again.
    """

    def __init__(self, code: str, variables: dict[str, str], folder: Path) -> None:
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            context.set_forkserver_preload(list(_PRELOADED))
        for name in ("out", "err"):
            (folder / name).touch()
        program = folder / "program.py"
        program.write_text(_PRELUDE.format(variables=variables, folder=str(folder)) + code)
        self._folder = folder
        self._process = context.Process(target=runpy.run_path, args=(str(program),))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    @property
    def out(self) -> str:
        """What it has written to its standard output so far."""
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        """What it has written to its standard error so far."""
        return (self._folder / "err").read_text()

    def wait(self) -> int | None:
        """Its exit code once it has ended; negative if a signal ended it."""
        self._process.join()
        return self._process.exitcode

    def wait_for(self, text: str) -> None:
        """Wait until it has written this to its standard output."""
        while text not in self.out:
            assert self.is_running, self.err
            self._process.join(0.02)

    def kill(self) -> int | None:
        """End it at once, wherever it is; its exit code."""
        self._process.kill()
        return self.wait()


StartChild = Callable[..., Child]


@pytest.fixture
def start_child(tmp_path_factory) -> Iterator[StartChild]:
    """Runs Python code in a process of its own, with these environment variables."""
    started: list[Child] = []

    def start(code: str, **variables: str) -> Child:
        started.append(Child(code, variables, tmp_path_factory.mktemp("child")))
        return started[-1]

    yield start
    for child in started:
        child.kill()
