"""Whether something fits into memory, or onto a disk, asked before it is made; no torch."""

import shutil
from pathlib import Path

import psutil

from rleseg_core.errors import BudgetError


def available_memory() -> int:
    """Bytes that can be taken without pushing others out of memory."""
    return int(psutil.virtual_memory().available)


def check_room(n_bytes: int, what: str, remedy: str) -> None:
    """Raise unless that many bytes are available.

    Parameters
    ----------
    n_bytes : int
        What is needed at least.
    what : str
        What needs it, the subject of the message.
    remedy : str
        What to do, an imperative.

    Raises
    ------
    BudgetError
        If there is less; the message gives both amounts.
    """
    if n_bytes > (available := available_memory()):
        raise BudgetError(
            f"{what} would take {n_bytes / 1e9:,.1f} GB, and {available / 1e9:,.1f} GB of memory "
            f"are available; {remedy}"
        )


def free_disk(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free
