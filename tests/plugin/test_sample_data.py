"""The samples of other kinds: images that show something, and their true objects, hidden."""

import numpy as np
import pytest

from napari_rleseg import sample_data


@pytest.mark.parametrize("kind", ["rods", "yeast", "nuclei", "spread"])
def test_sample_has_images_and_hidden_objects(kind):
    (images, image, _), (objects, truth, role) = getattr(sample_data, kind)()
    assert images.shape == objects.shape == (12, 256, 256)
    assert images.dtype == np.uint8
    assert len(np.unique(objects[0])) > 5
    assert role == "labels"
    assert not truth["visible"]
    assert truth["name"].startswith(image["name"])
