"""Outputs that destroy nothing: one check for all that commands, functions and the plugin write."""

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rleseg_core.errors import OutputError
from rleseg_core.files import check_writable, remove_leftovers, whole_file, writer_of

INSTEAD = "choose another name, or have it replaced with --overwrite (in Python, overwrite=True)"
FILES_OF_DESKTOPS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # nobody misses them in a folder
_HEAD = 4096  # bytes of a file that are looked at

Recogniser = Callable[[Path], bool]
"""Whether an existing file or folder is such that the program itself could have written it."""


@dataclass(frozen=True)
class Output:
    """A file or folder that is to be written.

    Parameters
    ----------
    path : Path
        Where it goes.
    what : str
        What it is, with its article, such as 'a model file'.
    is_ours : callable
        Whether what exists there may be replaced, if the user wants that.
    is_folder : bool
        Whether a folder is written, rather than a file.
    names : tuple of str
        Of a folder in which other files may lie: the names of those that are written. They are
        replaced only where nothing else is in it.
    within : Path, optional
        A folder in which the output has a place of its own, although the folder is read, too.
    own : bool
        Whether what exists there belongs to the call itself, as the files of a run that is resumed.
    kept : bool
        Whether it is a folder to which files are added, and what it holds stays; its files are
        outputs of their own.
    """

    path: Path
    what: str
    is_ours: Recogniser
    is_folder: bool = False
    names: tuple[str, ...] = ()
    within: Path | None = None
    own: bool = False
    kept: bool = False


def check_outputs(
    outputs: Iterable[Output], inputs: Iterable[str | Path] = (), *, overwrite: bool = False
) -> None:
    """Raise an error unless all outputs of a call can be written without destroying anything.

    Links and ``..`` are followed, and files are compared by what they are, not by how they are
    spelled. Left-overs of killed runs beside the outputs are removed.

    Parameters
    ----------
    outputs : iterable of Output
        All that the call writes.
    inputs : iterable of str or Path
        All that it reads, the parts of sources of several files as well.
    overwrite : bool
        Whether an output may replace an older one. Never does it replace something that the
        program could not have written.

    Raises
    ------
    OutputError
        If an output is an input, contains it or lies inside it; two outputs are the same, or one
        lies inside the other; an output exists and `overwrite` is not set; or it is something else
        than the program writes there.
    OSError
        If an output cannot be written; the error names it.
    """
    outputs = list(outputs)
    given = [(str(path), _chain(Path(path))) for path in inputs]
    for output in outputs:
        remove_leftovers(Path(os.path.realpath(output.path)).parent)
        _check_against(output, given, overwrite)
    _check_each_other(outputs)
    for output in outputs:
        _check_existing(output, overwrite)
        if not overwrite and not output.kept:
            _check_free(output.path)
        check_writable(output.path)


