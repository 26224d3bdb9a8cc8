"""Locks: one program at a time writes into a folder, and the others are told which one."""

import contextlib
import errno
import json
import logging
import os
import platform
import sys
import threading
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from rleseg_core.errors import InUseError
from rleseg_core.files import time_stamp

# what a disk answers that knows no locks: some network disks, some disks of containers
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO}

_log = logging.getLogger(__name__)
_held: set[str] = set()  # by this process; a network disk lets one process take a lock twice
_held_lock = threading.Lock()


@dataclass(frozen=True)
class Holder:
    """The program that holds a lock.

    Parameters
    ----------
    program : str
        Its name, such as 'rleseg' or 'napari'.
    host : str
        Name of the computer that it runs on.
    pid : int
        Its process there.
    since : str
        When it took the lock, as a time stamp.
    """

    program: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.program} (process {self.pid} on {self.host}, since {self.since})"

    @classmethod
    def this_program(cls) -> Self:
        """A holder that is this process, from now on."""
        path = Path(sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c", "-") else "python")
        name = path.parent.name if path.stem == "__main__" else path.stem
        return cls(name, platform.node() or "unknown", os.getpid(), time_stamp())


class WriterLock:
    """A lock that one program holds while it writes; it ends with the program, however that ends.

    The lock is one of the operating system. Where the disk knows none, as on some network disks,
    the existence of a file takes its place; after a crash of another computer that file is to be
    removed by hand, and the message says so.

    Parameters
    ----------
    path : str or Path
        The lock file. It stays when the lock is released; who holds the lock stands beside it.
    subject : str
        What is locked, for messages, e.g. "the session /data/session".

    Notes
    -----
    The same process is refused as well when it asks twice. Any thread may release the lock.
    """

    def __init__(self, path: str | Path, subject: str):
        self.path = Path(path)
        self.subject = subject
        self._native: filelock.BaseFileLock = filelock.FileLock(self.path, thread_local=False)
        self._lock: filelock.BaseFileLock | None = None
        self._key = ""

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def holder(self) -> Holder | None:
        """The program that holds the lock, or held it last; None if it is not known."""
        try:
            record = json.loads(self._holder_path.read_text("utf-8"))
            return Holder(
                str(record["program"]),
                str(record["host"]),
                int(record["pid"]),
                str(record["since"]),
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def acquire(self) -> None:
        """Take the lock at once.

        Raises
        ------
        InUseError
            If another program, or another part of this one, holds it.
        OSError
            If the folder cannot be written to.
        """
        if self.held:
            return
        key = str(self.path.resolve())
        with _held_lock:
            if key in _held:
                raise InUseError(self._refusal(), self.holder())
            self._lock = self._take()
            _held.add(key)
            self._key = key
        try:
            record = json.dumps(asdict(Holder.this_program())) + "\n"
            self._holder_path.write_text(record, "utf-8")
        except OSError as error:  # the lock is held; only who holds it is not said
            _log.warning("%s: %s", self._holder_path, error)

    def in_use(self) -> bool:
        """Whether somebody else holds the lock; nothing is written to find out."""
        if self.held or not self.path.exists():
            return False
        with _held_lock:
            if str(self.path.resolve()) in _held:
                return True
            try:
                self._take().release(force=True)
            except InUseError:
                return True
            except OSError:
                return False
            return False

    def release(self) -> None:
        """Give the lock back, if it is held."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        with contextlib.suppress(OSError):
            self._holder_path.unlink(missing_ok=True)
        with _held_lock:
            _held.discard(self._key)
        with contextlib.suppress(OSError):  # the folder is gone, or its disk
            lock.release(force=True)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __del__(self) -> None:
        if getattr(self, "_lock", None) is not None:
            self.release()

    @property
    def _holder_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def _take(self) -> filelock.BaseFileLock:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # filelock warns where it locks by a file itself
                self._native.acquire(timeout=0)
            return self._native
        except filelock.Timeout as error:
            raise InUseError(self._refusal(), self.holder()) from error
        except NotImplementedError:
            pass
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        soft = filelock.SoftFileLock(
            self.path.with_name(f"{self.path.name}.soft"), thread_local=False
        )
        try:
            soft.acquire(timeout=0)
        except filelock.Timeout as error:
            remedy = f"if that program no longer runs, remove {soft.lock_file}"
            raise InUseError(f"{self._refusal()}; {remedy}", self.holder()) from error
        return soft

    def _refusal(self) -> str:
        holder = self.holder()
        by = "another program" if holder is None else str(holder)
        if holder is not None and (holder.pid, holder.host) == (os.getpid(), platform.node()):
            by = f"this program already (process {holder.pid}, since {holder.since})"
        return f"{self.subject} is in use by {by}; close it there first"


def lock_beside(path: Path, what: str) -> WriterLock:
    """The lock of a file or folder, for all who write there: a file with its name and ``.lock``.

    Parameters
    ----------
    path : Path
        The file or folder.
    what : str
        What it is, for messages, e.g. "the masks".
    """
    return WriterLock(path.with_name(f"{path.name}.lock"), f"{what} {path}")
