import json
from pathlib import Path

import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model, read_info, save_checkpoint
from rleseg_core.cli import main
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import LAST

FEW = ("--steps", 3, "--batch-size", 2, "--device", "cpu", "--json", "-q")


def run(capfd, *arguments):
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    told = capfd.readouterr()
    return end.value.code or 0, told.out, told.err


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("synthetic")
    with pytest.raises(SystemExit):
        main(["synth", str(folder), "--frames", "6", "--height", "64", "--width", "64", "-q"])
    return folder / "images.tif", folder / "classes.tif"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    info = new_model(
        tmp_path_factory.mktemp("model") / "base.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=24,
    )
    return save_checkpoint(info, build_model(info).state_dict())


def config_of(folder: Path) -> dict:
    return read_info(folder / LAST).training["config"]


def test_preset_decides_what_the_user_does_not(capfd, data, base, tmp_path):
    out = tmp_path / "m.safetensors"
    how = ("--classes", "ipsc,dfc", "--from", base, "--preset", "thorough", "--out", out)
    parts = ("--freeze", "backbone", "--lr-of", "encoder=0.5", "--lr-of", "projection=2")
    code, told, err = run(capfd, "train", *data, *how, *FEW, *parts)
    assert code == 0, err
    assert json.loads(told)["validation_dice"] is not None  # one of six frames is held out
    config = config_of(tmp_path / "m")
    assert (config["n_steps"], config["batch_size"], config["frozen"]) == (3, 2, ["backbone"])
    assert config["rates"] == {"encoder": 0.5, "projection": 2.0}
    assert config["patience"] > 0


def test_factor_that_is_no_number_is_told(capfd, data, base, tmp_path):
    how = ("--classes", "ipsc,dfc", "--from", base, "--out", tmp_path / "m.safetensors")
    code, told, err = run(capfd, "train", *data, *how, *FEW, "--lr-of", "backbone")
    assert (code, told) == (2, "")
    assert "as backbone=0.1" in err


def test_earlier_data_are_mixed_in(capfd, data, base, tmp_path):
    out = tmp_path / "m.safetensors"
    how = ("--classes", "ipsc,dfc", "--from", base, "--out", out, *FEW)
    code, _, err = run(capfd, "train", *data, *how, "--mix", *data, "--mix-share", 0.5)
    assert code == 0, err
    assert out.is_file()


def test_preset_is_for_a_model_to_begin_with(capfd, data, tmp_path):
    out = tmp_path / "m.safetensors"
    how = ("--classes", "ipsc,dfc", "--preset", "quick", "--out", out)
    code, told, err = run(capfd, "train", *data, *how, *FEW)
    assert (code, told) == (2, "")
    assert "give it with --from" in err


def test_parts_may_be_called_as_in_version_0_1(capfd, data, base, tmp_path):
    how = ("--classes", "ipsc,dfc", "--from", base, "--out", tmp_path / "m.safetensors", *FEW)
    code, _, err = run(capfd, "train", *data, *how, "--freeze", "trunk", "--lr-of", "bridge=2")
    assert code == 0, err
    config = config_of(tmp_path / "m")
    assert (config["frozen"], config["rates"]) == (["backbone"], {"projection": 2.0})
