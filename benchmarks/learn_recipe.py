"""How our model is trained and its rival, and what of ours is changed to see what helps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from benchmarks.learn_data import Fields
from rleseg_core.augment.config import AUGMENTATIONS, NO_AUGMENTATION, Augmentation
from rleseg_core.checkpoints import ModelInfo, new_model
from rleseg_core.inference import StitchRule
from rleseg_core.model import ModelConfig
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Scheme, for_classes, preset
from rleseg_core.training import PatchSampler, SamplingOptions, TrainConfig

WARM_UP = 0.05  # share of the steps, at most those of the recipe


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about our training but the data, the time and the seed.

    Parameters
    ----------
    size : str
        Of the model.
    scheme : Scheme
        For several classes; of one, its runs say no class.
    patch, stride, mask, n_frames : int
        P, its stride in inference, S, N.
    diameter : float or None
        Median diameter of objects, in pixels, to which frames are resized; None: the image size
        is that of the source.
    max_tokens : int
        L.
    stitch : {'centre', 'last', 'vote'}
        What counts where windows overlap.
    model, train : mapping of str to object
        Settings of `ModelConfig` and `TrainConfig` that are not the default ones.
    augment : Augmentation
        Of the patches, for the rival too.
    """

    size: str = "nano"
    scheme: Scheme = preset("lac")  # noqa: RUF009 frozen
    patch: int = 128
    stride: int = 96
    mask: int = 32
    n_frames: int = 1
    diameter: float | None = None
    max_tokens: int = 512
    stitch: StitchRule = "centre"
    model: Mapping[str, object] = field(default_factory=dict)
    train: Mapping[str, object] = field(default_factory=dict)
    augment: Augmentation = AUGMENTATIONS["standard"]

    def changed(self, change: "Change") -> Self:
        """The recipe with one thing changed."""
        return replace(
            self,
            model={**self.model, **change.model},
            train={**self.train, **change.train},
            **change.recipe,
        )

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(replace(self, model=dict(self.model), train=dict(self.train)))

    def window_spec(self, fields: Fields) -> WindowSpec:
        """Windows of all contenders."""
        size = fields.image_size if self.diameter is None else fields.image_size_for(self.diameter)
        return WindowSpec(
            patch=self.patch,
            patch_stride=self.stride,
            image_size=size,
            n_frames=self.n_frames,
        )

    def header(self, fields: Fields, path: Path) -> ModelInfo:
        """Header of our model, to be written to `path`."""
        settings: dict[str, Any] = dict(self.model)
        ordinal_ranges = settings.pop("ordinal_ranges", None)
        info = new_model(
            path,
            size=self.size,
            scheme=for_classes(self.scheme, len(fields.class_names)),
            mask_spec=MaskSpec(
                size=(self.mask, self.mask),
                class_names=fields.class_names,
                n_frames=self.n_frames,
            ),
            window_spec=self.window_spec(fields),
            max_tokens=self.max_tokens,
            **settings,
        )
        if ordinal_ranges is None:
            return info
        config = ModelConfig.from_json(info.model).with_changes(ordinal_ranges=ordinal_ranges)
        return replace(info, model=config.to_json())

    def config(self, n_steps: int, seed: int) -> TrainConfig:
        """Settings of a run that ends when the time is over; nothing is validated in it."""
        settings: dict[str, Any] = {
            "validate_every": 0,
            "checkpoint_every": 0,
            "augment": self.augment,
            **self.train,
        }
        warm = settings.pop("warmup_steps", TrainConfig().warmup_steps)
        return TrainConfig(
            n_steps=n_steps,
            seed=seed,
            warmup_steps=min(warm, max(1, round(WARM_UP * n_steps))),
            **settings,
        )

    def sampler(
        self, fields: Fields, mask_size: tuple[int, int], seed: int, *, with_ids: bool = False
    ) -> PatchSampler:
        """Patches with masks of that size; the same patches, whatever the size."""
        config = self.config(1, seed)
        ids = with_ids or self.scheme.blocks == "instance"
        return PatchSampler(
            fields.train if ids else [replace(stack, instances=None) for stack in fields.train],
            self.window_spec(fields),
            MaskSpec(size=mask_size, class_names=fields.class_names, n_frames=self.n_frames),
            SamplingOptions(
                batch_size=config.batch_size,
                seed=seed,
                augment=self.augment,
                subsample_rule=config.subsample_rule,
            ),
        )


_TRAIN: Mapping[str, object] = {
    "batch_size": 8,
    "learning_rate": 2e-3,
    "rates": {"backbone": 1.5, "mask_features": 1.5},
}
OBJECT_DIAMETER = 24.0  # resized pixels


def objects_recipe() -> Recipe:
    """The recipe that tells objects apart, for all data: they are about 8 mask pixels wide."""
    return Recipe(
        scheme=preset("iw"),
        patch=96,
        stride=72,
        diameter=OBJECT_DIAMETER,
        train={**_TRAIN, "token_share": 0.5, "dense_weight": 2.0, "tokens_from": 0.5},
    )


def our_recipe(data: str) -> Recipe:
    """The recipe for classes: mask pixels are 3 pixels of phase contrast, 1 of small nuclei."""
    if data == "dsb2018":
        fine = {"patch": 48, "mask": 48, "stride": 36, "model": {"mask_dim": 48}}
        return Recipe(**fine, train={**_TRAIN, "batch_size": 16})
    return Recipe(patch=96, stride=72, train=_TRAIN)


