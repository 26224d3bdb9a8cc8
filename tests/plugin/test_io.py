import numpy as np
import pytest
from napari.layers import Labels

from napari_rleseg.io import read_record, session_reader, write_masks, write_record
from napari_rleseg.layers import labels_attributes
from rleseg_core.data import LabelStack
from rleseg_core.errors import DataError

CLASSES = np.zeros((2, 20, 30), np.uint8)
CLASSES[1, 3:6, 4:9] = 2


@pytest.fixture
def layer() -> Labels:
    attributes = labels_attributes(("ipsc", "dfc"), provenance={"model": "demo"})
    return Labels(CLASSES, name="masks", **attributes)


def test_masks_are_written_with_class_names_and_provenance(layer, tmp_path):
    data, attributes, _ = layer.as_layer_data_tuple()
    for name in ("masks.tif", "masks.zarr"):
        assert write_masks(str(tmp_path / name), data, attributes) == [str(tmp_path / name)]
        read = LabelStack.open(tmp_path / name)
        np.testing.assert_array_equal(read.data, CLASSES)
        assert read.metadata.class_names == ("ipsc", "dfc")
        assert read.metadata.provenance == {"model": "demo"}


def test_one_frame_is_written_as_a_stack_of_one(tmp_path):
    write_masks(str(tmp_path / "one.zarr"), CLASSES[1], {})
    np.testing.assert_array_equal(LabelStack.open(tmp_path / "one.zarr").data, CLASSES[1:])


def test_masks_of_more_axes_are_refused(tmp_path):
    with pytest.raises(DataError, match="masks are"):
        write_masks(str(tmp_path / "four.tif"), CLASSES[None], {})
    assert not list(tmp_path.iterdir())


def test_reader_takes_only_folders_of_sessions(tmp_path):
    assert session_reader(str(tmp_path)) is None
    assert session_reader([str(tmp_path)]) is None
    write_record(tmp_path, {"image": "a.tif"})
    assert session_reader(str(tmp_path)) is not None


def test_session_without_its_image_is_refused(tmp_path):
    write_record(tmp_path, {"image": str(tmp_path / "gone.tif")})
    with pytest.raises(DataError, match="no longer at"):
        session_reader(str(tmp_path))(str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "another", "image": "a"}'])
def test_damaged_record_is_refused(tmp_path, text):
    (tmp_path / "viewer.json").write_text(text)
    with pytest.raises(DataError, match="session"):
        read_record(tmp_path)
