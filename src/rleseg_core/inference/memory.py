"""How many windows are computed at once, by the memory of the device."""

import logging

import numpy as np
import torch

from rleseg_core.devices import free_memory, release_memory
from rleseg_core.errors import BudgetError
from rleseg_core.model import ModelConfig
from rleseg_core.spec import WindowSpec

_log = logging.getLogger(__name__)


def fitting_batch_size(config: ModelConfig, spec: WindowSpec, device: torch.device) -> int:
    """Windows whose decoding fits into a tenth (GPU: half) of the free memory, up to 32 (128)."""
    elements = 64 * 3 * spec.patch**2 * spec.n_frames  # widest activations of the backbone
    tokens, decoder = config.tokens, config.decoder
    elements += 4 * tokens.max_tokens * tokens.vocab_size // 64
    elements += 4 * tokens.max_tokens * decoder.dim * decoder.n_layers
    share, most = (0.5, 128) if device.type == "cuda" else (0.1, 32)
    return int(np.clip(share * free_memory(device) / (4 * elements), 1, most))


def smaller_batch_size(
    size: int, spec: WindowSpec, device: torch.device, error: BaseException
) -> int:
    """Half as many windows, after memory ran out with `size`; frees what torch holds in reserve.

    Raises
    ------
    BudgetError
        If there was only one window.
    """
    release_memory(device)
    if size == 1:
        raise BudgetError(
            f"the memory of {device} does not suffice for a single window of {spec.patch} pixels; "
            "close other programs that use it, or choose another device or a smaller model"
        ) from error
    _log.warning("out of memory with %d windows at once, continuing with %d", size, size // 2)
    return size // 2
