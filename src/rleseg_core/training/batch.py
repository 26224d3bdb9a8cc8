"""From a batch of patches and masks to tensors and tokens on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rleseg_core.data import SampleBatch
from rleseg_core.tokens import Tokenizer


@dataclass(frozen=True)
class TrainingBatch:
    """What one step needs.

    Parameters
    ----------
    images : (B, N, 3, P, P) float32 tensor
        In [0, 1].
    inputs, targets : (B, L) int64 tensor, or (B, K, L) of several heads
        Tokens, and those that follow them.
    n_tokens : (B,) int64 tensor
        Tokens of each row; with several heads those of one.
    """

    images: Tensor
    inputs: Tensor
    targets: Tensor
    n_tokens: Tensor


def images_on(images: np.ndarray, device: torch.device) -> Tensor:
    """Images as (B, N, 3, P, P) float32 in [0, 1] on a device; uint8 is scaled there."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()


def tokenize(
    samples: SampleBatch, tokenizer: Tokenizer, budget: int, device: torch.device
) -> TrainingBatch:
    """Encode the masks of a batch on the device (the paper's online RLE, Sec. VI, is all we have).

    Parameters
    ----------
    samples : SampleBatch
        Patches and masks in host memory.
    tokenizer : Tokenizer
        Of the model that is trained.
    budget : int
        Tokens of the longest sequence, its end included; longer masks lose whole runs.
    device : torch.device
        Where the work is done.

    Returns
    -------
    TrainingBatch
        Cut to the longest sequence of the batch; inputs begin with bos, targets end with eos.
    """
    classes = torch.from_numpy(np.ascontiguousarray(samples.classes)).to(device)
    instances = None
    if samples.instances is not None:
        instances = torch.from_numpy(np.ascontiguousarray(samples.instances)).to(device)
    batch = tokenizer.encode_batch(classes, instances, budget=budget)
    longest = int(batch.n_tokens.max())  # the one host sync of a step, for half of the work
    targets = batch.tokens[..., :longest]
    inputs = targets.roll(1, dims=-1)
    prompts = tokenizer.vocab.prompts
    inputs[..., 0] = torch.tensor(prompts if len(prompts) > 1 else prompts[0])
    return TrainingBatch(images_on(samples.images, device), inputs, targets, batch.n_tokens)
