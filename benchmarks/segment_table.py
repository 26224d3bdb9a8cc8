"""The tables of `benchmarks.segment`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf

import numpy as np

from benchmarks.report import table
from benchmarks.segment_job import Found, Job


@dataclass(frozen=True)
class Row:
    """A job of a version and what it has taken.

    Parameters
    ----------
    version : {'now', 'before'}
        Whose code.
    side : int
        Of the fields.
    job : Job
        What was asked.
    found : Found or None
        What it took.
    error : str or None
        Why it failed.
    dice : float or None
        Of the foreground with that of the version before.
    """

    version: str
    side: int
    job: Job
    found: Found | None
    error: str | None = None
    dice: float | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What tells rows apart."""
        job = self.job
        return self.version, self.side, job.model, job.how, job.batch_size, job.threads

    @property
    def on_gpu(self) -> bool:
        """Whether wall time counts, and memory is that of the GPU."""
        return self.job.device != "cpu"

    @property
    def seconds(self) -> float:
        """Of a field: CPU time, or wall time beside a GPU; infinite after an error."""
        if self.found is None:
            return inf
        return (self.found.wall if self.on_gpu else self.found.cpu) / self.found.n_fields

    @property
    def told(self) -> str:
        """In a few words."""
        return self.error or f"{self.seconds:.2f} s a field"

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Of two boolean arrays of one shape; 1 for two empty ones."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def cost_table(rows: Sequence[Row]) -> str:
    """A line for each contender and version."""
    if not rows:
        return ""
    gpu = rows[0].on_gpu
    clock = "s" if gpu else "CPU s"
    head = [
        "field", "what", "version", "fields/s", f"{clock} a field", "of the U-Net",
        f"first mask, {clock}", f"cold, {clock}", "peak MB", "windows", "tokens",
        "Dice with before",
    ]  # fmt: skip
    if gpu:
        head.append("waits a field")
    return table(
        head, [_cost(row, _unet_beside(row, rows), gpu) for row in rows], ("what", "version")
    )


def _unet_beside(row: Row, rows: Sequence[Row]) -> Row | None:
    same = (other for other in rows if other.side == row.side and other.job.how == "U-Net")
    return next((other for other in same if other.found), None)


def _cost(row: Row, unet: Row | None, gpu: bool) -> list[str]:
    job, found = row.job, row.found
    cells = [f"{row.side}²", job.how, row.version]
    if found is None:
        return [*cells, row.error or "", *[""] * (9 if gpu else 8)]
    n, first, cold = found.n_fields, found.first_cpu, found.cold_cpu
    if gpu:
        first, cold = found.first_wall, found.cold_wall
    ours = found.n_windows > 0
    cells += [
        f"{n / found.wall:.2f}",
        f"{row.seconds:.3f}" if gpu else f"{row.seconds:.2f}",
        "" if unet is None else f"{row.seconds / unet.seconds:.2f}",
        f"{first:.2f}",
        "" if cold is None else f"{cold:.1f}",
        f"{found.memory / 1e6:,.0f}",
        f"{found.n_windows / n:,.0f}" if ours else "",
        f"{found.n_tokens / n:,.0f}" if ours else "",
        "" if row.dice is None else f"{row.dice:.4f}",
    ]
    if gpu:
        cells.append("" if found.waits is None else f"{found.waits / n:,.0f}")
    return cells


def choice_table(rows: Sequence[Row]) -> str:
    """Seconds of a field by batch size and number of threads, and the peak of memory."""
    threads = sorted({row.job.threads for row in rows})
    head = ["windows at once"]
    for number in threads:
        words = "1 thread" if number == 1 else f"{number} threads"
        head += [f"{words}: CPU s a field", "s a field", "peak MB"]
    lines = []
    for size in dict.fromkeys(row.job.batch_size for row in rows):
        line = ["default" if size is None else f"{size}"]
        for number in threads:
            found = next(
                (r.found for r in rows if (r.job.batch_size, r.job.threads) == (size, number)), None
            )
            if found is None:
                line += ["", "", ""]
                continue
            if size is None:
                line[0] = f"default ({found.batch_size})"
            n = found.n_fields
            line += [f"{found.cpu / n:.2f}", f"{found.wall / n:.2f}", f"{found.memory / 1e6:,.0f}"]
        lines.append(line)
    return table(head, lines)
