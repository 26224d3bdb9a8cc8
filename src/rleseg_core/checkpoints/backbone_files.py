"""Read the ResNet of a file, whichever program wrote it, by our names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rleseg_core.checkpoints.file import load_checkpoint
from rleseg_core.errors import CheckpointError
from rleseg_core.model import BackboneConfig, ModelConfig
from rleseg_core.model.backbones.resnet import ResNet

_WRAPPINGS = ("state_dict", "model")  # keys under which training programs keep the weights
_RESNETS = ("bottleneck", "basic")
_OF_TRANSFORMERS = (
    (r"^embedder\.embedder\.convolution\.", "conv1."),
    (r"^embedder\.embedder\.normalization\.", "bn1."),
    (
        r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.convolution\.",
        r"layer\1+.\2.downsample.0.",
    ),
    (
        r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.normalization\.",
        r"layer\1+.\2.downsample.1.",
    ),
    (
        r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.convolution\.",
        r"layer\1+.\2.conv\3+.",
    ),
    (
        r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.normalization\.",
        r"layer\1+.\2.bn\3+.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class PretrainedBackbone:
    """The ResNet in a file.

    Parameters
    ----------
    path : Path
        The file.
    weights : dict of str to Tensor
        By the names of `rleseg_core.model.backbones.resnet.ResNet`, float32.
    shape : BackboneConfig
        The shape that these weights have.
    """

    path: Path
    weights: dict[str, Tensor]
    shape: BackboneConfig

    def shape_for(self, config: ModelConfig) -> BackboneConfig:
        """The shape of this backbone in a model, with as many stages as both have.

        Raises
        ------
        CheckpointError
            If the model begins with something other than a ResNet.
        """
        if config.backbone.kind not in _RESNETS:
            raise CheckpointError(
                f"{self.path} holds a ResNet, and the model begins with {config.backbone.kind!r}; "
                "choose another size"
            )
        n = min(len(self.shape.widths), len(config.backbone.widths))
        return replace(
            self.shape,
            widths=self.shape.widths[:n],
            blocks=self.shape.blocks[:n],
            bn_eval=config.backbone.bn_eval,
            map_size=None,
        )


def read_backbone(path: str | Path) -> PretrainedBackbone:
    """The ResNet in a file.

    Parameters
    ----------
    path : str or Path
        A model file of ours, or a ResNet with bottleneck blocks (50, 101, 152) by the names of
        torchvision, timm or transformers, in safetensors or from `torch.save`. Names may have a
        prefix, and the file may hold other parts of a network.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds something else.
    """
    path = Path(path)
    tensors, ours = _tensors(path)
    if ours:
        return _of_our_model(path)
    weights = _with_our_names(path, tensors)
    widths, blocks = _shape(path, weights)
    shape = BackboneConfig(widths=widths, blocks=blocks, stem="torchvision")
    return _checked(PretrainedBackbone(path=path, weights=weights, shape=shape))


def _tensors(path: Path) -> tuple[dict[str, Tensor], bool]:
    """All tensors of a file and False, or none and True for one of our model files."""
    from safetensors import safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                if "rleseg" in (file.metadata() or {}):
                    return {}, True
                return {name: file.get_tensor(name) for name in file.keys()}, False  # noqa: SIM118
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged pickle ends in
        if isinstance(error, OSError) and error.filename is not None:
            raise
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path} cannot be read as weights ({first[0]}); expected whole safetensors, or a file "
            "of torch.save that holds tensors alone: fetch it again"
        ) from error
    for key in _WRAPPINGS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}, expected tensors by name; save the network's "
            "state_dict()"
        )
    return {str(k): value for k, value in found.items() if isinstance(value, Tensor)}, False


def _of_our_model(path: Path) -> PretrainedBackbone:
    checkpoint = load_checkpoint(path)
    config = ModelConfig.from_json(checkpoint.info.model)
    if config.backbone.kind not in _RESNETS:
        raise CheckpointError(
            f"{path} is a model that begins with {config.backbone.kind!r}, expected one with a "
            "ResNet"
        )
    weights = {
        name.removeprefix("backbone."): value
        for name, value in checkpoint.weights.items()
        if name.startswith("backbone.")
    }
    return _checked(PretrainedBackbone(path=path, weights=weights, shape=config.backbone))


def _with_our_names(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a ResNet by torchvision's names, which are ours, without a prefix."""
    stems = [
        (name.removesuffix(stem), stem)
        for name in tensors
        for stem in ("conv1.weight", "embedder.embedder.convolution.weight")
        if name.endswith(stem) and not re.search(r"(layer|block)s?\d*\.\d", name)
    ]
    if len(stems) != 1:
        what = f"{len(stems)} networks that could be one" if stems else "none"
        first = f", its first tensor is {next(iter(tensors))!r}" if tensors else ", it is empty"
        raise CheckpointError(
            f"{path} should hold a ResNet by the names of torchvision, timm or transformers, and "
            f"has {what}{first}; give weights of a ResNet-50, 101 or 152"
        )
    prefix, stem = stems[0]
    short = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return {
        renamed: value.float() if value.is_floating_point() else value
        for name, value in short.items()
        if re.match(r"(conv1|bn1|layer\d+)\.", renamed := _renamed(name, stem))
    }


