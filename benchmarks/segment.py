"""Print what it costs to segment a field, beside a U-Net and beside an earlier version.

    python -m benchmarks.segment --data-dir ../shared/data
    python -m benchmarks.segment --models cells --sides 1024 --before ../before --rounds 3
    python -m benchmarks.segment --sides 1024 --batches 1 8 64 --threads 1 2
    python -m benchmarks.segment --device cuda --fields 8

Fields of 512² and 1024² are seen with their longer side at 512 pixels, which is the size of
`cells`, and larger ones, which are many fields side by side, at half their size. For `cells` they
are those of Usiigaci if their folder is given, else synthetic. The U-Net of MONAI has as
many parameters as the model, random weights, and windows of the same size that overlap by half; it
gives classes, and does not tell objects apart. Cellpose (random weights, with its dynamics) is run
if it is installed.

Each line of the table is a process, so that its peak of memory is its own; on a GPU one process
runs them all. The times are CPU seconds of all threads, on a GPU wall seconds; the fastest round
counts, after one up to the first mask, which is not typical. The first mask is the first window
that is shown, of the U-Net the whole field; cold means from the start of the process on.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.report import machine, write_json
from benchmarks.segment_fields import fields_of, seen_at
from benchmarks.segment_job import OPTIONS, Found, How, Job
from benchmarks.segment_table import Row, choice_table, cost_table, dice

ROOT = Path(__file__).parents[1]
ONCE = 2048  # of larger fields there is one, which is segmented once


class Workers:
    """Processes that do jobs: one for each job, or on a GPU one for each version.

    Parameters
    ----------
    trees : dict of str to Path
        Sources (``src``) of each version.
    keeps : bool
        Whether processes are used again.
    """

    def __init__(self, trees: dict[str, Path], *, keeps: bool) -> None:
        self._trees, self._keeps = trees, keeps
        self._kept: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for process in self._kept.values():
            process.kill()
            process.communicate()

    def ask(self, version: str, job: Job) -> dict[str, Any]:
        """What a job has taken, or the error with which it failed."""
        process = self._kept.pop(version, None) or self._start(version)
        assert process.stdin is not None
        assert process.stdout is not None
        self._kept[version] = process
        process.stdin.write(json.dumps(asdict(job)) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("{"):  # the others are words of libraries
                break
        else:
            line = json.dumps({"error": f"the process ended with {process.wait()}"})
        if not self._keeps or process.poll() is not None:
            self._kept.pop(version).communicate()  # closes its input, with which it ends
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self, version: str) -> subprocess.Popen[str]:
        others = os.environ.get("PYTHONPATH", "")  # where packages may lie, too
        sources = os.pathsep.join((str(self._trees[version]), str(ROOT), others))
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.segment_job", str(time.time())],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": sources},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True)
class Plan:
    """A line of the table: what is asked of which version."""

    version: str
    side: int
    job: Job


def planned(
    arguments: argparse.Namespace, folder: Path, versions: Sequence[str]
) -> Iterator[list[Plan]]:
    """The lines of each table: for each model all sides, then the choices of batch and threads."""
    hows: list[How] = [*arguments.hows, *rivals(arguments)]
    for model in arguments.models:
        for side in arguments.sides:
            images = folder / f"{Path(model).stem}-{side}.npy"
            real = None if model.startswith("demo") else arguments.data_dir
            np.save(images, fields_of(side, arguments.fields if side <= ONCE else 1, real))
            first = Job(
                model=model,
                how="default",
                images=str(images),
                image_size=seen_at(side),
                device=arguments.device,
                threads=arguments.threads[0],
                batch_size=arguments.batches[0],
                repeats=arguments.repeats if side <= ONCE else 1,
            )
            if len(arguments.batches) * len(arguments.threads) > 1:
                yield [
                    Plan("now", side, replace(first, batch_size=batch, threads=threads))
                    for batch in arguments.batches
                    for threads in arguments.threads
                ]
                continue
            yield [
                Plan(version, side, replace(first, how=how, masks=str(folder / f"{version}.npy")))
                for how in hows
                for version in (versions if how in OPTIONS else ("now",))
            ]


def rivals(arguments: argparse.Namespace) -> list[How]:
    """Other contenders that are installed."""
    if arguments.alone:
        return []
    names: dict[str, How] = {"monai": "U-Net", "cellpose": "Cellpose"}
    return [how for package, how in names.items() if find_spec(package)]


def measured(plans: Sequence[Plan], workers: Workers, rounds: int) -> Iterator[Row]:
    """Rows of a table; the plans take turns, and of each the fastest round counts."""
    rows: dict[int, Row] = {}
    masks: dict[tuple[str, str], np.ndarray] = {}
    for _ in range(rounds):
        for k, plan in enumerate(plans):
            answer = workers.ask(plan.version, plan.job)
            error = answer.pop("error", None)
            row = Row(plan.version, plan.side, plan.job, None if error else Found(**answer), error)
            if plan.job.masks is not None and not error:
                masks[plan.job.how, plan.version] = np.load(plan.job.masks)
                before = masks.get((plan.job.how, "before"))
                if before is not None and plan.version == "now":
                    row = replace(row, dice=dice(before, masks[plan.job.how, "now"]))
            print(f"{plan.side} {plan.job.how} {plan.version}: {row.told}", file=sys.stderr)
            rows[k] = row if k not in rows else min(rows[k], row, key=lambda one: one.seconds)
            yield rows[k]


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["cells", "demo"], help="names or files")
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 4096])
    parser.add_argument("--hows", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--alone", action="store_true", help="without U-Net and Cellpose")
    parser.add_argument("--fields", type=int, default=1, help="of each side up to 2048")
    parser.add_argument("--batches", type=int, nargs="+", default=[None], help="windows at once")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--before", type=Path, help="checkout of an earlier version")
    parser.add_argument("--data-dir", type=Path, help="folder of the real images")
    parser.add_argument("--rounds", type=int, default=1, help="processes that take turns")
    parser.add_argument("--repeats", type=int, default=1, help="rounds of each process")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--together", action="store_true", help="one process for all lines, as on a GPU"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser.parse_args(words)


def main() -> None:
    """Measure and print; what there is when it is interrupted, too."""
    arguments = parse()
    trees = {"before": arguments.before.resolve() / "src"} if arguments.before else {}
    trees["now"] = ROOT / "src"
    where = {**machine(), "device": arguments.device}
    print(", ".join(f"{key} {value}" for key, value in where.items()), flush=True)
    every: list[Row] = []
    with (
        TemporaryDirectory() as folder,
        Workers(trees, keeps=arguments.together or arguments.device != "cpu") as workers,
    ):
        for plans in planned(arguments, Path(folder), list(trees)):
            rows: dict[tuple[object, ...], Row] = {}
            try:
                for row in measured(plans, workers, arguments.rounds):
                    rows[row.key] = row
            finally:
                every += rows.values()
                of_table = cost_table if plans[0].job.masks else choice_table
                shown = of_table(list(rows.values()))
                print(f"\n`{Path(plans[0].job.model).stem}`\n\n{shown}", flush=True)
                if arguments.json:
                    write_json(
                        arguments.json,
                        {"machine": where, "rows": [row.to_json() for row in every]},
                    )


if __name__ == "__main__":
    main()
