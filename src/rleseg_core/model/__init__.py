"""Images in, logits of tokens out; what the tokens mean is not known here."""

from rleseg_core.model.cache import Cache
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.config_parts import (
    BackboneConfig,
    DecoderConfig,
    EncoderConfig,
    FramesConfig,
    Fusion,
    Head,
    PointerConfig,
    TokensConfig,
)
from rleseg_core.model.decoder import Memory
from rleseg_core.model.pix2seq import Pix2Seq
from rleseg_core.model.sizes import SIZES, is_published, model_config
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
    "Memory",
    "ModelConfig",
    "Pix2Seq",
    "PointerConfig",
    "TokensConfig",
    "from_image_model",
    "is_published",
    "model_config",
]
