"""Who owns a temporary file: a process, named so that others can tell whether it lives."""

import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from typing import Self

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")  # what a part of a file name should not hold
_TOLERANCE = 2  # seconds by which two readings of one process's start may differ


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process on a computer.

    Parameters
    ----------
    host : str
        Name of the computer, letters, digits, dots and dashes.
    pid : int
        Number of the process.
    started : int
        When it started, seconds since 1970; numbers of processes are used again.
    """

    host: str
    pid: int
    started: int

    @classmethod
    def this_process(cls) -> Self:
        """The process that asks."""
        return cls(host=_host(), pid=os.getpid(), started=_start_of(os.getpid()) or 0)

    def is_gone(self) -> bool:
        """Whether the process has surely ended; never said of those of other computers."""
        if self.host != _host():
            return False
        started = _start_of(self.pid)
        return started is None or abs(started - self.started) > _TOLERANCE


@cache
def _host() -> str:
    return _NO_NAME.sub("_", socket.gethostname())[:64].strip(".") or "localhost"


def _start_of(pid: int) -> int | None:
    """When a process of this computer started; None if there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None  # it writes no more; its parent has not yet asked how it ended
        return int(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return 0 if pid == os.getpid() else int(psutil.boot_time())
