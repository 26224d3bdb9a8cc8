"""What stands at a path: a file, a folder, or something that must not be opened."""

import os
import stat
from pathlib import Path

from rleseg_core.errors import DataError
from rleseg_core.files.work import remove_leftovers


def check_regular(path: str | Path) -> None:
    """Refuse what is neither a file nor a folder: opening a named pipe or a device may never end.

    Raises
    ------
    DataError
        If nothing is there, or something else; the message says what.
    """
    path = Path(path)
    if not os.path.lexists(path):
        remove_leftovers(path.parent)  # a killed process may have moved it away to replace it
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
