"""What a training run reports, step by step, and the log of it in the run folder."""

import contextlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import RawIOBase
from pathlib import Path

from rleseg_core.errors import TrainingError
from rleseg_core.files import whole_file
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
    run: Generator[StepReport, None, Path], folder: Path, *, kept: Sequence[StepReport] = ()
) -> Generator[StepReport, None, Path]:
    """The same run, each report also appended to ``folder / 'reports.jsonl'``.

    Another process can follow the run, or show it again later, with `read_reports`. Each step
    stands there once, whenever the run was killed and resumed. Of several processes only the first
    one writes.

    Parameters
    ----------
    run : generator of StepReport
        The run.
    folder : Path
        Its folder.
    kept : sequence of StepReport
        Reports of the run that this one resumes, up to where it does; see `reports_until`.
    """
    if process_rank():
        return (yield from run)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOG_NAME
    with whole_file(path) as temporary:
        temporary.write_text("".join(map(_line, kept)))
    with path.open("ab", buffering=0) as log:
        try:
            while True:
                try:
                    report = next(run)
                except StopIteration as end:
                    return end.value
                _append(log, _line(report), path)
                yield report
        finally:
            run.close()


def _line(report: StepReport) -> str:
    return json.dumps(asdict(report)) + "\n"


def _append(log: RawIOBase, line: str, path: Path) -> None:
    try:
        log.write(line.encode())
    except OSError as error:
        raise TrainingError(
            f"{path}: {error.strerror}; what was learned is kept in {path.parent}; fix that and "
            "resume the run (--resume)"
        ) from error


def reports_until(folder: Path, step: int, last: Mapping[str, object] | None) -> list[StepReport]:
    """Reports of the run in a folder up to the step of its checkpoint.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    step : int
        Step of the checkpoint.
    last : mapping or None
        Fields of the report of that step, from the checkpoint: a run that was killed after it wrote
        the checkpoint has not logged it.
    """
    reports = [report for report in read_reports(folder) if report.step <= step]
    if last is not None and all(report.step != step for report in reports):
        with contextlib.suppress(TypeError):  # of another version
            reports.append(StepReport(**last))  # type: ignore[arg-type]
    return reports


def read_reports(folder: Path) -> list[StepReport]:
    """Reports of the run in a folder; a line cut short by a crash is left out.

    Version 0.1 could log a step twice; the later report counts.
    """
    path = folder / LOG_NAME
    if not path.is_file():
        return []
    reports: dict[int, StepReport] = {}
    for line in path.read_bytes().splitlines():
        try:
            report = StepReport(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(report.step, int):
            reports[report.step] = report
    return [reports[step] for step in sorted(reports)]
