"""The far end of `jobs.ProcessRunner`: a process that runs generators and sends what they yield.

Started as ``python -P -m napari_rleseg.child``; knows neither Qt nor napari, so that it starts in a
fraction of a second and imports only what its jobs import. It reads a key from standard input,
prints the address where it listens, and serves one connection until that is closed.
"""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection, Listener

from rleseg_core.errors import RlesegError

FLUSH_S = 0.016  # reports go out at most this often: a signal a token would freeze the viewer

# ("reports", list), and last ("finished", product), ("failed", message, traceback), ("cancelled",)
Message = tuple[object, ...]


def load(target: str) -> Callable[..., Generator[object, None, object]]:
    """The generator function that ``"package.module:function"`` names."""
    module, _, name = target.partition(":")
    function: Callable[..., Generator[object, None, object]] = getattr(
        importlib.import_module(module), name
    )
    return function


def warm_up(*modules: str) -> Generator[str, None, None]:
    """Job that imports what later jobs will need."""
    for name in modules:
        importlib.import_module(name)
        yield name


def failure(error: BaseException) -> Message:
    """The message of a job that failed: its error, and a traceback if that was unexpected."""
    if isinstance(error, RlesegError):
        return ("failed", str(error), "")
    text = "".join(traceback.format_exception(error))
    return ("failed", f"{type(error).__name__}: {error}", text)


def messages(
    job: Generator[object, None, object], stopped: Callable[[], bool]
) -> Generator[Message, None, None]:
    """Reports of a job, gathered over `FLUSH_S`, and one last message; the job is closed then.

    Parameters
    ----------
    job : generator
        Its clean-up and last checkpoint are in its ``finally``.
    stopped : callable
        Asked after each report whether the job is to be given up.
    """
    reports: list[object] = []
    flushed = 0.0
    try:
        try:
            while True:
                try:
                    reports.append(next(job))
                except StopIteration as end:
                    last: Message = ("finished", end.value)
                    break
                if time.monotonic() - flushed >= FLUSH_S:
                    yield ("reports", reports)
                    reports, flushed = [], time.monotonic()
                if stopped():
                    last = ("cancelled",)
                    break
        finally:
            job.close()
    except Exception as error:  # noqa: BLE001 whatever it is, the user must hear of it
        last = failure(error)
    if reports:
        yield ("reports", reports)
    yield last


def _run(
    connection: Connection, target: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    def stopped() -> bool:
        return connection.poll() and connection.recv() == ("cancel",)

    try:
        job = load(target)(*args, **kwargs)
    except Exception as error:  # noqa: BLE001
        connection.send(failure(error))
        return
    for message in messages(job, stopped):
        try:
            connection.send(message)
        except (TypeError, AttributeError, ValueError) as error:  # what cannot be pickled
            job.close()
            connection.send(failure(error))
            return


def _leave(*_: object) -> None:
    sys.exit(1)


def main() -> None:
    """Serve jobs until the other side closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal is for the viewer
    signal.signal(signal.SIGTERM, _leave)  # so that a job that does not hear it cleans up, too
    if hasattr(os, "nice"):
        os.nice(5)  # a busy model must not make the viewer stutter
    key = bytes.fromhex(sys.stdin.readline().strip())
    with Listener(authkey=key) as listener:
        sys.stdout.write(f"{listener.address!r}\n")
        sys.stdout.flush()
        os.dup2(2, 1)  # nobody reads our standard output from here on
        if hasattr(signal, "alarm"):
            signal.alarm(60)  # the viewer may have died before it could call back
        connection = listener.accept()
        if hasattr(signal, "alarm"):
            signal.alarm(0)
    try:
        while True:
            message = connection.recv()
            if message[0] == "run":
                _run(connection, *message[1:])
    except (EOFError, ConnectionResetError, BrokenPipeError):
        pass  # the viewer is gone, or needs us no more


if __name__ == "__main__":
    main()
