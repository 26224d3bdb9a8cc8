"""``rleseg train``: train a model on images and masks, from scratch or from another model."""

import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rleseg_core.cli import train_options as options
from rleseg_core.cli.console import (
    AsJson,
    Bar,
    Device,
    Quiet,
    err,
    out,
    print_json,
    progress_bar,
)
from rleseg_core.cli.evaluate import Classes, Instances, class_names
from rleseg_core.cli.predict import ImageSize
from rleseg_core.errors import DataError
from rleseg_core.reports import product_of
from rleseg_core.tokens import for_classes, preset

if TYPE_CHECKING:
    from rleseg_core.training import StepReport


def train(
    context: typer.Context,
    images: options.Images,
    masks: options.Masks,
    output: options.Output,
    classes: Classes,
    instances: Instances = False,
    base: options.Base = None,
    run_dir: options.RunDir = None,
    resume: options.Resume = False,
    holdout: options.Holdout = None,
    scheme: options.Scheme = "auto",
    size: options.Size = "nano",
    n_frames: options.Frames = 1,
    frame_stride: options.FrameStride = None,
    fusion: options.FusionChoice = "auto",
    dense_frames: options.DenseFrames = None,
    patch: options.Patch = 128,
    stride: options.Stride = None,
    image_size: ImageSize = None,
    mask_size: options.MaskSize = 32,
    subsample_rule: options.Rule = "centre",
    max_tokens: options.MaxTokens = 256,
    steps: options.Steps = 1000,
    batch_size: options.BatchSize = 16,
    learning_rate: options.LearningRate = 1e-3,
    precision: options.PrecisionChoice = "auto",
    validate_every: options.ValidateEvery = 200,
    checkpoint_every: options.CheckpointEvery = 100,
    seed: options.Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on images and masks, from scratch or from another model."""
    from rleseg_core.build import new_model
    from rleseg_core.data import LabelledStack
    from rleseg_core.spec import MaskSpec, WindowSpec
    from rleseg_core.training import TrainConfig, fine_tune, read_reports
    from rleseg_core.training import train as train_new

    options.check_output(output)
    chosen = options.given(context)
    if base is not None:
        options.check_left_out(chosen, video=n_frames > 1)
    names = class_names(classes, instances)
    stack = LabelledStack.from_paths(images, masks, names, instances=instances)
    kept, held_out = options.named_split(stack, holdout)
    config = TrainConfig(
        n_steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=min(50, steps // 5),
        subsample_rule=subsample_rule,
        precision=precision,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        seed=seed,
    )
    folder = run_dir or output.with_suffix("")
    if not resume:
        options.check_unfinished(folder)
    how = preset(("tac" if n_frames > 1 else "lac") if scheme == "auto" else scheme)
    if base is not None and n_frames > 1:
        from rleseg_core.build import as_video
        from rleseg_core.checkpoint import find_model, load_checkpoint
        from rleseg_core.training import image_weights

        image_model = load_checkpoint(find_model(base))
        if image_model.info.mask_spec.class_names != names:
            raise DataError(
                f"the model of --from has the classes {image_model.info.mask_spec.class_names}, "
                f"the masks {names}; with --frames both need the same"
            )
        info = as_video(
            image_model.info,
            output,
            scheme=how,
            n_frames=n_frames,
            frame_stride=frame_stride or n_frames,
            fusion="middle" if fusion == "auto" else fusion,
            dense_frames=dense_frames,
            max_tokens=max_tokens if "max_tokens" in chosen else None,
        )
        run = train_new(
            replace(info, card={"name": output.stem, "base": image_model.info.name}),
            kept,
            config,
            folder,
            weights=image_weights(image_model, info),
            validation_stacks=held_out,
            device=device,
            resume=resume,
        )
    elif base is not None:
        run = fine_tune(
            base,
            kept,
            config,
            folder,
            path=output,
            validation_stacks=held_out,
            image_size=image_size,
            card={"name": output.stem},
            device=device,
            resume=resume,
        )
    else:
        window = WindowSpec(
            patch=patch,
            patch_stride=stride or 3 * patch // 4,
            image_size=image_size,
            n_frames=n_frames,
            frame_stride=frame_stride or n_frames,
        )
        info = new_model(
            output,
            size=size,
            scheme=for_classes(how, len(names)),
            mask_spec=MaskSpec(size=(mask_size, mask_size), class_names=names, n_frames=n_frames),
            window_spec=window,
            max_tokens=max_tokens,
            fusion=None if fusion == "auto" else fusion,
            dense_frames=dense_frames,
            card={"name": output.stem},
        )
        run = train_new(
            info,
            kept,
            config,
            folder,
            validation_stacks=held_out,
            device=device,
            resume=resume,
        )
    path = _watch(run, quiet)
    reports = read_reports(folder)
    dice = [report.validation["mean"] for report in reports if report.validation]
    best = max(filter(math.isfinite, dice), default=None)
    if as_json:
        last = reports[-1]
        print_json(
            {
                "model": str(path),
                "steps": last.step,
                "loss": last.loss,
                "seconds": last.seconds,
                "validation_dice": best,
                "losses": [report.loss for report in reports],
            }
        )
    elif not quiet:
        told = "" if best is None else f", best validation Dice {best:.3f}"
        out.print(f"{path}: {reports[-1].step} steps, loss {reports[-1].loss:.3f}{told}")


def _watch(run: Generator["StepReport", None, Path], quiet: bool) -> Path:
    with progress_bar("train", quiet) as bar:
        return product_of(run, lambda report: _show(report, bar, quiet))


def _show(report: "StepReport", bar: Bar, quiet: bool) -> None:
    bar.update(report.step, report.n_steps, f"loss {report.loss:.3f}")
    if report.validation and not quiet:
        dice = ", ".join(f"{name} {value:.3f}" for name, value in report.validation.items())
        err.print(f"step {report.step}: loss {report.loss:.3f}, validation Dice {dice}")