def _renamed(name: str, stem: str) -> str:
    if stem.startswith("conv1"):
        return name
    for pattern, replacement in _OF_TRANSFORMERS:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"(\d+)\+", lambda found: str(int(found[1]) + 1), name)


def _shape(path: Path, weights: Mapping[str, Tensor]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Filters and blocks of the stages of a ResNet with bottlenecks."""
    if "layer1.0.conv1.weight" in weights and "layer1.0.conv3.weight" not in weights:
        raise CheckpointError(
            f"{path} holds a ResNet with blocks of two convolutions (18 or 34), expected one with "
            "three: ResNet-50, 101 or 152"
        )
    widths: list[int] = []
    blocks: list[int] = []
    while (first := weights.get(f"layer{len(widths) + 1}.0.conv1.weight")) is not None:
        if first.ndim != 4:
            raise CheckpointError(
                f"{path} holds no ResNet: its first weights of stage {len(widths) + 1} are "
                f"{tuple(first.shape)}, expected four axes"
            )
        stage = f"layer{len(widths) + 1}"
        widths.append(len(first))
        blocks.append(len({name.split(".")[1] for name in weights if name.startswith(f"{stage}.")}))
    if len(widths) not in (3, 4):
        raise CheckpointError(
            f"{path} holds a ResNet of {len(widths)} stages, expected 3 or 4; it may be cut short"
        )
    return tuple(widths), tuple(blocks)


def _checked(backbone: PretrainedBackbone) -> PretrainedBackbone:
    """The backbone, if every weight is there, has its shape, and is finite."""
    path, shape = backbone.path, backbone.shape
    with torch.device("meta"):
        expected = ResNet(shape).state_dict()
    if surplus := sorted(backbone.weights.keys() - expected.keys()):
        raise CheckpointError(
            f"{path} has {surplus[0]}, which no ResNet-50, 101 or 152 has; it is of another kind"
        )
    weights = {}
    for name, empty in expected.items():
        value = backbone.weights.get(name)
        if value is None and name.endswith("num_batches_tracked"):
            value = torch.zeros((), dtype=torch.int64)  # older files do not count them
        if value is None or value.shape != empty.shape:
            found = "is not there" if value is None else f"is {tuple(value.shape)}"
            raise CheckpointError(
                f"{path} is no ResNet of widths {shape.widths} and blocks {shape.blocks}: "
                f"{name} {found}, expected {tuple(empty.shape)}"
            )
        if not value.isfinite().all():
            raise CheckpointError(
                f"{path} is damaged: {name} has values that are no numbers; fetch it again"
            )
        weights[name] = value
    return replace(backbone, weights=weights)
