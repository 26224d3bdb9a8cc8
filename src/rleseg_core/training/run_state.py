"""The checkpoint of a run: what it holds beside the weights, and how the run resumes from it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from torch import Tensor

from rleseg_core.checkpoints import Checkpoint, ModelInfo, write_checkpoint
from rleseg_core.checks import Index, from_mapping
from rleseg_core.errors import CheckpointError, RlesegError, TrainingError
from rleseg_core.files import whole_file
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.reports import StepReport
from rleseg_core.training.selection import BestScore


@dataclass(frozen=True, kw_only=True)
class SavedRun:
    """What the header of a run's checkpoint says of the run.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run.
    path : str
        File of the finished model.
    best_score : float or None
        Score of the best validation so far; None before the first.
    n_worse : int
        Number of validations since.
    finished : bool
        Whether no step is left to do.
    scale : mapping of str to float
        As in `RunState`.
    report : mapping or None
        Fields of the report of the last step; None in runs of version 0.1.
    """

    config: TrainConfig
    path: str
    best_score: float | None = None
    n_worse: Index = 0
    finished: bool = False
    scale: Mapping[str, float] = field(default_factory=dict)
    report: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run is, beside the weights of its model.

    Parameters
    ----------
    best : BestScore
        The best validation so far.
    scale : mapping of str to float
        State of the loss scaler of fp16; empty for other precisions, and for the oldest runs, which
        did not keep it.
    tensors : dict of str to Tensor
        Optimizer moments, random state, and the average of the weights.
    report : StepReport or None
        Report of the last step; a run that was killed before it logged it has it from here.
    """

    best: BestScore
    scale: Mapping[str, float] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    report: StepReport | None = None


def save_run(
    path: Path,
    info: ModelInfo,
    config: TrainConfig,
    weights: Mapping[str, Tensor],
    state: RunState,
    *,
    finished: bool,
) -> None:
    """Write the checkpoint that a run resumes from.

    Parameters
    ----------
    path : Path
        File of the checkpoint.
    info : ModelInfo
        Header of the model at this step; `info.path` is the file of the finished model.
    config : TrainConfig
        Settings of the run.
    weights : mapping of str to Tensor
        State dict of the model.
    state : RunState
        Everything else.
    finished : bool
        Whether no step is left to do.
    """
    training: dict[str, object] = {
        "config": config.to_json(),
        "path": str(info.path),
        "best_score": state.best.score if math.isfinite(state.best.score) else None,
        "n_worse": state.best.n_worse,
        "finished": finished,
    }
    if state.scale:
        training["scale"] = dict(state.scale)
    if state.report is not None:
        training["report"] = asdict(state.report)
    with whole_file(path) as temporary:  # a file of the run's own, whatever became of it
        header = replace(info, path=path, training=training)
        write_checkpoint(temporary, header, weights, state.tensors)


def read_state(checkpoint: Checkpoint) -> RunState:
    """The state in the checkpoint of a run."""
    saved = saved_run(checkpoint.info)
    score = -math.inf if saved.best_score is None else saved.best_score
    best = BestScore(score=score, n_worse=saved.n_worse)
    return RunState(best=best, scale=saved.scale, tensors=checkpoint.state)


def saved_run(info: ModelInfo) -> SavedRun:
    """What the header of a run's checkpoint says of the run.

    Raises
    ------
    CheckpointError
        If it is a model, but not the state of a run, or if it is damaged.
    """
    if not {"config", "path"} <= set(info.training):
        raise CheckpointError(
            f"{info.path} is a model without the state of its training; fine-tune it instead"
        )
    known = {field.name for field in fields(SavedRun)}
    values: dict[str, object] = {k: v for k, v in info.training.items() if k in known}
    try:
        if isinstance(config := values["config"], Mapping):
            values["config"] = TrainConfig.from_json(config)
        return from_mapping(SavedRun, values, TrainingError)
    except RlesegError as error:
        raise CheckpointError(
            f"{info.path} has a damaged state of its run ({error}); restore the file, or fine-tune "
            "its model in another folder"
        ) from error


def resumed_settings(saved: ModelInfo) -> tuple[ModelInfo, TrainConfig]:
    """Header and settings of the run of a ``last.safetensors``.

    Raises
    ------
    CheckpointError
        If it is a model, but not the state of a run.
    """
    run = saved_run(saved)
    return replace(saved, path=Path(run.path), step=0, training={}), run.config
