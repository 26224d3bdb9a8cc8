"""Files and folders that are either complete or absent."""

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rleseg_core.files.renaming import rename_if_free, replace_folder
from rleseg_core.files.work import is_temporary, work_folder


@contextmanager
def whole_file(path: str | Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Temporary path on the disk of `path` that becomes `path` only if the block ends well.

    Parameters
    ----------
    path : str or Path
        The file or folder to write; its parent folders are made. Behind a link it is the file that
        the link names which is written.
    overwrite : bool
        Whether it replaces an older file or folder of that name, which stays until the new one is
        whole. Files of the user are checked beforehand, too: see `rleseg_core.outputs`.

    Yields
    ------
    Path
        A path of the same name in a folder for temporary files, to write to. On an error it is
        removed and `path` is left as it was.

    Raises
    ------
    FileExistsError
        If there is a file of that name, or a folder that holds one of the new names, and
        `overwrite` is not set.
    OSError
        If it cannot be written; the error names `path`, not the temporary one.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        error.filename = str(path)
        raise
    with naming(path), work_folder(target.parent, target.name) as work:
        temporary = work.new / target.name
        yield temporary
        # content, then name: a crash must not leave an empty file under the final name
        _sync(temporary)
        if temporary.is_dir():
            _place_folder(temporary, target, work.old / target.name, overwrite)
        elif overwrite:
            os.replace(temporary, target)
        else:
            rename_if_free(temporary, target)
        _sync_folder(target.parent)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Have errors of the system name `path` where they name a file that is on its way to it.

    That is a temporary file, one such as ``path.part``, or none at all.
    """
    try:
        yield
    except OSError as error:
        name = "" if error.filename is None else str(error.filename)
        is_on_its_way = not name or is_temporary(name) or name.startswith(f"{path}.")
        if error.errno is not None and is_on_its_way:
            error.filename, error.filename2 = str(path), None  # the name that the user gave
        raise


def check_writable(path: str | Path) -> None:
    """Raise the OSError of a path that cannot be written, before long work is done for it.

    Nothing is made. What exists there is not looked at; `rleseg_core.outputs.check_outputs` does.
    """
    target = Path(os.path.realpath(path))
    above = next((folder for folder in target.parents if folder.exists()), target)
    number = 0
    if not above.is_dir():
        number = errno.ENOTDIR
    elif not os.access(above, os.W_OK | os.X_OK):
        number = errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), str(path))


def mode_of_new_files(folder: Path) -> int:
    """Permissions that files get in a folder, as the user's umask and the folder want it."""
    probe = folder / ".mode"
    probe.touch()
    try:
        return probe.stat().st_mode & 0o777
    finally:
        probe.unlink()


def _place_folder(source: Path, target: Path, old: Path, overwrite: bool) -> None:
    """Give a whole folder its name, or fill one of that name if nothing of it is in the way."""
    is_empty = target.is_dir() and not any(target.iterdir())
    if overwrite and not is_empty:
        replace_folder(source, target, old)
        return
    if target.is_dir():
        entries = sorted(source.iterdir())
        taken = [entry.name for entry in entries if os.path.lexists(target / entry.name)]
        if taken and overwrite:  # another writer's folder came there after we looked
            replace_folder(source, target, old)
            return
        if taken:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target / taken[0]))
        for entry in entries:
            rename_if_free(entry, target / entry.name)
    else:
        rename_if_free(source, target)


def _sync(path: Path) -> None:
    """Wait until a file, or all that is in a folder, is on the disk."""
    if not path.is_dir():
        _sync_file(path)
        return
    for entry in path.iterdir():
        if not entry.is_symlink():
            _sync(entry)
    _sync_folder(path)


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
