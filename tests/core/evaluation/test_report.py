import csv
import itertools

import numpy as np
import pytest
from PIL import Image

from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import Masks
from rleseg_core.evaluation.boundary import BoundaryScore, boundary_counts, boundary_f
from rleseg_core.evaluation.concentration import ConcentrationError, concentration_mae
from rleseg_core.evaluation.instances import (
    ObjectPrecision,
    PanopticQuality,
    components,
    instance_scores,
    match_counts,
)
from rleseg_core.evaluation.report import (
    MEAN,
    MEAN_OF_IMAGES,
    MEDIAN_OF_IMAGES,
    POOLED,
    WITH_BACKGROUND,
    Evaluation,
)
from rleseg_core.evaluation.scores import confusion_matrix, score

EVERYTHING = (BoundaryScore(tolerance=1.0), ConcentrationError(), ObjectPrecision())


@pytest.fixture
def masks():
    """Three images of two classes; the second has no class 2, and the third was all missed."""
    truth = np.zeros((3, 12, 16), np.uint8)
    truth[:, 2:8, 2:8] = 1
    truth[0, 5:11, 10:15] = truth[2, 5:11, 8:15] = 2
    predicted = np.roll(truth, 1, axis=2)
    predicted[2] = 0
    return truth, predicted


@pytest.fixture
def evaluation(masks):
    result = Evaluation(class_names=("ipsc", "dfc"), agnostic="cell", metrics=EVERYTHING)
    for frame, (true, given) in enumerate(zip(*masks, strict=True)):
        result.add(str(frame), Masks(true), Masks(given))
    return result


def test_pooled_scores_are_those_of_all_pixels(evaluation, masks):
    truth, predicted = masks
    pooled = evaluation.tables()[POOLED]
    expected = score(confusion_matrix(truth, predicted, 2), ("ipsc", "dfc"), "cell")
    assert evaluation.pooled_scores() == expected
    assert pooled["dfc"]["dice"] == expected.classes[1].dice
    assert pooled["cell"]["iou"] == expected.agnostic.iou
    assert pooled[MEAN]["fw_iou"] == expected.mean.fw_iou
    assert pooled[WITH_BACKGROUND]["pixel_accuracy"] == expected.pixel_accuracy
    edges = boundary_f(boundary_counts(truth, predicted, 2, 1.0))
    assert [pooled[name]["boundary_f"] for name in ("ipsc", "dfc")] == edges.tolist()
    as_one = boundary_f(boundary_counts(truth > 0, predicted > 0, 1, 1.0))
    assert pooled["cell"]["boundary_f"] == as_one[0]
    assert pooled[MEAN]["boundary_f"] == pytest.approx(edges.mean())


def test_errors_of_concentration_are_averaged_over_images(evaluation, masks):
    tables = evaluation.tables()
    each = np.array([concentration_mae(*pair, 2) for pair in zip(*masks, strict=True)])
    for name, row in (("ipsc", 1), ("dfc", 2), ("cell", 0)):
        assert tables[POOLED][name]["concentration_mae"] == pytest.approx(each[:, row].mean())
        median = tables[MEDIAN_OF_IMAGES][name]["concentration_mae"]
        assert median == pytest.approx(np.median(each[:, row]))


def test_objects_of_classes_are_their_pieces(evaluation, masks):
    pooled = evaluation.tables()[POOLED]
    for name, keep in (("ipsc", [1]), ("dfc", [2]), ("cell", [1, 2])):
        pairs = (
            [components(np.isin(image, keep)) for image in pair]
            for pair in zip(*masks, strict=True)
        )
        expected = instance_scores(sum(match_counts(*pair) for pair in pairs))
        assert pooled[name]["ap"] == pytest.approx(expected.ap)
        assert pooled[name]["n_objects"] == expected.n_objects
    # in the third image the classes touch, and are one object where classes do not matter
    assert pooled["ipsc"]["n_objects"] + pooled["dfc"]["n_objects"] == 5
    assert pooled["cell"]["n_objects"] == 4


