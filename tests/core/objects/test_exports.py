import json
import zipfile

import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from skimage.draw import polygon2mask

from rleseg_core import product_of
from rleseg_core.data import LabelStack
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError, DataWarning, OutputError
from rleseg_core.objects.exports import EXPORTS, ExportOptions, export, export_stack
from rleseg_core.objects.exports.coco import coco_counts
from rleseg_core.objects.exports.imagej import roi_of
from rleseg_core.objects.measuring import number_consecutively
from rleseg_core.objects.outlines import outlines
from rleseg_core.objects.stack import ObjectStack

NAMES = {"coco": "a.json", "imagej": "a.zip", "geojson": "a.geojson", "ctc": "a", "palette": "a"}
masks = arrays(
    np.uint32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0, 1, 1, 7, 70_000]),
)


def painted(shape, rings):
    """Pixels whose centres lie in an odd number of rings of corners (x, y)."""
    inside = np.zeros(shape, bool)
    for ring in rings:
        inside ^= polygon2mask(shape, np.asarray(ring, float)[:, ::-1] - 0.5)
    return inside


def roi_mask(roi, shape):
    """Pixels of an ImageJ region that was read back."""
    return painted(shape, roi.coordinates(multi=True))


@settings(max_examples=100, deadline=None)
@given(masks)
def test_run_lengths_are_those_of_pycocotools(ids):
    numbers, index = number_consecutively(ids)
    counts = coco_counts(index, len(numbers))
    for identity, text in zip(numbers, counts, strict=True):
        expected = coco_mask.encode(np.asfortranarray(ids == identity, np.uint8))
        assert text == expected["counts"].decode()


def test_long_run_lengths_are_those_of_pycocotools():
    index = np.zeros((3000, 1500), np.int32)
    index[1000, 2::7], index[2:40, 700], index[-1, -1] = 1, 1, 1
    expected = coco_mask.encode(np.asfortranarray(index == 1, np.uint8))
    assert coco_counts(index, 1) == [expected["counts"].decode()]


@settings(max_examples=60, deadline=None)
@given(masks)
def test_regions_of_imagej_are_the_masks(ids):
    for identity, polygons in outlines(ids).items():
        roi = roifile.ImagejRoi.frombytes(roi_of(polygons, "a", 3).tobytes())
        np.testing.assert_array_equal(roi_mask(roi, ids.shape), ids == identity)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own
def test_coco_opens_with_pycocotools(tmp_path, ids, table, metadata):
    product_of(export(ids, table, tmp_path / "a.json", "coco", metadata=metadata))
    coco = COCO(str(tmp_path / "a.json"))
    assert [c["name"] for c in coco.loadCats([1, 2])] == ["cell", "big one"]
    assert [image["frame"] for image in coco.loadImgs([1, 2, 3])] == [0, 1, 2]
    assert len(coco.getAnnIds()) == 6
    assert coco.getAnnIds(imgIds=[2]) == []
    for entry in coco.loadAnns(coco.getAnnIds()):
        mask = ids[entry["image_id"] - 1] == entry["object_id"]
        np.testing.assert_array_equal(coco.annToMask(entry).astype(bool), mask)
        assert entry["area"] == mask.sum() == coco_mask.area(coco.annToRLE(entry))
        assert entry["bbox"] == coco_mask.toBbox(coco.annToRLE(entry)).tolist()
        assert isinstance(entry["segmentation"]["counts"], str)
    scores = {entry["object_id"]: entry.get("score") for entry in coco.anns.values()}
    assert scores == {1: 0.875, 2: 0.5, 3: None, 4: None, 5: None, 80_000: None}


def test_coco_names_the_images(tmp_path, ids):
    def names(*given):
        path, options = tmp_path / f"{len(given)}.json", ExportOptions(image_names=given)
        product_of(export(ids, None, path, "coco", options=options))
        return [image["file_name"] for image in json.loads(path.read_text())["images"]]

    assert names("a.tif") == ["a.tif"] * 3
    noted = StackMetadata(provenance={"source": "movie.tif"})
    product_of(export(ids, None, tmp_path / "noted.json", "coco", metadata=noted))
    assert '"movie.tif"' in (tmp_path / "noted.json").read_text()
    assert names("a.png", "b.png", "c.png") == ["a.png", "b.png", "c.png"]
    with pytest.raises(DataError, match="2 names of images for 3 frames"):
        names("a.png", "b.png")


