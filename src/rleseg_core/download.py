"""Downloads: complete or absent, resumed where they were cut off, checked by their checksums.

Processes that want the same file take turns: the first downloads it, the others find it.
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
from rleseg_core.files import naming, whole_file
from rleseg_core.memory import free_disk

_CHUNK = 2**20
_TIMEOUT = 30.0  # seconds
_POLL = 1.0  # seconds between two reports while another process downloads the file
_NO_CONNECTION = (urllib.error.URLError, ConnectionError, TimeoutError, SSLError, HTTPException)


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """Progress of a download.

    Parameters
    ----------
    n_bytes : int
        Bytes on the disk.
    n_total : int or None
        Bytes of the whole file; None if the server does not say.
    """

    n_bytes: int
    n_total: int | None


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    instead: str = "give the file with --archive",
) -> Generator[Downloaded, None, Path]:
    """Download a file unless it exists; wait if another process is downloading it.

    Closing the generator keeps the bytes received so far beside `path`; the next call resumes
    there, if the file on the server is still the same. The checksum of a complete file is written
    beside it, and compared whenever the file is asked for again.

    Parameters
    ----------
    url : str
        Address of the file.
    path : Path
        Where to save it; the name appears when the file is complete.
    sha256 : str, optional
        Its checksum, if known beforehand.
    instead : str
        How to use a file that was downloaded elsewhere, for messages.

    Yields
    ------
    Downloaded
        After every MiB, and after every second of waiting.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    CheckpointError
        If there is no connection or no such file, the checksum differs, or the address is not one
        of the web.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise CheckpointError(f"{url} is no address of the web; it must begin with https://")
    if path.is_file():
        return _existing(path, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with (yield from _lock(path, part)):
        if path.is_file():
            return _existing(path, sha256)
        with naming(path):  # a full disk
            yield from _fetch(url, part, instead)
        if sha256 is not None:
            _compare(part, sha256)
        os.replace(part, path)
        _identity(part).unlink(missing_ok=True)
        _record_checksum(path)
    return path


def _lock(path: Path, part: Path) -> Generator[Downloaded, None, AcquireReturnProxy]:
    """Lock that keeps other processes from downloading `path`; waits while one of them has it."""
    # a generator may be closed by another thread than the one that started it
    lock = FileLock(path.with_name(f"{path.name}.lock"), thread_local=False)
    while True:
        try:
            return lock.acquire(timeout=_POLL)
        except Timeout:
            n_bytes = part.stat().st_size if part.is_file() else 0
            yield Downloaded(n_bytes=n_bytes, n_total=None)


def _fetch(url: str, part: Path, instead: str) -> Generator[Downloaded, None, None]:
    """Receive what is missing of a file, and say what went wrong."""
    try:
        with _open(url, part) as response:
            yield from _receive(response, part)
    except urllib.error.HTTPError as error:
        raise CheckpointError(_http_failure(url, error, instead)) from error
    except _NO_CONNECTION as error:
        reason = getattr(error, "reason", None) or error
        raise CheckpointError(
            f"{urlsplit(url).netloc} cannot be reached ({reason}); run this again when there "
            f"is a network, or download {url} elsewhere and {instead}"
        ) from error


def _open(url: str, part: Path) -> HTTPResponse:
    """Response to a request for the bytes that are missing."""
    n_had = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "napari-rleseg", "Accept-Encoding": "identity"}
    version = _version_of(part)
    if n_had and version is not None:
        headers["Range"] = f"bytes={n_had}-"
        headers["If-Range"] = version
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing is missing, or the file is shorter now
            raise
        error.close()
        part.unlink()
        return _open(url, part)


def _receive(response: HTTPResponse, part: Path) -> Generator[Downloaded, None, None]:
    resumed = response.status == 206
    n_bytes = part.stat().st_size if resumed else 0
    length = response.headers.get("Content-Length")
    n_total = n_bytes + int(length or 0) if (length or "").isdecimal() else None
    _check_disk(part, (n_total or 0) - n_bytes)
    if not resumed:
        _identity(part).unlink(missing_ok=True)
    with part.open("ab" if resumed else "wb") as file:
        # only a file whose version is known can be resumed
        identity = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if identity and not identity.startswith("W/"):
            with whole_file(_identity(part)) as temporary:
                temporary.write_text(json.dumps(identity), "utf-8")
        yield Downloaded(n_bytes=n_bytes, n_total=n_total)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            n_bytes += len(chunk)
            yield Downloaded(n_bytes=n_bytes, n_total=n_total)
        file.flush()
        os.fsync(file.fileno())
    if n_total is not None and n_bytes < n_total:
        raise ConnectionError(f"the connection ended after {n_bytes:,} of {n_total:,} bytes")


def _check_disk(part: Path, n_missing: int) -> None:
    """Raise unless the disk has room for what is still to come."""
    if n_missing > (free := free_disk(part.parent)):
        raise CheckpointError(
            f"{n_missing / 1e6:,.1f} MB are still to be downloaded to {part.parent}, and its disk "
            f"has {free / 1e6:,.1f} MB free; make room there"
        )


def _http_failure(url: str, error: urllib.error.HTTPError, instead: str) -> str:
    what = f"{urlsplit(url).netloc} answers {error.code} {error.reason} for {url}"
    if error.code == 404:
        return f"{what}; it may have moved: look there, and {instead}"
    return f"{what}; try again later, or fetch it elsewhere and {instead}"


def _identity(part: Path) -> Path:
    """File with the version of what was received so far, as the server names it."""
    return part.with_name(f"{part.name}.version")


def _version_of(part: Path) -> str | None:
    """The version of what was received so far; None if it is not known."""
    try:
        version = json.loads(_identity(part).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return version if isinstance(version, str) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: Path, sha256: str | None) -> Path:
    """An existing file, after comparing it with the known or recorded checksum."""
    record = _checksum_file(path)
    noted = record.read_bytes().split()[:1] if record.is_file() else []
    known = sha256 or "".join(part.decode(errors="replace") for part in noted)
    _compare(path, known or _record_checksum(path))
    return path


def _checksum_file(path: Path) -> Path:
    """File with the recorded checksum."""
    return path.with_name(f"{path.name}.sha256")


def _record_checksum(path: Path) -> str:
    checksum = _sha256(path)
    with whole_file(_checksum_file(path)) as temporary:
        temporary.write_text(f"{checksum}  {path.name}\n")
    return checksum


def _compare(path: Path, expected: str) -> None:
    if (found := _sha256(path)) != expected:
        raise CheckpointError(
            f"{path} has the checksum {found[:12]}…, expected {expected[:12]}…: it is damaged or "
            "another version; delete it to fetch it again"
        )
