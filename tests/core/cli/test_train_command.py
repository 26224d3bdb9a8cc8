from dataclasses import fields, replace

import numpy as np
import pytest
import tifffile

from rleseg_core.augment.config import Augmentation
from rleseg_core.checkpoints import load_checkpoint, read_info, save_checkpoint
from rleseg_core.cli.app import app
from rleseg_core.model import SIZES
from rleseg_core.training import LAST, TrainConfig

COMMAND = ("train",)
CLASSES = ("--classes", "ipsc,dfc")
SMALL = ("--size", "test", "--patch", 32, "--mask-size", 8, "--max-tokens", 32)
SHORT = ("--steps", 2, "--batch-size", 1, "--device", "cpu")


@pytest.fixture
def data(synthetic):
    return synthetic / "images.tif", synthetic / "classes.tif", *CLASSES


def settings_of(folder) -> dict:
    return read_info(folder / LAST).training["config"]


def test_unfinished_run_is_resumed_and_not_begun_anew(refused, values, data, tmp_path):
    arguments = (*data, "--out", tmp_path / "m.safetensors", *SMALL, *SHORT)
    arguments += ("--subsample-rule", "max")
    assert values(*arguments)["steps"] == 2
    for path in (tmp_path / "m.safetensors", tmp_path / "m" / LAST):
        assert read_info(path).card["subsample_rule"] == "max"
    last = load_checkpoint(tmp_path / "m" / LAST)
    stopped = replace(last.info, step=1, training={**last.info.training, "finished": False})
    save_checkpoint(stopped, last.weights, last.state, overwrite=True)
    refused(*arguments, about="--resume")
    assert values(*arguments, "--resume")["steps"] == 2
    refused(*arguments, about="finished run")
    assert values(*arguments, "--overwrite")["steps"] == 2


def test_masks_without_objects_can_be_learned(values, synthetic, tmp_path):
    tifffile.imwrite(tmp_path / "empty.tif", np.zeros((6, 64, 64), np.uint8))
    stacks = (synthetic / "images.tif", tmp_path / "empty.tif", *CLASSES)
    how = ("--out", tmp_path / "m.safetensors", *SMALL, *SHORT, "--lr", 0.05, "-q")
    assert values(*stacks, *how)["steps"] == 2


def test_what_the_user_gives_goes_before_what_suits_a_size(values, data, tmp_path):
    how = ("--out", tmp_path / "m.safetensors", *SMALL, "--size", "nano", "--device", "cpu")
    given = ("--steps", 1, "--batch-size", 2, "--validate-every", 0, "--weight-decay", 0.5)
    values(*data, *how, *given, "--betas", 0.8, 0.9, "--augment-angle", 5, "--select", "iou:dfc")
    settings = settings_of(tmp_path / "m")
    assert settings["learning_rate"] == 2e-3  # as suits a new nano model
    assert (settings["batch_size"], settings["weight_decay"]) == (2, 0.5)
    assert tuple(settings["betas"]) == (0.8, 0.9)
    assert settings["augment"]["angle"] == 5
    assert settings["augment"]["noise"] == Augmentation().noise
    assert (settings["select_metric"], settings["select_class"]) == ("iou", "dfc")


def test_preset_decides_what_the_user_does_not(values, data, model, tmp_path):
    how = (*data, "--from", model, "--out", tmp_path / "m.safetensors", "--preset", "thorough")
    parts = ("--freeze", "backbone", "--lr-of", "encoder=0.5", "--lr-of", "projection=2")
    summary = values(*how, *SHORT, *parts, "-q")
    assert summary["validation_dice"] is not None  # one of six frames is held out
    settings = settings_of(tmp_path / "m")
    assert (settings["n_steps"], settings["frozen"]) == (2, ["backbone"])
    assert settings["rates"] == {"encoder": 0.5, "projection": 2.0}
    assert settings["patience"] > 0


def test_spellings_of_version_0_1_are_understood(values, synthetic, data, model, tmp_path):
    how = (*data, "--from", model, "--out", tmp_path / "m.safetensors", *SHORT, "--mix-share=0.5")
    replay = ("--mix", synthetic / "images.tif", synthetic / "classes.tif")
    values(*how, *replay, "--freeze", "trunk", "--lr-of", "bridge=2")
    settings = settings_of(tmp_path / "m")
    assert (settings["frozen"], settings["rates"]) == (["backbone"], {"projection": 2.0})


def test_options_that_the_base_decides_are_refused(refused, data, model, tmp_path):
    how = (*data, "--from", model, "--out", tmp_path / "m.safetensors")
    refused(*how, "--patch", 32, "--mask-size", 16, about="--patch, --mask-size")
    refused(*how, "--order", "F", "--fusion", "late", about="--order, --fusion")
    refused(*how, "--backbone", "resnet50", about="--backbone")
    assert not list(tmp_path.iterdir())


def test_name_of_a_model_is_checked_before_the_training(refused, data, tmp_path):
    refused(*data, "--out", tmp_path / "model", about=".safetensors")
    (tmp_path / "m.safetensors").mkdir()
    refused(*data, "--out", tmp_path / "m.safetensors", about="is a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (("--steps", 0), "--steps must be a whole number of 1 or more, got 0"),
        (("--steps", 1.5), "--steps"),
        (("--lr", "fast"), "--lr"),
        (("--lr-of", "backbone"), "as backbone=0.1"),
        (("--freeze", "head"), "'head'"),
        (("--select", "beauty"), "'beauty'"),
        (("--preset", "quick"), "give it with --from"),
        (("--replay", "a.tif"), "--replay"),
        (("--replay-share", 1), "--replay-share"),
        (("--augment-contrast", 2), "contrast must be a number from 0 to below 1, got 2.0"),
        (("--devices", 0), "--devices must be a whole number of 1 or more, got 0"),
    ],
)
def test_values_are_checked_before_the_training(refused, data, tmp_path, options, about):
    refused(*data, "--out", tmp_path / "m.safetensors", *options, about=about)
    assert not list(tmp_path.iterdir())


def test_masks_that_do_not_fit_are_refused(refused, synthetic, tmp_path):
    out = (*CLASSES, "--out", tmp_path / "m.safetensors")
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((6, 32, 32), np.uint8))
    refused(synthetic / "images.tif", tmp_path / "small.tif", *out, about="32")
    classes = tifffile.imread(synthetic / "classes.tif")
    classes[4, 0, 0] = 7
    tifffile.imwrite(tmp_path / "wrong.tif", classes, photometric="minisblack")
    refused(
        synthetic / "images.tif",
        tmp_path / "wrong.tif",
        *out,
        about="wrong.tif holds the ids 0, 2 and 7",
    )
    assert {path.name for path in tmp_path.iterdir()} == {"small.tif", "wrong.tif"}


def test_every_setting_is_an_option(run):
    code, out, _ = run("--help")
    assert code == 0
    options = {
        name for argument in app["train"].assemble_argument_collection() for name in argument.names
    }
    names = {field.name: field.name for field in fields(TrainConfig)}
    names |= {"n_steps": "steps", "learning_rate": "lr", "frozen": "freeze", "rates": "lr_of"}
    names |= {"select_metric": "select", "select_class": "select"}
    names |= {f"augment.{field.name}": f"augment_{field.name}" for field in fields(Augmentation)}
    assert {f"--{name.replace('_', '-')}" for name in names.values()} <= options
    public = {size for size in SIZES if size != "test"}
    assert public <= set(out.replace(",", " ").replace(";", " ").split())
