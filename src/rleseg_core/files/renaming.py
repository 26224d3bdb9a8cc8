"""Names that change hands at once: exchanged, or given only if they are free."""

import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_IF_FREE, _EXCHANGE = 1, 2  # flags of Linux's renameat2
_MAC_EXCHANGE, _MAC_IF_FREE = 2, 4  # and of macOS's renamex_np
_AT_FDCWD = -100
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)
_TRIES = 100  # between which another writer may take or free the name


def exchange(first: Path, second: Path) -> bool:
    """Let two files or folders swap their names at once; False where the system cannot."""
    return _rename(first, second, _EXCHANGE, _MAC_EXCHANGE)


def rename_if_free(source: Path, target: Path) -> None:
    """Rename a file or folder, but never onto anything.

    Raises
    ------
    FileExistsError
        If there is a file or folder of that name.
    """
    if _rename(source, target, _IF_FREE, _MAC_IF_FREE):
        return
    if not source.is_dir():
        with contextlib.suppress(OSError):  # some disks know no hard links
            os.link(source, target)
            source.unlink()
            return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        source.rename(target)
    except OSError as error:  # POSIX has several words for a folder that came there just now
        if error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error


def replace_folder(source: Path, target: Path, old: Path) -> None:
    """Give the folder `source` the name `target`; what had that name is left at `source` or `old`.

    Parameters
    ----------
    source : Path
        A whole folder.
    target : Path
        The name; it is never without a folder where the system can exchange names.
    old : Path
        A name that is free, in a folder from which `target` is restored if the process ends
        between two renames (see `work_folder`).
    """
    for _ in range(_TRIES):
        try:
            rename_if_free(source, target)
            return
        except FileExistsError:
            pass
        try:
            if exchange(source, target):
                return
            target.rename(old)
        except FileNotFoundError:
            continue  # another writer has just moved it
        try:
            rename_if_free(source, target)
            return
        except FileExistsError:
            old.rename(old.with_name(f"{old.name}.{os.urandom(4).hex()}"))  # newer than ours
        except BaseException:
            with contextlib.suppress(OSError):
                rename_if_free(old, target)
            raise
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def _rename(source: Path, target: Path, linux: int, mac: int) -> bool:
    """Rename with a flag; False where system or disk do not know it."""
    call = _system_call()
    if call is None:
        return False
    flag = mac if sys.platform == "darwin" else linux
    if call(os.fsencode(source), os.fsencode(target), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


@cache
def _system_call() -> Callable[[bytes, bytes, int], int] | None:
    """What renames with flags on this system, if anything does."""
    if sys.platform not in ("linux", "darwin"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        return getattr(library, "renamex_np", None)
    renameat2 = getattr(library, "renameat2", None)
    if renameat2 is None:
        return None
    return lambda source, target, flag: renameat2(_AT_FDCWD, source, _AT_FDCWD, target, flag)
