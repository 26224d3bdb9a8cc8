"""``rleseg train``: train a model on images and masks, from scratch or from another model."""

import sys

import typer

from rleseg_core.augment.config import AUGMENTATIONS
from rleseg_core.cli import train_options as options
from rleseg_core.cli.console import AsJson, Device, Quiet
from rleseg_core.cli.evaluate import Classes, Instances, class_names
from rleseg_core.cli.predict import ImageSize
from rleseg_core.cli.train_begin import fine_tuning_run, new_run, video_run
from rleseg_core.cli.train_plan import Plan, read_frames, suited_to_size, with_preset
from rleseg_core.cli.train_report import tell_result, watch_fetching, watch_training
from rleseg_core.errors import DataError
from rleseg_core.parallel.processes import is_started_as_one_of_several, process_rank
from rleseg_core.tokens import preset


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
        watch_fetching(backbone, quiet)
    if n_devices * n_nodes > 1 and not several:
        from rleseg_core.parallel.launch import Cluster, launch

        cluster = Cluster(
            n_devices=n_devices,
            n_nodes=n_nodes,
            node=node if n_nodes > 1 else 0,  # SLURM numbers the nodes of whole allocations
            master=master,
        )
        launch(context.obj or sys.argv[1:], cluster, device=device)
        return
    from rleseg_core.spec import WindowSpec
    from rleseg_core.training import Recipe, TrainConfig
    from rleseg_core.training.selection import parse_selection

    chosen = options.given(context)
    if base is not None:
        options.check_left_out(chosen, video=n_frames > 1)
    frames = read_frames(
        images,
        masks,
        class_names(classes, instances),
        instances=instances,
        holdout=holdout,
        mix=mix,
    )
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
        config = suited_to_size(config, size, chosen)
    plan = Plan(
        frames=frames,
        recipe=Recipe(config=config, validation_share=0.2, replay_share=mix_share),
        folder=run_dir or output.with_suffix(""),
        device=device,
        resume=resume,
    )
    if preset_name is not None:
        plan = with_preset(
            plan, preset_name, base, chosen, n_frames=n_frames, image_size=image_size
        )
    if not resume:
        options.check_unfinished(plan.folder)
    how = preset(("tac" if n_frames > 1 else "lac") if scheme == "auto" else scheme)
    joined = None if fusion == "auto" else fusion
    if base is None:
        run = new_run(
            plan,
            output,
            size=size,
            scheme=how,
            mask_size=mask_size,
            window=WindowSpec(
                patch=patch,
                patch_stride=stride or 3 * patch // 4,
                image_size=image_size,
                n_frames=n_frames,
                frame_stride=frame_stride or n_frames,
            ),
            max_tokens=max_tokens,
            fusion=joined,
            dense_frames=dense_frames,
            backbone=backbone,
        )
    elif n_frames > 1:
        run = video_run(
            plan,
            output,
            base,
            scheme=how,
            n_frames=n_frames,
            frame_stride=frame_stride or n_frames,
            fusion=joined,
            dense_frames=dense_frames,
            max_tokens=max_tokens if "max_tokens" in chosen else None,
        )
    else:
        run = fine_tuning_run(plan, output, base, image_size=image_size)
    path = watch_training(run, quiet)
    if several:
        from rleseg_core.parallel.launch import leave

        leave()
    if process_rank() == 0:
        tell_result(path, plan.folder, select, quiet=quiet, as_json=as_json)