def test_numbered_objects_are_taken_as_they_are():
    classes = np.ones((4, 4), np.uint8)
    objects = np.repeat([[1, 2]], 4, axis=0).repeat(2, axis=1)
    metrics = (ObjectPrecision(), PanopticQuality())
    evaluation = Evaluation(class_names=("cell",), metrics=metrics)
    evaluation.add("0", Masks(classes, objects), Masks(classes))
    evaluation.add("1", Masks(classes, objects), Masks(classes, objects))
    tables = evaluation.tables()
    assert tables["0"]["cell"]["ap50"] == 0.5  # one piece is half right, one object is missed
    assert tables["1"]["cell"]["ap"] == 1.0
    pooled = tables[POOLED]["cell"]
    assert pooled["ap50"] == pytest.approx(3 / 4)
    assert pooled["f1"] == pytest.approx(6 / 7)
    assert pooled["pq"] == pytest.approx(2 / 3.5)  # a half is no match here
    assert (pooled["sq"], pooled["rq"]) == (1, pytest.approx(4 / 7))


def test_images_without_a_class_are_left_out_of_the_mean_of_images(evaluation):
    tables = evaluation.tables()
    assert np.isnan(tables["1"]["dfc"]["dice"])
    known = [tables[image]["dfc"]["dice"] for image in ("0", "2")]
    assert tables[MEAN_OF_IMAGES]["dfc"]["dice"] == pytest.approx(np.mean(known))
    assert tables[MEDIAN_OF_IMAGES]["dfc"]["dice"] == pytest.approx(np.median(known))
    assert tables["2"]["dfc"]["dice"] == 0


def test_table_has_a_row_for_each_image_and_class(evaluation, tmp_path):
    path = evaluation.write_csv(tmp_path / "new" / "scores.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    images = ["0", "1", "2", POOLED, MEAN_OF_IMAGES, MEDIAN_OF_IMAGES]
    classes = ["ipsc", "dfc", "cell", MEAN, WITH_BACKGROUND]
    found = [(row["image"], row["class"]) for row in rows]
    assert found == list(itertools.product(images, classes))
    by_name = {(row["image"], row["class"]): row for row in rows}
    assert by_name["1", "dfc"]["dice"] == ""  # neither there nor predicted
    assert by_name["0", "ipsc"]["n_pixels"] == "36"
    assert float(by_name["0", "ipsc"]["dice"]) == pytest.approx(30 / 36, abs=1e-6)
    assert float(by_name["pooled", MEAN]["fw_recall"]) < 1
    assert by_name["pooled", WITH_BACKGROUND]["pixel_accuracy"] != ""
    assert by_name["pooled", "ipsc"]["fw_recall"] == ""


def test_picture_of_the_images(evaluation, tmp_path):
    path = evaluation.save_plot(tmp_path / "dice.png")
    assert Image.open(path).size[0] == 900


def test_json_holds_everything_in_plain_values(evaluation):
    values = evaluation.to_json()
    assert set(values["classes"]) == {"ipsc", "dfc"}
    assert set(values["agnostic"]) == {"cell"}
    assert values["classes"]["ipsc"]["n_objects"] == 3
    assert set(values["over_images"]) == {"mean", "median"}
    assert values["mean"]["dice"] == values["mean_dice"]


def test_one_class_needs_no_joined_one(masks):
    evaluation = Evaluation(class_names=("foreground",))
    evaluation.add("0", Masks(masks[0][0] > 0), Masks(masks[1][0] > 0))
    assert list(evaluation.tables()["0"]) == ["foreground", MEAN, WITH_BACKGROUND]
    assert "agnostic" not in evaluation.to_json()


@pytest.mark.parametrize(
    ("names", "agnostic"), [(("a", "b"), "a"), (("a", "a"), "cell"), (("mean", "b"), "cell")]
)
def test_names_must_differ(names, agnostic):
    with pytest.raises(DataError, match="two rows"):
        Evaluation(class_names=names, agnostic=agnostic)


def test_no_images_at_all():
    with pytest.raises(DataError, match="no images"):
        Evaluation(class_names=("a",)).to_json()
