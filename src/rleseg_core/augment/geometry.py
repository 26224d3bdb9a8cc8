"""Geometric augmentation: flips, rotations, affine transforms, elastic deformations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.augment.config import Augmentation

GRID = 4  # intervals of the grid of control points, along each side of a patch


@dataclass(frozen=True, eq=False)
class Warp:
    """Where the pixels of a patch lie in the image around it.

    Parameters
    ----------
    matrix : (2, 2) float
        From an offset from the patch's centre to the offset in the image, (row, col).
    displacements : (2, K, K) float32 or None
        Rows and columns, in patch pixels, by which control points are displaced before that;
        K = `GRID` + 3, and `spline_weights` interpolates between them. None: nothing is deformed.
    """

    matrix: np.ndarray
    displacements: np.ndarray | None = None

    @property
    def is_exact(self) -> bool:
        """Whether it flips and rotates by multiples of 90° at most: pixels fall on pixels."""
        return self.displacements is None and bool(np.isin(self.matrix, (-1.0, 0.0, 1.0)).all())


def draw_warp(augmentation: Augmentation, patch: int, rng: np.random.Generator) -> Warp:
    """A random warp of a patch of that side, within the amounts of an augmentation."""
    matrix, displacements = np.eye(2), None
    if augmentation.flips_and_rotations:
        n_quarters, is_flipped = int(rng.integers(4)), bool(rng.integers(2))
        for _ in range(n_quarters):
            matrix = matrix @ np.array([[0.0, -1.0], [1.0, 0.0]])
        if is_flipped:
            matrix = matrix @ np.diag([1.0, -1.0])
    if rng.random() < augmentation.affine_probability:
        angle = np.deg2rad(rng.uniform(-augmentation.angle, augmentation.angle))
        scale = np.exp(rng.uniform(*np.log(augmentation.scale)))
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = matrix @ np.array([[cos, -sin], [sin, cos]]) / scale
        if augmentation.elastic:
            most = augmentation.elastic * patch
            shape = (2, GRID + 3, GRID + 3)
            displacements = rng.uniform(-most, most, shape).astype(np.float32)
    return Warp(matrix, displacements)


def margin(augmentation: Augmentation, patch: int) -> int:
    """Pixels beyond a patch, on each side, that a warp of it may reach."""
    if not augmentation.affine_probability:
        return 0
    half = (patch - 1) / 2
    reach = math.sqrt(2) * (half + augmentation.elastic * patch) / augmentation.scale[0]
    return max(0, math.ceil(reach - half))


def spline_weights(patch: int) -> np.ndarray:
    """Weights (P, K) float32 of control points at the pixels of a patch: cubic B-splines.

    They are positive and add up to 1, so a pixel moves no further than the control points. Where
    these move by at most 1/16 of the side, no two pixels change their order.
    """
    position = (np.arange(patch) + 0.5) * (GRID / patch)
    distance = np.abs(position[:, None] + 1 - np.arange(GRID + 3))
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def warped(
    images: Tensor, labels: Sequence[Tensor], warps: Sequence[Warp], patch: int
) -> tuple[Tensor, list[Tensor]]:
    """Patches of images and labels, each seen through its warp.

    Parameters
    ----------
    images : (B, N, Q, Q, C) uint8 tensor
        Squares with the patch in their middle, and around it what the warps may reach (`margin`).
    labels : sequence of (B, N, Q, Q) integer tensor
        Ids of the same pixels.
    warps : sequence of Warp
        B of them.
    patch : int
        P, the side of a patch; Q - P must be even.

    Returns
    -------
    (B, N, C, P, P) float32 tensor, list of (B, N, P, P) tensor
        Images in [0, 1], interpolated linearly where pixels do not fall on pixels; labels of the
        nearest pixel, their ids unchanged.
    """
    b, n, side, _, c = images.shape
    patches = images.new_empty((b, n, c, patch, patch), dtype=torch.float32)
    ids = [one.new_empty((b, n, patch, patch)) for one in labels]
    inside = slice((side - patch) // 2, (side + patch) // 2)
    order = sorted(range(b), key=lambda row: _kind(warps[row]))
    for kind, group in groupby(order, key=lambda row: _kind(warps[row])):
        chosen = list(group)
        rows = torch.tensor(chosen, device=images.device)
        if kind:
            matrix = warps[chosen[0]].matrix
            for target, one in zip(ids, labels, strict=True):
                seen = one[:, :, inside, inside].index_select(0, rows)
                target.index_copy_(0, rows, _turned(seen, matrix))
            seen = _turned(images[:, :, inside, inside].index_select(0, rows), matrix)
            found = seen.permute(0, 1, 4, 2, 3).float().div_(255)
        else:
            offsets = _offsets([warps[row] for row in chosen], patch, images.device)
            pixels = (offsets + (side - 1) / 2).round_().long().clamp_(0, side - 1)
            flat = pixels[:, 0].mul_(side).add_(pixels[:, 1]).flatten(1)[:, None].expand(-1, n, -1)
            for target, one in zip(ids, labels, strict=True):
                seen = one.index_select(0, rows).flatten(2).gather(2, flat)
                target.index_copy_(0, rows, seen.view(-1, n, patch, patch))
            found = _interpolated(images.index_select(0, rows), offsets)
        patches.index_copy_(0, rows, found)
    return patches, ids


def _kind(warp: Warp) -> tuple[float, ...]:
    """The matrix of an exact warp; nothing for the others."""
    return tuple(warp.matrix.ravel().tolist()) if warp.is_exact else ()


def _turned(values: Tensor, matrix: np.ndarray) -> Tensor:
    """Values (B, N, P, P, ...) as an exact warp sees them: axes flipped and exchanged."""
    flips = [
        axis for axis, direction in zip((2, 3), matrix.sum(axis=1), strict=True) if direction < 0
    ]
    turned = values.flip(flips) if flips else values
    return turned if matrix[0, 0] else turned.transpose(2, 3)


def _offsets(warps: Sequence[Warp], patch: int, device: torch.device) -> Tensor:
    """Where patch pixels lie, rows and columns from the centre, (B, 2, P, P) float32."""
    axis = np.arange(patch, dtype=np.float32) - np.float32((patch - 1) / 2)
    offsets = torch.from_numpy(np.stack(np.meshgrid(axis, axis, indexing="ij"))).to(device)[None]
    if any(warp.displacements is not None for warp in warps):
        fixed = np.zeros((2, GRID + 3, GRID + 3), np.float32)
        moves = [fixed if warp.displacements is None else warp.displacements for warp in warps]
        weights = torch.from_numpy(spline_weights(patch)).to(device)
        offsets = offsets + weights @ torch.from_numpy(np.stack(moves)).to(device) @ weights.T
    matrices = torch.from_numpy(np.stack([warp.matrix for warp in warps]).astype(np.float32))
    return (matrices.to(device) @ offsets.flatten(2)).unflatten(2, (patch, patch))


def _interpolated(images: Tensor, offsets: Tensor) -> Tensor:
    """Images (B, N, Q, Q, C) at offsets (B, 2, P, P) from their centre, linearly.

    The result is (B, N, C, P, P) in [0, 1].
    """
    b, n, side, _, c = images.shape
    planes = images.permute(0, 1, 4, 2, 3).reshape(b, n * c, side, side).float().div_(255)
    # (x, y) from -1 to 1, as grid_sample wants them
    grid = torch.stack((offsets[:, 1], offsets[:, 0]), dim=-1).mul_(2 / (side - 1))
    patches = F.grid_sample(
        planes, grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return patches.view(b, n, c, *offsets.shape[2:])
