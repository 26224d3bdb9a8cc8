"""The three ways a run begins: with a new model, as a video model, or by fine-tuning."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from rleseg_core.checkpoints import as_video, find_model, load_checkpoint, new_model, with_backbone
from rleseg_core.cli.train.options import TrainOptions
from rleseg_core.cli.train.plan import Plan
from rleseg_core.errors import DataError
from rleseg_core.model import Fusion
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Scheme, for_classes, preset
from rleseg_core.training import LAST, FineTuneOptions, StepReport, fine_tune, image_weights, train

Run = Generator[StepReport, None, Path]


def begin(plan: Plan, options: TrainOptions) -> Run:
    """The run that the options ask for; see `rleseg_core.training.train`."""
    if options.start.base is None:
        return _new_run(plan, options)
    if options.n_frames > 1:
        return _video_run(plan, options, options.start.base)
    return fine_tune(
        options.start.base,
        plan.data,
        plan.config,
        plan.folder,
        options=FineTuneOptions(
            path=options.run.output,
            image_size=options.window.get("image_size"),
            invert=options.data.greys.invert,
            contrast=options.data.greys.limits,
            card={"name": options.run.output.stem},
        ),
        device=plan.device,
        resume=plan.resume,
        overwrite=plan.overwrite,
    )


def _new_run(plan: Plan, options: TrainOptions) -> Run:
    """The training of a new model, from scratch but for the weights of `--backbone`."""
    start, window = options.start, _window(options)
    names, side = plan.class_names, start.mask_size or 32
    info = new_model(
        options.run.output,
        size=start.size or "nano",
        scheme=for_classes(_scheme(options), len(names)),
        mask_spec=MaskSpec(size=(side, side), class_names=names, n_frames=window.n_frames),
        window_spec=window,
        max_tokens=start.max_tokens or 256,
        fusion=_fusion(options),
        dense_frames=start.dense_frames,
        card={"name": options.run.output.stem},
    )
    weights = None
    if start.backbone is not None and not (plan.resume and (plan.folder / LAST).is_file()):
        info, weights = with_backbone(info, start.backbone, plan.config.seed)
    return train(
        info,
        plan.data,
        plan.config,
        plan.folder,
        weights=weights,
        device=plan.device,
        resume=plan.resume,
        overwrite=plan.overwrite,
    )


def _video_run(plan: Plan, options: TrainOptions, base: str) -> Run:
    """The training of a model for windows of several frames that begins as an image model.

    Raises
    ------
    DataError
        If the image model has other classes.
    """
    image_model, names = load_checkpoint(find_model(base)), plan.class_names
    if image_model.info.mask_spec.class_names != names:
        raise DataError(
            f"the model of --from has the classes {image_model.info.mask_spec.class_names}, "
            f"the masks {names}; with --frames both need the same"
        )
    info = as_video(
        image_model.info,
        options.run.output,
        scheme=_scheme(options),
        n_frames=options.n_frames,
        frame_stride=options.window.get("frame_stride") or options.n_frames,
        fusion=_fusion(options) or "middle",
        dense_frames=options.start.dense_frames,
        max_tokens=options.start.max_tokens,
    )
    card: dict[str, object] = {"name": options.run.output.stem, "base": image_model.info.name}
    greys = options.data.greys
    return train(
        replace(
            info,
            card=card,
            window_spec=info.window_spec.changed(None, greys.invert, greys.limits),
        ),
        plan.data,
        plan.config,
        plan.folder,
        weights=image_weights(image_model, info),
        device=plan.device,
        resume=plan.resume,
        overwrite=plan.overwrite,
    )


def _scheme(options: TrainOptions) -> Scheme:
    name = options.scheme
    if name is None or name == "auto":
        name = "tac" if options.n_frames > 1 else "lac"
    return preset(name, **options.scheme_fields)


def _window(options: TrainOptions) -> WindowSpec:
    """The windows of a new model: overlapping by a quarter, and not in time, unless asked for."""
    patch = options.window.get("patch", 128)
    defaults = {
        "patch": patch,
        "patch_stride": max(1, 3 * patch // 4),
        "frame_stride": options.n_frames,
    }
    spec = WindowSpec(**{**defaults, **options.window})
    return spec.changed(None, options.data.greys.invert, options.data.greys.limits)


def _fusion(options: TrainOptions) -> Fusion | None:
    fusion = options.start.fusion
    return None if fusion == "auto" else fusion
