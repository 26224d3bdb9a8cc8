"""Options of ``rleseg train``, and how they are checked and read."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rleseg_core.cli.predict import parse_frames
from rleseg_core.errors import DataError, TrainingError
from rleseg_core.tokens import PRESETS

if TYPE_CHECKING:
    from rleseg_core.data import LabelledStack

Images = Annotated[Path, typer.Argument(help="A stack, or a folder of images.")]
Masks = Annotated[Path, typer.Argument(help="Its masks: class ids, or instance ids.")]
Output = Annotated[Path, typer.Option("--out", "-o", help="The new model.safetensors.")]
Base = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Fine-tune this model (file or name), not a new one; with --frames, the image model "
        "that one for windows of several frames begins as.",
    ),
]
Preset = Annotated[
    Literal["quick", "thorough"] | None,
    typer.Option(
        "--preset",
        help="With --from, a recipe for few frames: minutes, or up to an hour on a CPU; what you "
        "choose yourself stands.",
    ),
]
Mix = Annotated[
    tuple[Path, Path] | None,
    typer.Option(
        "--mix",
        metavar="IMAGES MASKS",
        help="Replay data of the same classes, so that they are not forgotten.",
    ),
]
MixShare = Annotated[
    float,
    typer.Option("--mix-share", min=0, max=0.9, help="Share of the windows that are replay data."),
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", help="For checkpoints and log; --out less its suffix by default."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the unfinished run in --run-dir.")
]
Holdout = Annotated[
    str | None, typer.Option("--holdout", help="Frames kept for validation, such as 0,10-14.")
]
Scheme = Annotated[
    str,
    typer.Option(
        "--scheme",
        help=f"One of {', '.join(PRESETS)}; auto: lac, binary for one class, tac for several "
        "frames.",
    ),
]
Size = Annotated[
    str,
    typer.Option(
        "--size",
        help="Of a new model: nano, small, resnet50, paper, resnet-c, vit-b, vit-l; swin-t, "
        "swin-s or swin-b for several frames.",
    ),
]
Frames = Annotated[
    int,
    typer.Option("--frames", min=1, help="N, frames of a window, whose masks are one."),
]
FrameStride = Annotated[
    int | None,
    typer.Option("--frame-stride", help="Frames from one window to the next; N by default."),
]
FusionChoice = Annotated[
    Literal["auto", "middle", "late", "early", "first"],
    typer.Option(
        "--fusion",
        help="How frames are joined: after the encoder, in it, in the backbone (swin sizes), or "
        "the first stands for all; auto: middle, or as the size says.",
    ),
]
DenseFrames = Annotated[
    int | None,
    typer.Option(
        "--dense-frames",
        help="Frames of a window seen in full, the others coarsely; all by default.",
    ),
]
Patch = Annotated[int, typer.Option("--patch", help="P, the side of a patch.")]
Stride = Annotated[
    int | None, typer.Option("--stride", help="Between patches; 3/4 of P by default.")
]
MaskSize = Annotated[int, typer.Option("--mask-size", help="S, the side of a mask.")]
Rule = Annotated[
    Literal["corner", "centre", "max"],
    typer.Option(
        "--subsample-rule",
        help="Which pixel of a mask's cell says its class; max: the highest class.",
    ),
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", help="L, tokens of a window at most.")]
Steps = Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps.")]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size",
        min=1,
        help="Windows a step, of all devices together; 8 for new nano and small models.",
    ),
]
LearningRate = Annotated[
    float,
    typer.Option("--lr", help="Highest learning rate; 2e-3 for new nano and small models."),
]
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        "--freeze",
        help="A part that does not learn: backbone, encoder, projection, mask_features, dense or "
        "decoder.",
    ),
]
RateOf = Annotated[
    list[str] | None,
    typer.Option(
        "--lr-of",
        metavar="PART=FACTOR",
        help="Factor of the learning rate of a part, as backbone=0.1.",
    ),
]
Patience = Annotated[
    int,
    typer.Option(
        "--patience",
        min=0,
        help="Validations without a better score after which it stops; 0: it goes on to the end.",
    ),
]
Select = Annotated[
    str,
    typer.Option(
        "--select",
        metavar="METRIC[:CLASS]",
        help="What makes a model the best: dice, iou, precision or recall, of a class or the mean; "
        "or fw_recall, fw_iou, pixel_accuracy.",
    ),
]
Augment = Annotated[
    Literal["none", "standard", "strong"],
    typer.Option(
        "--augment",
        help="How patches vary: turned, scaled, lit otherwise; strong: also bent, blurred, greys "
        "stretched.",
    ),
]
PrecisionChoice = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option("--precision", help="Of numbers; auto: by the device."),
]
ValidateEvery = Annotated[
    int, typer.Option("--validate-every", min=0, help="Steps; 0: only at the end.")
]
CheckpointEvery = Annotated[
    int, typer.Option("--checkpoint-every", min=0, help="Steps; 0: only at the end.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of weights, patches and dropout.")]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="Begin with the ResNet in this file (torchvision's, timm's, transformers' or a model "
        "of ours), or of this name: resnet50, or what is in the cache of Hugging Face.",
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch the weights of --backbone if they are not here.")
]
Devices = Annotated[
    int, typer.Option("--devices", min=1, help="Processes on this machine, one a device.")
]
Nodes = Annotated[
    int, typer.Option("--nodes", min=1, help="Machines; give the same command on each.")
]
NodeRank = Annotated[
    int,
    typer.Option("--node-rank", envvar="SLURM_NODEID", help="Which of the machines this is."),
]
Master = Annotated[
    str,
    typer.Option("--master", help="HOST:PORT of the first machine, where the others find it."),
]

SETTINGS = {
    "steps": "n_steps",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "freeze": "frozen",
    "lr_of": "rates",
    "patience": "patience",
    "subsample_rule": "subsample_rule",
    "augment": "augment",
    "precision": "precision",
    "validate_every": "validate_every",
    "checkpoint_every": "checkpoint_every",
    "seed": "seed",
}
"""Fields of `TrainConfig` that options set, by the name of the option's parameter."""


