"""The checkpoint of a run: what it holds beside the weights, and how the run resumes from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from torch import Tensor

from rleseg_core.checkpoints import Checkpoint, ModelInfo, write_checkpoint
from rleseg_core.errors import CheckpointError
from rleseg_core.files import whole_file
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.selection import BestScore


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
    """

    best: BestScore
    scale: Mapping[str, float] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


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
    with whole_file(path) as temporary:  # a file of the run's own, whatever became of it
        header = replace(info, path=path, training=training)
        write_checkpoint(temporary, header, weights, state.tensors)


def read_state(checkpoint: Checkpoint) -> RunState:
    """The state in the checkpoint of a run."""
    saved = checkpoint.info.training
    score = saved.get("best_score")
    best = BestScore(
        score=float(score) if isinstance(score, int | float) else -math.inf,
        n_worse=int(str(saved.get("n_worse", 0))),
    )
    scale = cast(Mapping[str, float], saved.get("scale", {}))
    return RunState(best=best, scale=scale, tensors=checkpoint.state)


def resumed_settings(saved: ModelInfo) -> tuple[ModelInfo, TrainConfig]:
    """Header and settings of the run of a ``last.safetensors``.

    Raises
    ------
    CheckpointError
        If it is a model, but not the state of a run.
    """
    if not {"config", "path"} <= set(saved.training):
        raise CheckpointError(
            f"{saved.path} is a model without the state of its training; fine-tune it instead"
        )
    config = TrainConfig.from_json(saved.training["config"])  # type: ignore[arg-type]
    path = Path(str(saved.training["path"]))
    return replace(saved, path=path, step=0, training={}), config
