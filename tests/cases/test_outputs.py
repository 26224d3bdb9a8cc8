"""Outputs never destroy: of the kinds D01, D03, D23 and D27, with variants.

Each command is tried on each relation that its outputs may have to what is there, and what is there
is compared byte for byte afterwards.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr

from rleseg_core import outputs as outputs_module
from rleseg_core.checkpoints import build_model, new_model, save_checkpoint
from rleseg_core.cli import main
from rleseg_core.corrections import CorrectionLog
from rleseg_core.data import LabelStack, SyntheticConfig, synthesize
from rleseg_core.data.writers import metadata_of, write_labels
from rleseg_core.errors import OutputError
from rleseg_core.outputs import Output, begins_with, check_outputs
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset

NAMES = ("ipsc", "dfc")
SHORT = ("--steps", 1, "--batch-size", 2, "--validate-every", 0, "--device", "cpu", "-q")
NEW = ("--size", "test", "--patch", 32, "--mask-size", 8, "--max-tokens", 16, *SHORT)

COMMANDS = {
    "predict": ("predict", "{images}", "-m", "{model}", "--device", "cpu", "-q", "-o"),
    "evaluate csv": ("evaluate", "{masks}", "{masks}", "-q", "--csv"),
    "evaluate plot": ("evaluate", "{masks}", "{masks}", "-q", "--plot"),
    "fidelity csv": (
        "tokens",
        "fidelity",
        "{masks}",
        "--patch",
        64,
        "--mask-sizes",
        8,
        "-q",
        "--csv",
    ),
    "stats plot": ("tokens", "stats", "{masks}", "--patch", 32, "-q", "--plot"),
    "track": ("track", "{masks}", "-q", "-o"),
    "track folder": ("track", "{masks}", "-q", "-o", "{folder}/new.tif", "--ctc"),
    "measure": ("measure", "{masks}", "--images", "{images}", "-q", "-o"),
    "export file": ("export", "{masks}", "--as", "geojson", "-q", "-o"),
    "export folder": ("export", "{masks}", "--as", "palette", "-q", "-o"),
    "train out": ("train", "{images}", "{masks}", "--classes", "ipsc,dfc", *NEW, "--out"),
    "train run": (
        *("train", "{images}", "{masks}", "--classes", "ipsc,dfc", *NEW),
        *("--out", "{folder}/new.safetensors", "--run-dir"),
    ),
    "train from": (
        *("train", "{images}", "{masks}", "--classes", "ipsc,dfc", "--from", "{model}"),
        *(*SHORT, "--run-dir", "{folder}/run", "--out"),
    ),
    "demo": ("demo", "-m", "{model}", "--frames", 1, "--side", 64, "--no-open", "-q", "--out"),
}
SUFFIXES = {
    "predict": ".tif",
    "evaluate csv": ".csv",
    "evaluate plot": ".png",
    "fidelity csv": ".csv",
    "stats plot": ".png",
    "track": ".tif",
    "track folder": "",
    "measure": ".csv",
    "export file": ".geojson",
    "export folder": "",
    "train out": ".safetensors",
    "train run": "",
    "train from": ".safetensors",
    "demo": "",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Images and masks in every form that a source may have, and a model."""
    folder = tmp_path_factory.mktemp("made")
    sequence = synthesize(SyntheticConfig(n_frames=3, size=(64, 64), seed=3))
    write_labels(folder / "masks.tif", sequence.classes, NAMES)
    tifffile.imwrite(folder / "images.tif", sequence.images, photometric="minisblack")
    (folder / "frames").mkdir()
    for t, frame in enumerate(sequence.images):
        tifffile.imwrite(folder / "frames" / f"t{t}.tif", frame)
    group = zarr.open_group(folder / "movie.zarr", mode="w")
    for name in ("0", "second_channel"):
        group.create_array(name, data=sequence.images, chunks=(1, 64, 64))
    torch.manual_seed(0)
    info = new_model(
        folder / "model.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(8, 8), class_names=NAMES),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=16,
    )
    save_checkpoint(info, build_model(info).state_dict())
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def run(capfd, folder):
    """Runs a command of `COMMANDS` with its output, and gives its exit code and messages."""

    def run(name, output, *options, **sources):
        known = {
            "folder": folder,
            "images": folder / "images.tif",
            "masks": folder / "masks.tif",
            "model": folder / "model.safetensors",
        } | sources
        words = [str(word).format(**known) for word in COMMANDS[name]]
        with pytest.raises(SystemExit) as end:
            main([*words, str(output), *map(str, options)])
        return end.value.code or 0, capfd.readouterr().err

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refuses(run, folder, name, output, about, *options, **sources):
    """Check that a command says one sentence about its output, and changes nothing."""
    before = contents(folder)
    code, told = run(name, output, *options, **sources)
    assert (code, len(told.splitlines())) == (2, 1), told
    assert about in told
    assert contents(folder) == before


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["", "overwrite"])
@pytest.mark.parametrize("name", COMMANDS)
def test_output_is_no_input(run, folder, name, overwrite):
    kind = {"predict": "images.tif", "train from": "model.safetensors"}.get(name, "masks.tif")
    if name == "demo":
        (folder / "demo").mkdir()
        model = (folder / "model.safetensors").rename(folder / "demo" / "model.safetensors")
        refuses(run, folder, name, folder / "demo", "contains the input", *overwrite, model=model)
        return
    if SUFFIXES[name] in (".png", ".safetensors") and name != "train from":
        # what is read may have any name; a link gives it one that the output may have, too
        os.link(folder / kind, folder / f"link{SUFFIXES[name]}")
        kind = f"link{SUFFIXES[name]}"
    about = "masks.tif" if name == "train run" else "is the input"
    refuses(run, folder, name, folder / kind, about, *overwrite)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_output_does_not_lie_inside_an_input(run, folder, name):
    for source in ("frames", "movie.zarr/0"):
        sources = {"images": folder / source, "masks": folder / source}
        for place in (folder / source, folder / "data" / ".." / source):
            output = place / f"out{SUFFIXES[name]}"
            refuses(run, folder, name, output, "lies inside the input", **sources)
    output = folder / "movie.zarr" / f"out{SUFFIXES[name]}"  # beside the array, in its group
    refuses(run, folder, name, output, "lies inside the input", **sources)
    (folder / "elsewhere").symlink_to(folder / "frames")
    sources = {"images": folder / "frames", "masks": folder / "frames"}
    output = folder / "elsewhere" / f"out{SUFFIXES[name]}"
    refuses(run, folder, name, output, "lies inside the input", **sources)


