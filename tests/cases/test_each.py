"""Many images in one call: a file of masks for each, what is done is left, failures are listed."""

import json
import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from rleseg_core.cli import main
from rleseg_core.data import LabelStack


@pytest.fixture
def run(capfd, tmp_path, monkeypatch, quick_model):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["predict", *map(str, arguments), "-m", str(quick_model), "--device", "cpu"])
        return end.value.code or 0, *capfd.readouterr()

    return run


def files_of(*names):
    """Masks, ids of objects, and their table."""
    endings = (".objects.csv", ".objects.tif", ".tif")
    return [f"{name}{ending}" for name in names for ending in endings]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a1.png", (64, 64)), ("a2.png", (48, 80)), ("b.ome.tif", (2, 64, 48))):
        pixels = rng.integers(0, 255, shape, dtype=np.uint8)
        if name.endswith(".png"):
            Image.fromarray(pixels).save(folder / name)
        else:
            axes = {"axes": "TYX"}
            tifffile.imwrite(folder / name, pixels, photometric="minisblack", metadata=axes)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_each_file_of_a_folder_gets_masks_of_its_size(run, images):
    code, out, err = run("images", "--each", "-o", "masks")
    assert code == 0, err
    assert "3 segmented (4 frames), 0 were done already, 0 failed" in out
    assert "connected pieces of objects in 4 frames (ipsc" in out
    assert sorted(os.listdir("masks")) == files_of("a1", "a2", "b")
    assert LabelStack.open("masks/a2.tif").shape == (1, 48, 80)
    assert LabelStack.open("masks/b.tif").shape == (2, 64, 48)


def test_what_is_done_is_left_and_failures_are_listed(run, images):
    assert run("images/a1.png", "--each", "-o", "masks")[0] == 0
    before = os.stat("masks/a1.tif")
    (images / "a2.png").write_bytes(b"damaged")
    code, out, err = run(
        "images/a1.png", "images/a2.png", "images/b.ome.tif", "--each", "-o", "masks", "--json"
    )
    assert code == 2
    assert "failed: images/a2.png" in err
    assert "1 of 3 could not be segmented" in err
    result = json.loads(out)
    assert [len(result[key]) for key in ("done", "skipped", "failed")] == [1, 1, 1]
    assert os.stat("masks/a1.tif").st_mtime_ns == before.st_mtime_ns
    assert not os.path.exists("masks/a2.tif")
    code, _, _ = run("images/a1.png", "--each", "-o", "masks", "--overwrite")
    assert code == 0
    assert os.stat("masks/a1.tif").st_ino != before.st_ino


def test_files_are_chosen_by_pattern(run, images):
    assert run("images", "--each", "--pattern", "a*.png", "-o", "masks")[0] == 0
    assert sorted(os.listdir("masks")) == files_of("a1", "a2")


def test_masks_of_one_name_are_refused(run, images):
    Image.new("L", (64, 64)).save(images / "b.png")
    code, _, err = run("images", "--each", "-o", "masks")
    assert code == 2
    assert "would have the same name, b.tif" in " ".join(err.split())
    assert not os.path.exists("masks")


def test_masks_never_replace_images(run, images):
    tifffile.imwrite(images / "c.tif", np.ones((64, 64), np.uint8))
    before = (images / "c.tif").read_bytes()
    names = sorted(os.listdir("images"))
    for flags in ((), ("--overwrite",)):
        for stack, place, about in (
            ("images", "images", "is the input"),
            ("images", "images/masks", "lies inside the input"),
            ("images/a1.png", "images", "contains the input"),
        ):
            code, _, err = run(stack, "--each", "-o", place, *flags)
            assert code == 2
            assert about in " ".join(err.split())
    assert sorted(os.listdir("images")) == names
    os.makedirs("masks")
    (images / "c.tif").rename("masks/a1.tif")
    code, _, err = run("images/a1.png", "--each", "-o", "masks")
    assert code == 2
    assert "rleseg did not write it" in " ".join(err.split())
    with open("masks/a1.tif", "rb") as file:
        assert file.read() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("images/a1.png", "images/a2.png", "-o", "m.tif"), "with --each"),
        (("images", "--each", "-o", "m.tif"), "--out is a folder"),
        (("images", "--each", "-o", "m", "--frames", "0"), "leave them out with --each"),
        (("images", "--each", "--pattern", "*.jpg", "-o", "m"), "whose names match"),
    ],
)
def test_calls_that_mean_nothing_are_refused(run, images, arguments, message):
    code, _, err = run(*arguments)
    assert code == 2
    assert message in " ".join(err.split())
