"""Files that are either whole or not there, and the time they note."""

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import uuid4

_N_DIGITS = 8  # of the names of drafts


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Temporary name beside `path` that becomes `path` only if the block ends well.

    Parameters
    ----------
    path : str or Path
        Where the file (or folder) is to be; its parents are made.

    Yields
    ------
    Path
        A name with the same suffix in the same folder, to write to. On an error it is removed and
        `path` is left as it was. A folder replaces an older folder of that name.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.stem}-{uuid4().hex[:_N_DIGITS]}{target.suffix}")
    try:
        yield draft
        if draft.is_dir():
            replace_folder(draft, target)
        else:
            _flush_to_disk(draft)
            os.replace(draft, target)
    except OSError as error:
        of_draft = str(error.filename).startswith(str(draft.with_suffix("")))
        if error.errno is not None and (error.filename is None or of_draft):
            error.filename = str(target)  # the name that the user gave
        raise
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def remove_drafts(path: str | Path) -> None:
    """Remove what writers of `path` left who were killed; nobody must be writing it."""
    target = Path(path)
    digits = "[0-9a-f]" * _N_DIGITS
    for draft in target.parent.glob(f".{glob.escape(target.stem)}-{digits}.*"):
        if draft.suffix not in (target.suffix, ".parts"):
            continue  # of a file with the same stem, which another program may be writing
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def check_place(path: str | Path) -> None:
    """Raise the OSError of a place where no file can be made, before long work is done for it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


def _flush_to_disk(path: Path) -> None:
    """Put the bytes on the disk before the name: a crash must not leave an empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(draft: Path, target: Path) -> None:
    """Give the folder `draft` the name `target`; an older folder there goes only then."""
    if target.is_dir():
        old = target.with_name(f".{target.stem}-{uuid4().hex[:_N_DIGITS]}.old")
        target.rename(old)
        draft.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        draft.rename(target)


def time_stamp() -> str:
    """The time, as our files note it: ISO 8601, local, with the offset."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
