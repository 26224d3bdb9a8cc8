"""The settings of a training run: plain values, without torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal, Self

from rleseg_core.augment.config import AUGMENTATIONS, Augmentation
from rleseg_core.checks import (
    Count,
    Index,
    NotNegative,
    Positive,
    PositiveShare,
    Rate,
    Seed,
    Share,
    Within,
    check_fields,
    from_mapping,
)
from rleseg_core.errors import TrainingError
from rleseg_core.evaluation.scores import Metric
from rleseg_core.training.selection import check_metric

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Schedule = Literal["cosine", "linear", "exponential", "constant"]
_PARTS = (
    "backbone",
    "encoder",
    "projection",
    "mask_features",
    "dense",
    "affinity",
    "outline",
    "decoder",
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run.

    Parameters
    ----------
    n_steps : int
        Number of optimizer steps, 1 or more.
    batch_size : int
        Number of windows per optimizer step, over all processes, 1 or more.
    learning_rate : float
        Highest learning rate, above 0, reached at the end of the warm-up.
    schedule : {'cosine', 'linear', 'exponential', 'constant'}
        How the learning rate changes from the end of the warm-up to the last step; cosine and
        linear fall to `final_share` of the highest rate.
    schedule_rate : float
        Shape of the schedule, above 0 and at most 1: for cosine the share of its half wave that the
        run covers (1 for all of it), for exponential the share of the highest rate that is left at
        the end.
    warmup_steps : int
        Number of steps over which the learning rate rises linearly to its highest value, 0 for no
        warm-up.
    warmup_from : {'first', 'zero'}
        Learning rate of the first warm-up step: 1 / `warmup_steps` of the highest rate, or zero as
        in the published implementation.
    final_share : float
        Share of the highest learning rate that is left at the end of a cosine or linear schedule,
        0 to 1.
    weight_decay : float
        Decoupled weight decay of AdamW per unit of learning rate, 0 for none.
    decay : {'matrices', 'all'}
        Which weights decay: matrices and kernels only (no biases, norms or embeddings), or all as
        in the published implementation.
    betas : (float, float)
        Decay rates of AdamW's running averages of the gradient and of its square, 0 to less than 1.
    epsilon : {'corrected', 'published'}
        Whether AdamW adds its epsilon of 1e-8 after the bias correction of the moments, or before
        it as in the published implementation.
    clip_norm : float or None
        Largest norm of the gradient, above 0; a larger gradient is scaled down to it. None for no
        clipping, as in the published implementation.
    frozen : tuple of str
        Parts of the model that do not learn: 'backbone', 'encoder', 'projection', 'mask_features',
        'dense', 'affinity' and 'outline' (the dense heads) or 'decoder'; none by default. A frozen
        backbone normalises with its running averages.
    loss : {'xent', 'focal', 'logistic'}
        Loss of each token: cross-entropy, focal loss (cross-entropy in which confident tokens weigh
        less), or the sum of a binary cross-entropy for each token id.
    focal_gamma : float
        Exponent of the focal loss, 0 or more; the higher, the less confident tokens weigh.
    eos_weight : float
        Weight of the end token in the loss, 0 or more; other tokens weigh 1, padding weighs 0.
    segment_weights : mapping of str to float
        Weight in the loss of the tokens of each named vocabulary segment, 0 or more; 1 for segments
        that are not named.
    label_smoothing : float
        Share of the target that is spread evenly over the vocabulary, 0 to 1.
    ordinal_label_smoothing : float
        Share of the target that goes to the neighbours of a start or length, 0 to 1.
    class_balancing : float
        Exponent of the class weights, 0 to 1: 0 weighs all tokens the same, 1 gives each class of a
        batch the same total weight however rare its tokens are.
    dense_weight : float
        Weight of the losses of the dense heads, of classes and of affinities, 0 or more, where the
        model has them.
    token_share : float
        Share of the windows of a batch whose tokens are learned, above 0 to 1; the dense heads
        learn from all. The decoder takes about half the time of a step.
    tokens_from : float
        Share of the steps that are over when tokens are learned, too, 0 to below 1: the dense heads
        learn alone before, in cheaper steps and without validations. 0 for tokens from the first
        step on.
    shuffle_runs : bool
        Whether the runs of a mask are learned in random order; a first-hit pointer cannot learn
        that.
    corruption : float
        Share of the input tokens that are replaced by random ones of the same kind, 0 to 1.
    ema : float
        Decay per step of the exponential moving average of the weights, 0 to below 1; the averaged
        weights are then validated and kept. 0 for no average.
    rates : mapping of str to float
        Factor of the learning rate of each named part of the model (the names of `frozen`), 0 or
        more; 1 for parts that are not named.
    subsample_rule : {'corner', 'centre', 'max'}
        Which pixel decides the class of a mask pixel: that at its corner, that at its centre, or
        the one with the highest class id.
    augment : Augmentation
        How patches vary at random; `rleseg_core.augment.config.AUGMENTATIONS` has some by name.
    precision : {'auto', 'fp32', 'bf16', 'fp16'}
        Number format of the forward pass; auto: bf16 on a CUDA device that has it, fp16 on other
        CUDA devices, fp32 elsewhere.
    bf16_convolutions : bool
        Whether a CPU that multiplies matrices in bf16 (AMX) computes convolutions in it, where the
        precision is 'auto'; other devices ignore it.
    validate_every : int
        Number of steps between validations, 0 to validate only at the end.
    checkpoint_every : int
        Number of steps between checkpoints, 0 to save only at the end.
    select_metric : str
        Score on the validation set that selects the best model: 'dice', 'iou', 'precision',
        'recall', 'fw_recall', 'fw_iou' or 'pixel_accuracy'; see docs/metrics.md.
    select_class : str or None
        Class whose score selects the best model, or 'foreground' for all classes as one; None for
        the mean over the classes.
    patience : int
        Number of validations in a row without a better score after which the run stops early; 0 to
        run to the end.
    seed : int
        Seed of the weights, the patches and dropout, 0 or more.

    Raises
    ------
    TrainingError
        If a number is out of its range.
    """

    n_steps: Count = 1000
    batch_size: Annotated[int, Within(1, 2**16)] = 16
    learning_rate: Positive = 1e-3
    schedule: Schedule = "cosine"
    schedule_rate: Annotated[float, Within(0, 1, above=True)] = 1.0
    warmup_steps: Index = 50
    warmup_from: Literal["first", "zero"] = "first"
    final_share: Share = 0.02
    weight_decay: NotNegative = 0.05
    decay: Literal["matrices", "all"] = "matrices"
    betas: tuple[Rate, Rate] = (0.9, 0.95)
    epsilon: Literal["corrected", "published"] = "corrected"
    clip_norm: Positive | None = 1.0
    frozen: tuple[str, ...] = ()
    loss: Literal["xent", "focal", "logistic"] = "xent"
    focal_gamma: NotNegative = 2.0
    eos_weight: NotNegative = 1.0
    segment_weights: Mapping[str, NotNegative] = field(default_factory=dict)
    label_smoothing: Share = 0.0
    ordinal_label_smoothing: Share = 0.0
    class_balancing: Share = 0.0
    dense_weight: NotNegative = 1.0
    token_share: PositiveShare = 1.0
    tokens_from: Rate = 0.0
    shuffle_runs: bool = False
    corruption: Share = 0.0
    ema: Rate = 0.0
    rates: Mapping[str, NotNegative] = field(default_factory=dict)
    subsample_rule: Literal["corner", "centre", "max"] = "centre"
    augment: Augmentation = AUGMENTATIONS["standard"]
    precision: Precision = "auto"
    bf16_convolutions: bool = True
    validate_every: Index = 200
    checkpoint_every: Index = 200
    select_metric: Metric = "dice"
    select_class: str | None = None
    patience: Index = 0
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self, TrainingError)
        check_metric(self.select_metric, self.select_class)
        for name, parts in (("frozen", self.frozen), ("given a rate", self.rates)):
            if unknown := set(parts) - set(_PARTS):
                raise TrainingError(
                    f"a model has no part {min(unknown)!r} that could be {name}, only "
                    f"{', '.join(_PARTS)}"
                )

    @property
    def first_token_step(self) -> int:
        """The first step, from 0 on, in which tokens are learned: the last one at the latest."""
        return int(self.tokens_from * self.n_steps)

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON header."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The settings that `to_json` gave; anything else is a TrainingError or DataError."""
        settings = dict(values)
        settings.pop("augment_on", None)  # of version 0.1, which could vary patches in two ways
        settings.setdefault("bf16_convolutions", False)  # of runs from before there was a choice
        if isinstance(augment := settings.get("augment"), Mapping):
            settings["augment"] = Augmentation.from_json(augment)
        return from_mapping(cls, settings, TrainingError)
