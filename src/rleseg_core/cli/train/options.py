"""Options of ``rleseg train``: the fields of the dataclasses of training, models and windows."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from rleseg_core.augment.config import AUGMENTATIONS, Augmentation, Strength
from rleseg_core.checkpoints.old_names import training_state
from rleseg_core.checks import MOST, Within
from rleseg_core.cli.greys import GreyValues
from rleseg_core.cli.ids import IdChoices
from rleseg_core.cli.masks import SCHEME, SCHEMES, WINDOWS, GivenScheme
from rleseg_core.cli.options import FLAT, POSITIVE, Device, given_fields, within
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.reading import GivenMaskReading, GivenReading
from rleseg_core.cli.values import numbers_by_name
from rleseg_core.evaluation.scores import CLASS_METRICS, METRICS
from rleseg_core.parallel.processes import Cluster
from rleseg_core.spec import WindowSpec
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.selection import parse_selection

DATA = Group("Data", sort_key=10)
START = Group("Where it starts", sort_key=15)
TRAINING = Group("Training", sort_key=40)
OPTIMIZER = Group("Optimizer", sort_key=50)
LOSS = Group("Loss", sort_key=60)
AUGMENTATION = Group("Augmentation", sort_key=70)
RUN = Group("Run", sort_key=12)
DEVICES = Group("Devices", sort_key=80)


def _grouped(group: Group, *names: str) -> dict[str, Parameter]:
    return dict.fromkeys(names, Parameter(group=group))


_TRAINING: dict[str, Parameter] = {
    **_grouped(
        OPTIMIZER,
        *("schedule", "schedule_rate", "warmup_from", "final_share", "weight_decay", "decay"),
        *("betas", "epsilon", "clip_norm", "ema"),
    ),
    **_grouped(
        LOSS,
        *("loss", "focal_gamma", "eos_weight", "segment_weights", "label_smoothing"),
        *("ordinal_label_smoothing", "class_balancing", "dense_weight", "token_share"),
        "tokens_from",
    ),
    "n_steps": Parameter(name="--steps"),
    "batch_size": Parameter(show_default="16; 8 for new nano and small models"),
    "learning_rate": Parameter(
        name="--lr", group=OPTIMIZER, show_default="1e-3; 2e-3 for new nano and small models"
    ),
    "warmup_steps": Parameter(group=OPTIMIZER, show_default="50, at most a fifth of --steps"),
    "frozen": Parameter(name="--freeze", metavar="PART", group=OPTIMIZER),
    "rates": Parameter(name="--lr-of", metavar="PART=FACTOR", group=OPTIMIZER),
    "segment_weights": Parameter(metavar="SEGMENT=WEIGHT", group=LOSS),
    "subsample_rule": Parameter(group=WINDOWS),
    "precision": Parameter(group=DEVICES),
    "bf16_convolutions": Parameter(group=DEVICES),
    "checkpoint_every": Parameter(show_default="100"),
}

if TYPE_CHECKING:
    GivenWindow = dict[str, Any]
    GivenTraining = dict[str, Any]
    GivenAugmentation = dict[str, Any]
    GivenCluster = dict[str, Any]
else:
    GivenWindow = given_fields(
        WindowSpec,
        {
            "patch": Parameter(show_default="128"),
            "patch_stride": Parameter(name="--stride", show_default="3/4 of P"),
            "image_size": Parameter(show_default="as they are"),
            "n_frames": Parameter(name="--frames"),
            "frame_stride": Parameter(show_default="N"),
        },
        group=WINDOWS,
        without=("normalisation",),
    )
    GivenTraining = given_fields(
        TrainConfig,
        _TRAINING,
        group=TRAINING,
        without=("augment", "select_metric", "select_class"),
    )
    GivenAugmentation = given_fields(Augmentation, group=AUGMENTATION, prefix="augment-")
    GivenCluster = given_fields(
        Cluster,
        {
            "n_devices": Parameter(name="--devices"),
            "n_nodes": Parameter(name="--nodes"),
            "node": Parameter(name="--node-rank", env_var="SLURM_NODEID"),
            "master": Parameter(metavar="HOST:PORT"),
        },
        group=DEVICES,
    )


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What a model learns from.

    Parameters
    ----------
    classes : str
        Names of the classes, such as ipsc,dfc, in the order of their ids from 1 on. Masks and
        models that note names are matched by name.
    instances : bool
        The masks hold the ids of objects, all of one class.
    holdout : str or None
        Frames that are held out for validation, such as 0,10-14, counted from 0.
    replay : (Path, Path) or None
        Images and masks of data that the model has seen before, of the same classes. It learns
        from them as well, so that it does not forget them.
    replay_share : float
        Share of the windows that are replay data, 0 to 0.9.
    """

    classes: Annotated[str, Parameter(metavar="LIST")]
    instances: bool = False
    holdout: Annotated[
        str | None, Parameter(metavar="LIST", show_default="the last fifth of the frames")
    ] = None
    replay: Annotated[tuple[Path, Path] | None, Parameter(metavar="IMAGES MASKS")] = None
    replay_share: Annotated[
        float | None, within(Within(0, 0.9)), Parameter(show_default="0.25")
    ] = None
    ids: IdChoices = IdChoices()
    reading: Annotated[GivenReading, FLAT] = field(default_factory=dict)
    mask_reading: Annotated[GivenMaskReading, FLAT] = field(default_factory=dict)
    greys: GreyValues = GreyValues()


