"""Who may write into a session: one program at a time, and only if nobody else did meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rleseg_core.corrections.header import LOCK, LOG
from rleseg_core.errors import DataError, UnwritableError
from rleseg_core.locks import WriterLock


class WriterGate:
    """The right to write into a session.

    Parameters
    ----------
    folder : Path
        Folder of the session.
    read_only : bool
        Whether nothing may be written.
    """

    def __init__(self, folder: Path, *, read_only: bool):
        self.read_only = read_only
        self._folder, self._log = folder, folder / LOG
        self._lock = WriterLock(folder / LOCK, f"the correction session {folder}")
        self._n_bytes: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object has the right now."""
        return self._lock.held

    def note(self) -> None:
        """Remember how long the log is, after it was read or written."""
        self._n_bytes = self._log.stat().st_size

    def take(self) -> None:
        """Take the right until `release`.

        Raises
        ------
        InUseError
            If another program has it.
        UnwritableError
            If the folder cannot be written to.
        DataError
            If the session is open read-only, or was changed by another program since it was read.
        """
        if self.read_only:
            raise DataError(f"the correction session {self._folder} is open read-only")
        if self.held:
            return
        try:
            self._lock.acquire()
        except OSError as error:
            raise UnwritableError(
                f"the correction session {self._folder} cannot be written to "
                f"({error.strerror or error}); open it read-only, or copy it"
            ) from error
        if self._n_bytes is not None and self._log.stat().st_size != self._n_bytes:
            self.release()
            raise DataError(
                f"the correction session {self._folder} was changed by another program since it "
                "was closed; open it anew"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Have the right inside the block; afterwards as before."""
        held = self.held
        self.take()
        try:
            yield
        finally:
            if not held:
                self.release()

    def release(self) -> None:
        """Give the right back."""
        self._lock.release()
