"""Files that are either complete or absent, and the time stamp that they carry."""

import contextlib
import errno
import glob
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from rleseg_core.errors import DataError

_N_DIGITS = 8  # random hexadecimal digits in the name of a temporary file


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Temporary path beside `path` that becomes `path` only if the block ends well.

    Parameters
    ----------
    path : str or Path
        The file or folder to write; its parent folders are made.

    Yields
    ------
    Path
        A path with the same suffix in the same folder, to write to. On an error it is removed and
        `path` is left as it was. A folder replaces an older folder of that name.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}-{uuid4().hex[:_N_DIGITS]}{target.suffix}")
    try:
        yield temporary
        if temporary.is_dir():
            replace_folder(temporary, target)
        else:
            # content, then name: a crash must not leave an empty file under the final name
            _sync_file(temporary)
            os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        is_temporary = str(error.filename).startswith(str(temporary.with_suffix("")))
        if error.errno is not None and (error.filename is None or is_temporary):
            error.filename = str(target)  # the name that the user gave
        raise
    finally:
        _remove(temporary)


def remove_temporary_files(path: str | Path) -> None:
    """Remove what killed writers of `path` left behind; nobody may be writing it."""
    target = Path(path)
    digits = "[0-9a-f]" * _N_DIGITS
    for temporary in target.parent.glob(f".{glob.escape(target.stem)}-{digits}.*"):
        # another suffix: a file with the same stem, which another program may be writing
        if temporary.suffix in (target.suffix, ".parts"):
            _remove(temporary)


def check_writable(path: str | Path) -> None:
    """Raise the OSError of a path that cannot be written, before long work is done for it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


def replace_folder(source: Path, target: Path) -> None:
    """Rename the folder `source` to `target`; an older folder there is removed only then."""
    if target.is_dir():
        old = target.with_name(f".{target.stem}-{uuid4().hex[:_N_DIGITS]}.old")
        target.rename(old)
        source.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        source.rename(target)


def time_stamp() -> str:
    """Local time in ISO 8601 with its offset from UTC, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDWR)  # Windows syncs only files that are open for writing
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    with contextlib.suppress(OSError):  # Windows opens no folders; some network disks do not sync
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_regular(path: str | Path) -> None:
    """Refuse what is neither a file nor a folder: opening a named pipe or a device may never end.

    Raises
    ------
    DataError
        If nothing is there, or something else; the message says what.
    """
    path = Path(path)
    if not (path.is_file() or path.is_dir()):
        kind = kind_of(path)
        raise DataError(
            f"there is no file or folder {path}" if kind is None else f"cannot read {path}: {kind}"
        )


def kind_of(path: Path) -> str | None:
    """What stands at a path that is no ordinary file, as a part of a sentence; None if nothing."""
    if path.is_symlink() and not path.exists():
        return f"it is a link to {os.readlink(path)}, which does not exist"
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe, not a file"),
        (stat.S_ISSOCK, "a socket, not a file"),
        (stat.S_ISCHR, "a device, not a file"),
        (stat.S_ISBLK, "a device, not a file"),
    )
    return next((f"it is {kind}" for test, kind in kinds if test(mode)), "it is no ordinary file")