def test_output_does_not_contain_an_input(run, folder):
    for overwrite in ((), ("--overwrite",)):
        images = folder / "movie.zarr" / "0"
        about = "contains the input"
        refuses(run, folder, "predict", folder / "movie.zarr", about, *overwrite, images=images)
        refuses(run, folder, "train run", folder, about, *overwrite)


def test_frame_of_a_folder_is_no_output_under_any_name(run, folder):
    frames = folder / "frames"
    os.link(frames / "t0.tif", folder / "hard.tif")
    (folder / "soft.tif").symlink_to(frames / "t1.tif")
    (frames / "t3.tif").symlink_to(shutil.copy(frames / "t0.tif", folder / "far.tif"))
    for name, about in (
        ("frames/t0.tif", "lies inside"),
        ("hard.tif", "is a file of the input"),
        ("soft.tif", "lies inside"),
        ("far.tif", "is a file of the input"),
    ):
        refuses(run, folder, "predict", folder / name, about, "--overwrite", images=frames)


def test_parts_of_an_image_of_several_files_are_no_outputs(run, folder):
    part = folder / "movie_2.ome.tif"
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="64" '
        'SizeY="64" SizeC="1" SizeZ="1" SizeT="2"><Channel ID="Channel:0:0"/>'
        '<TiffData FirstT="0" PlaneCount="1"><UUID FileName="movie_1.ome.tif">urn:uuid:1</UUID>'
        '</TiffData><TiffData FirstT="1" PlaneCount="1"><UUID FileName="movie_2.ome.tif">'
        "urn:uuid:2</UUID></TiffData></Pixels></Image></OME>"
    )
    frame = np.zeros((64, 64), np.uint8)
    for name in ("movie_1.ome.tif", part.name):
        tifffile.imwrite(folder / name, frame, description=xml, metadata=None)
    about = "is the input"
    first = folder / "movie_1.ome.tif"
    refuses(run, folder, "predict", part, about, "--overwrite", "--allow-missing", images=first)


