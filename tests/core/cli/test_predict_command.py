import os
import signal
from dataclasses import replace

import pytest

from rleseg_core.checkpoints import load_checkpoint, save_checkpoint
from rleseg_core.data.formats.registry import series_of
from rleseg_core.inference import Segmenter, Stitcher
from rleseg_core.tracks.opening import open_tracks

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
    monkeypatch.setattr(Stitcher, "add", lambda *_, **__: os.kill(os.getpid(), number))
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


@pytest.fixture
def knowing(model, tmp_path_factory):
    """The same model, which knows that its objects were 8 to 20 pixels wide."""
    checkpoint = load_checkpoint(model)
    path = tmp_path_factory.mktemp("knowing") / "knowing.safetensors"
    info = replace(checkpoint.info, path=path, object_diameter=12.0, object_diameters=(8.0, 20.0))
    return save_checkpoint(info, checkpoint.weights)


def test_diameter_decides_on_the_size_of_frames(run, values, synthetic, knowing, tmp_path):
    stack, how = synthetic / "images.tif", ("-m", knowing, "--device", "cpu", "--frames", 0)
    code, _, err = run(stack, *how, "-o", tmp_path / "o.tif", "--diameter", "24")
    assert code == 0
    assert "objects are about 24 px wide; frames are seen at 32 px" in err
    summary = values(stack, *how, "-o", tmp_path / "p.tif", "--diameter", "6")
    assert (summary["image_size"], summary["diameter"]) == (128, 6)
    record = series_of(tmp_path / "p.tif", masks=True)[0].metadata.provenance
    assert (record["image_size"], record["diameter"]) == (128, 6)


def test_next_to_no_objects_are_told(run, synthetic, knowing, tmp_path, monkeypatch):
    monkeypatch.setattr(Segmenter, "_decode", blank_decode)
    how = ("-m", knowing, "-o", tmp_path / "o.tif", "--image-size", 64, "--frames", 0)
    code, _, err = run(synthetic / "images.tif", *how)
    assert code == 0
    assert "note: next to no objects were found (0.00% of the pixels)" in err


def blank_decode(segmenter, reader, windows, size, options, encode, found):
    return (segmenter._source.nothing() for _ in windows)


def test_diameters_that_cannot_be(refused, synthetic, model, knowing, tmp_path):
    how = (synthetic / "images.tif", "-o", tmp_path / "o.tif")
    refused(*how, "-m", model, "--diameter", "9", about="does not know the diameter")
    refused(*how, "-m", model, "--diameter", "auto", about="does not know the diameter")
    refused(*how, "-m", knowing, "--diameter", "wide", about="--diameter takes the width")
    refused(*how, "-m", knowing, "--diameter", "-3", about="diameter must be")
    refused(*how, "-m", knowing, "--diameter", "0.001", about="give a larger diameter")
    both = ("--diameter", "9", "--image-size", 99)
    refused(*how, "-m", knowing, *both, about="give --image-size or --diameter")
    assert not list(tmp_path.iterdir())


def test_objects_are_linked_and_their_tracks_written(run, synthetic, model, tmp_path):
    masks, tracks = tmp_path / "masks.tif", tmp_path / "tracks.tif"
    how = ("-m", model, "-o", masks, "--device", "cpu", "--tracks", tracks)
    code, out, err = run(synthetic / "images.tif", *how)
    assert code == 0, err
    assert "tracks with" in " ".join(out.split())
    _, found = open_tracks(tracks)
    assert found.frame.max() == 5
    assert run(synthetic / "images.tif", *how[:2], "-o", tmp_path / "o.tif", *how[4:])[0] == 2
    assert not (tmp_path / "o.tif").exists()
