"""Trunks that have learned from other images: files of other programs, or models of ours.

A trunk is the ResNet at the bottom of a model. Its weights are read from torchvision's names (timm
has the same), from those of transformers, or from a model file of ours, and decide the trunk of the
model that begins with them; the rest of the model is that of its size.
"""

import logging
import pickle
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rleseg_core.build import build_model
from rleseg_core.checkpoint import ModelInfo, load_checkpoint, model_folders, user_models
from rleseg_core.errors import CheckpointError
from rleseg_core.model import ModelConfig
from rleseg_core.model.resnet import ResNet
from rleseg_core.published import Downloaded, download

logger = logging.getLogger(__name__)

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
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
class Hosted:
    """Weights on the web.

    Parameters
    ----------
    repository, revision, file : str
        Of Hugging Face.
    sha256 : str
        Checksum of the file.
    megabytes : int
        Its size.
    """

    repository: str
    revision: str
    file: str
    sha256: str
    megabytes: int

    @property
    def url(self) -> str:
        """Where it is fetched."""
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.file}"


HOSTED = {
    "resnet50": Hosted(
        repository="timm/resnet50.tv_in1k",
        revision="78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
        file="model.safetensors",
        sha256="5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
        megabytes=102,
    )
}
"""By name; torchvision's first weights for ImageNet (BSD-3-Clause) as timm keeps them."""


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """Weights of a ResNet, and the shape they have.

    Parameters
    ----------
    path : Path
        The file.
    weights : dict of str to Tensor
        By the names of `rleseg_core.model.resnet.ResNet`, float32.
    kind : {'bottleneck', 'basic'}
        `ModelConfig.trunk`.
    widths, blocks : tuple of int
        Filters and blocks of each stage.
    norm : {'batch', 'group'}
        `ModelConfig.trunk_norm`.
    stem : {'published', 'torchvision'}
        `ModelConfig.stem`.
    """

    path: Path
    weights: dict[str, Tensor]
    kind: Literal["bottleneck", "basic"]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    norm: Literal["batch", "group"]
    stem: Literal["published", "torchvision"]

    def config(self, config: ModelConfig) -> ModelConfig:
        """A model's shape with this trunk, less the last stages that it does not have.

        Raises
        ------
        CheckpointError
            If it begins with something else than a ResNet.
        """
        if config.trunk not in _RESNETS:
            raise CheckpointError(
                f"{self.path} holds a ResNet, and the model begins with {config.trunk!r}; choose "
                "another size"
            )
        n = min(len(self.widths), len(config.trunk_widths))
        return replace(
            config,
            trunk=self.kind,
            trunk_widths=self.widths[:n],
            trunk_blocks=self.blocks[:n],
            trunk_norm=self.norm,
            stem=self.stem,
            map_size=None,
        )


def find_trunk(source: str | Path) -> Path:
    """File of a trunk given by its path or by a name; nothing is fetched.

    Parameters
    ----------
    source : str or Path
        A file; a key of `HOSTED` or a name of a file in the folders of models; or a repository of
        Hugging Face that is in its cache, such as 'microsoft/resnet-50'.

    Raises
    ------
    CheckpointError
        If it is nowhere; the message says how to come by it.
    """
    path, name = Path(source), str(source)
    if path.is_file():
        return path
    for folder in model_folders():
        for suffix in _SUFFIXES:
            if "/" not in name and (found := folder / f"{name}{suffix}").is_file():
                return found
    hosted = HOSTED.get(name)
    if (cached := _in_cache(hosted.repository if hosted else name)) is not None:
        return cached
    if hosted is not None:
        raise CheckpointError(
            f"the weights {name!r} are not on this machine; allow the download of "
            f"{hosted.megabytes} MB from {hosted.repository} on huggingface.co (--download), or "
            "give a file"
        )
    raise CheckpointError(
        f"there are no weights {name}: neither a file, nor a model in "
        f"{', '.join(map(str, model_folders()))}, nor in the cache of Hugging Face; names that can "
        f"be fetched are {', '.join(HOSTED)}"
    )


