"""Two presets for fine-tuning on few labelled frames, which choose every setting.

The numbers were settled on phase-contrast fields of real cells, from a base that had seen
synthetic cells only; docs/fine-tuning.md has the scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rleseg_core.checkpoints import ModelInfo
from rleseg_core.checks import Rate, Share, check_fields
from rleseg_core.data import LabelledStack
from rleseg_core.data.sampling import labelled_windows
from rleseg_core.errors import TrainingError
from rleseg_core.model import ModelConfig
from rleseg_core.spec import WindowSpec
from rleseg_core.training.config import TrainConfig

PresetName = Literal["quick", "thorough"]

ENOUGH_TO_HOLD_OUT = 5
"""Number of labelled frames from which `thorough` holds out one in five for validation.

With fewer, a held-out frame would cost a quarter or more of the training data, and a part of a
training frame says little about other frames. It then trains for a fixed number of steps, in which
the learning rate falls to nearly nothing, and keeps the last weights. `quick` always does: in so
few steps the noise of the validation would select the model, and weights from steps of a high
learning rate are worse than the last ones.
"""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a preset decides.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run: its steps, rates, frozen parts and when it stops early.
    validation_share : float
        Share of the labelled frames that are held out for validation, 0 to 1; 0 for none.
    replay_share : float
        Share of the patches that come from replay data, 0 to less than 1, where there are any.
    """

    config: TrainConfig
    validation_share: Share
    replay_share: Rate

    def __post_init__(self) -> None:
        check_fields(self, TrainingError)


def quick(n_frames: int, n_windows: int, device: str, base: ModelInfo) -> Recipe:
    """A first improvement within minutes on a CPU, from one frame on; none is held out.

    Parameters
    ----------
    n_frames : int
        Number of labelled frames.
    n_windows : int
        Number of windows in them.
    device : str
        Device of the training: 'cpu', 'cuda' or 'mps'.
    base : ModelInfo
        The base model.
    """
    config = TrainConfig(
        n_steps=_n_steps(n_windows, device, rounds=20, least=400, most=1200),
        batch_size=_batch_size(device),
        learning_rate=1.5e-3,
        warmup_steps=20,
        validate_every=25,
        checkpoint_every=50,
        **_heads_first(base),
    )
    return Recipe(config=config, validation_share=0.0, replay_share=0.0)


def thorough(n_frames: int, n_windows: int, device: str, base: ModelInfo) -> Recipe:
    """As good as these frames allow, in up to an hour on a CPU; parameters as for `quick`."""
    n_steps = _n_steps(n_windows, device, rounds=40, least=800, most=3000)
    config = TrainConfig(
        n_steps=n_steps,
        batch_size=_batch_size(device),
        learning_rate=1.5e-3,
        warmup_steps=20,
        validate_every=max(50, n_steps // 20),
        checkpoint_every=100,
        patience=8,
        **_heads_first(base),
    )
    enough = n_frames >= ENOUGH_TO_HOLD_OUT * base.window_spec.n_frames
    return Recipe(config=config, validation_share=0.2 if enough else 0.0, replay_share=0.25)


FINE_TUNING: Mapping[PresetName, Callable[[int, int, str, ModelInfo], Recipe]] = {
    "quick": quick,
    "thorough": thorough,
}


def _heads_first(base: ModelInfo) -> dict[str, Any]:
    """Settings for a base that finds objects by its dense heads, and checks them by its tokens.

    The heads learn from all windows and in all steps, tokens from half of the windows in the second
    half of the steps, so that a step costs a good half.
    """
    if not ModelConfig.from_json(base.model).pointer.affinities:
        return {}
    return {"token_share": 0.5, "tokens_from": 0.5, "dense_weight": 2.0}


def _batch_size(device: str) -> int:
    return 8 if device == "cpu" else 16


def _n_steps(n_windows: int, device: str, *, rounds: int, least: int, most: int) -> int:
    """Number of steps in which each window is seen `rounds` times, within limits."""
    return min(max(least, rounds * n_windows // _batch_size(device)), most)


def count_windows(stacks: Sequence[LabelledStack], spec: WindowSpec) -> tuple[int, int]:
    """Number of labelled frames of stacks, and of windows in them."""
    n_frames = sum(len(stack.frames) for stack in stacks)
    return n_frames, sum(len(labelled_windows(stack, spec)) for stack in stacks)


def from_scratch(size: str) -> dict[str, Any]:
    """Settings of `TrainConfig` for a new model of a size, where they differ from the defaults.

    The small sizes learn best in many small steps at a high rate, the backbone and the path to mask
    resolution above all; see docs/learning.md. Other sizes keep the defaults.
    """
    if size not in ("nano", "small"):
        return {}
    return {
        "batch_size": 8,
        "learning_rate": 2e-3,
        "rates": {"backbone": 1.5, "mask_features": 1.5},
    }
