"""The command line reads all of a file, lists what there is to choose, and says what it assumes."""

import json
import os

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from rleseg_core.cli import main
from rleseg_core.data import LabelStack, SyntheticConfig, synthesize

SEQUENCE = synthesize(SyntheticConfig(n_frames=4, size=(64, 64), seed=3))
IMAGES, CLASSES = SEQUENCE.images, SEQUENCE.classes
if IMAGES.ndim == 4:
    IMAGES = IMAGES[..., 0]


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Runs a command in an empty folder, and gives its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code or 0, *capfd.readouterr()

    return run


def write(path, data):
    with pytest.warns(DeprecationWarning, match="photometric"):  # tifffile guesses colours
        tifffile.imwrite(path, data)


@pytest.fixture
def positions(tmp_path):
    """An OME-TIFF of two positions of two channels."""
    path = tmp_path / "p.ome.tif"
    names = {"axes": "TCYX", "Channel": {"Name": ["phase", "GFP"]}}
    data = np.stack([IMAGES, np.full_like(IMAGES, 3)], axis=1)
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for name in ("left", "right"):
            tiff.write(data, photometric="minisblack", metadata={**names, "Name": name})
    return path


def test_four_frames_give_four_masks(run, quick_model):
    write("four.tif", IMAGES)
    code, _, err = run("predict", "four.tif", "-m", quick_model, "--device", "cpu", "-o", "m.tif")
    assert code == 0
    assert "note: four.tif holds 4 planes that its writer marked as colour" in " ".join(err.split())
    assert LabelStack.open("m.tif").shape == (4, 64, 64)


@pytest.mark.parametrize("n_frames", [3, 4])
def test_masks_of_three_or_four_frames_are_scored(run, n_frames):
    write("masks.tif", CLASSES[:n_frames])
    code, out, err = run("evaluate", "masks.tif", "masks.tif", "--classes", "ipsc,dfc", "--json")
    assert code == 0, err
    assert json.loads(out)["frames"] == n_frames


def test_position_and_channel_are_asked_for_and_chosen(run, positions, quick_model):
    code, _, err = run("predict", positions, "-m", quick_model, "-o", "m.tif")
    assert code == 2
    assert "choose one with --series" in " ".join(err.split())
    assert not os.path.exists("m.tif")
    arguments = ("--series", "right", "--channel", "phase", "-m", quick_model, "--device", "cpu")
    code, _, err = run("predict", positions, "-o", "m.tif", *arguments)
    assert code == 0, err
    tifffile.imwrite("grey.tif", IMAGES, photometric="minisblack")
    assert run("predict", "grey.tif", "-o", "g.tif", "-m", quick_model, "--device", "cpu")[0] == 0
    chosen, grey = (LabelStack.open(name).data.compute() for name in ("m.tif", "g.tif"))
    np.testing.assert_array_equal(chosen, grey)
    assert grey.any()


def test_info_lists_what_there_is_to_choose(run, positions):
    code, out, _ = run("info", positions)
    assert code == 0
    for word in ("left", "right", "TCYX", "phase", "GFP", "uint8", "--series"):
        assert word in out
    code, out, _ = run("info", positions, "--json")
    images = json.loads(out)["images"]
    assert [image["name"] for image in images] == ["left", "right"]
    assert images[1]["shape"] == [4, 2, 64, 64]
    assert images[1]["channel_names"] == ["phase", "GFP"]
    assert (images[1]["series"], images[1]["frames"], images[1]["channels"]) == (1, 4, 2)


def test_info_says_what_is_missing(run, tmp_path, quick_model):
    (tmp_path / "fr").mkdir()
    for index in (0, 2, 3):
        Image.fromarray(IMAGES[index]).save(tmp_path / "fr" / f"t{index}.png")
    os.symlink("/nonexistent/t1.png", tmp_path / "fr" / "t1.png")
    code, out, _ = run("info", "fr")
    assert code == 0
    assert "missing: fr/t1.png is no image: it is a link to /nonexistent/t1.png" in out
    code, _, err = run("predict", "fr", "-m", quick_model, "-o", "m.tif")
    assert code == 2
    assert "--allow-missing" in err
    arguments = ("-m", quick_model, "--device", "cpu", "--allow-missing")
    code, _, err = run("predict", "fr", "-o", "m.tif", *arguments)
    assert code == 0
    assert "note: fr/t1.png is no image" in " ".join(err.split())


def test_axes_that_are_advised_are_accepted_by_each_command(run, tmp_path, quick_model):
    zarr.create_array("tcyx.zarr", data=np.stack([IMAGES, IMAGES], axis=1))
    zarr.create_array("masks.zarr", data=np.stack([CLASSES, CLASSES], axis=1))
    for arguments in (
        ("predict", "tcyx.zarr", "-m", quick_model, "--device", "cpu", "-o", "m.tif"),
        ("info", "tcyx.zarr"),
        ("tokens", "encode", "masks.zarr", "--classes", "ipsc,dfc", "--mask-size", "16"),
        ("tokens", "stats", "masks.zarr", "--classes", "ipsc,dfc"),
    ):
        code, out, err = run(*arguments)
        assert "--axes" in out + err
        code, out, err = run(*arguments, "--axes", "TCYX", "--channel", "0")
        assert code == 0, err
    code, _, err = run("evaluate", "masks.zarr", "masks.zarr", "--classes", "ipsc,dfc")
    assert (code, "--axes" in err) == (2, True)
    chosen = ("--axes", "TCYX", "--channel", 0, "--truth-axes", "TCYX", "--truth-channel", 1)
    code, _, err = run("evaluate", "masks.zarr", "masks.zarr", "--classes", "ipsc,dfc", *chosen)
    assert code == 0, err


def test_pipe_is_refused_by_each_command(run, tmp_path, quick_model):
    os.mkfifo("pipe.tif")
    for arguments in (
        ("predict", "pipe.tif", "-m", quick_model, "-o", "m.tif"),
        ("evaluate", "pipe.tif", "pipe.tif", "--classes", "cell"),
        ("info", "pipe.tif"),
        ("tokens", "stats", "pipe.tif"),
        ("train", "pipe.tif", "pipe.tif", "--classes", "cell", "--out", "m.safetensors"),
    ):
        tifffile.imwrite("images.tif", IMAGES, photometric="minisblack")
        code, _, err = run(*arguments)
        assert code == 2
        assert "named pipe" in " ".join(err.split()), arguments
