"""What the numbers in masks mean: never guessed, said, and the same for every command."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from rleseg_core.cli import main
from rleseg_core.data import (
    IdOptions,
    LabelledStack,
    MaskStack,
    SyntheticConfig,
    open_labels,
    synthesize,
)
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import DataError

TINY = ("--steps", 1, "--batch-size", 2, "--patch", 32, "--mask-size", 16, "--size", "nano")
RUN = ("--validate-every", 0, "--device", "cpu", "-q")


@pytest.fixture
def run(capfd):
    """Runs a command, and gives its exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code or 0, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def cells():
    """Three frames of at least three cells, of both classes."""
    cells = synthesize(SyntheticConfig(n_frames=3, size=(96, 96), seed=3))
    classes = np.where(cells.instances == 0, 0, 1 + cells.instances % 2).astype(np.uint8)
    return replace(cells, classes=classes)


@pytest.fixture
def folder(tmp_path, cells, monkeypatch):
    """images.tif, and truth.tif with one class: 0 and 1."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("images.tif", cells.images, photometric="minisblack")
    save("truth.tif", (cells.classes > 0).astype(np.uint8))
    return tmp_path


def save(name, labels):
    tifffile.imwrite(name, labels, photometric="minisblack")
    return name


def with_void(labels, value, dtype):
    marked = labels.astype(dtype)
    marked[:, 30:33] = value
    return marked


def train(run, masks, *more):
    out = ("--out", "m.safetensors", "--run-dir", "run")
    return run("train", "images.tif", masks, "--classes", "cell", *out, *TINY, *RUN, *more)


def dice(run, *arguments):
    code, out, err = run("evaluate", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)["mean_dice"]


@pytest.mark.parametrize(
    ("value", "dtype"), [(255, np.uint8), (65535, np.uint16), (-1, np.int16), (255, np.float32)]
)
def test_a_mark_beside_ids_is_asked_for(run, folder, cells, value, dtype):
    save("void.tif", with_void(cells.classes > 0, value, dtype))
    for command in (
        lambda *more: run("evaluate", "truth.tif", "void.tif", "--classes", "cell", *more),
        lambda *more: train(run, "void.tif", *more),
        lambda *more: run("tokens", "stats", "void.tif", "--classes", "cell", *more),
        lambda *more: run("tokens", "encode", "void.tif", "--classes", "cell", *more),
    ):
        code, out, err = command()
        assert (code, out) == (2, "")
        assert "void.tif holds the ids" in err
        assert f"--ignore {value}" in err
        code, _, err = command(f"--ignore={value}")
        assert code == 0, err
        assert f"{value} → ignored" in err
        assert "0 → background, 1 → cell" in err
    assert not list(folder.glob("**/.rleseg*"))
    assert dice(run, "truth.tif", "void.tif", "--classes", "cell", f"--ignore={value}") == 1
    stack = LabelledStack.from_paths(
        "images.tif", "void.tif", ["cell"], ids=IdOptions(ignore=(value,))
    )
    assert set(np.unique(stack.class_frame(0))) == {0, 1, 255}


def test_a_mark_beside_ids_of_unnamed_classes_is_asked_for(run, folder, cells):
    save("void.tif", with_void(cells.classes, 255, np.uint8))
    for command in ("encode", "stats"):
        code, out, err = run("tokens", command, "void.tif")
        assert (code, out) == (2, "")
        assert "--ignore 255" in err
    code, _, err = run("tokens", "encode", "void.tif", "--ignore", "255")
    assert code == 0, err


def test_several_marks_are_ignored(run, folder, cells):
    labels = with_void(cells.classes > 0, 255, np.int16)
    labels[:, :2] = -1
    save("void.tif", labels)
    for spelled in (("--ignore", "255,-1"), ("--ignore", "-1,255")):
        assert dice(run, "truth.tif", "void.tif", "--classes", "cell", *spelled) == 1


def test_marks_of_two_classes(run, folder, cells):
    save("two.tif", cells.classes)
    save("void.tif", with_void(cells.classes, 255, np.uint8))
    code, _, err = run("evaluate", "two.tif", "void.tif", "--classes", "ipsc,dfc")
    assert code == 2
    assert "--ignore 255" in err
    assert dice(run, "two.tif", "void.tif", "--classes", "ipsc,dfc", "--ignore", 255) == 1


def test_what_ignore_takes(run, folder):
    for wrong in ("cell", "1.5", ""):
        code, _, err = run(
            "evaluate", "truth.tif", "truth.tif", "--classes", "cell", "--ignore", wrong
        )
        assert code == 2
        assert "--ignore" in err


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.int64])
def test_a_negative_background_is_not_an_object(run, folder, cells, dtype):
    ids = cells.instances.astype(dtype)
    ids[ids == 0] = -1
    save("neg.tif", ids)
    where = ("evaluate", "truth.tif", "neg.tif", "--classes", "cell", "--instances")
    for command in (
        lambda *more: run(*where, *more),
        lambda *more: train(run, "neg.tif", "--instances", *more),
    ):
        code, out, err = command()
        assert (code, out) == (2, "")
        assert "--background -1" in err
        code, _, err = command("--background", -1)
        assert code == 0, err
        assert "-1 → background" in err
    with pytest.raises(DataError, match=r"neg\.tif holds the id -1"):
        LabelledStack.from_paths("images.tif", "neg.tif", ("cell",), instances=True)
    ids = IdOptions(background=-1)
    stack = LabelledStack.from_paths("images.tif", "neg.tif", ("cell",), instances=True, ids=ids)
    np.testing.assert_array_equal(stack.class_frame(0), cells.instances[0] > 0)


def test_objects_without_a_background_are_not_one_object(run, folder, cells):
    save("one.tif", cells.instances.astype(np.uint16) + 1)
    where = ("evaluate", "truth.tif", "one.tif", "--classes", "cell", "--instances")
    code, _, err = run(*where)
    assert code == 2
    assert "--background 1" in err
    assert dice(run, *where[1:], "--background", 1) == 1
    save("none.tif", np.full((3, 96, 96), 255, np.uint8))
    assert run("evaluate", "truth.tif", "none.tif", "--classes", "cell", "--instances")[0] == 2


def test_classes_without_a_background_are_warned_of(run, folder):
    save("full.tif", np.ones((3, 96, 96), np.uint8))
    code, _, err = run("evaluate", "full.tif", "truth.tif", "--classes", "cell", "-q")
    assert code == 0
    assert "warning: full.tif: no pixel is background" in err
    save("empty.tif", np.zeros((3, 96, 96), np.uint8))
    code, _, err = run("evaluate", "empty.tif", "truth.tif", "--classes", "cell")
    assert code == 0
    assert "warning: empty.tif: cell never occurs" in err


def test_the_mapping_is_said(run, folder, cells):
    save("grey.tif", np.where(cells.classes > 0, 255, 0).astype(np.uint8))
    _, _, err = run("evaluate", "grey.tif", "truth.tif", "--classes", "cell")
    assert "grey.tif: 0 → background, 255 → cell" in err
    assert "truth.tif: 0 → background, 1 → cell" in err
    assert dice(run, "grey.tif", "truth.tif", "--classes", "cell") == 1
    code, _, err = train(run, "grey.tif")
    assert code == 0
    assert "grey.tif: 0 → background, 255 → cell" in err


def test_frames_are_read_alike(run, folder, cells):
    """A frame of ids beside a frame of grey levels: each could be read, both cannot."""
    mixed = (cells.classes > 0).astype(np.uint8)
    mixed[1] *= 255
    save("mixed.tif", mixed)
    for command in (
        ("evaluate", "mixed.tif", "truth.tif", "--classes", "cell"),
        ("evaluate", "mixed.tif", "truth.tif", "--classes", "cell", "--frames", 0),
        ("tokens", "stats", "mixed.tif", "--classes", "cell"),
    ):
        code, _, err = run(*command)
        assert code == 2
        assert "mixed.tif holds the ids 0, 1 and 255" in err
    assert train(run, "mixed.tif", "--holdout", 1)[0] == 2
    (folder / "frames").mkdir()
    for frame, labels in enumerate(mixed):
        Image.fromarray(labels).save(folder / "frames" / f"t{frame}.png")
    with pytest.raises(DataError, match="frames holds the ids 0, 1 and 255"):
        MaskStack.open("frames", ("cell",)).class_frame(0)


def test_classes_are_matched_by_name(run, folder, cells):
    two = cells.classes[:2].astype(np.uint8)
    write_labels("a.tif", two, ("ipsc", "dfc"))
    write_labels("b.tif", np.array([0, 2, 1], np.uint8)[two], ("dfc", "ipsc"))
    write_labels("z.zarr", np.array([0, 2, 1], np.uint8)[two], ("dfc", "ipsc"))
    assert (
        dice(run, "a.tif", "b.tif")
        == dice(run, "b.tif", "a.tif")
        == dice(run, "a.tif", "z.zarr")
        == 1
    )
    _, out, _ = run("evaluate", "a.tif", "b.tif", "--classes", "dfc,ipsc", "--json")
    scores = json.loads(out)["classes"]
    assert list(scores) == ["dfc", "ipsc"]
    assert scores["dfc"]["n_pixels"] == np.count_nonzero(two == 2)
    save("plain.tif", two)
    assert dice(run, "a.tif", "plain.tif") == 1  # the names of PREDICTED are those of both
    assert dice(run, "plain.tif", "a.tif") == 1
    stack = LabelledStack.from_paths("images.tif", save("x.tif", cells.classes), ("ipsc", "dfc"))
    turned = stack.with_class_order(("dfc", "ipsc"))
    np.testing.assert_array_equal(turned.class_frame(0), np.array([0, 2, 1])[stack.class_frame(0)])


@pytest.mark.parametrize("names", ["ipsc,other", "iPSC,dfc", "a,b", "ipsc", "ipsc,dfc,more"])
def test_other_class_names(run, folder, cells, names):
    write_labels("a.tif", cells.classes.astype(np.uint8), ("ipsc", "dfc"))
    code, _, err = run("evaluate", "a.tif", "a.tif", "--classes", names)
    if names == "ipsc,dfc,more":
        assert code == 0
        assert "more never occurs" in err
        return
    assert code == 2
    assert "--classes ipsc,dfc" in err
    out = ("--out", "m.safetensors", "--run-dir", "run")
    code, _, err = run("train", "images.tif", "a.tif", "--classes", names, *out, *TINY, *RUN)
    assert code == 2
    assert "--classes ipsc,dfc" in err
    assert run("tokens", "stats", "a.tif", "--classes", names)[0] == 2


def test_masks_of_other_classes_are_not_scored(run, folder, cells):
    write_labels("a.tif", cells.classes.astype(np.uint8), ("ipsc", "dfc"))
    write_labels("b.tif", cells.classes.astype(np.uint8), ("ipsc", "other"))
    code, _, err = run("evaluate", "a.tif", "b.tif")
    assert code == 2
    assert "b.tif" in err
    assert "--classes" in err


@pytest.mark.parametrize(("dtype", "apart"), [(np.int64, 1 << 32), (np.uint64, 1 << 63)])
def test_large_ids_stay_apart(run, folder, cells, dtype, apart):
    ids = cells.instances.astype(np.uint64)
    ids[ids == 2] = 1 + apart
    save("large.tif", ids.astype(dtype))
    save("small.tif", cells.instances.astype(np.uint16))
    both = ("--instances", "--predicted-instances")
    _, out, _ = run("evaluate", "large.tif", "small.tif", "--classes", "cell", *both, "--json")
    scores = json.loads(out)["classes"]["cell"]
    assert scores["ap"] == 1
    assert scores["n_objects"] == scores["n_predicted"]
    stack = LabelledStack.from_paths("images.tif", "large.tif", ["cell"], instances=True)
    for frame in range(3):
        assert len(np.unique(stack.instance_frame(frame))) == len(np.unique(cells.instances[frame]))


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_fractions_are_refused(run, folder, cells, value):
    labels = (cells.classes > 0).astype(np.float32)
    save("whole.tif", labels)
    assert dice(run, "whole.tif", "truth.tif", "--classes", "cell") == 1
    labels[2, 5, 5] = value
    save("fraction.tif", labels)
    for code, _, err in (
        run("evaluate", "truth.tif", "fraction.tif", "--classes", "cell"),
        train(run, "fraction.tif"),
    ):
        assert code == 2
        assert "fraction.tif" in err
        assert "whole numbers" in err


def test_bits_palettes_and_bools_are_ids(run, folder, cells):
    one = cells.classes[0] > 0
    Image.fromarray(one).save("bits.png")
    assert Image.open("bits.png").mode == "1"
    palette = Image.fromarray(cells.classes[0].astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 200, 30, 30, 200, 30, 30])
    palette.save("palette.png")
    save("bool.tif", one)
    np.save("bool.npy", one)
    save("one.tif", one.astype(np.uint8))
    for name in ("bits.png", "bool.tif", "bool.npy"):
        assert dice(run, name, "one.tif", "--classes", "cell") == 1
    np.testing.assert_array_equal(open_labels("palette.png").frame(0), cells.classes[0])


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("n_classes", [1, 2])
def test_masks_saved_as_jpeg(run, folder, cells, quality, n_classes):
    levels = {1: [0, 255, 255], 2: [0, 128, 255]}[n_classes]
    grey = np.array(levels, np.uint8)[cells.classes[0]]
    Image.fromarray(grey).save("mask.jpg", quality=quality)
    masks = MaskStack.open("mask.jpg", ("ipsc", "dfc")[:n_classes])
    assert re.search(r"0 to \d+ → background, \d+ to \d+ → ipsc", masks.mapping.text)
    wanted = np.minimum(cells.classes[0], n_classes)
    assert np.mean(masks.class_frame(0) == wanted) > 0.98


def test_a_picture_is_no_mask(run, folder, cells):
    Image.fromarray(cells.images[0]).save("picture.jpg")
    code, _, err = run("evaluate", "picture.jpg", "picture.jpg", "--classes", "cell")
    assert code == 2
    assert "grey levels" in err
    assert "PNG or TIFF" in err


def test_more_ids_than_classes(run, folder, cells):
    save("two.tif", cells.classes)
    code, _, err = run("evaluate", "two.tif", "truth.tif", "--classes", "cell")
    assert code == 2
    assert "name all 2 classes" in err
    ids = cells.instances.astype(np.uint16)
    save("sparse.tif", np.where(ids == 1, 40000, ids))
    code, _, err = run("evaluate", "sparse.tif", "truth.tif", "--classes", "cell")
    assert code == 2
    assert "--predicted-instances" in err
    assert run("evaluate", "truth.tif", "sparse.tif", "--classes", "cell", "--instances")[0] == 0


def test_a_model_and_masks_agree_on_names(run, folder, cells):
    save("two.tif", cells.classes)
    out = ("--out", "m.safetensors", "--run-dir", "run")
    tune = ("train", "images.tif", "two.tif", "--from", "demo", *out, "--steps", 1, *RUN)
    code, _, err = run(*tune, "--batch-size", 1, "--classes", "ipsc,other")
    assert code == 2
    assert "--classes ipsc,dfc" in err
    write_labels("named.tif", np.array([0, 2, 1], np.uint8)[cells.classes], ("dfc", "ipsc"))
    tune = ("train", "images.tif", "named.tif", "--from", "demo", *out, "--steps", 1, *RUN)
    code, _, err = run(*tune, "--batch-size", 1, "--classes", "dfc,ipsc")
    assert code == 0, err
    assert "1 → dfc, 2 → ipsc" in err
    from rleseg_core.checkpoints import read_info

    assert read_info(folder / "m.safetensors").mask_spec.class_names == ("ipsc", "dfc")


def in_alpha(ids, mode, colour=0):
    channels = {"LA": 2, "RGBA": 4}[mode]
    pixels = np.full((*ids.shape, channels), colour, np.uint8)
    pixels[..., -1] = ids
    return Image.fromarray(pixels, mode)


@pytest.mark.filterwarnings("ignore:.*alpha channel:UserWarning")
@pytest.mark.parametrize("colour", [0, 255, 90])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_in_the_alpha_channel_is_read(run, folder, cells, mode, colour):
    one = (cells.classes[0] > 0).astype(np.uint8)
    save("one.tif", one)
    in_alpha(one * 255, mode, colour).save("alpha.png")
    code, out, err = run("evaluate", "alpha.png", "one.tif", "--classes", "cell", "--json")
    assert code == 0, err
    assert json.loads(out)["mean_dice"] == 1
    assert "alpha channel" in err
    in_alpha(cells.classes[0].astype(np.uint8), mode, colour).save("ids.png")
    np.testing.assert_array_equal(open_labels("ids.png").frame(0), cells.classes[0])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_in_the_colour_stays_there(folder, cells, mode):
    ids = cells.classes[0].astype(np.uint8)
    for alpha in (255, np.where(ids > 0, 255, 0)):  # opaque, and drawn on a transparent ground
        pixels = np.repeat(ids[..., None], {"LA": 2, "RGBA": 4}[mode], axis=2)
        pixels[..., -1] = alpha
        Image.fromarray(pixels, mode).save("colour.png")
        np.testing.assert_array_equal(open_labels("colour.png").frame(0), ids)


def test_a_mask_in_either_is_refused(run, folder, cells):
    pixels = np.repeat(1 + cells.classes[0].astype(np.uint8)[..., None], 4, axis=2)
    pixels[..., 3] = 255 * (np.arange(96) > 40)
    Image.fromarray(pixels, "RGBA").save("both.png")
    code, _, err = run("evaluate", "both.png", "both.png", "--classes", "cell")
    assert code == 2
    assert "alpha channel" in err


def test_what_a_file_notes_as_ignored_is_ignored(run, folder, cells):
    marked = with_void(cells.classes > 0, 255, np.uint8)
    write_labels("noted.tif", marked, ("cell",), {"ignored_ids": [255]})
    assert dice(run, "truth.tif", "noted.tif") == 1
    stack = LabelledStack.from_paths("images.tif", "noted.tif", ["cell"])
    assert stack.mapping.text.endswith("255 → ignored")
    code, _, err = run("evaluate", "truth.tif", "noted.tif", "--ignore", "none")
    assert code == 2
    assert "--ignore 255" in err


def test_info_says_what_numbers_mean(run, folder, cells):
    save("grey.tif", np.where(cells.classes > 0, 255, 0).astype(np.uint8))
    assert "ids: 0 → background, 255 → cell" in run("info", "grey.tif", "--masks")[1]
    write_labels("named.tif", cells.classes.astype(np.uint8), ("ipsc", "dfc"))
    assert "1 → ipsc, 2 → dfc" in run("info", "named.tif", "--masks")[1]
    save("void.tif", with_void(cells.classes > 0, 255, np.uint8))
    code, out, _ = run("info", "void.tif", "--masks", "--json")
    assert code == 0
    assert "--ignore 255" in json.loads(out)["ids"][0]
    save("ids.tif", cells.instances.astype(np.uint16) * 40)
    assert "→ objects of cell" in run("info", "ids.tif", "--masks")[1]
