"""``python -m napari_rleseg``: what `make demo` shows."""

import numpy as np
import pytest

from napari_rleseg.__main__ import open_viewer
from napari_rleseg.session import Session
from rleseg_core import product_of
from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
from rleseg_core.data.writers import write_labels
from rleseg_core.inference import Segmenter, predict_to_file

pytestmark = [pytest.mark.gui, pytest.mark.window]


def test_result_opens_with_numbered_objects_and_their_count(
    make_napari_viewer, monkeypatch, tiny_model, tmp_path
):
    images = synthesize(SyntheticConfig(n_frames=2, size=(96, 64), seed=3)).images
    write_labels(tmp_path / "images.tif", images)
    segmenter = Segmenter.from_checkpoint(tiny_model.path, "cpu")
    stack = ImageStack.open(tmp_path / "images.tif")
    product_of(predict_to_file(segmenter, stack, tmp_path / "masks.zarr"))
    monkeypatch.setattr("napari_rleseg.__main__.Viewer", make_napari_viewer)
    viewer = open_viewer(tmp_path / "images.tif", tmp_path / "masks.zarr", show=False)
    session = Session.of(viewer)
    try:
        table = session.objects.table
        assert len(table)
        here = table.in_frames([0]).id.tolist()
        assert sorted(map(int, viewer.layers["numbers"].text.values)) == sorted(here)
        ids = np.asarray(session.objects.layer.data)
        assert sorted(table.id.tolist()) == np.unique(ids[ids > 0]).tolist()
    finally:
        session.close()
