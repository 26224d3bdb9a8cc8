"""Trunks that have learned from other images: files of other programs, or models of ours.

A trunk is the ResNet at the bottom of a model. Its weights are read from torchvision's names (timm
has the same), from those of transformers, or from a model file of ours, and decide the trunk of the
model that begins with them; the rest of the model is that of its size.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rleseg_core.checkpoints.backbone_files import Trunk, read_trunk
from rleseg_core.checkpoints.build import build_model
from rleseg_core.checkpoints.file import ModelInfo, model_folders, user_models
from rleseg_core.download import Downloaded, download
from rleseg_core.errors import CheckpointError
from rleseg_core.model import ModelConfig

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


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
        Of `rleseg_core.checkpoints.build.new_model`; its trunk becomes that of the file.
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
