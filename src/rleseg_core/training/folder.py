"""The folder of a run: one run at a time, and none is lost to another."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rleseg_core.checkpoints import model_output, read_info
from rleseg_core.errors import TrainingError
from rleseg_core.locks import WriterLock
from rleseg_core.outputs import Output, begins_with, check_outputs
from rleseg_core.training.reports import BEST, LAST, LOG_NAME, StepReport
from rleseg_core.training.run_state import saved_run

_LOCK = "run.lock"
_INSTEAD = (
    "choose another folder (--run-dir), or have it replaced with --overwrite (in Python, "
    "overwrite=True)"
)


def check_run(
    path: Path,
    folder: Path,
    inputs: Iterable[str | Path] = (),
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Raise an error unless a run can write its files without destroying anything.

    Parameters
    ----------
    path : Path
        The finished model.
    folder : Path
        The folder of the run.
    inputs : iterable of str or Path
        What the run reads: images, masks, the model that it starts from.
    resume : bool
        Whether the run in the folder is resumed, if there is one.
    overwrite : bool
        Whether an older model and an older run may be replaced.

    Raises
    ------
    TrainingError
        If the folder holds another run.
    OutputError
        As `check_outputs` does.
    """
    resumed = resume and (folder / LAST).is_file()
    if not resumed and not overwrite:
        _check_other_run(folder)
    log = folder / LOG_NAME
    is_empty = log.is_file() and not log.stat().st_size  # of a run that never began
    outputs = [
        Output(folder, "a run folder", Path.is_dir, is_folder=True, kept=True),
        model_output(path, own=resumed and _is_own(path, folder)),
        model_output(folder / LAST, own=resumed),
        model_output(folder / BEST, own=resumed),
        Output(log, "the log of a run", begins_with(b'{"step"'), own=resumed or is_empty),
    ]
    check_outputs(outputs, inputs, overwrite=overwrite)


def is_own_model(path: Path, folder: Path) -> bool:
    """Whether a model is the one that the run in a folder writes, or wrote when it finished."""
    return (folder / LAST).is_file() and _is_own(path, folder)


def lock_run(folder: Path) -> WriterLock:
    """The right to write to a run folder, taken; it ends with the lock object or the process.

    Raises
    ------
    InUseError
        If another run has it; the message says which program, and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(folder / _LOCK, f"the run folder {folder}")
    lock.acquire()
    return lock


@contextmanager
def unused_on_error(lock: WriterLock | None, folder: Path) -> Iterator[None]:
    """Give a lock back, and remove the folder made for it, if a run does not begin after all."""
    try:
        yield
    except BaseException:
        if lock is not None:
            lock.release()
            if {path.name for path in folder.iterdir()} <= {_LOCK}:
                (folder / _LOCK).unlink(missing_ok=True)
                folder.rmdir()
        raise


def locked(
    run: Generator[StepReport, None, Path], lock: WriterLock
) -> Generator[StepReport, None, Path]:
    """The same run, which gives its lock back when it ends or is closed."""
    with lock, closing(run):
        return (yield from run)


def _is_own(path: Path, folder: Path) -> bool:
    saved = read_info(folder / LAST).training.get("path")
    return saved is not None and Path(str(saved)).resolve() == path.resolve()


def _check_other_run(folder: Path) -> None:
    """Refuse to begin where another run is: its work would be lost."""
    last = folder / LAST
    if not last.is_file():
        return
    info = read_info(last)
    if "config" not in info.training:
        return  # somebody's model of that name, not a run
    run = saved_run(info)
    n_steps = run.config.n_steps
    if run.finished or info.step >= n_steps:
        raise TrainingError(f"{folder} holds a finished run; {_INSTEAD}")
    raise TrainingError(
        f"{folder} holds a run that stopped at step {info.step} of {n_steps}; resume it "
        f"(--resume), {_INSTEAD}"
    )
