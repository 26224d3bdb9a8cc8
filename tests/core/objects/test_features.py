import numpy as np
import pytest
from skimage.draw import disk, ellipse
from skimage.measure import perimeter, regionprops

from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.objects.features import object_features, stretched_perimeter

SQUARE = StackMetadata(pixel_size=(0.5, 0.5), unit="micrometer")


@pytest.fixture
def ids():
    ids = np.zeros((60, 80), np.uint32)
    ids[disk((20, 20), 10)] = 7
    ids[ellipse(40, 55, 6, 14, rotation=0.4)] = 4_000_000_000
    ids[0, 79] = 2
    return ids


def test_ids_are_kept_and_values_are_those_of_scikit_image(ids):
    features = object_features(ids)
    assert features["id"].tolist() == [2, 7, 4_000_000_000]
    (region,) = regionprops((ids == 7).astype(int))
    at = {name: values[1] for name, values in features.items()}
    assert at["area_px"] == region.area
    assert at["perimeter_px"] == pytest.approx(region.perimeter)
    assert at["major_axis_px"] == pytest.approx(region.axis_major_length)
    assert (at["row"], at["col"]) == pytest.approx(region.centroid)
    assert (at["top"], at["left"], at["bottom"], at["right"]) == region.bbox
    assert not any(name.endswith("_um") for name in features)


def test_single_pixel_has_all_features(ids):
    one = {name: values[0] for name, values in object_features(ids).items()}
    assert (one["area_px"], one["solidity"], one["extent"]) == (1, 1, 1)
    assert (one["top"], one["left"], one["bottom"], one["right"]) == (0, 79, 1, 80)


def test_lengths_scale_with_square_pixels(ids):
    features = object_features(ids, metadata=SQUARE)
    for name in ("perimeter", "equivalent_diameter", "major_axis", "minor_axis"):
        np.testing.assert_allclose(features[f"{name}_um"], features[f"{name}_px"] / 2)
    np.testing.assert_allclose(features["area_um2"], features["area_px"] / 4)
    np.testing.assert_allclose(features["x_um"], features["col"] / 2)


def test_origin_moves_the_centroid_in_physical_units_alone(ids):
    metadata = StackMetadata(pixel_size=(0.5, 0.5), unit="micrometer", origin=(100.0, 10.0))
    features = object_features(ids, metadata=metadata)
    np.testing.assert_allclose(features["y_um"], 100 + features["row"] / 2)


@pytest.mark.parametrize(("unit", "end"), [("micrometer", "um"), ("light year", "light_year")])
def test_units_are_in_the_names(ids, unit, end):
    features = object_features(ids, metadata=StackMetadata(pixel_size=(1, 1), unit=unit))
    assert f"area_{end}2" in features


def test_pixels_that_are_not_square_are_measured_as_they_are():
    # a disk of 8 micrometres, seen with pixels twice as high as wide
    high = np.zeros((80, 80), np.uint32)
    high[disk((40, 40), 32)] = 1
    flat = high[::2]
    square = object_features(
        high, metadata=StackMetadata(pixel_size=(0.25, 0.25), unit="micrometer")
    )
    stretched = object_features(
        flat, metadata=StackMetadata(pixel_size=(0.5, 0.25), unit="micrometer")
    )
    for name in ("area_um2", "perimeter_um", "equivalent_diameter_um", "major_axis_um"):
        assert stretched[name] == pytest.approx(square[name], rel=0.06), name
    assert stretched["eccentricity"] < 0.2  # a circle, though its pixels are a flat ellipse
    assert stretched["major_axis_px"] > 1.9 * stretched["minor_axis_px"]


def test_perimeter_without_stretch_is_that_of_scikit_image():
    rng = np.random.default_rng(1)
    for share in (0.1, 0.5, 0.9):
        mask = rng.random((30, 40)) < share
        assert stretched_perimeter(mask, (1, 1)) == pytest.approx(perimeter(mask))
    assert stretched_perimeter(mask, (3, 3)) == pytest.approx(3 * perimeter(mask))


def test_perimeter_of_a_rectangle_counts_each_side_by_its_pixels():
    mask = np.zeros((12, 22), bool)
    mask[1:11, 1:21] = True
    assert stretched_perimeter(mask, (2, 1)) == pytest.approx(2 * (9 * 2 + 19))


def test_intensities_of_each_channel(ids):
    image = np.zeros((*ids.shape, 2), np.uint16)
    image[ids == 7] = (100, 7)
    image[20, 20, 0] = 400
    features = object_features(ids, image, channels=("DAPI", "GFP (488)"))
    values = image[..., 0][ids == 7].astype(float)
    assert features["intensity_mean_DAPI"][1] == pytest.approx(values.mean())
    assert features["intensity_std_DAPI"][1] == pytest.approx(values.std())
    assert features["intensity_integrated_DAPI"][1] == pytest.approx(values.sum())
    assert (features["intensity_min_DAPI"][1], features["intensity_max_DAPI"][1]) == (100, 400)
    assert features["intensity_max_GFP_488"].tolist() == [0, 7, 0]
    assert "intensity_mean" in object_features(ids, image[..., 0])


def test_pixels_without_a_value_show_in_the_intensities(ids):
    image = np.ones(ids.shape, np.float32)
    image[20, 20] = np.nan
    assert np.isnan(object_features(ids, image)["intensity_mean"]).tolist() == [False, True, False]


def test_frame_without_objects_has_the_same_columns(ids):
    image = np.zeros(ids.shape)
    some = object_features(ids, image, metadata=SQUARE)
    none = object_features(np.zeros_like(ids), image, metadata=SQUARE)
    assert list(none) == list(some)
    assert {len(values) for values in none.values()} == {0}


def test_frame_that_is_all_object_is_measured():
    features = object_features(np.full((4, 5), 3, np.uint32), np.full((4, 5), 2.0))
    assert features["area_px"].tolist() == [20]
    assert (features["intensity_mean"][0], features["intensity_std"][0]) == (2, 0)


def test_images_of_another_size_are_refused(ids):
    with pytest.raises(DataError, match=r"the image is \(3, 3\)"):
        object_features(ids, np.zeros((3, 3)))
    with pytest.raises(DataError, match="2 channels, got 1"):
        object_features(ids, np.zeros((*ids.shape, 2)), channels=("a",))


def test_size_without_a_unit_names_no_columns(ids):
    features = object_features(ids, metadata=StackMetadata(pixel_size=(2.0, 2.0)))
    assert list(features) == list(object_features(ids))
