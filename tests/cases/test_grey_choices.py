"""Inverted images, a contrast of one's own, models of earlier versions, channels: what is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors import safe_open

from rleseg_core.checkpoints import (
    build_model,
    find_model,
    load_checkpoint,
    new_model,
    read_info,
    save_checkpoint,
)
from rleseg_core.cli import main
from rleseg_core.data import ImageStack, LabelledStack, LabelStack, SyntheticConfig, synthesize
from rleseg_core.errors import CheckpointError, DataError, RlesegError
from rleseg_core.inference import Segmenter
from rleseg_core.normalisation import BY_TYPE, ROBUST
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import FineTuneOptions, TrainConfig, TrainingData, fine_tune
from rleseg_core.training.replay import replay_stacks

CELLS = synthesize(SyntheticConfig(n_frames=2, size=(128, 128), seed=3))
GREY = CELLS.images
RUN = ("--device", "cpu", "--image-size", "128")


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.from_checkpoint(find_model("demo"), "cpu")


@pytest.fixture(scope="module")
def masks(segmenter):
    def predict(images, **options):
        run = segmenter.predict(ImageStack.from_array(images), image_size=128, **options)
        return product_of(run, bool)

    return predict


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Runs a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code or 0, *capfd.readouterr()

    return run


def tiny_model(path):
    torch.manual_seed(0)
    info = new_model(
        path,
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=32, patch_stride=32, image_size=64),
        max_tokens=32,
    )
    save_checkpoint(info, build_model(info).state_dict())
    return read_info(path)


def test_inverted_images_give_the_same_masks(masks):
    clean = masks(GREY)
    assert clean.any()
    for images in (255 - GREY, 60_000 - GREY.astype(np.uint16) * 200, -GREY.astype(np.float32)):
        np.testing.assert_array_equal(masks(images, invert=True), clean)
    assert (masks(255 - GREY) != clean).mean() > 0.01


def test_contrast_is_of_the_whole_stack(masks):
    np.testing.assert_array_equal(
        masks(GREY.astype(np.uint16) * 10, contrast=(0, 2550)), masks(GREY, contrast=(0, 255))
    )
    blinded = masks(GREY, contrast=(250, 255))
    assert not blinded.any()
    with pytest.raises(RlesegError, match="lower one comes first"):
        masks(GREY, contrast=(7, 7))
    with pytest.raises(DataError, match="contrast"):
        masks(GREY, contrast=(0, float("nan")))


def test_commands_invert_and_record_it(run, masks):
    tifffile.imwrite("dark.tif", 255 - GREY, photometric="minisblack")
    made = ("predict", "dark.tif", "-m", "demo", *RUN, "-q", "-o")
    assert run(*made, "inverted.tif", "--invert")[0] == 0
    found = LabelStack.open("inverted.tif")
    np.testing.assert_array_equal(found.data.compute(), masks(GREY))
    assert "inverted" in str(found.metadata.provenance["grey_values"])
    assert run(*made, "contrast.zarr", "--contrast", "80,200")[0] == 0
    assert LabelStack.open("contrast.zarr").metadata.provenance["grey_values"] == "80 to 200"


@pytest.mark.parametrize("contrast", ["200,80", "3", "a,b", "1,inf", "nan,3", "1,2,3", ""])
def test_contrasts_that_cannot_be_are_refused(run, contrast):
    tifffile.imwrite("images.tif", GREY, photometric="minisblack")
    command = ("predict", "images.tif", "-m", "demo", "-o", "m.tif", "--contrast", contrast)
    code, _, err = run(*command)
    assert code == 2
    assert "contrast" in err
    assert not Path("m.tif").exists()


def test_the_channel_that_is_read_is_said(run, masks):
    both = np.stack([np.full_like(GREY, 3), GREY], 1)
    tifffile.imwrite("two.tif", both, imagej=True, metadata={"axes": "TCYX"})
    code, _, err = run("predict", "two.tif", "-m", "demo", *RUN, "-o", "m.tif")
    assert code == 0, err
    assert "2 channels" in err
    assert "channel 1 is read" in err
    assert "--channel" in err
    np.testing.assert_array_equal(LabelStack.open("m.tif").data.compute(), masks(GREY))
    command = ("predict", "two.tif", "-m", "demo", *RUN, "-q", "-o", "dark.tif")
    code, _, err = run(*command, "--channel", "0")
    assert code == 0
    assert err.startswith("note: next to no objects were found")  # and nothing on channels
    assert not LabelStack.open("dark.tif").data.compute().any()


def test_models_without_the_note_keep_the_rule_of_version_0_1(tmp_path):
    info = tiny_model(tmp_path / "new.safetensors")
    assert info.window_spec.normalisation == ROBUST
    with safe_open(info.path, "pt") as file:
        header = json.loads(file.metadata()["rleseg"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    note = header["window_spec"].pop("normalisation")
    assert note == {
        "rule": "frame",
        "low": 0.2,
        "high": 99.8,
        "least_range": 12.0,
        "invert": False,
        "contrast": None,
    }
    from safetensors.torch import save_file

    old = tmp_path / "old.safetensors"
    save_file(tensors, old, metadata={"rleseg": json.dumps(header)})
    assert read_info(old).window_spec.normalisation == BY_TYPE
    header["window_spec"]["normalisation"] = {"rule": "clever"}
    save_file(tensors, old, metadata={"rleseg": json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"normalisation.rule must be 'frame' or 'type'"):
        read_info(old)


def test_a_model_learns_and_predicts_from_the_same_grey_values(tmp_path):
    """What a base was told, the fine-tuned model keeps, and its replay data do not follow."""
    base = tiny_model(tmp_path / "base.safetensors")
    stack = LabelledStack(
        images=ImageStack.from_array(255 - GREY), classes=CELLS.classes, class_names=("ipsc", "dfc")
    )
    run = fine_tune(
        base.path,
        TrainingData(stacks=[stack], validation=[]),
        TrainConfig(n_steps=1, batch_size=1, validate_every=0),
        tmp_path / "run",
        options=FineTuneOptions(path=tmp_path / "tuned.safetensors", invert=True),
        device="cpu",
    )
    tuned = read_info(product_of(run, bool))
    assert tuned.window_spec.normalisation == replace(ROBUST, invert=True)
    model = Segmenter(tuned, build_model(tuned, load_checkpoint(tuned.path).weights), "cpu")
    assert model.window_spec().normalisation.invert
    assert not model.window_spec(invert=False).normalisation.invert
    demo = read_info(find_model("demo"))
    (replayed,) = replay_stacks(demo, demo.mask_spec.class_names, 64, n_sequences=1)
    assert replayed.normalisation == demo.window_spec.normalisation


def test_train_command_notes_the_grey_values(run, tmp_path):
    base = tiny_model(tmp_path / "base.safetensors")
    tifffile.imwrite("images.tif", 255 - GREY, photometric="minisblack")
    tifffile.imwrite("masks.tif", CELLS.classes, photometric="minisblack")
    start = ("train", "images.tif", "masks.tif", "--classes", "ipsc,dfc", "--steps", "1", "-q")
    where = ("--batch-size", "1", "--device", "cpu", "-o")
    code, _, err = run(*start, "--from", base.path, "--invert", *where, "tuned.safetensors")
    assert code == 0, err
    assert read_info("tuned.safetensors").window_spec.normalisation == replace(ROBUST, invert=True)
    new = ("--size", "test", "--patch", "32", "--contrast", "50,200")
    code, _, err = run(*start, *new, *where, "new.safetensors")
    assert code == 0, err
    assert read_info("new.safetensors").window_spec.normalisation.contrast == (50, 200)
