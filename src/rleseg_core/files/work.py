"""Folders in which outputs grow until they are whole, and what killed processes left of them.

A work folder lies beside the outputs, so that they only have to be renamed. Its name says which
process owns it, and its owner holds a lock in it; it is removed by its owner, or by the next
process that writes beside it once its owner is gone.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from rleseg_core.files.owners import Owner
from rleseg_core.files.renaming import rename_if_free

_NAME = re.compile(r"\.rleseg-(?P<pid>\d+)-(?P<started>\d+)-[0-9a-f]{8}@(?P<host>[\w.-]+)")
_LOCK, _NEW, _OLD = "lock", "new", "old"


class WorkFolder:
    """A folder of temporary files; see `work_folder`.

    Attributes
    ----------
    path : Path
        The folder itself.
    new : Path
        Folder of what is being written.
    old : Path
        Folder of what is being replaced: if the process is killed, the next one puts it back unless
        there is something new in its place.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.new, self.old = path, path / _NEW, path / _OLD


@contextmanager
def work_folder(parent: Path) -> Iterator[WorkFolder]:
    """A new folder in `parent` for temporary files, removed when the block ends.

    What processes that are gone left in `parent` is removed first; see `remove_leftovers`.

    Parameters
    ----------
    parent : Path
        An existing folder.

    Yields
    ------
    WorkFolder
    """
    remove_leftovers(parent)
    owner = Owner.this_process()
    name = f".rleseg-{owner.pid}-{owner.started}-{uuid4().hex[:8]}@{owner.host}"
    work = WorkFolder(parent / name)
    work.path.mkdir()
    try:
        lock = _try_lock(work.path / _LOCK)
        try:
            work.new.mkdir()
            work.old.mkdir()
            yield work
        finally:
            if lock is not None:
                lock.release()
    finally:
        shutil.rmtree(work.path, ignore_errors=True)


def is_temporary(path: object) -> bool:
    """Whether a path, such as that of an error, is a work folder or lies in one."""
    return any(_NAME.fullmatch(part) for part in Path(str(path)).parts)


def remove_leftovers(parent: Path) -> None:
    """Remove the work folders in `parent` whose owners are gone; put back what they moved away.

    Those of living processes, of other computers and of other users stay.
    """
    with contextlib.suppress(OSError):  # there is no such folder, or it is not ours to look into
        for entry in os.scandir(parent):
            found = _NAME.fullmatch(entry.name)
            if found is None or not entry.is_dir(follow_symlinks=False):
                continue
            owner = Owner(host=found["host"], pid=int(found["pid"]), started=int(found["started"]))
            if owner.is_gone():
                _remove(WorkFolder(Path(entry.path)))


def _remove(work: WorkFolder) -> None:
    """Remove the work folder of a process that is gone, unless someone holds its lock."""
    with contextlib.suppress(OSError):
        lock = _try_lock(work.path / _LOCK)
        if lock is None:
            return  # a process of the same number, as in two containers, or one that tidies up
        try:
            for kept in sorted(work.old.iterdir()) if work.old.is_dir() else ():
                with contextlib.suppress(FileExistsError):
                    rename_if_free(kept, work.path.parent / kept.name)
        finally:
            lock.release()
    shutil.rmtree(work.path, ignore_errors=True)


def _try_lock(path: Path) -> FileLock | None:
    """The lock of that file, taken; None if someone else holds it."""
    # whoever has it may end in another thread, as a generator that is closed there
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except NotImplementedError:
        pass  # a disk without locks: all that is left is the number of the process
    return lock