def exists(path: Path, names: Sequence[str] = ()) -> bool:
    """Whether there is something at a path that could be lost: a file, or a folder that holds any.

    Parameters
    ----------
    path : Path
        The path.
    names : sequence of str
        The only files that count in a folder; all by default.

    Raises
    ------
    OutputError
        If it is a device, a named pipe or a socket, to which nothing is written.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False  # a broken link as well: what it names is made
    if stat.S_ISDIR(mode):
        held = {entry.name for entry in os.scandir(path)}
        return bool(held & set(names) if names else held - FILES_OF_DESKTOPS)
    if not stat.S_ISREG(mode):
        raise OutputError(f"{path} is no ordinary file; choose another name for the output")
    return True


@contextmanager
def new_output(output: Output, *, overwrite: bool = False) -> Iterator[Path]:
    """Temporary path that becomes an output only if the block ends well; see `whole_file`.

    Parameters
    ----------
    output : Output
        What is written, and what it may replace.
    overwrite : bool
        Whether it may replace an older one.

    Raises
    ------
    OutputError
        If there is one already and `overwrite` is not set, or there is something else.
    """
    check_outputs([output], overwrite=overwrite)
    replaced = overwrite and (not output.names or exists(output.path, output.names))
    try:
        with whole_file(output.path, overwrite=replaced) as temporary:
            yield temporary
            _check_existing(output, overwrite)  # while it was written, others may have been, too
    except FileExistsError as error:
        if error.filename != str(output.path):
            raise
        raise OutputError(
            f"{output.path} was written by another program in the meantime; {INSTEAD}"
        ) from error


def begins_with(*magic: bytes, at: int = 0) -> Recogniser:
    """A recogniser of files by the bytes that they begin with, `at` bytes after their start."""

    def recognise(path: Path) -> bool:
        return path.is_file() and _head(path)[at:].startswith(magic)

    return recognise


def table_with(*columns: str) -> Recogniser:
    """A recogniser of CSV files by the first of their columns."""
    return begins_with(",".join(columns).encode())


def result_folder(path: Path, what: str, names: Sequence[str], is_ours: Recogniser) -> Output:
    """A folder of several files as one output.

    Parameters
    ----------
    path : Path
        The folder; it may exist, and hold other files.
    what : str
        What it is, with its article.
    names : sequence of str
        Names of the files. They are replaced only if there is nothing else in the folder.
    is_ours : callable
        Whether the files that have these names are ours.
    """
    known = {*names, *FILES_OF_DESKTOPS}

    def recognise(folder: Path) -> bool:
        return {entry.name for entry in os.scandir(folder)} <= known and is_ours(folder)

    return Output(path, what, recognise, is_folder=True, names=tuple(names))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


Key = tuple[object, ...]
"""What a file or folder is, however it is spelled."""


def _chain(path: Path) -> list[Key]:
    """Keys of a path and of all folders above it, links followed, from the path upwards."""
    resolved = Path(os.path.realpath(path))
    missing: list[str] = []
    for folder in (resolved, *resolved.parents):
        try:
            status = os.stat(folder)
        except OSError:
            missing.append(folder.name)
            continue
        above = [_key(status), *(_key(os.stat(parent)) for parent in folder.parents)]
        if missing and _ignores_case(folder):
            missing = [unicodedata.normalize("NFC", name).casefold() for name in missing]
        below = [(above[0], *reversed(missing[index:])) for index in range(len(missing))]
        return [*below, *above]
    return [(str(resolved),)]  # not even its disk is there


def _key(status: os.stat_result) -> Key:
    return status.st_dev, status.st_ino


def _ignores_case(folder: Path) -> bool:
    """Whether names that differ only in case are one name on the disk of a folder."""
    for part in (folder, *folder.parents):
        other = part.with_name(part.name.swapcase()) if part.name else part
        if other.name != part.name:
            try:
                return os.path.samefile(part, other)
            except OSError:
                return False
    return False


def _check_against(
    output: Output, inputs: Sequence[tuple[str, list[Key]]], overwrite: bool
) -> None:
    """Refuse an output that is an input, contains one or lies inside one."""
    chain = _chain(output.path)
    own_place = [] if output.within is None else _chain(output.within)
    around = {*chain, *_chain(output.path.absolute().parent)}  # of a link, what holds it as well
    for name, other in inputs:
        if chain[0] == other[0]:
            raise OutputError(
                f"{output.path} is the input {name}; choose another name for the output"
            )
        if chain[0] in other:
            raise OutputError(
                f"{output.path} contains the input {name}; choose another place for the output"
            )
        if other[0] in around and other[0] not in own_place:
            raise OutputError(
                f"{output.path} lies inside the input {name}; choose a place outside of it for "
                "the output"
            )
        if overwrite and _is_linked_into(output.path, name):
            raise OutputError(
                f"{output.path} is a file of the input {name}; choose another name for the output"
            )


def _is_linked_into(output: Path, folder: str) -> bool:
    """Whether an output is, by a link, a file of a folder."""
    if not output.is_file() or not os.path.isdir(folder):
        return False
    status = os.stat(output)
    return any(
        os.path.samestat(status, os.stat(os.path.join(root, file)))
        for root, _, files in os.walk(folder)
        for file in files
        if os.path.exists(os.path.join(root, file))
    )


def _check_each_other(outputs: Sequence[Output]) -> None:
    """Refuse outputs that would overwrite each other."""
    chains = [(output, _chain(output.path)) for output in outputs]
    for index, (output, chain) in enumerate(chains):
        for other, its in chains[:index]:
            if chain[0] == its[0]:
                raise OutputError(
                    f"{other.path} and {output.path} are the same; give each output a name of "
                    "its own"
                )
            for inner, outer, inside in (
                (output, other, its[0] in chain),
                (other, output, chain[0] in its),
            ):
                if inside and not outer.kept:
                    raise OutputError(
                        f"{inner.path} lies inside {outer.path}, which is written as well; choose "
                        "another place for one of them"
                    )


def _check_existing(output: Output, overwrite: bool) -> None:
    """Refuse what is there, unless it may be replaced and could be ours."""
    path = output.path
    if output.kept:
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return
    if output.own or (not exists(path, output.names) and path.is_dir() <= output.is_folder):
        return
    if not _recognised(output):
        is_folder = path.is_dir()
        if is_folder != output.is_folder:
            there = (
                f"is a {'folder' if is_folder else 'file'}, where {output.what} is to be written"
            )
        else:
            more = " or holds other files as well," if is_folder else ""
            there = f"is not {output.what} that rleseg could have written,{more} and stays as it is"
        raise OutputError(f"{path} {there}; choose another name")
    if not overwrite:
        raise OutputError(f"{path} exists already; {INSTEAD}")
    if path.is_dir() and _chain(path)[0] in _chain(Path.cwd()):
        raise OutputError(f"you are inside {path}, which is to be replaced; go elsewhere first")


def _check_free(path: Path) -> None:
    """Refuse what another process is writing, which would be in the way when this one is done."""
    writer = writer_of(Path(os.path.realpath(path)))
    if writer is not None:
        raise OutputError(
            f"{path} is being written by process {writer.pid} on {writer.host}; wait for it, or "
            "choose another name"
        )


def _recognised(output: Output) -> bool:
    try:
        return output.is_ours(output.path)
    except Exception:  # noqa: BLE001 whatever a reader of ours cannot read is not ours
        return False
