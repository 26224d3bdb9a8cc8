"""The three ways a run of ``rleseg train`` begins: with a new model, an image model, or a model."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rleseg_core.cli.train_plan import Plan
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    from rleseg_core.model import Fusion
    from rleseg_core.spec import WindowSpec
    from rleseg_core.tokens import Scheme
    from rleseg_core.training import StepReport


def new_run(
    plan: Plan,
    output: Path,
    *,
    size: str,
    scheme: "Scheme",
    mask_size: int,
    window: "WindowSpec",
    max_tokens: int,
    fusion: "Fusion | None",
    dense_frames: int | None,
    backbone: str | None,
) -> Generator["StepReport", None, Path]:
    """The training of a new model, from scratch but for the backbone that `backbone` names."""
    from rleseg_core.checkpoints import new_model
    from rleseg_core.spec import MaskSpec
    from rleseg_core.tokens import for_classes
    from rleseg_core.training import LAST, train

    names, config = plan.frames.class_names, plan.recipe.config
    info = new_model(
        output,
        size=size,
        scheme=for_classes(scheme, len(names)),
        mask_spec=MaskSpec(
            size=(mask_size, mask_size), class_names=names, n_frames=window.n_frames
        ),
        window_spec=window,
        max_tokens=max_tokens,
        fusion=fusion,
        dense_frames=dense_frames,
        card={"name": output.stem},
    )
    weights = None
    if backbone is not None and not (plan.resume and (plan.folder / LAST).is_file()):
        from rleseg_core.checkpoints import with_backbone

        info, weights = with_backbone(info, backbone, config.seed)
    return train(
        info,
        plan.data,
        config,
        plan.folder,
        weights=weights,
        device=plan.device,
        resume=plan.resume,
    )


def video_run(
    plan: Plan,
    output: Path,
    base: str,
    *,
    scheme: "Scheme",
    n_frames: int,
    frame_stride: int,
    fusion: "Fusion | None",
    dense_frames: int | None,
    max_tokens: int | None,
) -> Generator["StepReport", None, Path]:
    """The training of a model for windows of several frames that begins as an image model.

    Raises
    ------
    DataError
        If the image model has other classes.
    """
    from rleseg_core.checkpoints import as_video, find_model, load_checkpoint
    from rleseg_core.training import image_weights, train

    image_model, names = load_checkpoint(find_model(base)), plan.frames.class_names
    if image_model.info.mask_spec.class_names != names:
        raise DataError(
            f"the model of --from has the classes {image_model.info.mask_spec.class_names}, "
            f"the masks {names}; with --frames both need the same"
        )
    info = as_video(
        image_model.info,
        output,
        scheme=scheme,
        n_frames=n_frames,
        frame_stride=frame_stride,
        fusion=fusion or "middle",
        dense_frames=dense_frames,
        max_tokens=max_tokens,
    )
    return train(
        replace(info, card={"name": output.stem, "base": image_model.info.name}),
        plan.data,
        plan.recipe.config,
        plan.folder,
        weights=image_weights(image_model, info),
        device=plan.device,
        resume=plan.resume,
    )


def fine_tuning_run(
    plan: Plan, output: Path, base: str, *, image_size: int | None
) -> Generator["StepReport", None, Path]:
    """The training of a model that goes on from another one of the same windows."""
    from rleseg_core.training import FineTuneOptions, fine_tune

    return fine_tune(
        base,
        plan.data,
        plan.recipe.config,
        plan.folder,
        options=FineTuneOptions(path=output, image_size=image_size, card={"name": output.stem}),
        device=plan.device,
        resume=plan.resume,
    )