def test_imagej_regions_come_back(tmp_path, ids, table, metadata):
    product_of(export(ids, table, tmp_path / "a.zip", "imagej", metadata=metadata))
    rois = {int(roi.name.rpartition("-")[2]): roi for roi in roifile.roiread(tmp_path / "a.zip")}
    assert sorted(rois) == [1, 2, 3, 4, 5, 80_000]
    for identity, roi in rois.items():
        mask = ids[roi.position - 1] == identity  # positions count from 1
        np.testing.assert_array_equal(roi_mask(roi, mask.shape), mask)
        rows, cols = np.nonzero(mask)
        box = (roi.top, roi.left, roi.bottom, roi.right)
        assert box == (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
    assert rois[2].name == "0001-big_one-2"
    assert (rois[1].composite, rois[2].composite, rois[80_000].composite) == (False, True, True)
    assert rois[2].hexcolor(rois[2].stroke_color) == "#ff8000"


def test_geojson_has_closed_rings_in_the_right_direction(tmp_path, ids, table, metadata):
    product_of(export(ids, table, tmp_path / "a.geojson", "geojson", metadata=metadata))
    collection = json.loads((tmp_path / "a.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    features = {int(one["properties"]["name"]): one for one in collection["features"]}
    assert sorted(features) == [1, 2, 3, 4, 5, 80_000]
    for identity, feature in features.items():
        geometry = feature["geometry"]
        frame = geometry.get("plane", {"t": 0})["t"]
        polygons = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            polygons = [polygons]
        rings = [ring for polygon in polygons for ring in polygon]
        np.testing.assert_array_equal(painted(ids.shape[1:], rings), ids[frame] == identity)
        for outer, *holes in polygons:
            assert all(ring[0] == ring[-1] for ring in (outer, *holes))
            assert shoelace(outer) > 0 > max(map(shoelace, holes), default=-1)
    assert [features[i]["geometry"]["type"] for i in (1, 2, 80_000)] == [
        *("Polygon", "Polygon", "MultiPolygon")
    ]
    assert len(features[2]["geometry"]["coordinates"]) == 2  # one hole
    assert features[2]["properties"] == {
        "objectType": "detection",
        "name": "2",
        "classification": {"name": "big one", "color": [255, 128, 0]},
        "measurements": {
            "area_px": int((ids == 2).sum()),
            "area_um2": (ids == 2).sum() * 0.125,
            "confidence": 0.5,
        },
    }
    assert len({one["id"] for one in features.values()}) == 6


def test_geojson_objects_may_be_cells(tmp_path, ids):
    options = ExportOptions(object_type="cell")
    product_of(export(ids, None, tmp_path / "a.json", "geojson", options=options))
    features = json.loads((tmp_path / "a.json").read_text())["features"]
    assert {one["properties"]["objectType"] for one in features} == {"cell"}


def shoelace(ring):
    x, y = np.array(ring[:-1], float).T
    return (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2


def test_masks_of_the_challenge_keep_ids_that_fit(tmp_path, ids):
    few = np.minimum(ids, 65_535)
    product_of(export(few, None, tmp_path / "a", "ctc"))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        *("mask000.tif", "mask001.tif", "mask002.tif")
    ]
    read = [tifffile.imread(tmp_path / "a" / f"mask00{t}.tif") for t in range(3)]
    assert {frame.dtype for frame in read} == {np.dtype(np.uint16)}
    np.testing.assert_array_equal(read, few)


def test_masks_of_the_challenge_are_numbered_anew_beyond_16_bits(tmp_path, ids, table):
    known = table.select(table.id < 80_000)  # the other was painted since
    for name, described in (("a", table), ("b", known)):
        with pytest.warns(DataWarning) as told:
            product_of(export(ids, described, tmp_path / name, "ctc"))
        assert sum("numbered from 1 on" in str(one.message) for one in told) == 1
        last = tifffile.imread(tmp_path / name / "mask002.tif")
        np.testing.assert_array_equal(last, ids[2] > 0)


def test_masks_of_the_challenge_keep_ids_whatever_other_frames_have(tmp_path, ids, table):
    stack = ObjectStack.of(ids, table)
    product_of(export_stack(stack, tmp_path / "a", "ctc", frames=[0, 1]))
    read = [tifffile.imread(tmp_path / "a" / f"mask00{t}.tif") for t in range(2)]
    np.testing.assert_array_equal(read, ids[:2])


def test_palette_shows_classes_and_reads_back(tmp_path, ids, table, metadata):
    product_of(export(ids, table, tmp_path / "a", "palette", metadata=metadata))
    with Image.open(tmp_path / "a" / "frame0000.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:9] == [0, 0, 0, 0x11, 0x22, 0x33, 255, 128, 0]
    read = LabelStack.open(tmp_path / "a")
    np.testing.assert_array_equal([read[t] for t in range(3)], table.class_map(ids))


def test_palette_may_show_ids(tmp_path, ids):
    options = ExportOptions(colours="ids")
    product_of(export(ids, None, tmp_path / "a", "palette", options=options))
    shown = LabelStack.open(tmp_path / "a")
    np.testing.assert_array_equal(shown[0], ids[0])
    assert np.unique(shown[2]).tolist() == [0, (80_000 - 1) % 255 + 1]
    with Image.open(tmp_path / "a" / "frame0000.png") as picture:
        colours = np.array(picture.getpalette()).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) == len(colours) == 256


@pytest.mark.parametrize("kind", EXPORTS)
def test_export_tells_each_frame_and_what_it_wrote(tmp_path, ids, kind):
    small = np.minimum(ids, 6)
    run = export(small, None, tmp_path / NAMES[kind], kind)
    assert [(done.frame, done.n_objects) for done in (next(run), next(run), next(run))] == [
        *((0, 5), (1, 0), (2, 1))
    ]
    summary = product_of(export(small, None, tmp_path / "b" / NAMES[kind], kind))
    assert (summary.n_frames, summary.n_objects, summary.kind) == (3, 6, kind)


@pytest.mark.parametrize("kind", EXPORTS)
def test_cancelled_export_leaves_nothing(tmp_path, ids, kind):
    run = export(np.minimum(ids, 6), None, tmp_path / NAMES[kind], kind)
    next(run)
    run.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", EXPORTS)
def test_export_replaces_only_its_own_and_only_if_told(tmp_path, ids, kind):
    small, path = np.minimum(ids, 6), tmp_path / NAMES[kind]
    product_of(export(small, None, path, kind))
    with pytest.raises(OutputError, match="exists already"):
        product_of(export(small, None, path, kind))
    product_of(export(small, None, path, kind, overwrite=True))
    if EXPORTS[kind].suffixes:
        path.write_text('{"type": "FeatureCollection", "features": []}')
    else:
        (path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="could have written"):
        product_of(export(small, None, path, kind, overwrite=True))


@pytest.mark.parametrize("kind", EXPORTS)
def test_stack_without_objects_is_exported(tmp_path, kind):
    product_of(export(np.zeros((2, 5, 6), np.uint32), None, tmp_path / NAMES[kind], kind))
    assert (tmp_path / NAMES[kind]).exists()


@pytest.mark.parametrize(
    ("kind", "name", "about"),
    [
        ("coco", "a.csv", r"must end in \.json"),
        ("imagej", "a", r"must end in \.zip"),
        ("ctc", "a.tif", r"leave out \.tif"),
        ("labelme", "a.json", "there is no export 'labelme'; there are coco, imagej"),
    ],
)
def test_names_and_kinds_that_do_not_fit_are_refused(tmp_path, ids, kind, name, about):
    with pytest.raises(DataError, match=about):
        product_of(export(ids, None, tmp_path / name, kind))


def test_regions_have_files_of_their_own(tmp_path, ids, table):
    product_of(export(ids, table, tmp_path / "a.zip", "imagej"))
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert file.testzip() is None
        assert file.namelist()[0] == "0001-cell-1.roi"


def test_ids_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="-1"):
        product_of(export(np.full((1, 2, 2), -1), None, tmp_path / "a.json", "coco"))
    with pytest.raises(DataError, match=r"must be \(T, Y, X\)"):
        product_of(export(np.zeros((2, 2), np.uint8), None, tmp_path / "a.json", "coco"))
