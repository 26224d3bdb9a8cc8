import json
import os
import signal
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tifffile

from rleseg_core.cli import main
from rleseg_core.inference import Stitcher


def run(capfd, *arguments):
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    told = capfd.readouterr()
    return end.value.code or 0, told.out, told.err


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    arguments = ["synth", folder, "--frames", 6, "--height", 96, "--width", 96, "--seed", 3, "-q"]
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert not end.value.code
    return folder


@pytest.fixture(scope="module")
def model(synthetic, tmp_path_factory) -> Path:
    """A tiny model, trained for a few steps."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    arguments = [
        *(
            "train",
            "--classes",
            "ipsc,dfc",
            synthetic / "images.tif",
            synthetic / "classes.tif",
            "--out",
            path,
        ),
        *("--size", "test", "--patch", 64, "--mask-size", 16, "--max-tokens", 128, "--steps", 4),
        *(
            "--batch-size",
            2,
            "--checkpoint-every",
            2,
            "--validate-every",
            0,
            "--device",
            "cpu",
            "-q",
        ),
    ]
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert not end.value.code
    return path


def assert_one_sentence(code, out, err, *, about):
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert about in err


def test_vocabulary_table(capfd):
    code, out, _ = run(capfd, "tokens", "vocab", "--scheme", "lac", "--mask-size", 80)
    assert code == 0
    assert "start" in out
    assert str(3 + 80 * 80 + 2 * 80) in out


def test_vocabulary_as_json(capfd):
    code, out, _ = run(
        capfd, "tokens", "vocab", "--scheme", "multiclass", "--start", "coords", "--json"
    )
    assert code == 0
    assert json.loads(out)["size"] == 3 + 80 + 80 + 2


def test_unknown_scheme(capfd):
    assert_one_sentence(*run(capfd, "tokens", "vocab", "--scheme", "morse"), about="morse")


def test_tokens_of_a_mask(capfd, tmp_path):
    mask = np.zeros((4, 4), np.uint8)
    mask[1, 1:3] = 2
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    code, out, _ = run(capfd, "tokens", "encode", tmp_path / "mask.tif", "--json")
    assert code == 0
    assert json.loads(out)["tokens"] == [3 + 5, 3 + 16 + 4 + 1, 2]
    code, out, _ = run(capfd, "tokens", "encode", tmp_path / "mask.tif")
    assert "row 1, col 1" in out


def test_tokens_of_a_mask_in_grey_levels(capfd, tmp_path):
    mask = np.zeros((4, 4), np.uint8)
    mask[1, 1:3] = 255
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    told = ("tokens", "encode", tmp_path / "mask.tif", "--scheme", "binary", "--classes", "cell")
    code, out, _ = run(capfd, *told, "--json")
    assert code == 0
    assert json.loads(out)["tokens"] == [3 + 5, 3 + 16 + 1, 2]
    tifffile.imwrite(tmp_path / "mask.tif", np.arange(16, dtype=np.uint8).reshape(4, 4))
    assert_one_sentence(*run(capfd, *told), about="ids from 0 to 15")


def test_synth_tells_what_it_wrote(capfd, tmp_path):
    code, out, _ = run(
        capfd, "synth", tmp_path / "s", "--frames", 2, "--height", 64, "--width", 80, "--json"
    )
    assert code == 0
    told = json.loads(out)
    assert tifffile.imread(told["images"]).shape == (2, 64, 80)
    assert told["class_names"] == ["ipsc", "dfc"]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_predict_and_evaluate(capfd, synthetic, model, tmp_path, suffix):
    masks = tmp_path / f"masks{suffix}"
    code, out, err = run(
        capfd, "predict", synthetic / "images.tif", "-m", model, "-o", masks, "--json"
    )
    assert code == 0, err
    figures = json.loads(out)
    assert figures["frames"] == 6
    assert figures["windows"] == 6 * 4
    assert masks.exists()
    code, out, _ = run(capfd, "evaluate", masks, synthetic / "classes.tif", "--json")
    assert code == 0
    assert set(json.loads(out)["classes"]) == {"ipsc", "dfc"}


def test_demo_writes_all_it_names(capfd, model, tmp_path):
    code, out, err = run(
        capfd,
        *("demo", "--out", tmp_path, "--model", model, "--frames", 1, "--side", 64),
        *("--device", "cpu", "--no-open", "--json"),
    )
    assert code == 0, err
    summary = json.loads(out, parse_constant=pytest.fail)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["dice"]) == {"ipsc", "dfc"}
    names = {"images.tif", "truth.tif", "masks.tif", "masks.zarr", "overlay.png", "tokens.gif"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"summary.json"}


def test_perfect_masks_score_one(capfd, synthetic):
    truth = synthetic / "classes.tif"
    code, out, _ = run(capfd, "evaluate", truth, truth, "--frames", "1-3", "--json")
    assert code == 0
    assert json.loads(out)["mean_dice"] == 1.0


def test_masks_of_any_integer_type_or_of_grey_levels_are_scored(capfd, synthetic, tmp_path):
    classes = tifffile.imread(synthetic / "classes.tif")
    tifffile.imwrite(tmp_path / "long.tif", classes.astype(np.uint64))
    told = run(
        capfd,
        "evaluate",
        "--classes",
        "ipsc,dfc",
        "--classes",
        "ipsc,dfc",
        tmp_path / "long.tif",
        synthetic / "classes.tif",
        "--json",
    )
    assert json.loads(told[1])["mean_dice"] == 1.0
    tifffile.imwrite(tmp_path / "grey.tif", np.where(classes > 0, 255, 0).astype(np.uint8))
    told = run(
        capfd,
        *(
            "evaluate",
            "--classes",
            "ipsc,dfc",
            tmp_path / "grey.tif",
            synthetic / "instances.tif",
            "--instances",
        ),
        *("--classes", "cell", "--json"),
    )
    assert json.loads(told[1])["mean_dice"] == 1.0


def test_ids_that_are_no_classes_are_not_scored(capfd, synthetic, tmp_path):
    classes = tifffile.imread(synthetic / "classes.tif").astype(np.int16)
    tifffile.imwrite(tmp_path / "negative.tif", -classes)
    told = run(
        capfd,
        "evaluate",
        "--classes",
        "ipsc,dfc",
        "--classes",
        "ipsc,dfc",
        tmp_path / "negative.tif",
        synthetic / "classes.tif",
    )
    assert_one_sentence(*told, about="negative.tif, frame 0")


def test_instances_are_of_one_class(capfd, synthetic, tmp_path):
    truth = synthetic / "instances.tif"
    told = run(capfd, "evaluate", synthetic / "classes.tif", truth, "--instances")
    assert_one_sentence(*told, about="--classes cell")


def test_training_resumes_where_it_stopped(capfd, synthetic, model):
    told = run(
        capfd,
        *(
            "train",
            "--classes",
            "ipsc,dfc",
            synthetic / "images.tif",
            synthetic / "classes.tif",
            "--out",
            model,
        ),
        *("--run-dir", model.with_suffix(""), "--resume", "--size", "test", "--patch", 64),
        *("--mask-size", 16, "--max-tokens", 128, "--steps", 4, "--device", "cpu", "--json"),
    )
    assert told[0] == 0, told[2]
    assert json.loads(told[1])["steps"] == 4


def test_options_that_the_base_decides_are_refused(capfd, synthetic, model, tmp_path):
    told = run(
        capfd,
        *(
            "train",
            "--classes",
            "ipsc,dfc",
            synthetic / "images.tif",
            synthetic / "classes.tif",
            "--from",
            model,
        ),
        *("--out", tmp_path / "m.safetensors", "--patch", 32, "--mask-size", 16),
    )
    assert_one_sentence(*told, about="--patch, --mask-size")
    assert not list(tmp_path.iterdir())


def test_name_of_a_model_is_checked_before_the_training(capfd, synthetic, tmp_path):
    data = (synthetic / "images.tif", synthetic / "classes.tif")
    told = run(capfd, "train", "--classes", "ipsc,dfc", *data, "--out", tmp_path / "model")
    assert_one_sentence(*told, about=".safetensors")
    (tmp_path / "m.safetensors").mkdir()
    told = run(capfd, "train", "--classes", "ipsc,dfc", *data, "--out", tmp_path / "m.safetensors")
    assert_one_sentence(*told, about="folder of that name")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_masks_without_objects_can_be_learnt(capfd, synthetic, tmp_path):
    tifffile.imwrite(tmp_path / "empty.tif", np.zeros((6, 96, 96), np.uint8))
    code, out, err = run(
        capfd,
        *(
            "train",
            "--classes",
            "ipsc,dfc",
            synthetic / "images.tif",
            tmp_path / "empty.tif",
            "--size",
            "test",
        ),
        *("--out", tmp_path / "m.safetensors", "--patch", 64, "--mask-size", 16),
        *("--max-tokens", 32, "--steps", 4, "--lr", 0.05, "--batch-size", 2, "--device", "cpu"),
        *("--json", "-q"),
    )
    assert code == 0, err
    told = json.loads(out, parse_constant=pytest.fail)  # NaN is no JSON
    assert told["steps"] == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_segmentation_leaves_nothing(
    capfd, synthetic, model, tmp_path, monkeypatch, number
):
    monkeypatch.setattr(Stitcher, "add", lambda *_: os.kill(os.getpid(), number))
    # the tests may themselves run where interrupts are ignored, as behind nohup
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        told = run(
            capfd,
            *("predict", synthetic / "images.tif", "-m", model, "-o", tmp_path / "o.tif"),
            *("--device", "cpu"),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert told[0] == 130
    assert not list(tmp_path.iterdir())


def test_models_lists_the_bundled_one(capfd):
    code, out, _ = run(capfd, "models", "--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)}
    assert "recipe" in rows["demo"]["card"]


def test_version_is_that_of_the_package(capfd):
    assert run(capfd, "--version") == (0, f"{version('napari-rleseg')}\n", "")


def test_missing_stack(capfd, model, tmp_path):
    told = run(capfd, "predict", tmp_path / "missing.tif", "-m", model, "-o", tmp_path / "o.tif")
    assert_one_sentence(*told, about="missing.tif")
    assert not list(tmp_path.iterdir())


def test_truncated_tiff(capfd, synthetic, model, tmp_path):
    whole = (synthetic / "images.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    told = run(capfd, "predict", tmp_path / "cut.tif", "-m", model, "-o", tmp_path / "o.tif")
    assert_one_sentence(*told, about="cut.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.tif"]


def test_masks_of_another_shape(capfd, synthetic, tmp_path):
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((6, 32, 32), np.uint8))
    told = run(
        capfd,
        "evaluate",
        "--classes",
        "ipsc,dfc",
        "--classes",
        "ipsc,dfc",
        tmp_path / "small.tif",
        synthetic / "classes.tif",
    )
    assert_one_sentence(*told, about="small.tif is (6, 32, 32)")
    told = run(
        capfd,
        *("train", "--classes", "ipsc,dfc", synthetic / "images.tif", tmp_path / "small.tif"),
        *("--out", tmp_path / "m.safetensors"),
    )
    assert_one_sentence(*told, about="32")
    assert [path.name for path in tmp_path.iterdir()] == ["small.tif"]


def test_checkpoint_that_is_not_one(capfd, synthetic, tmp_path):
    (tmp_path / "fake.safetensors").write_text("nothing of the kind")
    told = run(
        capfd,
        *("predict", synthetic / "images.tif", "-m", tmp_path / "fake.safetensors"),
        *("-o", tmp_path / "o.tif"),
    )
    assert_one_sentence(*told, about="not a model of rleseg")
    assert [path.name for path in tmp_path.iterdir()] == ["fake.safetensors"]


def test_output_of_an_unknown_kind(capfd, synthetic, model, tmp_path):
    told = run(
        capfd, "predict", synthetic / "images.tif", "-m", model, "-o", tmp_path / "masks.png"
    )
    assert_one_sentence(*told, about=".zarr")


@pytest.mark.parametrize("frames", ["0-99", "x", "3-", "²", "5-3", "0-99999999999999"])
def test_frames_that_are_not_there(capfd, synthetic, model, tmp_path, frames):
    told = run(
        capfd,
        *("predict", synthetic / "images.tif", "-m", model, "-o", tmp_path / "o.tif"),
        *("--frames", frames),
    )
    assert_one_sentence(*told, about=frames)
    assert not list(tmp_path.iterdir())


def test_output_where_nothing_can_be_written(capfd, synthetic, model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    told = run(
        capfd,
        *("predict", synthetic / "images.tif", "-m", model, "-o", tmp_path / "file" / "o.tif"),
    )
    assert_one_sentence(*told, about=str(tmp_path / "file"))
    assert_one_sentence(*run(capfd, "synth", tmp_path / "file" / "s"), about="Not a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_device_that_is_not_here(capfd, synthetic, model, tmp_path):
    told = run(
        capfd,
        *("predict", synthetic / "images.tif", "-m", model, "-o", tmp_path / "o.tif"),
        *("--device", "abacus"),
    )
    assert_one_sentence(*told, about="abacus")


def test_unknown_option_is_exit_code_2(capfd):
    assert run(capfd, "predict", "--nothing")[0] == 2


def test_unfinished_run_is_not_begun_anew(capfd, synthetic, tmp_path):
    from rleseg_core.checkpoints import load_checkpoint, save_checkpoint

    arguments = [
        *("train", "--classes", "ipsc,dfc", synthetic / "images.tif", synthetic / "classes.tif"),
        *("--out", tmp_path / "m.safetensors", "--size", "test", "--patch", 64, "--mask-size", 16),
        *("--max-tokens", 64, "--steps", 2, "--batch-size", 1, "--device", "cpu", "--json"),
    ]
    assert run(capfd, *arguments)[0] == 0
    assert run(capfd, *arguments)[0] == 0  # a finished one is
    last = load_checkpoint(tmp_path / "m" / "last.safetensors")
    stopped = replace(last.info, step=1, training={**last.info.training, "finished": False})
    save_checkpoint(stopped, last.weights, last.state)
    assert_one_sentence(*run(capfd, *arguments), about="--resume")
    assert run(capfd, *arguments, "--resume")[0] == 0


def test_wrong_ids_in_a_later_frame_are_told_before_training(capfd, synthetic, tmp_path):
    classes = tifffile.imread(synthetic / "classes.tif")
    classes[4, 0, 0] = 7
    tifffile.imwrite(tmp_path / "wrong.tif", classes, photometric="minisblack")
    told = run(
        capfd,
        *("train", "--classes", "ipsc,dfc", synthetic / "images.tif", tmp_path / "wrong.tif"),
        *("--out", tmp_path / "m.safetensors"),
    )
    assert_one_sentence(*told, about="frame 4")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.tif"]


def test_class_names_are_those_noted_in_the_masks(capfd, synthetic, tmp_path):
    code, out, _ = run(
        capfd, "evaluate", synthetic / "classes.tif", synthetic / "classes.tif", "--json"
    )
    assert code == 0
    assert list(json.loads(out)["classes"]) == ["ipsc", "dfc"]
    tifffile.imwrite(tmp_path / "plain.tif", tifffile.imread(synthetic / "classes.tif"))
    told = run(capfd, "evaluate", tmp_path / "plain.tif", synthetic / "classes.tif")
    assert_one_sentence(*told, about="--classes")
