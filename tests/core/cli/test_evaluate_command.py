import csv
import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from rleseg_core.data.metadata import StackMetadata
from rleseg_core.inference.writing import new_result
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.paths import ResultPaths

COMMAND = ("evaluate",)


@pytest.fixture
def masks(tmp_path):
    """True and predicted classes of four frames, and the numbers of the true objects."""
    truth = np.zeros((4, 24, 24), np.uint8)
    truth[:, 2:10, 2:10], truth[:, 2:10, 10:18], truth[:, 14:20, 4:12] = 1, 1, 2
    objects = np.zeros_like(truth)
    objects[:, 2:10, 2:10], objects[:, 2:10, 10:18], objects[:, 14:20, 4:12] = 7, 3, 9
    predicted = np.roll(truth, 1, axis=1)
    stacks = {"truth": truth, "objects": objects, "predicted": predicted}
    for name, stack in {**stacks, "binary": (predicted > 0).astype(np.uint8)}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    return tmp_path


def test_everything_at_once(run, masks):
    code, out, err = run(
        *(masks / "predicted.tif", masks / "truth.tif", "--classes", "ipsc,dfc"),
        *("--agnostic", "cell", "--boundary", "--tolerance", 0, "--objects", "--concentration"),
        *("--csv", masks / "scores.csv", "--plot", masks / "dice.png", "--json"),
    )
    assert code == 0, err
    figures = json.loads(out)
    assert figures["frames"] == 4
    ipsc = figures["classes"]["ipsc"]
    assert ipsc["dice"] == pytest.approx(7 / 8)
    assert ipsc["recall"] == pytest.approx(7 / 8)
    assert ipsc["iou"] == pytest.approx(7 / 9, abs=1e-6)
    assert ipsc["ap50"] == ipsc["ap75"] == 1.0  # the two that touch are one piece on both sides
    assert ipsc["n_objects"] == 4
    assert ipsc["concentration_mae"] == 0  # it moved down its column
    assert 0 < ipsc["boundary_f"] < 1
    assert figures["agnostic"]["cell"]["n_objects"] == 8
    with (masks / "scores.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == (4 + 3) * 5
    assert Image.open(masks / "dice.png").size[0] == 900


def test_objects_that_are_numbered_count_as_they_are(run, masks):
    told = run(
        *(masks / "binary.tif", masks / "objects.tif", "--instances", "--classes", "cell"),
        "--json",
    )
    cell = json.loads(told[1])["classes"]["cell"]
    assert (cell["n_objects"], cell["n_predicted"]) == (12, 8)
    assert cell["ap50"] == pytest.approx(4 / 16)  # the pair that touches is one piece, IoU below
    assert cell["f1"] == cell["rq"] == pytest.approx(8 / 20)
    assert cell["pq"] == pytest.approx(4 * cell["sq"] / (4 + 4 / 2 + 8 / 2), abs=1e-6)
    told = run(
        *(masks / "objects.tif", masks / "objects.tif", "--instances", "--predicted-instances"),
        *("--classes", "cell", "--json"),
    )
    assert json.loads(told[1])["classes"]["cell"]["ap"] == 1.0


def test_table_shows_what_was_asked_for(run, masks):
    pair = (masks / "predicted.tif", masks / "truth.tif", "--classes", "ipsc,dfc")
    code, out, _ = run(*pair)
    assert code == 0
    assert "edge F" not in out
    assert "foreground" in out
    assert "pixel accuracy" in out.replace("\n", " ")
    _, out, _ = run(*pair, "--boundary", "--concentration", "--agnostic", "cell")
    assert "edge F" in out
    assert "MAE" in out
    assert "cell" in out


def test_class_that_never_occurs_is_a_dash(run, masks):
    pair = (masks / "binary.tif", masks / "binary.tif")
    code, out, err = run(*pair, "--classes", "ipsc,dfc", "--plot", masks / "dice.png")
    assert code == 0, err
    assert "–" in out


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (("--plot", "dice.jpg"), ".png"),
        (("--agnostic", "dfc"), "'dfc'"),
        (("--predicted-instances",), "one class"),
        (("--csv", "."), "is a folder"),
    ],
)
def test_what_cannot_be_scored_is_refused(refused, masks, options, about):
    pair = (masks / "predicted.tif", masks / "truth.tif", "--classes", "ipsc,dfc")
    refused(*pair, *options, about=about)
    assert not list(masks.glob("*.png"))


def test_masks_of_any_integer_type_or_of_grey_levels_are_scored(values, masks):
    truth = tifffile.imread(masks / "truth.tif")
    tifffile.imwrite(masks / "long.tif", truth.astype(np.uint64), photometric="minisblack")
    pair = (masks / "long.tif", masks / "truth.tif", "--classes", "ipsc,dfc", "--frames", "1-2")
    scores = values(*pair)
    assert (scores["frames"], scores["mean_dice"]) == (2, 1.0)
    tifffile.imwrite(
        masks / "grey.tif", np.where(truth > 0, 255, 0).astype(np.uint8), photometric="minisblack"
    )
    # the last value of an option that is given twice counts
    pair = (masks / "grey.tif", masks / "objects.tif", "--classes", "ice", "--classes", "cell")
    assert values(*pair, "--instances")["classes"]["cell"]["dice"] == 1.0


def test_masks_that_do_not_fit_are_refused(refused, masks, synthetic):
    truth, classes = masks / "truth.tif", ("--classes", "ipsc,dfc")
    negative = -tifffile.imread(truth).astype(np.int16)
    tifffile.imwrite(masks / "negative.tif", negative, photometric="minisblack")
    refused(masks / "negative.tif", truth, *classes, about="negative.tif holds the ids -2")
    tifffile.imwrite(masks / "small.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    refused(masks / "small.tif", truth, *classes, about="small.tif is (4, 8, 8)")
    objects = synthetic / "instances.tif"
    refused(synthetic / "classes.tif", objects, "--instances", about="--classes cell")


def test_class_names_are_those_noted_in_the_masks(values, refused, masks, synthetic):
    noted = synthetic / "classes.tif"
    assert list(values(noted, noted)["classes"]) == ["ipsc", "dfc"]
    refused(masks / "truth.tif", masks / "truth.tif", about="--classes")
    refused(masks / "truth.tif", noted, about="both must be the same")  # TRUTH names them


@pytest.mark.parametrize("name", ["m.tif", "m.zarr"])
def test_objects_of_a_result_are_found_and_scored(run, masks, name):
    truth, objects = (tifffile.imread(masks / f"{one}.tif") for one in ("truth", "objects"))
    paths = ResultPaths.of(masks / name)
    numbers = objects.astype(np.uint32)
    numbers[3][numbers[3] == 9] = 255  # no mark of pixels that do not count
    metadata = StackMetadata(class_names=("ipsc", "dfc"))
    with new_result(paths, truth.shape, truth.dtype, metadata, overwrite=False) as growing:
        growing.classes[:], growing.objects[:] = truth, numbers
        growing.finish(ObjectTable.empty(("ipsc", "dfc")))
    for predicted in (paths.masks, paths.ids):
        code, out, err = run(predicted, masks / "truth.tif", "--json")
        assert code == 0, err
        ipsc = json.loads(out)["classes"]["ipsc"]
        # two objects in each frame; of the truth, which has no ids, they are one piece
        assert (ipsc["n_objects"], ipsc["n_predicted"]) == (4, 8)
        assert ipsc["ap50"] == 0.5
    _, out, _ = run(paths.masks, masks / "truth.tif")
    assert "AP50" in out