@Parameter(name="*", group=START)
@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """The model that a run starts from, or how a new one is made.

    Parameters
    ----------
    base : str or None
        Fine-tune this model, a file or the name of an installed one. With --frames, it is an image
        model that becomes one for windows of several frames. By default a new model is trained.
    preset : {'quick', 'thorough'} or None
        With --from, a recipe for few frames: minutes, or up to an hour on a CPU. Options that you
        give yourself stay as you give them.
    backbone : str or None
        Start a new model with the weights of this ResNet: a file of torchvision, timm,
        transformers or of ours, or a name such as resnet50 that is in the cache of Hugging Face.
    download : bool
        Fetch the weights of --backbone if they are not here.
    size : str
        Size of a new model: nano, small, resnet50, paper, resnet-c, vit-b or vit-l; swin-t, swin-s
        or swin-b for several frames.
    mask_size : int or None
        S, the side of a mask in mask pixels.
    max_tokens : int or None
        L, the most tokens of a window.
    fusion : {'auto', 'middle', 'late', 'early', 'first'}
        How frames are joined: after the encoder (middle), in it (late), in the backbone (early,
        for swin sizes), or not at all, only the first one is seen. By default as the size says.
    dense_frames : int or None
        Frames of a window that are seen in full; the others are seen coarsely.
    """

    base: Annotated[str | None, Parameter(name="--from", metavar="MODEL")] = None
    preset: Literal["quick", "thorough"] | None = None
    backbone: Annotated[str | None, Parameter(metavar="FILE|NAME")] = None
    download: bool = False
    size: Annotated[str | None, Parameter(show_default="nano")] = None
    mask_size: Annotated[int | None, within(Within(4, MOST)), Parameter(show_default="32")] = None
    max_tokens: Annotated[int | None, POSITIVE, Parameter(show_default="256")] = None
    fusion: Literal["auto", "middle", "late", "early", "first"] = "auto"
    dense_frames: Annotated[int | None, POSITIVE, Parameter(show_default="all")] = None


@Parameter(name="*", group=RUN)
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run writes, and on which devices it computes.

    Parameters
    ----------
    output : Path
        The new model to write, a .safetensors file.
    run_dir : Path or None
        Folder of checkpoints and log.
    resume : bool
        Resume the unfinished run in --run-dir.
    """

    output: Annotated[Path, Parameter(name=("--out", "-o"))]
    run_dir: Annotated[Path | None, Parameter(show_default="--out less its suffix")] = None
    resume: bool = False
    device: Annotated[Device, Parameter(group=DEVICES)] = "auto"
    cluster: Annotated[GivenCluster, FLAT] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of checkpoints and log."""
        return self.run_dir or self.output.with_suffix("")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """All that can be chosen for a run."""

    data: DataOptions
    start: StartOptions = StartOptions()
    scheme: Annotated[
        str | None,
        Parameter(
            group=SCHEME,
            metavar="NAME",
            help=f"One of {SCHEMES}.",
            show_default="lac, binary for one class, tac for several frames",
        ),
    ] = None
    scheme_fields: Annotated[GivenScheme, FLAT] = field(default_factory=dict)
    window: Annotated[GivenWindow, FLAT] = field(default_factory=dict)
    training: Annotated[GivenTraining, FLAT] = field(default_factory=dict)
    select: Annotated[
        str | None,
        Parameter(
            group=TRAINING,
            metavar="METRIC[:CLASS]",
            help="Validation score by which the best model of the run is chosen. "
            f"{', '.join(CLASS_METRICS)}: of a class, or the mean over all; "
            f"{', '.join(METRICS[len(CLASS_METRICS) :])}: of all classes together.",
            show_default="dice",
        ),
    ] = None
    augment: Annotated[
        Strength | None,
        Parameter(
            group=AUGMENTATION,
            help="How patches are varied at random: standard flips, rotates and scales them and "
            "jitters their intensities; strong also deforms and blurs them. The options below "
            "change single values.",
            show_default="standard",
        ),
    ] = None
    augmentation: Annotated[GivenAugmentation, FLAT] = field(default_factory=dict)
    run: RunOptions
    overwriting: Overwriting = Overwriting()

    @property
    def n_frames(self) -> int:
        """N, the frames of a window."""
        return int(self.window.get("n_frames", 1))

    def settings(self) -> dict[str, Any]:
        """Fields of `TrainConfig` that the user gave."""
        named = {
            name: numbers_by_name(value)
            for name, value in self.training.items()
            if isinstance(value, list)
        }
        # parts of a model may be called as in version 0.1
        given: dict[str, Any] = training_state({"config": {**self.training, **named}})["config"]  # type: ignore[assignment]
        if "frozen" in given:
            given["frozen"] = tuple(given["frozen"])
        if self.select is not None:
            given["select_metric"], given["select_class"] = parse_selection(self.select)
        if self.augment is not None or self.augmentation:
            preset = AUGMENTATIONS[self.augment or "standard"]
            given["augment"] = replace(preset, **self.augmentation)
        return given