FOREIGN = {
    "predict": b"notes",
    "evaluate csv": b"sample,dose\n1,2\n",
    "evaluate plot": b"II*\0 a TIFF",
    "fidelity csv": b"image,class,n_pixels\n",
    "stats plot": b"notes",
    "measure": b"id,frame,class,class_id,confidence\n",
    "export file": b'{"type": "FeatureCollection", "features": []}',
    "train out": b"weights of another program",
    "train from": b"weights of another program",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_rleseg_could_not_have_written_stays(run, folder, name):
    output = folder / f"theirs{SUFFIXES[name]}"
    output.write_bytes(FOREIGN[name])
    for overwrite in ((), ("--overwrite",)):
        refuses(run, folder, name, output, "stays as it is", *overwrite)
    output.unlink()
    output.mkdir()
    refuses(run, folder, name, output, "is a folder, where", "--overwrite")
    output.rmdir()
    os.mkfifo(output)
    refuses(run, folder, name, output, "is no ordinary file", "--overwrite")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_images_are_no_masks_that_could_be_replaced(run, folder, dtype):
    images = synthesize(SyntheticConfig(n_frames=2, size=(64, 64), seed=4)).images
    other = folder / "other.tif"
    tifffile.imwrite(other, images.astype(dtype), photometric="minisblack")
    before = other.read_bytes()
    command = ("predict", folder / "images.tif", "-m", folder / "model.safetensors")
    code, err = run(*command, "--device", "cpu", "-q", "--overwrite", "-o", other)
    assert (code, other.read_bytes()) == (2, before)
    assert "could have written" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_what_exists_is_replaced_only_on_demand(run, folder, name):
    output = folder / "results" / f"ours{SUFFIXES[name]}"
    assert run(name, output)[0] == 0
    (folder / "new.safetensors").unlink(missing_ok=True)
    about = "holds a finished run" if name.startswith("train") else "exists already"
    refuses(run, folder, name, output, about)
    refuses(run, folder, name, output, "--overwrite")  # the sentence says how
    before = contents(folder)
    assert run(name, output, "--overwrite")[0] == 0
    assert {*contents(folder)} - {"new.safetensors"} == {*before}


@pytest.mark.parametrize("name", ["masks.zarr", "masks.zarr/c", "masks.zarr/0/c/0"])
def test_zarr_with_other_files_in_it_is_not_ours(run, folder, name):
    output = folder / "masks.zarr"
    assert run("predict", output)[0] == 0
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "notes.txt").write_text("precious")
    refuses(run, folder, "predict", output, "holds other files as well", "--overwrite")


def test_folder_that_is_no_zarr_is_not_wiped(run, folder):
    output = folder / "lab.zarr"
    output.mkdir()
    (output / "notes.txt").write_text("precious")
    for options in ((), ("--overwrite",), ("--frames", "0"), ("--update",)):
        refuses(run, folder, "predict", output, "lab.zarr", *options)
    refuses(run, folder, "predict", folder / "movie.zarr", "movie.zarr", "--overwrite")


def synth(folder, *options):
    size = ("--frames", "1", "--height", "64", "--width", "64", "-q")
    with pytest.raises(SystemExit) as end:
        main(["synth", str(folder), *size, *options])
    return end.value.code or 0


def test_synthetic_images_replace_only_their_like(folder):
    mine = folder / "mydata"
    mine.mkdir()
    shutil.copy(folder / "images.tif", mine)
    before = contents(folder)
    assert synth(mine) == synth(mine, "--overwrite") == 2
    assert contents(folder) == before
    (mine / "images.tif").rename(mine / "own.tif")
    assert synth(mine) == 0  # beside what is there
    assert (mine / "own.tif").read_bytes() == before["images.tif"]
    before = contents(folder)
    assert synth(mine) == synth(mine, "--seed", "1", "--overwrite") == 2  # own.tif would be lost
    assert contents(folder) == before
    (mine / "own.tif").unlink()
    assert synth(mine, "--seed", "1", "--overwrite") == 0
    assert {*contents(mine)} == {"images.tif", "classes.tif", "instances.tif"}
    assert contents(folder)["mydata/images.tif"] != before["mydata/images.tif"]


def test_part_of_a_synthetic_time_lapse_is_replaced_too(folder):
    mine = folder / "mydata"
    assert synth(mine) == 0
    (mine / "images.tif").unlink()
    assert synth(mine) == 2
    assert synth(mine, "--overwrite") == 0
    shutil.copy(folder / "masks.tif", mine / "classes.tif")  # not of `synth`
    assert synth(mine, "--overwrite") == 2


def test_folder_that_one_stands_in_is_not_replaced(folder, monkeypatch):
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    assert synth(".") == 0
    before = contents(folder)
    assert synth(".", "--overwrite") == 2
    assert contents(folder) == before


def test_failed_command_keeps_what_it_was_to_replace(folder, monkeypatch):
    mine = folder / "mydata"
    assert synth(mine) == 0
    before = contents(folder)
    monkeypatch.setattr("rleseg_core.data.formats.tiff_writing.write_tiff", None)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "no space")))
    assert synth(mine, "--seed", "1", "--overwrite") == 2
    assert contents(folder) == before


def test_base_of_a_fine_tuned_model_is_never_replaced(run, folder):
    base = folder / "model.safetensors"
    (folder / "link.safetensors").symlink_to(base)
    for output in (base, folder / "link.safetensors", folder / "data" / ".." / base.name):
        refuses(run, folder, "train from", output, "is the input", "--overwrite")


