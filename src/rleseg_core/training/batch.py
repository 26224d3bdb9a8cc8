"""From a batch of patches and masks to tensors and tokens on the device."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from rleseg_core.data import SampleBatch
from rleseg_core.parallel.collectives import max_over_processes
from rleseg_core.spec import IGNORED
from rleseg_core.tokens import Tokenizer
from rleseg_core.tokens.object_order import by_first_pixel
from rleseg_core.training.ignoring import KnownTokens, known_tokens, written
from rleseg_core.training.noise import corrupt, shuffle_runs
from rleseg_core.training.sampling import DeviceSamples, DrawnBatch, PatchLabels, patches_on

Samples = TypeVar("Samples")


@dataclass(frozen=True)
class TrainingBatch:
    """Tensors of one optimizer step.

    Parameters
    ----------
    images : (B, N, 3, P, P) float32 tensor
        Patches, in [0, 1].
    inputs, targets : (B, L) int64 tensor, or (B, K, L) of several heads
        Tokens, and the tokens that follow them.
    n_tokens : (B,) int64 tensor
        Number of target tokens of each row, of one head if there are several.
    classes : (B, N, S, S) uint8 tensor
        The masks, `IGNORED` where pixels do not count.
    known : KnownTokens or None
        Which targets count; None where all do.
    instances : (B, N, S, S) int64 tensor or None
        Ids of objects, where the data know them.
    pixels : PatchLabels or None
        Classes and ids of all pixels of the patches, where they are at hand.
    """

    images: Tensor
    inputs: Tensor
    targets: Tensor
    n_tokens: Tensor
    classes: Tensor
    known: KnownTokens | None = None
    instances: Tensor | None = None
    pixels: PatchLabels | None = None

    @property
    def network_inputs(self) -> tuple[Tensor, ...]:
        """What a network reads of it: images, inputs and, where there are any, ignored pixels."""
        inputs = (self.images, self.inputs)
        return inputs if self.known is None else (*inputs, self.known.plane)

    def first(self, n: int) -> Self:
        """The first `n` windows."""
        if n == len(self.inputs):
            return self
        known, chosen = self.known, slice(n)
        return replace(
            self,
            images=self.images[chosen],
            inputs=self.inputs[chosen],
            targets=self.targets[chosen],
            n_tokens=self.n_tokens[chosen],
            classes=self.classes[chosen],
            known=None if known is None else known.first(n),
            instances=None if self.instances is None else self.instances[chosen],
        )


def images_on(images: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Images as (B, N, 3, P, P) float32 in [0, 1] on a device; uint8 is scaled there."""
    tensor = _on(images, device)
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()


def _on(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(np.ascontiguousarray(values))
    return values.to(device)


def prefetched(
    cut: Callable[[int], Samples], steps: Iterable[int]
) -> Generator[Samples, None, None]:
    """What `cut` makes for each step; a thread makes the next while the caller uses this one."""
    with ThreadPoolExecutor(1, "patches") as pool:
        coming: Future[Samples] | None = None
        for step in steps:
            ready, coming = coming, pool.submit(cut, step)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()


def tokenize(
    samples: SampleBatch | DrawnBatch,
    tokenizer: Tokenizer,
    budget: int,
    device: torch.device,
    *,
    shuffled: bool = False,
    corruption: float = 0.0,
) -> TrainingBatch:
    """Encode the masks of a batch on the device (the paper's online RLE, Sec. VI, is all we have).

    Parameters
    ----------
    samples : SampleBatch or DrawnBatch
        Patches and masks in host memory; what is drawn is varied on the device first.
    tokenizer : Tokenizer
        Of the model that is trained.
    budget : int
        Most tokens of a sequence, the end token included; longer masks lose whole runs.
    device : torch.device
        Device of the tensors.
    shuffled : bool
        Whether runs come in random order; see `rleseg_core.training.noise`.
    corruption : float
        Share of the input tokens that are replaced, 0 to 1; see `rleseg_core.training.noise`.

    Returns
    -------
    TrainingBatch
        Cut to the longest sequence of the batch; inputs begin with bos, targets end with eos.
    """
    seen = patches_on(samples, device) if isinstance(samples, DrawnBatch) else samples
    classes = _on(seen.classes, device)
    instances = None if seen.instances is None else _on(seen.instances, device)
    to_write, plane = (written(classes, tokenizer)) if _ignores(samples) else (classes, None)
    if instances is not None and tokenizer.scheme.blocks == "instance":
        instances = by_first_pixel(instances * (to_write != 0), tokenizer.scheme.order)
    batch = tokenizer.encode_batch(to_write, instances, budget=budget)
    # the only host sync of a step; it halves the work
    longest = int(max_over_processes(batch.n_tokens.max()))
    targets = batch.tokens[..., :longest]
    if shuffled:
        targets = shuffle_runs(targets, batch.n_tokens, tokenizer)
    inputs = targets.roll(1, dims=-1)
    prompts = tokenizer.vocab.prompts
    inputs[..., 0] = torch.tensor(prompts if len(prompts) > 1 else prompts[0])
    if corruption:
        inputs = corrupt(inputs, tokenizer, corruption)
    known = None
    if plane is not None:
        known = known_tokens(targets, batch.n_tokens, plane, tokenizer)
    images = images_on(seen.images, device)
    pixels = seen.pixels if isinstance(seen, DeviceSamples) else None
    return TrainingBatch(images, inputs, targets, batch.n_tokens, classes, known, instances, pixels)


def _ignores(samples: SampleBatch | DrawnBatch) -> bool:
    """Whether there may be ignored pixels in a batch; found in host memory, without a sync."""
    classes = samples.crops.classes if isinstance(samples, DrawnBatch) else samples.classes
    if isinstance(classes, Tensor):
        return bool((classes == IGNORED).any())
    return bool((classes == np.uint8(IGNORED)).any())
