"""How a model is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Self

from rleseg_core.augment.config import AUGMENTATIONS, Augmentation
from rleseg_core.errors import TrainingError
from rleseg_core.evaluation.scores import Metric
from rleseg_core.training.selection import check_metric

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Schedule = Literal["cosine", "linear", "exponential", "constant"]
_PARTS = ("backbone", "encoder", "projection", "mask_features", "dense", "decoder")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run.

    Parameters
    ----------
    n_steps : int
        Optimizer steps.
    batch_size : int
        Windows per step, of all processes together.
    learning_rate : float
        The highest, reached after the warm-up.
    schedule : {'cosine', 'linear', 'exponential', 'constant'}
        From the warm-up to the end; the first two fall to `final_share` of the highest rate.
    schedule_rate : float
        Of the cosine, the share of its half wave that is gone through; of the exponential, what is
        left of the highest rate at the end.
    warmup_steps : int
        Steps of linear warm-up.
    warmup_from : {'first', 'zero'}
        Whether the first step has the first share of the highest rate, or none, as published.
    final_share : float
        Share of the highest learning rate that is left at the end, 0 to 1.
    weight_decay : float
        Of AdamW.
    decay : {'matrices', 'all'}
        What decays: matrices only (no biases, norms or embeddings), or everything, as published.
    betas : (float, float)
        Of AdamW.
    epsilon : {'corrected', 'published'}
        Whether AdamW's epsilon of 1e-8 is added after the correction of the moments, or before.
    clip_norm : float or None
        The gradient is scaled down to this norm where it is larger; None, as published: never.
    frozen : tuple of str
        Parts of the model that do not learn: 'backbone', 'encoder', 'projection', 'mask_features',
        'dense' (the dense class head), 'decoder'. A frozen backbone normalises with its running
        averages.
    loss : {'xent', 'focal', 'logistic'}
        Of each token: cross-entropy, the same with tokens that are known already weighing less, or
        a decision about each token id on its own.
    focal_gamma : float
        How much less known tokens weigh in the focal loss.
    eos_weight : float
        Weight of the end token in the loss; padding weighs nothing.
    segment_weights : mapping of str to float
        Weights of the tokens of a vocabulary segment in the loss, 1 where not named.
    label_smoothing : float
        Share of the target spread over the vocabulary.
    ordinal_label_smoothing : float
        Share of the target on the neighbours of its start or length.
    class_balancing : float
        How far classes are made to weigh alike in the loss however rare their tokens are in a
        batch, 0 to 1.
    dense_weight : float
        Weight of the loss of the dense class head, where the model has one.
    shuffle_runs : bool
        Whether runs come in random order; models with first-hit starts cannot learn that.
    corruption : float
        Share of the input tokens that are replaced by others.
    ema : float
        What is left of the moving average of the weights after a step; the average is what is
        validated and kept. 0: none is made.
    rates : mapping of str to float
        Factor of the learning rate of a part of the model (those of `frozen`), 1 where not named.
    subsample_rule : {'corner', 'centre', 'max'}
        How patches become the masks that are learned; see `rleseg_core.data.subsample_labels`.
    augment : Augmentation
        How patches are varied; `rleseg_core.augment.config.AUGMENTATIONS` has some by name.
    augment_on : {'auto', 'host', 'device'}
        Where that is done; 'auto': on the host for training on the CPU, else on the device.
    precision : {'auto', 'fp32', 'bf16', 'fp16'}
        'auto' is bf16 on a CUDA device that has it, fp16 on others, and fp32 elsewhere.
    validate_every, checkpoint_every : int
        Steps between validations and checkpoints; 0 for only at the end.
    select_metric : str
        Score of the held-out windows by which the best model of the run is known: 'dice', 'iou',
        'precision', 'recall', 'fw_recall', 'fw_iou' or 'pixel_accuracy'; see docs/metrics.md.
    select_class : str or None
        Class of which it is, 'foreground' for all taken for one; None: the mean over the classes.
    patience : int
        Validations in a row that may bring nothing better before the run ends early; 0: it goes on
        to the end.
    seed : int
        Of the weights, the patches, and dropout.

    Raises
    ------
    TrainingError
        If a number is out of its range.
    """

    n_steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    schedule_rate: float = 1.0
    warmup_steps: int = 50
    warmup_from: Literal["first", "zero"] = "first"
    final_share: float = 0.02
    weight_decay: float = 0.05
    decay: Literal["matrices", "all"] = "matrices"
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: Literal["corrected", "published"] = "corrected"
    clip_norm: float | None = 1.0
    frozen: tuple[str, ...] = ()
    loss: Literal["xent", "focal", "logistic"] = "xent"
    focal_gamma: float = 2.0
    eos_weight: float = 1.0
    segment_weights: Mapping[str, float] = field(default_factory=dict)
    label_smoothing: float = 0.0
    ordinal_label_smoothing: float = 0.0
    class_balancing: float = 0.0
    dense_weight: float = 1.0
    shuffle_runs: bool = False
    corruption: float = 0.0
    ema: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    subsample_rule: Literal["corner", "centre", "max"] = "centre"
    augment: Augmentation = AUGMENTATIONS["standard"]
    augment_on: Literal["auto", "host", "device"] = "auto"
    precision: Precision = "auto"
    validate_every: int = 200
    checkpoint_every: int = 200
    select_metric: Metric = "dice"
    select_class: str | None = None
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_steps < 1 or self.batch_size < 1:
            raise TrainingError(
                f"training needs at least one step and one window a step, got {self.n_steps} steps "
                f"of {self.batch_size}"
            )
        if not self.learning_rate > 0 or (self.clip_norm is not None and self.clip_norm <= 0):
            raise TrainingError(
                f"learning rate and clip norm must be positive, got {self.learning_rate} and "
                f"{self.clip_norm}"
            )
        if min(self.warmup_steps, self.validate_every, self.checkpoint_every, self.seed) < 0:
            raise TrainingError(
                "warmup_steps, validate_every, checkpoint_every and seed must not be negative, got "
                f"{self.warmup_steps}, {self.validate_every}, {self.checkpoint_every} and "
                f"{self.seed}"
            )

        check_metric(self.select_metric, self.select_class)
        if self.patience < 0:
            raise TrainingError(
                f"patience must be 0 or a number of validations, got {self.patience}"
            )
        for name in (
            "label_smoothing",
            "ordinal_label_smoothing",
            "class_balancing",
            "corruption",
            "ema",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.dense_weight < 0 or min(self.rates.values(), default=0) < 0:
            raise TrainingError(
                "dense_weight and the factors of rates must not be negative, got "
                f"{self.dense_weight} and {dict(self.rates)}"
            )
        for name, parts in (("frozen", self.frozen), ("given a rate", self.rates)):
            if unknown := set(parts) - set(_PARTS):
                raise TrainingError(
                    f"a model has no part {min(unknown)!r} that could be {name}, only "
                    f"{', '.join(_PARTS)}"
                )

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON header."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The settings that `to_json` gave."""
        settings = dict(values)
        for name in ("betas", "frozen"):
            settings[name] = tuple(settings.get(name, ()))  # type: ignore[arg-type]
        if isinstance(augment := settings.get("augment"), Mapping):
            settings["augment"] = Augmentation.from_json(augment)
        return cls(**settings)  # type: ignore[arg-type]