def _in_cache(repository: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return None
    for file in ("model.safetensors", "pytorch_model.bin"):
        if isinstance(found := try_to_load_from_cache(repository, file), str):
            return Path(found)
    return None


def fetch_trunk(source: str | Path) -> Generator[Downloaded, None, Path]:
    """The file of `find_trunk`, fetched into the user's folder of models if it is only on the web.

    Yields
    ------
    Downloaded
        While it comes.

    Raises
    ------
    CheckpointError
        If it is neither here nor known, cannot be fetched, or has another checksum.
    """
    try:
        return find_trunk(source)
    except CheckpointError:
        if str(source) not in HOSTED:
            raise
    hosted = HOSTED[str(source)]
    place = user_models() / f"{source}.safetensors"
    instead = "give the file with --backbone"
    return (yield from download(hosted.url, place, sha256=hosted.sha256, instead=instead))


def read_trunk(path: str | Path) -> Trunk:
    """The trunk in a file.

    Parameters
    ----------
    path : str or Path
        A model file of ours, or weights of a ResNet with bottleneck blocks (50, 101, 152) by the
        names of torchvision, timm or transformers, as safetensors or of `torch.save`. Names may
        have a prefix, and other parts of a network may be beside them.

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
    trunk = Trunk(
        path=path,
        weights=weights,
        kind="bottleneck",
        widths=widths,
        blocks=blocks,
        norm="batch",
        stem="torchvision",
    )
    return replace(trunk, weights=_checked(trunk))


def load_trunk(source: str | Path, config: ModelConfig) -> dict[str, Tensor]:
    """Weights of the trunk of a model, from a file or a name that `find_trunk` knows.

    Parameters
    ----------
    source : str or Path
        As of `find_trunk`.
    config : ModelConfig
        Of the model; `Trunk.config` gives one that fits.

    Returns
    -------
    dict of str to Tensor
        Named ``trunk.*``, as in the state dict of the model; float32.

    Raises
    ------
    CheckpointError
        If there is no such file, or its trunk is not that of the model.
    """
    return _named(read_trunk(find_trunk(source)), config)


def with_trunk(
    info: ModelInfo, source: str | Path, seed: int = 0
) -> tuple[ModelInfo, dict[str, Tensor]]:
    """Header and weights of a new model that begins with a trunk.

    Parameters
    ----------
    info : ModelInfo
        Of `rleseg_core.build.new_model`; its trunk becomes that of the file.
    source : str or Path
        As of `find_trunk`.
    seed : int
        Of the weights of everything else.

    Raises
    ------
    CheckpointError
        If there is no such file, or it does not hold a trunk that the model could have.
    """
    trunk = read_trunk(find_trunk(source))
    config = trunk.config(ModelConfig.from_json(info.model))
    card = info.card | {"trunk": str(source) if str(source) in HOSTED else trunk.path.name}
    info = replace(info, model=config.to_json(), card=card)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build_model(info).state_dict()
    return info, fresh | _named(trunk, config)


def _named(trunk: Trunk, config: ModelConfig) -> dict[str, Tensor]:
    """Weights of as many stages as the model has, if they are those of its trunk."""
    fitting = trunk.config(config)
    for name in ("trunk", "trunk_widths", "trunk_blocks", "trunk_norm", "stem"):
        if getattr(fitting, name) != getattr(config, name):
            raise CheckpointError(
                f"{trunk.path} holds a trunk with {name}={getattr(fitting, name)!r}, and the model "
                f"has {name}={getattr(config, name)!r}; make the model for this trunk"
            )
    last = len(config.trunk_widths)
    return {
        f"trunk.{name}": value
        for name, value in trunk.weights.items()
        if not (stage := re.match(r"layer(\d)", name)) or int(stage[1]) <= last
    }


def _tensors(path: Path) -> tuple[dict[str, Tensor], bool]:
    """All tensors of a file, none of one of our model files, and whether it is one."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                if "rleseg" in (file.metadata() or {}):
                    return {}, True
                return {name: file.get_tensor(name) for name in file.keys()}, False  # noqa: SIM118
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
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


def _of_our_model(path: Path) -> Trunk:
    checkpoint = load_checkpoint(path)
    config = ModelConfig.from_json(checkpoint.info.model)
    if config.trunk not in _RESNETS:
        raise CheckpointError(
            f"{path} is a model that begins with {config.trunk!r}, expected one with a ResNet"
        )
    weights = {
        name.removeprefix("trunk."): value
        for name, value in checkpoint.weights.items()
        if name.startswith("trunk.")
    }
    trunk = Trunk(
        path=path,
        weights=weights,
        kind=config.trunk,  # type: ignore[arg-type]
        widths=config.trunk_widths,
        blocks=config.trunk_blocks,
        norm=config.trunk_norm,
        stem=config.stem,
    )
    return replace(trunk, weights=_checked(trunk))


def _with_our_names(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a ResNet by torchvision's names, which are ours, without what comes before."""
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
    own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return {
        renamed: value.float() if value.is_floating_point() else value
        for name, value in own.items()
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
        stage = f"layer{len(widths) + 1}"
        widths.append(len(first))
        blocks.append(len({name.split(".")[1] for name in weights if name.startswith(f"{stage}.")}))
    if len(widths) not in (3, 4):
        raise CheckpointError(
            f"{path} holds a ResNet of {len(widths)} stages, expected 3 or 4; it may be cut short"
        )
    return tuple(widths), tuple(blocks)


def _checked(trunk: Trunk) -> dict[str, Tensor]:
    """The weights of a trunk if each is there, of its shape, and a number."""
    config = ModelConfig(
        vocab_size=1,
        max_tokens=1,
        image_size=32,
        trunk=trunk.kind,
        trunk_widths=trunk.widths,
        trunk_blocks=trunk.blocks,
        trunk_norm=trunk.norm,
        stem=trunk.stem,
    )
    with torch.device("meta"):
        expected = ResNet(config).state_dict()
    if surplus := sorted(trunk.weights.keys() - expected.keys()):
        raise CheckpointError(
            f"{trunk.path} has {surplus[0]}, which no ResNet-50, 101 or 152 has; it is of another "
            "kind"
        )
    weights = {}
    for name, empty in expected.items():
        value = trunk.weights.get(name)
        if value is None and name.endswith("num_batches_tracked"):
            value = torch.zeros((), dtype=torch.int64)  # older files do not count them
        if value is None or value.shape != empty.shape:
            found = "is not there" if value is None else f"is {tuple(value.shape)}"
            raise CheckpointError(
                f"{trunk.path} is no ResNet of widths {trunk.widths} and blocks {trunk.blocks}: "
                f"{name} {found}, expected {tuple(empty.shape)}"
            )
        if not value.isfinite().all():
            raise CheckpointError(
                f"{trunk.path} is damaged: {name} has values that are no numbers; fetch it again"
            )
        weights[name] = value
    return weights
