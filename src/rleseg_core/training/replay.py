"""Replay data: what a base model learned from, drawn again so that it does not forget."""

from dataclasses import replace

from rleseg_core.checkpoints import ModelInfo, model_folders
from rleseg_core.data import LabelledStack, varied_stack

_FIRST_SEED = 10_000  # neither of the demo's data nor of those held out for it
_SIDE = 256  # of the frames that the generator draws at the scale of the bundled model


def replay_stacks(
    base: ModelInfo, class_names: tuple[str, ...], image_size: int | None, n_sequences: int = 24
) -> list[LabelledStack]:
    """Data that a base model is known to have learned from, drawn again.

    Parameters
    ----------
    base : ModelInfo
        The base model.
    class_names : tuple of str
        Class names of the new data.
    image_size : int or None
        I, the longer side of a frame after resizing in the new training, pixels.
    n_sequences : int
        Number of synthetic sequences, each of one window's frames.

    Returns
    -------
    list of LabelledStack
        Synthetic cells for a bundled model, at the size at which it learned them and normalised as
        it is, whatever is chosen for the new data. Nothing for other
        models, whose data we do not have, nor for other classes than those of the base: the labels
        of the synthetic cells would then be wrong.
    """
    known = class_names == base.mask_spec.class_names and len(class_names) <= 2
    if not known or base.path.resolve().parent != model_folders()[0].resolve():
        return []
    side = image_size or base.window_spec.image_size or _SIDE
    n_frames = base.window_spec.n_frames
    seeds = range(_FIRST_SEED, _FIRST_SEED + n_sequences)
    how = base.window_spec.normalisation
    return [
        replace(
            varied_stack(seed, n_frames=n_frames, side=side, class_names=class_names),
            normalisation=how,
        )
        for seed in seeds
    ]
