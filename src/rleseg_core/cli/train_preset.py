"""What the presets of ``rleseg train`` decide, beside what the user chose."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rleseg_core.errors import DataError

if TYPE_CHECKING:
    from rleseg_core.data import LabelledStack
    from rleseg_core.training import PresetName, Recipe


def recipe_of(
    name: "PresetName",
    base: str | None,
    stacks: "Sequence[LabelledStack]",
    n_frames: int,
    image_size: int | None,
    device: str,
) -> "Recipe":
    """What a preset decides for these labelled frames.

    Raises
    ------
    DataError
        If there is no base, or windows of several frames are asked for.
    """
    from rleseg_core.checkpoint import find_model, read_info
    from rleseg_core.devices import choose_device
    from rleseg_core.training import FINE_TUNING, count_windows

    if base is None or n_frames > 1:
        raise DataError(
            "--preset is for training an image model on; give it with --from, without --frames"
        )
    info = read_info(find_model(base))
    spec = replace(info.window_spec, image_size=image_size or info.window_spec.image_size)
    return FINE_TUNING[name](*count_windows(stacks, spec), choose_device(device).type, info)


def known_to(
    base: str | None, names: tuple[str, ...], image_size: int | None
) -> "list[LabelledStack]":
    """Earlier data of the base, where it is a bundled model."""
    from rleseg_core.checkpoint import find_model, read_info
    from rleseg_core.training import earlier_stacks

    return [] if base is None else earlier_stacks(read_info(find_model(base)), names, image_size)
