import csv
import json
from typing import get_args

import numpy as np
import pytest
import roifile
import tifffile

from rleseg_core.cli.export import Kind
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import write_labels
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.exports import EXPORTS

METADATA = StackMetadata(pixel_size=(0.5, 0.5), unit="micrometer", frame_interval=60.0)


@pytest.fixture
def result(tmp_path):
    """Images, masks of classes, ids of objects and their table: two frames, three objects."""
    ids = np.zeros((2, 24, 32), np.uint32)
    ids[0, 2:10, 2:12], ids[0, 2:10, 12:20], ids[1, 14:20, 4:12] = 1, 2, 3
    table = ObjectTable.of(ids, {1: 1, 2: 1, 3: 2}, ("ipsc", "dfc"), confidence={1: 0.75})
    images = np.stack([ids, 100 * ids], axis=1).astype(np.uint16)
    tifffile.imwrite(tmp_path / "images.tif", images, metadata={"axes": "TCYX"})
    write_labels(tmp_path / "out.tif", table.class_map(ids), table.class_names, metadata=METADATA)
    write_labels(tmp_path / "out.objects.tif", ids, metadata=METADATA)
    table.write_csv(tmp_path / "out.objects.csv", METADATA)
    return tmp_path


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_measure_writes_a_table_and_prints_medians(run, result):
    ids, out = result / "out.objects.tif", result / "features.csv"
    code, told, err = run("measure", ids, "--out", out)
    assert (code, err) == (0, "")
    assert "ipsc" in told
    assert "3 objects in 2 frames" in told
    rows = rows_of(out)
    assert [row["class"] for row in rows] == ["ipsc", "ipsc", "dfc"]
    assert [float(row["area_um2"]) for row in rows] == [20, 16, 12]
    assert [row["time_s"] for row in rows] == ["0", "0", "60"]


def test_measure_reports_as_json(run, result):
    code, told, _ = run("measure", result / "out.objects.tif", "-o", result / "a.csv", "--json")
    assert code == 0
    summary = json.loads(told)
    assert (summary["n_objects"], summary["are_pieces"]) == (3, False)
    assert summary["classes"][0]["medians"]["area_um2"] == 18


def test_measure_takes_intensities_of_each_channel(run, result):
    images = ("--images", result / "images.tif")
    ids, out = result / "out.objects.tif", result / "a.csv"
    assert run("measure", ids, "-o", out, *images)[0] == 0
    assert [row["intensity_mean_1"] for row in rows_of(out)] == ["100", "200", "300"]
    out = result / "b.csv"
    assert run("measure", ids, "-o", out, *images, "--image-channel", 1)[0] == 0
    assert [row["intensity_mean"] for row in rows_of(out)] == ["100", "200", "300"]


def test_masks_of_a_result_are_measured_by_their_objects(run, result):
    code, told, err = run("measure", result / "out.tif", "-o", result / "a.csv")
    assert code == 0
    assert "their objects are those of" in err
    assert "3 objects" in told


def test_pieces_are_said_to_be_such(run, result):
    code, told, err = run("measure", result / "out.tif", "-o", result / "a.csv", "--pieces")
    assert code == 0
    assert "connected pieces are taken" in err
    assert "2 connected pieces of classes" in told
    assert {row["state"] for row in rows_of(result / "a.csv")} == {"pieces"}


def test_frames_can_be_chosen(run, result):
    ids = result / "out.objects.tif"
    assert run("measure", ids, "-o", result / "a.csv", "--frames", 1)[0] == 0
    assert [row["id"] for row in rows_of(result / "a.csv")] == ["3"]
    assert run("export", ids, "--as", "ctc", "-o", result / "a", "--frames", 1)[0] == 0
    assert [path.name for path in (result / "a").iterdir()] == ["mask001.tif"]


def test_export_offers_all_formats():
    assert get_args(Kind) == tuple(EXPORTS)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("coco", "a.json"), ("imagej", "a.zip"), ("geojson", "a.geojson")),
        *(("ctc", "a"), ("palette", "a")),
    ],
)
def test_export_writes_each_format(run, result, kind, name):
    ids = result / "out.objects.tif"
    code, told, _ = run("export", ids, "--as", kind, "--out", result / name, "--json")
    assert code == 0
    assert json.loads(told)["n_objects"] == 3
    assert (result / name).exists()


