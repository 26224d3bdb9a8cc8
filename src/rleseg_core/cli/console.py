"""What the commands share: consoles, progress bars, JSON."""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rleseg_core.errors import DataWarning

if TYPE_CHECKING:
    from rleseg_core.download import Downloaded

out = Console()
err = Console(stderr=True)


def print_json(value: object) -> None:
    """One JSON document on stdout, nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_plain(text: str) -> None:
    """A line on stdout as it is: never cut, coloured or read as markup."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Print each `DataWarning` as a line on stderr, whoever raises it; a process says it once."""
    said: set[str] = set()
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, DataWarning):
            others(message, category, *rest, **more)
        elif str(message) not in said:
            said.add(str(message))
            err.print("[bold yellow]note:[/] ", end="")
            err.print(str(message), soft_wrap=True, highlight=False, markup=False)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        setattr(warnings, "showwarning", show)  # noqa: B010 - its type is stricter than its use
        yield


@contextmanager
def progress_bar(what: str, quiet: bool) -> Iterator["Bar"]:
    """A bar on stderr; on a pipe or with `quiet` it stays silent."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
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
        self._progress.update(self._task, completed=done, total=total, note=note)  # type: ignore[arg-type]

    def fetched(self, report: "Downloaded") -> None:
        """Show how far a download is."""
        total = report.n_total or report.n_bytes
        self.update(report.n_bytes >> 20, max(total >> 20, 1), "MiB")


def has_display() -> bool:
    """Whether a window can be opened here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
