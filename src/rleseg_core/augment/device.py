"""Augmentation on the device: a batch of crops is warped and lit at once.

It sees the same views in the same light as `PatchSampler.batch` does on the host; only the noise
differs.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.augment.geometry import spline
from rleseg_core.augment.intensity import LEAST_RANGE, TAIL
from rleseg_core.data import CropBatch
from rleseg_core.data.labels import cell_index

_TAILS = 3  # standard deviations of the blur's kernel, each way


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
        Ids of objects in mask pixels.
    """

    images: Tensor
    classes: Tensor
    instances: Tensor | None


def augment(crops: CropBatch, device: torch.device) -> DeviceSamples:
    """Warp and light a batch of crops on a device.

    Parameters
    ----------
    crops : CropBatch
        In host memory; of `PatchSampler.crops`.
    device : torch.device
        Where the work is done.

    Returns
    -------
    DeviceSamples
        A function of the crops and the kind of device alone: the noise has its seed in them.
    """
    every = np.arange(crops.patch)
    images = torch.from_numpy(crops.images).to(device)
    lit = _relit(_sampled(images, _places(crops, every, every, device)), crops, device)
    rows, cols = every, every
    if crops.rule != "max":
        rows, cols = (cell_index(n, crops.patch, crops.rule) for n in crops.mask_size)
    pixels = _places(crops, rows, cols, device).round_().long()
    pixels = pixels[..., 0] * images.shape[3] + pixels[..., 1]  # (B, h, w)
    classes, instances = (
        None if labels is None else _masks(torch.from_numpy(labels).to(device), pixels, crops)
        for labels in (crops.classes, crops.instances)
    )
    assert classes is not None
    return DeviceSamples(lit.expand(-1, -1, 3, -1, -1), classes, instances)


def _places(crops: CropBatch, rows: np.ndarray, cols: np.ndarray, device: torch.device) -> Tensor:
    """Rows and columns in the crops of the given patch pixels, (B, h, w, 2) float32."""
    middle = (crops.patch - 1) / 2
    axes = [torch.from_numpy((pixels - middle).astype(np.float32)) for pixels in (rows, cols)]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij")).to(device)[None]  # (1, 2, h, w)
    if crops.bends is not None:
        down, right = (
            torch.from_numpy(spline(pixels, crops.patch)).to(device) for pixels in (rows, cols)
        )
        offsets = offsets + down @ torch.from_numpy(crops.bends).to(device) @ right.T
    matrices = torch.from_numpy(crops.matrices).to(device)[..., None, None]  # (B, 2, 2, 1, 1)
    turned = matrices[:, :, 0] * offsets[:, None, 0] + matrices[:, :, 1] * offsets[:, None, 1]
    centres = torch.from_numpy(crops.centres).to(device)[..., None, None]
    return (turned + centres).permute(0, 2, 3, 1)


def _sampled(images: Tensor, places: Tensor) -> Tensor:
    """Images (B, N, Q, Q, C) at places (B, P, P, 2), linearly: (B, N, C, P, P) in [0, 1]."""
    b, n, side, _, c = images.shape
    planes = images.permute(0, 1, 4, 2, 3).reshape(b, n * c, side, side).float() / 255
    grid = places.flip(-1) * (2 / (side - 1)) - 1  # (x, y), as grid_sample wants them
    patches = F.grid_sample(planes, grid, mode="bilinear", align_corners=True)
    return patches.view(b, n, c, *places.shape[1:3])


def _masks(labels: Tensor, pixels: Tensor, crops: CropBatch) -> Tensor:
    """Labels (B, N, Q, Q) at flat pixels (B, h, w) of their crop: (B, N, S, S)."""
    b, n = labels.shape[:2]
    found = labels.flatten(2).gather(2, pixels.flatten(1)[:, None].expand(-1, n, -1))
    found = found.view(b, n, *pixels.shape[1:])
    if crops.rule != "max":
        return found
    rows, cols = crops.mask_size
    cells = found.view(b, n, rows, crops.patch // rows, cols, crops.patch // cols)
    return cells.amax(dim=(3, 5))


def _relit(patches: Tensor, crops: CropBatch, device: torch.device) -> Tensor:
    """Patches (B, N, C, P, P) in [0, 1] in the light of their windows."""
    lights = torch.from_numpy(crops.lights).to(device)
    gamma, contrast, brightness, noise, blur, stretch = lights[..., None, None, None, None]
    if crops.lights[4].any():
        patches = _blurred(patches, blur.flatten(), float(crops.lights[4].max()))
    if crops.lights[5].any():
        low, high = (value.view_as(stretch) for value in _own_range(patches, stretch.flatten()))
        patches = (patches - low) / (high - low)
    patches = patches.clamp(0, 1) ** gamma
    patches = ((patches - 0.5) * contrast + 0.5 + brightness).clamp_(0, 1)
    if crops.lights[3].any():
        generator = torch.Generator(device).manual_seed(crops.seed)
        patches += noise * torch.randn(patches.shape, generator=generator, device=device)
    return patches.clamp_(0, 1)


def _blurred(patches: Tensor, sigmas: Tensor, widest: float) -> Tensor:
    """Patches (B, N, C, P, P) under a Gaussian of its own width for each window."""
    n, c, height, width = patches.shape[1:]
    reach = min(int(_TAILS * widest) + 1, height - 1, width - 1)
    distance = torch.arange(-reach, reach + 1, device=patches.device)
    kernels = torch.exp(-0.5 * (distance / sigmas.clamp_min(1e-3)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(n * c, 0)
    planes = F.pad(patches.reshape(1, -1, height, width), (reach,) * 4, mode="replicate")
    planes = F.conv2d(planes, kernels[:, None, :, None], groups=len(kernels))
    planes = F.conv2d(planes, kernels[:, None, None, :], groups=len(kernels))
    return planes.view(patches.shape)


def _own_range(patches: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor]:
    """Grey values that become black and white, (B,) each."""
    values = patches.flatten(1)
    n_tail = int(np.ceil(TAIL * values.shape[1]))
    low = stretch * values.kthvalue(n_tail).values
    high = 1 - stretch * (1 - values.kthvalue(values.shape[1] - n_tail + 1).values)
    wider = (LEAST_RANGE - (high - low)).clamp_min(0) / 2
    return low - wider, high + wider
