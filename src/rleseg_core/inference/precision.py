"""The number formats in which a model computes."""

from typing import Literal, NamedTuple, Self

import torch

from rleseg_core.devices import multiplies_bf16
from rleseg_core.model import Pix2Seq

Precision = Literal["auto", "fp32", "bf16"]


class NumberFormats(NamedTuple):
    """The formats of a computation.

    Parameters
    ----------
    encoder, decoder : torch.dtype
        Of the two parts of a model; what the encoder computes in bfloat16 has weights in float32.
    """

    encoder: torch.dtype
    decoder: torch.dtype

    @classmethod
    def of(cls, precision: Precision, device: torch.device) -> Self:
        """Those of a precision on a device; see `Segmenter`."""
        on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
        if precision == "bf16" or (precision == "auto" and on_gpu):
            return cls(torch.bfloat16, torch.bfloat16)
        # single tokens are slower in bf16 there: their weights take as long to read
        has_units = precision == "auto" and multiplies_bf16(device)
        return cls(torch.bfloat16 if has_units else torch.float32, torch.float32)

    def prepare(self, model: Pix2Seq, device: torch.device) -> Pix2Seq:
        """The model itself on the device, in evaluation mode, with weights as they are needed."""
        model = model.to(device).eval()
        model.decoder.to(self.decoder)
        if device.type == "cpu":  # convolutions are faster so
            for weights in model.parameters():
                if weights.ndim == 4:
                    weights.data = weights.data.contiguous(memory_format=torch.channels_last)
        return model
