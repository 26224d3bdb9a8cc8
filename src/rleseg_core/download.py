"""Files from the web: whole or not there, taken up where they were cut off, the same each time.

Processes that want the same file take turns: the first fetches it, the others find it.
"""

import hashlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from urllib.parse import urlsplit

from filelock import AcquireReturnProxy, FileLock, Timeout

from rleseg_core.errors import CheckpointError
from rleseg_core.files import whole_file

_CHUNK = 2**20
_TIMEOUT = 30.0
_TURN = 1.0  # seconds between two reports while another process fetches the file
_NO_CONNECTION = (urllib.error.URLError, ConnectionError, TimeoutError, SSLError, HTTPException)


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """How far a download is: bytes there, and in all (None where the server does not say)."""

    n_bytes: int
    n_total: int | None


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    instead: str = "give the file with --archive",
) -> Generator[Downloaded, None, Path]:
    """Fetch a file, unless it is there; while another process fetches it, wait.

    Closing the generator keeps what has come beside `path`; the next call goes on from there, if
    the file on the server is still the same. The checksum of a complete file is written beside it
    and compared whenever the file is asked for again.

    Parameters
    ----------
    url : str
        Where it is.
    path : Path
        Where it goes, under its name only when it is complete.
    sha256 : str, optional
        Its checksum, if known beforehand.
    instead : str
        What to do with a file that was fetched elsewhere, for messages.

    Yields
    ------
    Downloaded
        After every MiB, and every second of waiting.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    CheckpointError
        If there is no connection, no such file, it is not the file of the checksum, or the address
        is not one of the web.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise CheckpointError(f"{url} is no address of the web; it must begin with https://")
    if path.is_file():
        return _found(path, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with (yield from _turn(path, part)):
        if path.is_file():
            return _found(path, sha256)
        try:
            with _open(url, part) as response:
                yield from _receive(response, part)
        except urllib.error.HTTPError as error:
            raise CheckpointError(_refusal(url, error, instead)) from error
        except _NO_CONNECTION as error:
            reason = getattr(error, "reason", None) or error
            raise CheckpointError(
                f"{urlsplit(url).netloc} cannot be reached ({reason}); run this again when there "
                f"is a network, or fetch {url} elsewhere and {instead}"
            ) from error
        if sha256 is not None:
            _compare(part, sha256)
        os.replace(part, path)
        _identity(part).unlink(missing_ok=True)
        _remember(path)
    return path


def _turn(path: Path, part: Path) -> Generator[Downloaded, None, AcquireReturnProxy]:
    """What holds all other processes off `path` until it is left; waited for if one has it."""
    # a generator may be closed by another thread than began it
    lock = FileLock(path.with_name(f"{path.name}.lock"), thread_local=False)
    while True:
        try:
            return lock.acquire(timeout=_TURN)
        except Timeout:
            n_bytes = part.stat().st_size if part.is_file() else 0
            yield Downloaded(n_bytes=n_bytes, n_total=None)


def _open(url: str, part: Path) -> HTTPResponse:
    """The answer to a request for what is still missing."""
    n_had = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "napari-rleseg", "Accept-Encoding": "identity"}
    if n_had and _identity(part).is_file():
        headers["Range"] = f"bytes={n_had}-"
        headers["If-Range"] = json.loads(_identity(part).read_text())
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing is left of it, or it is shorter now
            raise
        error.close()
        part.unlink()
        return _open(url, part)


def _receive(response: HTTPResponse, part: Path) -> Generator[Downloaded, None, None]:
    goes_on = response.status == 206
    n_bytes = part.stat().st_size if goes_on else 0
    length = response.headers.get("Content-Length")
    n_total = n_bytes + int(length) if length is not None else None
    if not goes_on:
        _identity(part).unlink(missing_ok=True)
    with part.open("ab" if goes_on else "wb") as file:
        # only a file that can be told from another version of it is gone on with
        identity = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if identity and not identity.startswith("W/"):
            _identity(part).write_text(json.dumps(identity))
        yield Downloaded(n_bytes=n_bytes, n_total=n_total)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            n_bytes += len(chunk)
            yield Downloaded(n_bytes=n_bytes, n_total=n_total)
        file.flush()
        os.fsync(file.fileno())
    if n_total is not None and n_bytes < n_total:
        raise ConnectionError(f"the connection ended after {n_bytes:,} of {n_total:,} bytes")


def _refusal(url: str, error: urllib.error.HTTPError, instead: str) -> str:
    what = f"{urlsplit(url).netloc} answers {error.code} {error.reason} for {url}"
    if error.code == 404:
        return f"{what}; it may have moved: look there, and {instead}"
    return f"{what}; try again later, or fetch it elsewhere and {instead}"


def _identity(part: Path) -> Path:
    """Where it is noted which version of the file has begun to come."""
    return part.with_name(f"{part.name}.version")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _found(path: Path, sha256: str | None) -> Path:
    """A file that is there, if it has the checksum that is known or was noted."""
    note = _note(path)
    known = sha256 or (note.read_text().split()[0] if note.is_file() else None)
    _compare(path, known or _remember(path))
    return path


def _note(path: Path) -> Path:
    """Where the checksum of a file is noted."""
    return path.with_name(f"{path.name}.sha256")


def _remember(path: Path) -> str:
    checksum = _sha256(path)
    with whole_file(_note(path)) as temporary:
        temporary.write_text(f"{checksum}  {path.name}\n")
    return checksum


def _compare(path: Path, expected: str) -> None:
    if (found := _sha256(path)) != expected:
        raise CheckpointError(
            f"{path} has the checksum {found[:12]}…, expected {expected[:12]}…: it is damaged or "
            "another version; delete it to fetch it again"
        )
