"""Random training batches: windows drawn from labelled stacks, varied, with their masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rleseg_core.augment.apply import Changes, augment
from rleseg_core.augment.config import AUGMENTATIONS, Augmentation
from rleseg_core.augment.geometry import draw_warp, margin
from rleseg_core.augment.intensity import draw_jitter
from rleseg_core.checks import Count, Rate, Seed, Share, Within, check_fields
from rleseg_core.data import CropBatch, LabelledStack, SubsampleRule, WindowSource, cut_crops
from rleseg_core.data.crops import DrawnWindow
from rleseg_core.data.labels import pixel_index
from rleseg_core.data.sampling import CACHE_BYTES, check_fit
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec, WindowSpec


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How training batches are drawn.

    Parameters
    ----------
    batch_size : int
        B, windows of a batch, at least 1.
    seed : int
        A batch depends on it, the step and the data alone, so that training resumes exactly.
    augment : Augmentation
        How patches are varied.
    foreground_share : float
        Share of the patches centred near an object, 0 to 1, its class drawn first, so that rare
        classes are seen as often as common ones; the others are anywhere.
    subsample_rule : {'corner', 'centre', 'max'}
        How patches become masks; see `rleseg_core.data.subsample_labels`.
    replay_share : float
        Share of the patches that are replay data, from 0 to less than 1.
    cache_bytes : int
        Memory for frames that are kept ready.
    most_ignored : float
        Largest share of a patch that may be ignored pixels, 0 to less than 1, if there are others.

    Raises
    ------
    DataError
        If a number is out of its range.
    """

    batch_size: Count = 16
    seed: Seed = 0
    augment: Augmentation = AUGMENTATIONS["standard"]
    foreground_share: Share = 0.75
    subsample_rule: SubsampleRule = "centre"
    replay_share: Rate = 0.25
    cache_bytes: Annotated[int, Within(0)] = CACHE_BYTES
    most_ignored: Rate = 0.5

    def __post_init__(self) -> None:
        check_fields(self, DataError)


@dataclass(frozen=True, eq=False)
class DrawnBatch:
    """Windows that are drawn but not yet varied, which is done on the device.

    Parameters
    ----------
    crops : CropBatch
        The patches, with all around them that their changes may reach.
    changes : sequence of Changes
        How each is varied.
    augmentation : Augmentation
        What the changes were drawn from.
    patch : int
        P.
    mask_size : (int, int)
        S, rows and columns of the masks.
    rule : {'corner', 'centre', 'max'}
        How patches become masks.
    """

    crops: CropBatch
    changes: Sequence[Changes]
    augmentation: Augmentation
    patch: int
    mask_size: tuple[int, int]
    rule: SubsampleRule

    def __len__(self) -> int:
        return len(self.crops)


class PatchLabels(NamedTuple):
    """What is known of all pixels of patches, before they become masks.

    Parameters
    ----------
    classes : (B, N, P, P) integer tensor
        Class ids.
    instances : (B, N, P, P) integer tensor or None
        Ids of objects, where all stacks know them.
    """

    classes: Tensor
    instances: Tensor | None


@dataclass(frozen=True, eq=False)
class DeviceSamples:
    """What `rleseg_core.data.SampleBatch` holds, on a device.

    Parameters
    ----------
    images : (B, N, 3, P, P) float32 tensor
        In [0, 1].
    classes : (B, N, S, S) uint8 tensor
        Class ids in mask pixels.
    instances : (B, N, S, S) int32 tensor or None
        Ids of objects in mask pixels, where all stacks know them.
    pixels : PatchLabels
        The same of all pixels of the patches.
    """

    images: Tensor
    classes: Tensor
    instances: Tensor | None
    pixels: PatchLabels