def test_choices_of_formats_reach_them(run, result):
    ids = result / "out.objects.tif"
    cells = ("--as", "geojson", "--object-type", "cell")
    assert run("export", ids, *cells, "-o", result / "a.geojson")[0] == 0
    assert '"objectType": "cell"' in (result / "a.geojson").read_text()
    coco = ("--as", "coco", "--images", result / "images.tif")
    assert run("export", ids, *coco, "-o", result / "a.json")[0] == 0
    assert json.loads((result / "a.json").read_text())["images"][1]["file_name"] == "images.tif"
    assert run("export", ids, "--as", "coco", "-o", result / "b.json")[0] == 0
    assert json.loads((result / "b.json").read_text())["images"][1]["file_name"] == ids.name


def test_names_of_the_files_of_a_folder_reach_coco(run, result):
    (result / "frames").mkdir()
    for name in ("t9.png", "t10.png"):
        (result / "frames" / name).touch()
    coco = ("--as", "coco", "--images", result / "frames")
    assert run("export", result / "out.objects.tif", *coco, "-o", result / "a.json")[0] == 0
    images = json.loads((result / "a.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["t9.png", "t10.png"]


def test_ids_of_other_programs_are_exported(run, tmp_path):
    ids = np.zeros((2, 8, 8), np.uint16)
    ids[:, 1:4, 1:4], ids[:, 1:4, 4:7] = 1, 2
    np.save(tmp_path / "ids.npy", ids)
    command = ("export", tmp_path / "ids.npy", "--as", "imagej", "-o")
    assert run(*command, tmp_path / "a.zip", "--instances", "--classes", "yeast")[0] == 0
    names = [roi.name for roi in roifile.roiread(tmp_path / "a.zip")]
    assert names == ["0001-yeast-1", "0001-yeast-2", "0002-yeast-1", "0002-yeast-2"]


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("measure", "none.tif", "-o", "a.csv"), "none.tif"),
        (("measure", "out.objects.tif", "-o", "a.csv", "--frames", "7"), "frames 0 to 1"),
        (("measure", "out.objects.tif", "-o", "a.csv", "--images", "short.npy"), "both must have"),
        (("measure", "out.objects.tif", "-o", "a.csv", "--table", "images.tif"), "cannot read"),
        (("measure", "out.objects.tif", "-o", "a.csv", "--pieces", "--instances"), "--pieces"),
        (("export", "out.objects.tif", "--as", "coco", "-o", "a.csv"), "must end in .json"),
        (("export", "out.objects.tif", "--as", "labelme", "-o", "a"), "coco"),
        (
            ("export", "out.objects.tif", "--as", "coco", "-o", "a.json", "--colours", "ids"),
            "--colours is for --as palette",
        ),
        (
            ("export", "out.objects.tif", "--as", "coco", "-o", "a.json", "--images", "none"),
            "there is no",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(refused, result, arguments, about, monkeypatch):
    monkeypatch.chdir(result)
    np.save("short.npy", np.zeros((1, 24, 32), np.uint8))
    before = {path.name for path in result.iterdir()}
    refused(*arguments, about=about)
    assert {path.name for path in result.iterdir()} == before


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr"])
def test_what_predict_writes_is_measured_and_exported(run, synthetic, model, tmp_path, suffix):
    images, masks = synthetic / "images.tif", tmp_path / f"masks{suffix}"
    assert run("predict", images, "-m", model, "-o", masks, "--device", "cpu", "-q")[0] == 0
    assert run("measure", masks, "-o", tmp_path / "a.csv", "--images", images)[0] == 0
    measured, noted = rows_of(tmp_path / "a.csv"), rows_of(tmp_path / "masks.objects.csv")
    assert len(measured) > 0
    for features, row in zip(measured, noted, strict=True):
        assert [features[name] for name in ("id", "frame", "class")] == [
            row[name] for name in ("id", "frame", "class")
        ]
        assert features["area_px"] == row["area"]
    assert run("export", masks, "--as", "coco", "-o", tmp_path / "a.json")[0] == 0
    objects = json.loads((tmp_path / "a.json").read_text())
    assert len(objects["annotations"]) == len(noted)
    assert {image["file_name"] for image in objects["images"]} == {"images.tif"}