def settings(chosen: frozenset[str]) -> set[str]:
    """Fields of `TrainConfig` that the user chose."""
    return {setting for option, setting in SETTINGS.items() if option in chosen}


def rates(given: list[str] | None) -> dict[str, float]:
    """Factors of learning rates by part, of texts such as 'backbone=0.1'.

    Raises
    ------
    DataError
        If a text is something else.
    """
    factors = {}
    for text in given or []:
        part, _, factor = text.partition("=")
        try:
            factors[part.strip()] = float(factor)
        except ValueError:
            raise DataError(
                f"--lr-of takes a part and its factor, as backbone=0.1; got {text!r}"
            ) from None
    return factors


def given(context: typer.Context) -> frozenset[str]:
    """Names of the parameters that the user gave on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(
        name for name, source in sources.items() if source and source.name == "COMMANDLINE"
    )


def check_output(path: Path) -> None:
    """Refuse before the training what could not be written after it.

    Raises
    ------
    DataError
        If it is no place for a model.
    """
    if path.suffix != ".safetensors":
        raise DataError(f"a model's name must end in .safetensors, got {path}")
    if path.is_dir():
        raise DataError(f"cannot write a model to {path}: there is a folder of that name")


def check_left_out(options: Collection[str], *, video: bool) -> None:
    """Refuse options that a base model decides, rather than take no notice of them.

    Raises
    ------
    DataError
        If one of them is among the `options` that the user gave.
    """
    decided = ["size", "patch", "stride", "mask_size"]
    if not video:
        decided += ["scheme", "max_tokens", "frame_stride", "fusion", "dense_frames"]
    wrong = ["--" + name.replace("_", "-") for name in decided if name in options]
    if wrong:
        raise DataError(f"{', '.join(wrong)}: the model of --from decides; leave it out")


def check_unfinished(folder: Path) -> None:
    """Refuse to begin where a run waits to go on: its work would be lost.

    Raises
    ------
    TrainingError
        If the last checkpoint of the folder is not that of a finished run.
    """
    from rleseg_core.checkpoints import read_info
    from rleseg_core.training import LAST, TrainConfig

    last = folder / LAST
    if not last.is_file():
        return
    info = read_info(last)
    if "config" not in info.training:
        return  # somebody's model of that name, not a run
    n_steps = TrainConfig.from_json(info.training["config"]).n_steps  # type: ignore[arg-type]
    if 0 < info.step < n_steps and not info.training.get("finished"):
        raise TrainingError(
            f"{folder} holds a run that stopped at step {info.step} of {n_steps}; go on with it "
            "(--resume), or choose another --run-dir"
        )


def named_split(
    stack: "LabelledStack", holdout: str | None
) -> tuple[list["LabelledStack"], list["LabelledStack"] | None]:
    """Training and validation frames as the user named them; None leaves the choice to `train`."""
    chosen = parse_frames(holdout, stack.images.n_frames)
    if chosen is None:
        return [stack], None
    kept = tuple(frame for frame in stack.frames if frame not in set(chosen))
    return [replace(stack, frames=kept)], [replace(stack, frames=tuple(chosen))]
