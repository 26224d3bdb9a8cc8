"""Work that is killed at a write, and what the next run makes of what it left."""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rleseg_core.checkpoints import build_model, load_checkpoint, new_model, save_checkpoint
from rleseg_core.corrections import CorrectionLog
from rleseg_core.data import ImageStack, LabelledStack, LabelStack
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import RlesegError
from rleseg_core.files import work_folder
from rleseg_core.inference import Segmenter, predict_to_file
from rleseg_core.published import unpack
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import LAST, TrainConfig, TrainingData, read_reports, train

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EVENTS = (
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.link",
    "shutil.move",
)
_SHAPE = (3, 64, 64)
SAID = "said.txt"
"""What a session has acknowledged, a line for each stroke."""


@dataclass(frozen=True)
class Work:
    """A kind of work that writes.

    Parameters
    ----------
    prepare : callable
        Puts what it needs into a folder.
    run : callable
        Does the work in the folder, or what is left of it after an earlier one was killed.
    problems : callable
        What is lost right after a kill, before the next run: sentences, none if nothing is.
    result : callable
        The result of a run that ended, as plain values to compare.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path], None]
    problems: Callable[[Path], list[str]]
    result: Callable[[Path], object]


def armed(folder: str, run: Callable[[Path], None], n: int) -> None:
    """Run work in this process, and kill it just before its nth write below the folder.

    With n = 0 it is not killed; the number of its writes is then in ``folder + '.count'``.
    """
    torch.set_num_threads(1)
    count, inside = 0, os.path.realpath(folder)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        is_write = event in _EVENTS
        if event == "open" and isinstance(arguments[2], int):
            is_write = bool(arguments[2] & _WRITES)
        path = arguments[0] if arguments else None
        if not is_write or not isinstance(path, str | bytes | os.PathLike):
            return
        if os.fsdecode(path).startswith((folder, inside)) and SAID not in os.fsdecode(path):
            count += 1
            if n and count == n:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    run(Path(folder))
    if not n:
        Path(f"{folder}.count").write_text(str(count))


def names(folder: Path) -> set[str]:
    """Everything below a folder, by relative path."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _stack() -> tuple[np.ndarray, np.ndarray]:
    """Images and masks (T, Y, X) uint8."""
    masks = np.zeros(_SHAPE, np.uint8)
    for t in range(len(masks)):
        masks[t, 8:24, 6 + t : 26 + t], masks[t, 36:56, 30 + t : 50 + t] = 1, 2
    return masks * 100 + np.random.default_rng(0).integers(0, 40, _SHAPE, np.uint8), masks


def _info(path: Path):
    return new_model(
        path,
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("a", "b")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=48,
    )


def _nothing(folder: Path) -> None:
    """Training needs no files."""


def _train(folder: Path) -> None:
    images, masks = _stack()
    stack = LabelledStack(
        images=ImageStack.from_array(images), classes=masks, class_names=("a", "b")
    )
    config = TrainConfig(
        n_steps=4, batch_size=2, warmup_steps=1, checkpoint_every=2, validate_every=0
    )
    data = TrainingData(stacks=[stack], validation_share=0)
    model = folder / "model.safetensors"
    product_of(train(_info(model), data, config, folder / "run", device="cpu", resume=True))


def _trained(folder: Path) -> object:
    steps = [(report.step, report.loss) for report in read_reports(folder / "run")]
    n_lines = len((folder / "run" / "reports.jsonl").read_text().splitlines())
    return steps, n_lines, _weights(folder / "model.safetensors")


def _checkpoint_problems(folder: Path) -> list[str]:
    found = []
    for path in (folder / "run" / LAST, folder / "model.safetensors"):
        if path.exists():
            checkpoint = load_checkpoint(path)
            build_model(checkpoint.info, checkpoint.weights)
    last = folder / "run" / LAST
    if last.exists():
        step = load_checkpoint(last).info.step
        logged = [report.step for report in read_reports(folder / "run")]
        if logged[: step - 1] != list(range(1, step)):
            found.append(f"the log has the steps {logged}, the checkpoint is of step {step}")
    return found


def _weights(path: Path) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in load_checkpoint(path).weights.items()}


def _prepare_prediction(folder: Path) -> None:
    torch.manual_seed(0)
    info = _info(folder / "model.safetensors")
    save_checkpoint(info, build_model(info).state_dict())
    write_labels(folder / "images.tif", _stack()[0])


def _predict(suffix: str) -> Callable[[Path], None]:
    return _Predict(suffix)


@dataclass(frozen=True)
class _Predict:
    """Segment images.tif into a file, over an older result if there is one."""

    suffix: str

    def __call__(self, folder: Path) -> None:
        segmenter = Segmenter.from_checkpoint(folder / "model.safetensors", "cpu")
        stack = ImageStack.open(folder / "images.tif")
        run = predict_to_file(segmenter, stack, folder / f"out{self.suffix}", overwrite=True)
        product_of(run)


@dataclass(frozen=True)
class _Write:
    """Write labels over older ones."""

    suffix: str
    value: int = 2

    def __call__(self, folder: Path) -> None:
        labels = np.full(_SHAPE, self.value, np.uint8)
        write_labels(folder / f"out{self.suffix}", labels, ("a", "b"), overwrite=True)


@dataclass(frozen=True)
class _Labels:
    """The labels that were written."""

    suffix: str

    def __call__(self, folder: Path) -> object:
        stack = LabelStack.open(folder / f"out{self.suffix}")
        return stack.shape, [stack.frame(t).tobytes() for t in range(stack.shape[0])]


