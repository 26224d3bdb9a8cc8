"""A newcomer's metric: one class, and one line of registration."""

import csv
import json
from dataclasses import dataclass

import numpy as np
import pytest
import tifffile

from rleseg_core.cli.app import main
from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import Masks, foreground
from rleseg_core.evaluation.registry import IMAGE_METRICS, metric_summaries
from rleseg_core.evaluation.report import MEAN, POOLED, Evaluation


@dataclass(frozen=True, kw_only=True)
class AreaError:
    """Relative error of the area that each class covers."""

    @property
    def headings(self):
        return {"area_error": "area err."}

    def count(self, truth: Masks, predicted: Masks, n_classes: int) -> np.ndarray:
        areas = [
            [np.count_nonzero(masks.classes == k) for k in range(1, n_classes + 1)]
            + [np.count_nonzero(foreground(masks.classes) == 1)]
            for masks in (truth, predicted)
        ]
        return np.array(areas).T

    def scores(self, counts: np.ndarray, n_images: int):
        true, given = counts.T
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"area_error": (np.abs(given - true) / true).tolist(), "n_true": true.tolist()}


def run(arguments):
    """``rleseg`` with some arguments, which must go well."""
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    assert not code


@pytest.fixture
def _registered(monkeypatch):
    monkeypatch.setitem(IMAGE_METRICS, "area", AreaError)


@pytest.fixture
def masks(tmp_path):
    truth = np.zeros((2, 8, 8), np.uint8)
    truth[:, :4, :4], truth[:, 6:, 6:] = 1, 2
    predicted = truth.copy()
    predicted[0, 0] = 0
    for name, stack in {"truth": truth, "predicted": predicted}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    return tmp_path


@pytest.mark.usefixtures("_registered")
def test_command_scores_by_it(masks, capfd):
    pair = [str(masks / "predicted.tif"), str(masks / "truth.tif"), "--classes", "a,b"]
    table = masks / "scores.csv"
    run(["evaluate", *pair, "--metrics", "area", "--json", "--csv", str(table)])
    values = json.loads(capfd.readouterr().out)
    assert values["classes"]["a"]["area_error"] == pytest.approx(4 / 32)
    assert values["classes"]["b"]["area_error"] == 0
    assert values["agnostic"]["foreground"]["area_error"] == pytest.approx(4 / 40)
    assert values["mean"]["area_error"] == pytest.approx(2 / 32)
    assert "n_true" not in values["mean"]
    with table.open(newline="") as file:
        assert "area_error" in next(csv.reader(file))
    run(["evaluate", *pair, "--metrics", "boundary,area"])
    out = capfd.readouterr().out
    assert "area err." in out
    assert "edge F" in out


@pytest.mark.usefixtures("_registered")
def test_it_is_summarised():
    assert metric_summaries()["area"] == "Relative error of the area that each class covers"


def test_unknown_metric_is_refused_with_the_known_ones(masks, capfd):
    pair = [str(masks / "predicted.tif"), str(masks / "truth.tif"), "--classes", "a,b"]
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *pair, "--metrics", "none"])
    assert end.value.code == 2
    assert ", ".join(IMAGE_METRICS) in capfd.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("name", IMAGE_METRICS)
@pytest.mark.parametrize("n_classes", [1, 2])
def test_every_metric_adds_up_over_images_and_rates_the_truth_best(name, n_classes):
    rng = np.random.default_rng(0)
    truth = np.zeros((3, 16, 16), np.uint8)
    truth[:, 2:8, 3:9] = 1
    truth[:, 10:14, 2:12] = n_classes
    noisy = np.where(rng.random(truth.shape) < 0.2, 0, truth)
    names = ("a", "b")[:n_classes]
    metric = IMAGE_METRICS[name]()
    best, worse = (Evaluation(class_names=names, metrics=(metric,)) for _ in range(2))
    for frame in range(3):
        best.add(str(frame), Masks(truth[frame]), Masks(truth[frame]))
        worse.add(str(frame), Masks(truth[frame]), Masks(noisy[frame]))
    shown = [key for key in best.tables()[POOLED][names[0]] if key in metric.headings]
    assert shown == list(metric.headings)
    for key in shown:
        right, wrong = (side.tables()[POOLED][MEAN][key] for side in (best, worse))
        assert right in (0, 1)
        assert 0 < wrong != right
        singly = [worse.tables()[str(frame)][names[0]][key] for frame in range(3)]
        pooled = worse.tables()[POOLED][names[0]][key]
        assert min(singly) - 1e-9 <= pooled <= max(singly) + 1e-9


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_masks_of_two_shapes_are_refused(name):
    one, other = np.ones((4, 4), np.uint8), np.ones((4, 5), np.uint8)
    evaluation = Evaluation(class_names=("a",), metrics=(IMAGE_METRICS[name](),))
    with pytest.raises(DataError, match="one shape"):
        evaluation.add("0", Masks(one), Masks(other))
