"""``rleseg train``: train a model on images and masks, from scratch or from another model."""

import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

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
from rleseg_core.cli.predict import ImageSize, parse_frames
from rleseg_core.errors import DataError, TrainingError
from rleseg_core.reports import product_of
from rleseg_core.tokens import PRESETS, for_classes, preset

if TYPE_CHECKING:
    from rleseg_core.data import LabelledStack
    from rleseg_core.training import StepReport


def train(
    context: typer.Context,
    images: Annotated[Path, typer.Argument(help="A stack, or a folder of images.")],
    masks: Annotated[Path, typer.Argument(help="Its masks: class ids, or instance ids.")],
    output: Annotated[Path, typer.Option("--out", "-o", help="The new model.safetensors.")],
    classes: Classes,
    instances: Instances = False,
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Fine-tune this model (file or name), not a new one; with --frames, the image "
            "model that one for windows of several frames begins as.",
        ),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="For checkpoints and log; --out less its suffix by default.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with the unfinished run in --run-dir.")
    ] = False,
    holdout: Annotated[
        str | None, typer.Option(help="Frames kept for validation, such as 0,10-14.")
    ] = None,
    scheme: Annotated[
        str,
        typer.Option(
            help=f"One of {', '.join(PRESETS)}; auto: lac, binary for one class, tac for several "
            "frames."
        ),
    ] = "auto",
    size: Annotated[
        str,
        typer.Option(
            help="Of a new model: nano, small, paper, resnet-c, vit-b, vit-l; swin-t, swin-s or "
            "swin-b for several frames."
        ),
    ] = "nano",
    n_frames: Annotated[
        int, typer.Option("--frames", min=1, help="N, frames of a window, whose masks are one.")
    ] = 1,
    frame_stride: Annotated[
        int | None, typer.Option(help="Frames from one window to the next; N by default.")
    ] = None,
    fusion: Annotated[
        Literal["auto", "middle", "late", "early", "first"],
        typer.Option(
            help="How frames are joined: after the encoder, in it, in the trunk (swin sizes), or "
            "the first stands for all; auto: middle, or as the size says."
        ),
    ] = "auto",
    dense_frames: Annotated[
        int | None,
        typer.Option(help="Frames of a window seen in full, the others coarsely; all by default."),
    ] = None,
    patch: Annotated[int, typer.Option(help="P, the side of a patch.")] = 128,
    stride: Annotated[
        int | None, typer.Option(help="Between patches; 3/4 of P by default.")
    ] = None,
    image_size: ImageSize = None,
    mask_size: Annotated[int, typer.Option(help="S, the side of a mask.")] = 32,
    subsample_rule: Annotated[
        Literal["corner", "centre", "max"],
        typer.Option(help="Which pixel of a mask's cell says its class; max: the highest class."),
    ] = "centre",
    max_tokens: Annotated[int, typer.Option(help="L, tokens of a window at most.")] = 256,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 16,
    learning_rate: Annotated[float, typer.Option("--lr", help="Highest learning rate.")] = 1e-3,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        typer.Option(help="Of numbers; auto: by the device."),
    ] = "auto",
    validate_every: Annotated[int, typer.Option(min=0, help="Steps; 0: only at the end.")] = 200,
    checkpoint_every: Annotated[int, typer.Option(min=0, help="Steps; 0: only at the end.")] = 100,
    seed: Annotated[int, typer.Option(help="Of weights, patches and dropout.")] = 0,
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

    _check_output(output)
    if base is not None:
        _check_left_out(context, video=n_frames > 1)
    names = class_names(classes, instances)
    stack = LabelledStack.from_paths(images, masks, names, instances=instances)
    kept, held_out = _split(stack, holdout)
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
        _check_unfinished(folder)
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
            max_tokens=_given(context, "max_tokens"),
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


def _check_output(path: Path) -> None:
    """Refuse before the training what could not be written after it."""
    if path.suffix != ".safetensors":
        raise DataError(f"a model's name must end in .safetensors, got {path}")
    if path.is_dir():
        raise DataError(f"cannot write a model to {path}: there is a folder of that name")


def _given(context: typer.Context, name: str) -> int | None:
    """An option if the user gave it."""
    source = context.get_parameter_source(name)
    given = source is not None and source.name == "COMMANDLINE"
    return int(context.params[name]) if given else None


def _check_left_out(context: typer.Context, *, video: bool) -> None:
    """Refuse options that a base model decides, rather than take no notice of them."""
    decided = ["size", "patch", "stride", "mask_size"]
    if not video:
        decided += ["scheme", "max_tokens", "frame_stride", "fusion", "dense_frames"]
    given = [
        "--" + name.replace("_", "-")
        for name in decided
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise DataError(f"{', '.join(given)}: the model of --from decides; leave it out")


def _check_unfinished(folder: Path) -> None:
    """Refuse to begin where a run waits to go on: its work would be lost."""
    from rleseg_core.checkpoint import read_info
    from rleseg_core.training import LAST, TrainConfig

    last = folder / LAST
    if not last.is_file():
        return
    info = read_info(last)
    n_steps = TrainConfig.from_json(info.training["config"]).n_steps  # type: ignore[arg-type]
    if 0 < info.step < n_steps:
        raise TrainingError(
            f"{folder} holds a run that stopped at step {info.step} of {n_steps}; go on with it "
            "(--resume), or choose another --run-dir"
        )


def _split(
    stack: "LabelledStack", holdout: str | None
) -> tuple[list["LabelledStack"], list["LabelledStack"] | None]:
    """Training and validation frames as the user named them; None leaves the choice to `train`."""
    chosen = parse_frames(holdout, stack.images.n_frames)
    if chosen is None:
        return [stack], None
    kept = tuple(frame for frame in stack.frames if frame not in set(chosen))
    return [replace(stack, frames=kept)], [replace(stack, frames=tuple(chosen))]


def _watch(run: Generator["StepReport", None, Path], quiet: bool) -> Path:
    with progress_bar("train", quiet) as bar:
        return product_of(run, lambda report: _show(report, bar, quiet))


def _show(report: "StepReport", bar: Bar, quiet: bool) -> None:
    bar.update(report.step, report.n_steps, f"loss {report.loss:.3f}")
    if report.validation and not quiet:
        dice = ", ".join(f"{name} {value:.3f}" for name, value in report.validation.items())
        err.print(f"step {report.step}: loss {report.loss:.3f}, validation Dice {dice}")
