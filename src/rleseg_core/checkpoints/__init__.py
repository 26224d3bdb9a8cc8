"""Model files, the registry of installed models, and models built from them.

* `header`, `file`: one file, its header and its weights; `old_names` translates those of 0.1;
* `registry`: the models installed here, by name;
* `tokenizers`, `build`: from a header to a tokenizer or a model, and headers of new models;
* `backbones`, `backbone_files`: pretrained backbones, found, fetched and read.

Importing the package does not import torch, so that lists of models open at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rleseg_core.checkpoints.file import (
    Checkpoint,
    count_parameters,
    load_checkpoint,
    model_output,
    read_info,
    save_checkpoint,
    write_checkpoint,
)
from rleseg_core.checkpoints.header import ModelInfo
from rleseg_core.checkpoints.registry import (
    UnreadableModel,
    find_model,
    installed_models,
    list_models,
    model_facts,
    model_folders,
    user_models,
)
from rleseg_core.checkpoints.tokenizers import build_tokenizer

if TYPE_CHECKING:
    from rleseg_core.checkpoints.backbones import (
        fetch_backbone,
        find_backbone,
        load_backbone,
        with_backbone,
    )
    from rleseg_core.checkpoints.build import (
        as_video,
        build_model,
        length_ranges,
        new_model,
        token_heads,
        with_classes,
    )

__all__ = [
    "Checkpoint",
    "ModelInfo",
    "UnreadableModel",
    "as_video",
    "build_model",
    "build_tokenizer",
    "count_parameters",
    "fetch_backbone",
    "find_backbone",
    "find_model",
    "installed_models",
    "length_ranges",
    "list_models",
    "load_backbone",
    "load_checkpoint",
    "model_facts",
    "model_folders",
    "model_output",
    "new_model",
    "read_info",
    "save_checkpoint",
    "token_heads",
    "user_models",
    "with_backbone",
    "with_classes",
    "write_checkpoint",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "backbones" if name.endswith("_backbone") else "build"
    return getattr(import_module(f"{__name__}.{module}"), name)
