"""A child process that serves jobs: started, spoken to, and ended for certain (see `child`)."""

import ast
import atexit
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing.connection import Client, Connection

import psutil

from napari_rleseg.child import Message

GRACE_S = 2.0  # for each way to end a process, before the next and harder one is tried
COMMAND = (sys.executable, "-P", "-m", "napari_rleseg.child")

_log = logging.getLogger(__name__)
_alive: "set[ChildProcess]" = set()


class ChildProcess:
    """A process that runs jobs, and the connection to it.

    One thread talks to it; any other may end it at any time, also while it is still starting.

    Parameters
    ----------
    n_threads : int
        Threads of torch and numpy in the process.
    """

    def __init__(self, n_threads: int):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed in `end`
        self._connection: Connection | None = None
        self._talking = threading.Lock()  # none closes the connection while another reads it
        self._ending = threading.Lock()
        self._ended = False
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": str(n_threads),
            "OMP_WAIT_POLICY": "PASSIVE",  # idle threads sleep: the viewer draws meanwhile
        }
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )
        _alive.add(self)

    @property
    def alive(self) -> bool:
        """Whether the process runs and has not been asked to end."""
        return not self._ended and self.process.poll() is None

    def connect(self) -> None:
        """Wait until the process answers.

        Raises
        ------
        EOFError, OSError
            If it dies, or is ended, before it does.
        """
        key = secrets.token_bytes(32)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(key.hex().encode() + b"\n")
        self.process.stdin.flush()
        address = self.process.stdout.readline()
        if not address:
            raise EOFError
        connection = Client(ast.literal_eval(address.decode()), authkey=key)
        with self._talking:
            if not self._ended:
                self._connection = connection
                return
        connection.close()
        raise EOFError

    def send(self, message: Message) -> None:
        """Send a message; EOFError or OSError if there is no connection any longer."""
        with self._talking:
            if self._connection is None:
                raise EOFError
            self._connection.send(message)

    def receive(self, timeout: float) -> list[Message]:
        """The next message, or none within `timeout` s; EOFError or OSError as for `send`."""
        with self._talking:
            if self._connection is None:
                raise EOFError
            return [self._connection.recv()] if self._connection.poll(timeout) else []

    def end(self, grace: float | None = None, *, hang_up: bool = True) -> None:
        """End the process and all that it started; on return none of them runs.

        Parameters
        ----------
        grace : float, optional
            Seconds that the process has after each request: the closed connection, which lets a
            job clean up, SIGTERM, and SIGKILL. `GRACE_S` by default.
        hang_up : bool
            Whether to begin with the connection; without, the thread that talks to the process
            notices only that it died.
        """
        grace = GRACE_S if grace is None else grace
        with self._ending:
            self._ended = True
            family = _descendants(self.process.pid)
            requests = [self.process.terminate, self.process.kill]
            if hang_up and self._hang_up():
                self._wait(grace)
            for request in requests:
                if self.process.poll() is None:
                    family |= _descendants(self.process.pid)
                    request()
                    self._wait(grace)
            _kill(family, grace)
            if self.process.poll() is None:
                _log.error("process %d does not end", self.process.pid)
            self._hang_up()
            self._close_streams()
            _alive.discard(self)

    def end_soon(self, *, hang_up: bool = True) -> None:
        """End the process without waiting for it, in a thread that the interpreter waits for."""
        ender = threading.Thread(
            target=self.end, kwargs={"hang_up": hang_up}, name="RLE Seg: ending a process"
        )
        try:
            ender.start()
        except RuntimeError:  # the interpreter is shutting down and starts no more threads
            self.end(hang_up=hang_up)

    def crash_message(self) -> Message:
        """The message of a process that died: its exit code, and the last lines it wrote."""
        self._wait(GRACE_S)
        words = ""
        with self._ending:
            if not self._log.closed:
                self._log.seek(0)
                words = self._log.read()[-4000:].decode(errors="replace").strip()
        self.end()
        code = self.process.returncode or 0
        _log.warning("the process of a job ended with code %s: %s", code, words)
        why = f"was ended by signal {-code}" if code < 0 else f"stopped with exit code {code}"
        hint = ", often because memory ran out" if code == -9 else ""
        return ("failed", f"The process of this job {why}{hint}. You can start it again.", words)

    def _hang_up(self) -> bool:
        """Close the connection, if there is one."""
        # a process that stopped in the middle of a message holds the talking thread: it is killed
        if not self._talking.acquire(timeout=GRACE_S):
            return False
        try:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            return connection is not None
        finally:
            self._talking.release()

    def _wait(self, seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def _close_streams(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self._log):
            if stream is not None:
                with suppress(OSError):  # what was never read by the other side
                    stream.close()


def _descendants(pid: int) -> set[psutil.Process]:
    """The processes that a process started, and those that they started."""
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.Error:  # it is gone
        return set()


def _kill(processes: set[psutil.Process], grace: float) -> None:
    for process in processes:
        with suppress(psutil.Error):  # it is gone
            process.kill()
    psutil.wait_procs(processes, grace)


@atexit.register
def _end_all() -> None:
    """End what nobody closed before the interpreter leaves."""
    for child in list(_alive):
        child.end()
