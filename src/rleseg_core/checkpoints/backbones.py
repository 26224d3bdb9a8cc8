"""Pretrained backbones: found on disk, downloaded, and put into a model.

A backbone is the ResNet at the bottom of a model. Its weights are read by the names of torchvision
(timm has the same), by those of transformers, or from a model file of ours. The file decides the
shape of the backbone; the size decides the rest of the model.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rleseg_core.checkpoints.backbone_files import PretrainedBackbone, read_backbone
from rleseg_core.checkpoints.build import build_model
from rleseg_core.checkpoints.header import ModelInfo
from rleseg_core.checkpoints.registry import model_folders, user_models
from rleseg_core.download import Downloaded, download
from rleseg_core.errors import CheckpointError
from rleseg_core.model import ModelConfig

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True, kw_only=True)
class Hosted:
    """Weights that can be downloaded.

    Parameters
    ----------
    repository, revision, file : str
        Where the file lies on Hugging Face.
    sha256 : str
        Checksum of the file.
    megabytes : int
        Size of the file, in MB.
    """

    repository: str
    revision: str
    file: str
    sha256: str
    megabytes: int

    @property
    def url(self) -> str:
        """The address of the file."""
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


def find_backbone(source: str | Path) -> Path:
    """File of a backbone given by its path or by a name; nothing is downloaded.

    Parameters
    ----------
    source : str or Path
        A file; a key of `HOSTED` or a name of a file in the folders of models; or a repository of
        Hugging Face that is in its cache, such as 'microsoft/resnet-50'.

    Raises
    ------
    CheckpointError
        If there is no such file; the message says how to get it.
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


def fetch_backbone(source: str | Path) -> Generator[Downloaded, None, Path]:
    """The file of `find_backbone`, downloaded into the user's folder if it is not on this machine.

    Yields
    ------
    Downloaded
        Progress of the download.

    Raises
    ------
    CheckpointError
        If the name is unknown, the download fails, or the checksum differs.
    """
    try:
        return find_backbone(source)
    except CheckpointError:
        if str(source) not in HOSTED:
            raise
    hosted = HOSTED[str(source)]
    path = user_models() / f"{source}.safetensors"
    instead = "give the file with --backbone"
    return (yield from download(hosted.url, path, sha256=hosted.sha256, instead=instead))


def load_backbone(source: str | Path, config: ModelConfig) -> dict[str, Tensor]:
    """Weights of the backbone of a model, from a file or a name that `find_backbone` knows.

    Parameters
    ----------
    source : str or Path
        As in `find_backbone`.
    config : ModelConfig
        Config of the model; `PretrainedBackbone.shape_for` gives the backbone that fits.

    Returns
    -------
    dict of str to Tensor
        Named ``backbone.*``, as in the state dict of the model; float32.

    Raises
    ------
    CheckpointError
        If there is no such file, or its backbone is not that of the model.
    """
    return _named(read_backbone(find_backbone(source)), config)


def with_backbone(
    info: ModelInfo, source: str | Path, seed: int = 0
) -> tuple[ModelInfo, dict[str, Tensor]]:
    """Header and weights of a new model with a pretrained backbone.

    Parameters
    ----------
    info : ModelInfo
        The header that `rleseg_core.checkpoints.new_model` gave; its backbone becomes that of the
        file.
    source : str or Path
        As in `find_backbone`.
    seed : int
        Seed of the weights of all other parts.

    Raises
    ------
    CheckpointError
        If there is no such file, or it does not hold a backbone that the model could have.
    """
    backbone = read_backbone(find_backbone(source))
    config = ModelConfig.from_json(info.model)
    config = replace(config, backbone=backbone.shape_for(config))
    card = info.card | {"backbone": str(source) if str(source) in HOSTED else backbone.path.name}
    info = replace(info, model=config.to_json(), card=card)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build_model(info).state_dict()
    return info, fresh | _named(backbone, config)


def _named(backbone: PretrainedBackbone, config: ModelConfig) -> dict[str, Tensor]:
    """Weights of as many stages as the model has, by its names, if the shapes agree."""
    fitting, shape = backbone.shape_for(config), config.backbone
    for name in ("kind", "widths", "blocks", "norm", "stem"):
        if getattr(fitting, name) != getattr(shape, name):
            raise CheckpointError(
                f"{backbone.path} holds a backbone with {name}={getattr(fitting, name)!r}, and the "
                f"model has {name}={getattr(shape, name)!r}; make the model for this backbone"
            )
    last = len(config.backbone.widths)
    return {
        f"backbone.{name}": value
        for name, value in backbone.weights.items()
        if not (stage := re.match(r"layer(\d)", name)) or int(stage[1]) <= last
    }
