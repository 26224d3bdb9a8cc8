"""What the commands share: consoles, progress bars, JSON."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from rleseg_core.errors import DataWarning
from rleseg_core.text import printable

if TYPE_CHECKING:
    from rleseg_core.download import Downloaded


class LiteralConsole(Console):
    """A console that shows text as it is: names are no markup, no emoji and no control codes."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """The text, with escapes for control characters other than our own line ends."""
        return super().render_str(printable(text, keep="\n"), **how)


class LiteralTable(Table):
    """A table whose cells and headings are shown as they are, each on a line of its own."""

    def add_row(self, *cells: RenderableType | None, **how: Any) -> None:
        """Add a row."""
        super().add_row(*(printable(c) if isinstance(c, str) else c for c in cells), **how)

    def add_column(self, header: RenderableType = "", *rest: Any, **how: Any) -> None:
        """Add a column."""
        super().add_column(printable(header) if isinstance(header, str) else header, *rest, **how)


out = LiteralConsole()
err = LiteralConsole(stderr=True)


def print_json(value: object) -> None:
    """One JSON document on stdout, nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_plain(text: str) -> None:
    """Text of one or several lines on stdout as it is: never cut, coloured or read as markup."""
    out.print(text, soft_wrap=True)


def print_line(text: str, to: Console = out) -> None:
    """A single line, whatever the names in it contain; never cut, coloured or read as markup."""
    to.print(printable(text), soft_wrap=True)


class _LogLines(logging.Handler):
    """Prints what the core logs as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        print_line(f"{record.levelname.lower()}: {record.getMessage()}", err)


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Print each `DataWarning`, and what the core logs from warnings on, as lines on stderr.

    A process says each `DataWarning` once, whoever raises it.
    """
    said: set[str] = set()
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, DataWarning):
            others(message, category, *rest, **more)
        elif str(message) not in said:
            said.add(str(message))
            err.print("note: ", style="bold yellow", end="")
            print_line(str(message), err)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        setattr(warnings, "showwarning", show)  # noqa: B010 - its type is stricter than its use
        logger, lines = logging.getLogger("rleseg_core"), _LogLines(logging.WARNING)
        logger.addHandler(lines)
        try:
            yield
        finally:
            logger.removeHandler(lines)


@contextmanager
def progress_bar(what: str, quiet: bool) -> Iterator["Bar"]:
    """A bar on stderr; on a pipe or with `quiet` it stays silent."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=err, disable=quiet or not err.is_terminal) as progress:
        task = progress.add_task(what, total=None, note="")
        yield Bar(progress, task)


class Bar:
    """A progress bar with a note at its end."""

    def __init__(self, progress: Progress, task: int) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show `done` of `total`."""
        self._progress.update(self._task, completed=done, total=total, note=printable(note))  # type: ignore[arg-type]

    def fetched(self, report: "Downloaded") -> None:
        """Show how far a download is."""
        total = report.n_total or report.n_bytes
        self.update(report.n_bytes >> 20, max(total >> 20, 1), "MiB")


def has_display() -> bool:
    """Whether a window can be opened here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
