"""What a training run reports, step by step, and the log of it in the run folder."""

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
    step : int
        Number of optimizer steps done, 1 to `n_steps`.
    n_steps : int
        Number of optimizer steps of the whole run.
    loss : float
        Loss of the batch of this step: the weighted mean over its tokens, nats per token, plus that
        of the dense head where there is one. It is the mean over all processes.
    learning_rate : float
        Learning rate of this step, before the factors of single parts of the model.
    tokens_per_s : float
        Target tokens of this step per second of its wall time, over all processes.
    seconds : float
        Wall time since this process began to train, seconds.
    validation : dict of str to float
        Scores of the masks that the model decodes for the validation set, 0 to 1, at mask
        resolution: the Dice of each class by its name, their mean as 'mean', and the score that
        selects the best model as 'selected'. Empty if this step did not validate.
    message : str
        A message for the user, or empty.
    """

    step: int
    n_steps: int
    loss: float
    learning_rate: float
    tokens_per_s: float
    seconds: float
    validation: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


def with_message(
    run: Generator[StepReport, None, Path], message: str
) -> Generator[StepReport, None, Path]:
    """The same run with a message in its first report, unless that has one of its own."""
    try:
        while True:
            try:
                report = next(run)
            except StopIteration as end:
                return end.value
            yield replace(report, message=report.message or message)
            message = ""
    finally:
        run.close()


def logged(
    run: Generator[StepReport, None, Path], folder: Path, *, resumed: bool = False
) -> Generator[StepReport, None, Path]:
    """The same run, each report also appended to ``folder / 'reports.jsonl'``.

    Another process can follow the run, or show it again later, with `read_reports`. Reports of an
    earlier run in the folder are kept only if this one has `resumed` it. Of several processes only
    the first one writes.
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
            f"{path}: {error.strerror}; what was learned is kept in {path.parent}; fix that and "
            "resume the run (--resume)"
        ) from error


def read_reports(folder: Path) -> list[StepReport]:
    """Reports of the run in a folder; a line cut short by a crash is left out.

    If a resumed run repeats steps, the later report of a step counts.
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
