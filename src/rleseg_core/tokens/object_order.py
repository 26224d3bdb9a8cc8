"""Ids of objects in the order in which a scan of the mask meets them."""

import torch
from torch import Tensor


def by_first_pixel(ids: Tensor, order: str = "C") -> Tensor:
    """The same objects with ids that rise with their first pixel.

    Blocks of objects are written by id, so these come in the order of the scan, which a model can
    read off the image.

    Parameters
    ----------
    ids : (B, N, S, S) integer tensor
        Ids of objects, 0 = background; of several frames, those of a track are equal.
    order : {'C', 'F'}
        By rows or by columns; where frames have the same first pixel, by frame.

    Returns
    -------
    (B, N, S, S) int64 tensor
        Each id is one more than the index of the object's first pixel.
    """
    if order == "F":
        return by_first_pixel(ids.transpose(2, 3)).transpose(2, 3)
    shape = ids.movedim(1, 3).shape
    flat = ids.movedim(1, 3).flatten(1).long()
    sorted_ids, index = flat.sort(dim=1, stable=True)
    begins = torch.ones_like(sorted_ids, dtype=torch.bool)
    begins[:, 1:] = sorted_ids[:, 1:] != sorted_ids[:, :-1]
    place = torch.arange(flat.shape[1], device=flat.device).expand_as(flat)
    group = torch.where(begins, place, 0).cummax(dim=1).values
    first = index.gather(1, group) + 1
    found = torch.zeros_like(flat).scatter_(1, index, first) * (flat > 0)
    return found.view(shape).movedim(3, 1)
