import numpy as np
import pytest
import torch

from rleseg_core.tokens.object_order import by_first_pixel


def test_ids_are_the_places_of_first_pixels() -> None:
    ids = torch.tensor([[[[0, 5, 5], [2, 2, 5], [2, 0, 9]]]])
    assert by_first_pixel(ids)[0, 0].tolist() == [[0, 2, 2], [4, 4, 2], [4, 0, 9]]
    by_columns = by_first_pixel(ids, "F")[0, 0]
    assert by_columns.tolist() == [[0, 4, 4], [2, 2, 4], [2, 0, 9]]


@pytest.mark.parametrize("order", ["C", "F"])
def test_objects_stay_the_same_in_all_frames(order: str) -> None:
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.choice([0, 3, 70_000, 7, 12], (6, 3, 5, 5)))
    found = by_first_pixel(ids, order)
    for old, new in zip(ids, found, strict=True):
        pairs = torch.unique(torch.stack((old.flatten(), new.flatten())), dim=1)
        assert pairs.shape[1] == len(old.unique()) == len(new.unique())
        assert torch.equal(old == 0, new == 0)
        flat = new.transpose(1, 2) if order == "F" else new
        pixels = flat.movedim(0, 2).flatten()
        first = [pixels.tolist().index(value) for value in new.unique().tolist() if value]
        assert first == sorted(first)