@dataclass(frozen=True, kw_only=True)
class RivalRecipe:
    """How a U-Net is trained: MONAI's residual `UNet` on patches of the same size.

    Parameters
    ----------
    n_levels, n_residual : int
        Levels of the net, each with twice the channels, and convolutions of a residual unit.
    learning_rate, weight_decay, warm_up
        Of AdamW; linear warm-up for that share of the steps, then half a cosine to 0.
    clip_norm : float
        The gradient is scaled down to this norm where it is larger.
    overlap : float
        Of neighbouring windows in inference.
    border_weight : float
        Of borders in the loss of the one that is followed by watershed; other classes have 1.
    """

    n_levels: int = 5
    n_residual: int = 2
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: float = WARM_UP
    clip_norm: float = 1.0
    overlap: float = 0.5
    border_weight: float = 3.0


@dataclass(frozen=True, kw_only=True)
class CellposeRecipe:
    """How Cellpose is trained: as its command line does by default.

    Parameters
    ----------
    batch_size : int
        Patches of 224 x 224 pixels, in which objects have a diameter of about 30.
    SGD : bool
        Whether by SGD with momentum 0.9, else by AdamW.
    learning_rate, weight_decay : float
        Of it. The rate rises for 10 epochs and is halved 10 times at the end of a long training.
    """

    batch_size: int = 8
    SGD: bool = True
    learning_rate: float = 0.2
    weight_decay: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that is done otherwise than in the recipe."""

    what: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, object] = field(default_factory=dict)
    train: Mapping[str, object] = field(default_factory=dict)


NO_DENSE = {"dense_weight": 0.0}

CHANGES: dict[str, Change] = {
    "baseline": Change(what="the recipe as it is"),
    "table-starts": Change(
        what="every token only a learned row, as published; no dense head",
        model={"starts": "table", "ordinal_ranges": ()},
        train=NO_DENSE,
    ),
    "structured": Change(
        what="rows from codes of places and lengths, no look at the image; no dense head",
        model={"starts": "codes"},
        train=NO_DENSE,
    ),
    "pointer": Change(
        what="starts look at the image at their mask pixel, and at no other",
        model={"starts": "pointer"},
    ),
    "no-end-pointer": Change(
        what="starts are read off the image, lengths are not", model={"ends": "table"}
    ),
    "outlines": Change(
        what="a head corrects the dense heads between mask pixels", model={"outline_dim": 24}
    ),
    "finer-masks": Change(
        what="masks of 48 for patches of 96, and more tokens",
        recipe={"patch": 96, "mask": 48, "max_tokens": 768},
    ),
    "finest-masks": Change(
        what="masks as fine as patches of 96",
        recipe={"patch": 96, "mask": 96, "max_tokens": 1536},
    ),
    "tokens-at-once": Change(
        what="tokens are learned from the first step on", train={"tokens_from": 0.0}
    ),
    "no-dense-head": Change(what="no dense class head", model={"dense_classes": 0}, train=NO_DENSE),
    "class-balancing": Change(
        what="classes balanced by half in the loss", train={"class_balancing": 0.5}
    ),
    "ordinal-label-smoothing": Change(
        what="a tenth of the target on neighbouring starts and lengths",
        train={"ordinal_label_smoothing": 0.1},
    ),
    "corruption": Change(what="a tenth of the input tokens wrong", train={"corruption": 0.1}),
    "shuffle-runs": Change(
        what="pointers, and runs in random order; beside pointer",
        model={"starts": "pointer"},
        train={"shuffle_runs": True},
    ),
    "no-augmentation": Change(what="patches as they are", recipe={"augment": NO_AUGMENTATION}),
    "strong-augmentation": Change(
        what="patches varied more", recipe={"augment": AUGMENTATIONS["strong"]}
    ),
    "ema": Change(what="the average of the weights of about a hundred steps", train={"ema": 0.99}),
    "group-norm": Change(
        what="group normalisation in the backbone, not batch", model={"backbone_norm": "group"}
    ),
    "no-rates": Change(what="the same rate for all parts", train={"rates": {}}),
    "frozen-backbone": Change(
        what="a backbone that does not learn", train={"frozen": ("backbone",)}
    ),
    "label-smoothing": Change(
        what="a twentieth of the target on all tokens", train={"label_smoothing": 0.05}
    ),
    "bac": Change(what="runs of everything, no starts", recipe={"scheme": preset("bac")}),
    "multihead": Change(
        what="a head for each field of a run",
        recipe={"scheme": preset("multihead")},
    ),
    "coords": Change(
        what="starts as a row and a column",
        recipe={"scheme": preset("lac", start="coords")},
    ),
    "class-wise": Change(what="a block of runs for each class", recipe={"scheme": preset("cw")}),
    "video": Change(what="two frames as a volume", recipe={"n_frames": 2}),
    "3d-c": Change(
        what="two frames as a volume, classes as tokens",
        recipe={"scheme": preset("3d-c"), "n_frames": 2},
    ),
    "3d-f": Change(
        what="the same, column by column, frames side by side",
        recipe={"scheme": preset("3d-f"), "n_frames": 2},
    ),
    "tac": Change(
        what="two frames, classes over time as one symbol",
        recipe={"scheme": preset("tac"), "n_frames": 2},
    ),
}
"""Options of the ablation; each differs from the baseline in one thing."""
