"""What a training run tells while it goes on."""

import json
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from io import RawIOBase
from pathlib import Path

from rleseg_core.errors import TrainingError
from rleseg_core.parallel.processes import process_rank

LOG_NAME = "reports.jsonl"  # files of a run folder
LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """State of a run after one optimizer step.

    Parameters
    ----------
    step, n_steps : int
        Steps done, and to be done.
    loss : float
        Weighted cross-entropy of the step's batch, nats per token.
    learning_rate : float
        Of this step.
    tokens_per_s : float
        Target tokens per second of this step.
    seconds : float
        Since this process began to train.
    validation : dict of str to float
        Dice of each class, their mean (key 'mean') and the score that the best model is chosen by
        (key 'selected'), decoded on held-out windows at mask resolution; empty where this step did
        not validate.
    message : str
        Something to show to the user, or empty.
    """

    step: int
    n_steps: int
    loss: float
    learning_rate: float
    tokens_per_s: float
    seconds: float
    validation: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


def noted(run: Generator[StepReport, None, Path], note: str) -> Generator[StepReport, None, Path]:
    """The same run, its first report with a message, where that has none of its own."""
    try:
        while True:
            try:
                report = next(run)
            except StopIteration as end:
                return end.value
            yield replace(report, message=report.message or note)
            note = ""
    finally:
        run.close()


def logged(
    run: Generator[StepReport, None, Path], folder: Path, *, resumed: bool = False
) -> Generator[StepReport, None, Path]:
    """The same run, each report also appended to ``folder / 'reports.jsonl'``.

    Another process can follow the run, or show it again later, with `read_reports`. Reports of an
    earlier run in the folder are kept only where this one has `resumed` it. Of several processes
    only the first one writes.
    """
    if process_rank():
        return (yield from run)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOG_NAME
    cut_short = resumed and path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("ab" if resumed else "wb", buffering=0) as log:
        try:
            while True:
                try:
                    report = next(run)
                except StopIteration as end:
                    return end.value
                line = "\n" * cut_short + json.dumps(asdict(report)) + "\n"
                _append(log, line, path)
                cut_short = False
                yield report
        finally:
            run.close()


def _append(log: RawIOBase, line: str, path: Path) -> None:
    try:
        log.write(line.encode())
    except OSError as error:
        raise TrainingError(
            f"{path}: {error.strerror}; what was learned is kept in {path.parent}; mend that and "
            "go on with the run (--resume)"
        ) from error


def read_reports(folder: Path) -> list[StepReport]:
    """Reports of the run in a folder; a line cut short by a crash is left out.

    Where a resumed run repeats steps, the later report of a step stands.
    """
    path = folder / LOG_NAME
    if not path.is_file():
        return []
    reports: dict[int, StepReport] = {}
    for line in path.read_text().splitlines():
        try:
            report = StepReport(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue
        reports[report.step] = report
    return [reports[step] for step in sorted(reports)]
