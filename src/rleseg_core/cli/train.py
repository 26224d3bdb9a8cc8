"""``rleseg train``: train a model on images and masks, from scratch or from another model."""

import math
import sys
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rleseg_core.augmentation import AUGMENTATIONS
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
from rleseg_core.cli.train_preset import known_to, recipe_of
from rleseg_core.errors import DataError
from rleseg_core.processes import is_started_as_one_of_several, process_rank
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
    preset_name: options.Preset = None,
    mix: options.Mix = None,
    mix_share: options.MixShare = 0.25,
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
    freeze: options.Freeze = None,
    lr_of: options.RateOf = None,
    patience: options.Patience = 0,
    select: options.Select = "dice",
    augment: options.Augment = "standard",
    precision: options.PrecisionChoice = "auto",
    validate_every: options.ValidateEvery = 200,
    checkpoint_every: options.CheckpointEvery = 100,
    seed: options.Seed = 0,
    backbone: options.Backbone = None,
    download: options.Download = False,
    device: Device = "auto",
    n_devices: options.Devices = 1,
    n_nodes: options.Nodes = 1,
    node: options.NodeRank = 0,
    master: options.Master = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on images and masks, from scratch or from another model."""
    options.check_output(output)
    several = is_started_as_one_of_several()
    if backbone is not None and base is not None:
        raise DataError("--backbone: the model of --from has its own; leave it out")
    quiet = quiet or process_rank() > 0
    if download and backbone is not None:
        _fetch(backbone, quiet)
    if n_devices * n_nodes > 1 and not several:
        from rleseg_core.training.distributed import Cluster, launch

        cluster = Cluster(
            n_devices=n_devices,
            n_nodes=n_nodes,
            node=node if n_nodes > 1 else 0,  # SLURM numbers the nodes of whole allocations
            master=master,
        )
        launch(context.obj or sys.argv[1:], cluster, device=device)
        return
    from rleseg_core.build import new_model
    from rleseg_core.data import LabelledStack
    from rleseg_core.spec import MaskSpec, WindowSpec
    from rleseg_core.training import LAST, TrainConfig, fine_tune, from_scratch, read_reports
    from rleseg_core.training import train as train_new
    from rleseg_core.training.selection import parse_selection

    chosen = options.given(context)
    if base is not None:
        options.check_left_out(chosen, video=n_frames > 1)
    names = class_names(classes, instances)
    stack = LabelledStack.from_paths(images, masks, names, instances=instances)
    kept, held_out = options.named_split(stack, holdout)
    select_metric, select_class = parse_selection(select)
    config = TrainConfig(
        n_steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=min(50, steps // 5),
        frozen=tuple(freeze or ()),
        rates=options.rates(lr_of),
        patience=patience,
        select_metric=select_metric,
        select_class=select_class,
        subsample_rule=subsample_rule,
        augment=AUGMENTATIONS[augment],
        precision=precision,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        seed=seed,
    )
    if base is None and backbone is None:
        suits = from_scratch(size)
        config = replace(config, **{k: suits[k] for k in suits.keys() - options.settings(chosen)})
    earlier = [LabelledStack.from_paths(*mix, names, instances=instances)] if mix else []
    validation_share = 0.2
    if preset_name is not None:
        recipe = recipe_of(preset_name, base, kept, n_frames, image_size, device)
        config = replace(
            recipe.config,
            select_metric=select_metric,
            select_class=select_class,
            **{setting: getattr(config, setting) for setting in options.settings(chosen)},
        )
        validation_share = recipe.validation_share
        if not {"mix", "mix_share"} & chosen:
            mix_share = recipe.mix_share
        if mix_share:
            earlier = earlier or known_to(base, names, image_size)
    folder = run_dir or output.with_suffix("")
    if not resume:
        options.check_unfinished(folder)
    same: dict[str, Any] = {  # of all three ways to begin
        "validation_stacks": held_out,
        "validation_share": validation_share,
        "earlier": earlier,
        "earlier_share": mix_share,
        "device": device,
        "resume": resume,
    }
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
            **same,
        )
    elif base is not None:
        run = fine_tune(
            base,
            kept,
            config,
            folder,
            path=output,
            image_size=image_size,
            card={"name": output.stem},
            **same,
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
        weights = None
        if backbone is not None and not (resume and (folder / LAST).is_file()):
            from rleseg_core.pretrained import with_trunk

            info, weights = with_trunk(info, backbone, config.seed)
        run = train_new(
            info,
            kept,
            config,
            folder,
            weights=weights,
            **same,
        )
    path = _watch(run, quiet)
    if several:
        from rleseg_core.training.distributed import leave

        leave()
    if process_rank():
        return
    reports = read_reports(folder)
    best, selected = _best(reports, "mean"), _best(reports, "selected")
    if as_json:
        last = reports[-1]
        print_json(
            {
                "model": str(path),
                "steps": last.step,
                "loss": last.loss,
                "seconds": last.seconds,
                "validation_dice": best,
                "selected": selected,
                "losses": [report.loss for report in reports],
            }
        )
    elif not quiet:
        told = "" if selected is None else f", best validation {select} {selected:.3f}"
        out.print(f"{path}: {reports[-1].step} steps, loss {reports[-1].loss:.3f}{told}")


def _best(reports: "Sequence[StepReport]", score: str) -> float | None:
    """The highest validation score of a run; None where there is none that is a number."""
    scores = (report.validation.get(score, math.nan) for report in reports)
    return max(filter(math.isfinite, scores), default=None)


def _fetch(name: str, quiet: bool) -> None:
    """Have the weights of a trunk here."""
    from rleseg_core.pretrained import fetch_trunk

    with progress_bar("fetch", quiet) as bar:
        product_of(fetch_trunk(name), bar.fetched)


def _watch(run: Generator["StepReport", None, Path], quiet: bool) -> Path:
    with progress_bar("train", quiet) as bar:
        return product_of(run, lambda report: _show(report, bar, quiet))


def _show(report: "StepReport", bar: Bar, quiet: bool) -> None:
    bar.update(report.step, report.n_steps, f"loss {report.loss:.3f}")
    if report.message and not quiet:
        err.print(report.message, markup=False)
    if report.validation and not quiet:
        dice = ", ".join(f"{k} {v:.3f}" for k, v in report.validation.items() if k != "selected")
        err.print(f"step {report.step}: loss {report.loss:.3f}, validation Dice {dice}")
