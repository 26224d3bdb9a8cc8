import json

import numpy as np
import pytest
import tifffile

from rleseg_core.checkpoints import read_info
from rleseg_core.cli.app import main
from rleseg_core.errors import TrainingError
from rleseg_core.evaluation.scores import score
from rleseg_core.training import BEST, LAST, TrainConfig, trainer
from rleseg_core.training.selection import check_selected_class, parse_selection


def three_steps(**settings):
    """A run with three validations."""
    return TrainConfig(n_steps=3, batch_size=2, warmup_steps=0, validate_every=1, **settings)


@pytest.fixture
def told(monkeypatch):
    """Validations that find class 1 best at step 1, class 2 at step 2, accuracy at step 3."""
    confusions = [
        [[50, 20, 0], [0, 20, 0], [9, 0, 1]],
        [[60, 0, 10], [18, 2, 0], [0, 0, 10]],
        [[70, 0, 0], [10, 10, 0], [5, 0, 5]],
    ]
    steps = iter(np.array(confusions))
    monkeypatch.setattr(trainer, "validate", lambda *_, **__: score(next(steps), ("ipsc", "dfc")))


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({}, 3),
        ({"select_metric": "recall", "select_class": "ipsc"}, 1),
        ({"select_metric": "recall", "select_class": "dfc"}, 2),
        ({"select_metric": "precision", "select_class": "foreground"}, 3),
        ({"select_metric": "pixel_accuracy"}, 3),
        ({"select_metric": "fw_recall"}, 1),
    ],
)
def test_best_model_is_the_one_of_the_chosen_score(told, small_run, tmp_path, settings, step):
    reports = list(small_run(tmp_path, three_steps(**settings)))
    assert read_info(tmp_path / BEST).step == step
    assert read_info(tmp_path / "model.safetensors").step == step
    selected = [report.validation["selected"] for report in reports]
    assert int(np.argmax(selected)) + 1 == step
    assert read_info(tmp_path / LAST).training["best_score"] == max(selected)


def test_run_ends_by_the_chosen_score(told, small_run, tmp_path):
    settings = {"select_metric": "recall", "select_class": "ipsc", "patience": 1}
    assert [report.step for report in small_run(tmp_path, three_steps(**settings))] == [1, 2]


def test_choice_survives_the_file_of_the_run(tmp_path):
    config = TrainConfig(select_metric="iou", select_class="dfc")
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert TrainConfig.from_json({"betas": (0.9, 0.95)}).select_metric == "dice"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("dice", ("dice", None)), ("iou:dfc", ("iou", "dfc")), (" recall : a:b ", ("recall", "a:b"))],
)
def test_choice_is_read_from_a_text(text, expected):
    assert parse_selection(text) == expected


@pytest.mark.parametrize(
    ("text", "about"),
    [("jaccard", "only by one of dice, iou"), ("", "''"), ("fw_iou:dfc", "leave the class out")],
)
def test_unknown_metric_is_told_in_a_sentence(text, about):
    with pytest.raises(TrainingError, match=about):
        parse_selection(text)


def test_config_knows_its_metrics():
    with pytest.raises(TrainingError, match="'jaccard'"):
        TrainConfig(select_metric="jaccard")
    with pytest.raises(TrainingError, match="average over classes"):
        TrainConfig(select_metric="pixel_accuracy", select_class="ipsc")


def test_unknown_class_is_told_before_the_training(small_run, tmp_path):
    with pytest.raises(TrainingError, match="'cell', only by one of ipsc, dfc, foreground"):
        next(small_run(tmp_path, three_steps(select_class="cell")))
    assert not (tmp_path / LAST).exists()
    check_selected_class("foreground", ("ipsc",))


def run_command(folder, sequence, *options):
    """Exit code of ``rleseg train`` on four small frames."""
    for name, stack in (("images", sequence.images), ("classes", sequence.classes)):
        tifffile.imwrite(folder / f"{name}.tif", stack, photometric="minisblack")
    data = [folder / "images.tif", folder / "classes.tif", "--out", folder / "model.safetensors"]
    size = ["--size", "test", "--patch", 32, "--mask-size", 16, "--max-tokens", 64]
    rest = ["--classes", "ipsc,dfc", "--steps", 1, "--batch-size", 2, "--device", "cpu", "--json"]
    with pytest.raises(SystemExit) as end:
        main(["train", *map(str, [*data, *size, *rest, *options])])
    return end.value.code


@pytest.mark.parametrize(
    ("choice", "about"),
    [("jaccard", "'jaccard'"), ("iou:cell", "'cell'"), ("fw_iou:dfc", "fw_iou")],
)
def test_command_refuses_what_it_cannot_choose_by(tmp_path, sequence, capfd, choice, about):
    assert run_command(tmp_path, sequence, "--select", choice) == 2
    told = capfd.readouterr()
    assert told.out == ""
    error = told.err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert about in error
    assert not list(tmp_path.rglob("*.safetensors"))


def test_command_tells_the_score_it_chose_by(tmp_path, sequence, capfd):
    assert run_command(tmp_path, sequence, "--select", "pixel_accuracy") == 0
    figures = json.loads(capfd.readouterr().out)
    assert 0 <= figures["selected"] <= 1
    config = read_info(tmp_path / "model" / LAST).training["config"]
    assert (config["select_metric"], config["select_class"]) == ("pixel_accuracy", None)
