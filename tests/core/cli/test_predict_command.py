import os
import signal

import pytest

from rleseg_core.inference import Stitcher

COMMAND = ("predict",)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_masks_are_written_with_their_classes(run, values, synthetic, model, tmp_path, suffix):
    masks = tmp_path / f"masks{suffix}"
    how = ("-m", model, "-o", masks, "--frames", "0,2-3", "--device", "cpu")
    summary = values(synthetic / "images.tif", *how)
    assert (summary["frames"], summary["windows"]) == (3, 3 * 4)
    assert masks.exists()
    code, out, _ = run(synthetic / "images.tif", *how, "--overwrite")
    assert code == 0
    assert out.startswith("3 frames, 12 windows")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_segmentation_leaves_nothing(
    run, synthetic, model, tmp_path, monkeypatch, number
):
    monkeypatch.setattr(Stitcher, "add", lambda *_: os.kill(os.getpid(), number))
    # the tests may themselves run where interrupts are ignored, as behind nohup
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        how = ("-m", model, "-o", tmp_path / "o.tif", "--device", "cpu")
        code, *_ = run(synthetic / "images.tif", *how)
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert not list(tmp_path.iterdir())


def test_missing_stack(refused, model, tmp_path):
    how = ("-m", model, "-o", tmp_path / "o.tif")
    refused(tmp_path / "missing.tif", *how, about="missing.tif")
    assert not list(tmp_path.iterdir())


def test_truncated_tiff(refused, synthetic, model, tmp_path):
    whole = (synthetic / "images.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.tif", "-m", model, "-o", tmp_path / "o.tif", about="cut.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.tif"]


def test_checkpoint_that_is_not_one(refused, synthetic, tmp_path):
    (tmp_path / "fake.safetensors").write_text("nothing of the kind")
    how = ("-m", tmp_path / "fake.safetensors", "-o", tmp_path / "o.tif")
    refused(synthetic / "images.tif", *how, about="not a model of rleseg")
    assert [path.name for path in tmp_path.iterdir()] == ["fake.safetensors"]


def test_output_of_an_unknown_kind(refused, synthetic, model, tmp_path):
    how = ("-m", model, "-o", tmp_path / "masks.png")
    refused(synthetic / "images.tif", *how, about=".zarr")


@pytest.mark.parametrize("frames", ["0-99", "x", "3-", "²", "5-3", "0-99999999999999"])
def test_frames_that_are_not_there(refused, synthetic, model, tmp_path, frames):
    how = ("-m", model, "-o", tmp_path / "o.tif", "--frames", frames)
    refused(synthetic / "images.tif", *how, about=frames)
    assert not list(tmp_path.iterdir())


def test_output_where_nothing_can_be_written(refused, synthetic, model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    how = ("-m", model, "-o", tmp_path / "file" / "o.tif")
    refused(synthetic / "images.tif", *how, about=str(tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_device_that_is_not_here(refused, synthetic, model, tmp_path):
    how = ("-m", model, "-o", tmp_path / "o.tif", "--device", "abacus")
    refused(synthetic / "images.tif", *how, about="abacus")


def test_values_are_checked_before_anything_is_read(refused):
    how = ("missing.tif", "-o", "o.tif")
    refused(*how, "--batch-size", 0, about="--batch-size")
    refused(*how, "--batch-size", "many", about="--batch-size")
    refused(*how, "--draft", "guess", about='"none", "frame", "dense"')
    refused(*how, "more", about="more")
    refused("missing.tif", about="--out is missing; see rleseg predict --help")