def test_outputs_of_one_call_do_not_replace_each_other(run, folder):
    table = folder / "scores.png"
    refuses(run, folder, "evaluate csv", table, "are the same", "--plot", table)
    base = folder / "run" / "last.safetensors"
    refuses(run, folder, "train from", base, "are the same")


# updates


def stacks(*paths):
    return [np.stack([LabelStack.open(path).frame(t) for t in range(3)]) for path in paths]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_update_replaces_frames_and_keeps_the_rest(run, folder, suffix):
    corrected, whole = folder / f"corrected{suffix}", folder / f"whole{suffix}"
    write_labels(corrected, np.full((3, 64, 64), 2, np.uint8), NAMES, {"model": "mine"})
    about = "--update, or replace it with --overwrite"
    refuses(run, folder, "predict", corrected, about, "--frames", "1")
    assert run("predict", whole)[0] == 0
    assert run("predict", corrected, "--frames", "1", "--update")[0] == 0
    updated, new = stacks(corrected, whole)
    assert (updated[[0, 2]] == 2).all()
    np.testing.assert_array_equal(updated[1], new[1])
    made = metadata_of(corrected).provenance
    assert made["model"] == "mine"
    assert [step["frames"] for step in made["updates"]] == [[1]]
    assert metadata_of(corrected).class_names == NAMES
    assert run("predict", corrected, "--frames", "0", "--update")[0] == 0
    assert [step["frames"] for step in metadata_of(corrected).provenance["updates"]] == [[1], [0]]


def test_update_of_what_is_not_there_is_a_new_result(run, folder):
    assert run("predict", folder / "new.tif", "--frames", "1", "--update")[0] == 0
    assert metadata_of(folder / "new.tif").provenance["source"]


def test_only_a_result_for_the_same_images_is_updated(run, folder):
    update = ("--frames", "1", "--update")
    for name, shape, names, about in (
        ("small", (3, 32, 64), NAMES, "only a result for the same (T, Y, X)"),
        ("short", (2, 64, 64), NAMES, "only a result for the same (T, Y, X)"),
        ("classes", (3, 64, 64), ("dfc", "ipsc"), "has the classes dfc, ipsc"),
    ):
        output = write_labels(folder / f"{name}.tif", np.ones(shape, np.uint8), names)
        refuses(run, folder, "predict", output, about, *update)
    assert run("predict", folder / "result.tif")[0] == 0
    other = shutil.copy(folder / "images.tif", folder / "others.tif")
    refuses(run, folder, "predict", folder / "result.tif", "images.tif", *update, images=other)
    refuses(run, folder, "predict", folder / "result.tif", "choose one", *update, "--overwrite")


# the check itself


def text(path, **how):
    return Output(Path(path), "a text", begins_with(b"text"), **how)


def test_names_that_differ_in_case_are_one_where_the_disk_says_so(tmp_path, monkeypatch):
    pair = [text(tmp_path / "A.csv"), text(tmp_path / "a.csv")]
    check_outputs(pair)
    monkeypatch.setattr(outputs_module, "_ignores_case", lambda _: True)
    with pytest.raises(OutputError, match="are the same"):
        check_outputs(pair)


def test_outputs_are_not_written_into_one_another(tmp_path):
    outer, inner = text(tmp_path / "a", is_folder=True), text(tmp_path / "a" / "b")
    for pair in ([outer, inner], [inner, outer]):
        with pytest.raises(OutputError, match="lies inside"):
            check_outputs(pair)
    check_outputs([text(tmp_path / "a", is_folder=True, kept=True), inner])


def test_missing_inputs_and_broken_links_count(tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "later.txt")
    with pytest.raises(OutputError, match="is the input"):
        check_outputs([text(tmp_path / "link.txt")], [tmp_path / "later.txt"])
    check_outputs([text(tmp_path / "link.txt")])


def test_check_makes_nothing(tmp_path):
    check_outputs([text(tmp_path / "new" / "folder" / "a.txt")])
    assert not any(tmp_path.iterdir())


def test_session_of_corrections_does_not_lie_among_its_images(folder):
    before = contents(folder)
    prediction = np.zeros((3, 64, 64), np.uint8)
    for source, place in (
        ("frames", "frames/session"),
        ("movie.zarr/0", "movie.zarr/session"),
        ("frames", "new/../frames/new"),
    ):
        with pytest.raises(OutputError, match="lies inside the input"):
            CorrectionLog.create(
                folder / place, prediction, class_names=NAMES, image_path=folder / source
            )
    assert contents(folder) == before
