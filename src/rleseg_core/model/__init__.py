"""Images in, logits of tokens out; what the tokens mean is not known here.

Importing the package does not import torch, so that headers of models are checked at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rleseg_core.model.config import ModelConfig
from rleseg_core.model.config_parts import (
    BackboneConfig,
    DecoderConfig,
    EncoderConfig,
    FramesConfig,
    Fusion,
    Head,
    HeadField,
    PointerConfig,
    TokensConfig,
)
from rleseg_core.model.sizes import SIZES, is_published, model_config

if TYPE_CHECKING:
    from rleseg_core.model.cache import Cache
    from rleseg_core.model.decoder import Memory
    from rleseg_core.model.pix2seq import Pix2Seq
    from rleseg_core.model.video import from_image_model

__all__ = [
    "SIZES",
    "BackboneConfig",
    "Cache",
    "DecoderConfig",
    "EncoderConfig",
    "FramesConfig",
    "Fusion",
    "Head",
    "HeadField",
    "Memory",
    "ModelConfig",
    "Pix2Seq",
    "PointerConfig",
    "TokensConfig",
    "from_image_model",
    "is_published",
    "model_config",
]

_MODULES = {
    "Cache": "cache",
    "Memory": "decoder",
    "Pix2Seq": "pix2seq",
    "from_image_model": "video",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
