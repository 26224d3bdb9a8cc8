import numpy as np
import pytest

from rleseg_core.data import blocks as module
from rleseg_core.data.blocks import blocks, counted, looked_up


@pytest.mark.parametrize("shape", [(7, 5), (1, 40), (3, 4, 2), (0, 5), (23,)])
def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    monkeypatch.setattr(module, "_VALUES", 10)
    ids = np.random.default_rng(0).integers(0, 6, shape).astype(np.uint32)
    table = np.arange(8, dtype=np.uint16) ** 2
    assert looked_up(table, ids).dtype == np.uint16
    np.testing.assert_array_equal(looked_up(table, ids), table[ids])
    np.testing.assert_array_equal(counted(ids, 8), np.bincount(ids.ravel(), minlength=8))
    sizes = [ids[rows].size for rows in blocks(shape)]
    assert sum(sizes) == ids.size
    assert max(sizes, default=0) <= max(10, ids[:1].size)
