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
_LOCK, _NEW, _OLD, _OUTPUT = "lock", "new", "old", "output"


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
def work_folder(parent: Path, output: str = "") -> Iterator[WorkFolder]:
    """A new folder in `parent` for temporary files, removed when the block ends.

    What processes that are gone left in `parent` is removed first; see `remove_leftovers`.

    Parameters
    ----------
    parent : Path
        An existing folder.
    output : str
        Name of what is written, for others to see.

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
            (work.path / _OUTPUT).write_bytes(os.fsencode(output))
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


def writer_of(path: Path) -> Owner | None:
    """The other process that is writing a file or folder of that name just now; None if none is."""
    with contextlib.suppress(OSError):
        for work, owner in _work_folders(path.parent):
            if owner == Owner.this_process() or not _is_for(work, path.name):
                continue
            lock = _try_lock(work.path / _LOCK)
            if lock is None:
                return owner
            lock.release()
    return None


def _is_for(work: WorkFolder, name: str) -> bool:
    try:
        return (work.path / _OUTPUT).read_bytes() == os.fsencode(name)
    except OSError:
        return False


def _work_folders(parent: Path) -> Iterator[tuple[WorkFolder, Owner]]:
    """The work folders in a folder, and whose they are."""
    for entry in os.scandir(parent):
        found = _NAME.fullmatch(entry.name)
        if found is not None and entry.is_dir(follow_symlinks=False):
            pid, started = int(found["pid"]), int(found["started"])
            yield WorkFolder(Path(entry.path)), Owner(host=found["host"], pid=pid, started=started)


def remove_leftovers(parent: Path) -> None:
    """Remove the work folders in `parent` whose owners are gone; put back what they moved away.

    Those of living processes, of other computers and of other users stay.
    """
    with contextlib.suppress(OSError):  # there is no such folder, or it is not ours to look into
        for work, owner in _work_folders(parent):
            if owner.is_gone():
                _remove(work)


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