@dataclass(frozen=True)
class _OldOrNew:
    """The labels are the old ones or the new ones, whole; a first result may be missing."""

    suffix: str
    had_one: bool

    def __call__(self, folder: Path) -> list[str]:
        path = folder / f"out{self.suffix}"
        if not path.exists():
            return [f"{path.name} is missing"] if self.had_one else []
        _Labels(self.suffix)(folder)
        return []


def _prepare_session(folder: Path) -> None:
    CorrectionLog.create(folder / "session", _stack()[1], class_names=("a", "b")).close()
    (folder / SAID).touch()


def _strokes() -> list[tuple[int, int, int, int]]:
    rng = random.Random(3)
    return [
        (rng.randrange(3), rng.randrange(56), rng.randrange(56), rng.randrange(3))
        for _ in range(12)
    ]


def _correct(folder: Path) -> None:
    """Paint what has not been painted; each stroke is said when it has returned."""
    done = len((folder / SAID).read_text().split())
    log = CorrectionLog(folder / "session")
    with (folder / SAID).open("a", buffering=1) as said:
        for number, (frame, row, col, value) in enumerate(_strokes()):
            if number >= done:
                log.labels[frame, row : row + 8, col : col + 8] = value
                if number % 3 == 2:
                    log.record_painted(frame)
                said.write(f"{number}\n")
    for frame in range(3):
        log.record_painted(frame)
    log.close()


def _painted(n: int) -> list[bytes]:
    masks = _stack()[1]
    for frame, row, col, value in _strokes()[:n]:
        masks[frame, row : row + 8, col : col + 8] = value
    return [masks[t].tobytes() for t in range(3)]


def _corrected(folder: Path) -> object:
    log = CorrectionLog(folder / "session")
    try:
        return [np.asarray(log.labels[t]).tobytes() for t in range(3)]
    finally:
        log.close()


def _lost_strokes(folder: Path) -> list[str]:
    n = len((folder / SAID).read_text().split())
    if _corrected(folder) in (_painted(n), _painted(n + 1)):
        return []
    return [f"{n} strokes were acknowledged, and the session shows another picture"]


def _prepare_import(folder: Path) -> None:
    info = _info(folder / "log" / "ckpt-1.safetensors")
    torch.manual_seed(0)
    save_checkpoint(info, build_model(info).state_dict())
    (folder / "log" / "ckpt-1.index").write_text("index")
    shutil.make_archive(str(folder / "model"), "zip", folder, "log")
    shutil.rmtree(folder / "log")


def _import(folder: Path) -> None:
    """Unpack an archive and write a model file of what is in it, as ``models pull`` does."""
    with work_folder(folder) as work:
        unpacked = load_checkpoint(unpack(folder / "model.zip", work.new) / "ckpt-1.safetensors")
        info = replace(unpacked.info, path=folder / "model.safetensors")
        save_checkpoint(info, unpacked.weights, overwrite=True)


def _imported(folder: Path) -> object:
    return _weights(folder / "model.safetensors")


def _both(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    return _Both(steps)


@dataclass(frozen=True)
class _Both:
    """One preparation after the other."""

    steps: Sequence[Callable[[Path], None]]

    def __call__(self, folder: Path) -> None:
        for step in self.steps:
            step(folder)


def _works() -> dict[str, Work]:
    works = {"trainings": Work(_nothing, _train, _checkpoint_problems, _trained)}
    for suffix in (".tif", ".zarr"):
        had_none, had_one = _OldOrNew(suffix, False), _OldOrNew(suffix, True)
        older = _both(_prepare_prediction, _Write(suffix, 1))
        result = _Labels(suffix)
        works[f"predictions, {suffix}"] = Work(
            _prepare_prediction, _predict(suffix), had_none, result
        )
        works[f"predictions over older ones, {suffix}"] = Work(
            older, _predict(suffix), had_one, result
        )
        works[f"writes, {suffix}"] = Work(_Write(suffix, 1), _Write(suffix), had_one, result)
    works["correction sessions"] = Work(_prepare_session, _correct, _lost_strokes, _corrected)
    works["imports"] = Work(_prepare_import, _import, _checkpoint_problems, _imported)
    return works


WORKS = _works()
"""By the name that the table has."""


class Killer:
    """Kills one kind of work at one of its writes, again and again.

    Parameters
    ----------
    work : Work
        The kind of work.
    folder : Path
        An empty folder.
    start : callable
        Runs a function in a process of its own; gives the exit code.
    """

    def __init__(self, work: Work, folder: Path, start: Callable[..., int]) -> None:
        self._work, self._folder, self._start = work, folder, start
        folder.mkdir(parents=True)
        clean = folder / "clean"
        self._prepared(clean)
        if self._start(armed, str(clean), work.run, 0):
            raise RuntimeError("the work does not even end where nobody kills it")
        self.n_writes = int(Path(f"{clean}.count").read_text())
        self._names, self._result = names(clean), work.result(clean)

    def _prepared(self, folder: Path) -> None:
        folder.mkdir()
        self._work.prepare(folder)

    def kill(self, n: int) -> tuple[list[str], list[str], str]:
        """Kill it before its nth write: what was lost, what is left over, and an odd error."""
        folder = self._folder / f"{n}-{time.monotonic_ns()}"
        self._prepared(folder)
        code = self._start(armed, str(folder), self._work.run, n)
        if code not in (-signal.SIGKILL, 0):
            return [], [], f"exit code {code} of the work that was to be killed"
        try:
            lost = self._work.problems(folder)
        except RlesegError as error:
            lost = [f"unreadable after the kill: {error}"]
        if code := self._start(armed, str(folder), self._work.run, 10**9):
            return lost, [], f"exit code {code} of the run after the kill"
        if self._work.result(folder) != self._result:
            lost.append("the run after the kill has another result")
        left = sorted(names(folder) - self._names)
        shutil.rmtree(folder)
        return lost, left, ""