class PatchSampler:
    """Endless batches of patches at random positions of labelled stacks.

    Parameters
    ----------
    stacks : sequence of LabelledStack
        With the classes of `mask_spec`. Larger stacks are drawn from more often.
    window_spec : WindowSpec
        I, P and N; strides do not matter.
    mask_spec : MaskSpec
        S, which must divide P, and the classes.
    options : SamplingOptions
        How batches are drawn.
    replay : sequence of LabelledStack
        Data of an earlier training, drawn from as well so that they are not forgotten.

    Raises
    ------
    DataError
        If there is nothing to draw from, or the data do not fit the specs.
    """

    def __init__(
        self,
        stacks: Sequence[LabelledStack],
        window_spec: WindowSpec,
        mask_spec: MaskSpec,
        options: SamplingOptions | None = None,
        *,
        replay: Sequence[LabelledStack] = (),
    ) -> None:
        self.options = options or SamplingOptions()
        replay = replay if self.options.replay_share else ()
        check_fit([*stacks, *replay], window_spec, mask_spec)
        self.window_spec, self.mask_spec = window_spec, mask_spec
        self._margin = margin(self.options.augment, window_spec.patch)
        self._source = WindowSource(
            stacks,
            window_spec,
            frame_gap=self.options.augment.frame_gap,
            foreground_share=self.options.foreground_share,
            replay=replay,
            replay_share=self.options.replay_share,
            cache_bytes=self.options.cache_bytes,
            most_ignored=self.options.most_ignored,
        )

    def batch(self, step: int, rows: slice = slice(None)) -> DrawnBatch:
        """Batch of a step, or those `rows` of it; the same for the same step, whatever was before.

        Each row is drawn from random numbers of its own, so that several processes can share a
        batch.
        """
        options, patch = self.options, self.window_spec.patch
        drawn = [
            self._draw(np.random.default_rng((options.seed, step, row)))
            for row in range(options.batch_size)[rows]
        ]
        return DrawnBatch(
            cut_crops([window for window, _ in drawn], patch, self._margin),
            [changes for _, changes in drawn],
            options.augment,
            patch,
            self.mask_spec.size,
            options.subsample_rule,
        )

    def __iter__(self) -> Iterator[DrawnBatch]:
        step = 0
        while True:
            yield self.batch(step)
            step += 1

    def _draw(self, rng: np.random.Generator) -> tuple[DrawnWindow, Changes]:
        # in this order since version 0.1: the same seed draws the same windows
        frames = self._source.draw_frames(rng)
        warp = draw_warp(self.options.augment, self.window_spec.patch, rng)
        start = self._source.draw_start(frames, rng)
        jitter = draw_jitter(self.options.augment, rng)
        return DrawnWindow(frames, start), Changes(warp, jitter)


def patches_on(batch: DrawnBatch, device: torch.device) -> DeviceSamples:
    """Vary a batch on a device, and subsample its masks there.

    Parameters
    ----------
    batch : DrawnBatch
        In host memory.
    device : torch.device
        Where the work is done.

    Returns
    -------
    DeviceSamples
        A function of the batch and the kind of device alone: the seeds of the noise are in it. Each
        row is the same whatever other rows there are.
    """
    crops = batch.crops
    known = [ids for ids in (crops.classes, crops.instances) if ids is not None]
    labels = [torch.from_numpy(ids).to(device) for ids in known]
    images = torch.from_numpy(crops.images).to(device)
    patches, ids = augment(images, labels, batch.changes, batch.augmentation, batch.patch)
    pixels = PatchLabels(ids[0], ids[1] if len(ids) > 1 else None)
    classes, *instances = (_subsampled(one, batch) for one in ids)
    return DeviceSamples(
        patches.expand(-1, -1, 3, -1, -1), classes, instances[0] if instances else None, pixels
    )


def _subsampled(labels: Tensor, batch: DrawnBatch) -> Tensor:
    """Masks (B, N, S, S) of patches (B, N, P, P), as `rleseg_core.data.subsample_labels` says."""
    rows, cols = batch.mask_size
    if batch.rule == "max":
        blocks = labels.unflatten(3, (cols, -1)).unflatten(2, (rows, -1))
        return blocks.amax(dim=(3, 5))
    down, right = (
        torch.from_numpy(pixel_index(length, batch.patch, batch.rule)).to(labels.device)
        for length in batch.mask_size
    )
    return labels[:, :, down[:, None], right]
