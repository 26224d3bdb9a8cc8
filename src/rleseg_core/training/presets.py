"""How a model is trained further on few labelled frames: two recipes, for all that can be chosen.

The numbers were settled on phase-contrast fields of real cells, from a base that had seen
synthetic cells only; docs/fine-tuning.md has the figures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rleseg_core.checkpoint import ModelInfo
from rleseg_core.data import LabelledStack
from rleseg_core.data.sampling import labelled_windows
from rleseg_core.spec import WindowSpec
from rleseg_core.training.config import TrainConfig

PresetName = Literal["quick", "thorough"]

ENOUGH_TO_HOLD_OUT = 5
"""Labelled frames from which one in five can be spared for validation.

With fewer, a frame held out would cost a quarter or more of what there is to learn from, and a part
of a frame that also teaches says little of other frames. The presets then go through a fixed number
of steps, whose learning rate falls to nearly nothing, and keep the last weights.
"""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a preset decides.

    Parameters
    ----------
    config : TrainConfig
        Steps, rates, what is frozen, when to stop.
    validation_share : float
        Share of the labelled frames that is held out; 0 for none.
    mix_share : float
        Share of the patches that come from earlier data, where there are some.
    """

    config: TrainConfig
    validation_share: float
    mix_share: float


def quick(n_frames: int, n_windows: int, device: str, base: ModelInfo) -> Recipe:
    """A first improvement within minutes on a CPU, from one frame on.

    Parameters
    ----------
    n_frames : int
        Labelled frames.
    n_windows : int
        Windows in them.
    device : str
        What will compute: 'cpu', 'cuda' or 'mps'.
    base : ModelInfo
        The model that is trained further.
    """
    return _recipe(n_frames, n_windows, device, base, n_steps=100, n_rounds=4, most=200)


def thorough(n_frames: int, n_windows: int, device: str, base: ModelInfo) -> Recipe:
    """As good as these frames allow, in up to an hour on a CPU; parameters as of `quick`."""
    return _recipe(n_frames, n_windows, device, base, n_steps=300, n_rounds=20, most=1500)


FINE_TUNING: Mapping[PresetName, Callable[[int, int, str, ModelInfo], Recipe]] = {
    "quick": quick,
    "thorough": thorough,
}


def _recipe(
    n_frames: int,
    n_windows: int,
    device: str,
    base: ModelInfo,
    *,
    n_steps: int,
    n_rounds: int,
    most: int,
) -> Recipe:
    """Enough steps to see each window `n_rounds` times, from `n_steps` to `most`."""
    batch_size = 8 if device == "cpu" else 16
    n_steps = min(max(n_steps, -(-n_rounds * n_windows // batch_size)), most)
    held_out = n_frames >= ENOUGH_TO_HOLD_OUT * base.window_spec.n_frames
    return Recipe(
        config=TrainConfig(
            n_steps=n_steps,
            batch_size=batch_size,
            learning_rate=3e-4,
            warmup_steps=10,
            validate_every=max(25, n_steps // 10),
            checkpoint_every=50,
            patience=4 if held_out else 0,
        ),
        validation_share=0.2 if held_out else 0.0,
        mix_share=0.25,
    )


def count_windows(stacks: Sequence[LabelledStack], spec: WindowSpec) -> tuple[int, int]:
    """Labelled frames of stacks, and windows in them."""
    n_frames = sum(len(stack.frames) for stack in stacks)
    return n_frames, sum(len(labelled_windows(stack, spec)) for stack in stacks)
