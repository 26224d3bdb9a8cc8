"""What people read: names as they are, one sentence for each refusal, numbers that can work.

Of the kinds D17 (names with brackets) and D26 (useless numbers), with variants.
"""

import json
import logging
import warnings

import numpy as np
import pytest
import tifffile
import torch

from rleseg_core.checkpoints import build_model, new_model, save_checkpoint
from rleseg_core.cli import main
from rleseg_core.data import SyntheticConfig, synthesize
from rleseg_core.data.windows import plan_windows
from rleseg_core.decoding import Sampling
from rleseg_core.errors import BudgetError, DataError, DataWarning, RlesegError
from rleseg_core.inference import PredictOptions
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.text import printable
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig

NAMES = {
    "out[dapi]": "out[dapi]",
    "[/bold]x": "[/bold]x",
    "[red]": "[red]",
    "a:smile:b": "a:smile:b",
    "a\nb": r"a\nb",
    "a\x1b[31mb": r"a\x1b[31mb",
    "a\u202eb": r"a\u202eb",
    "a\x07\tb": r"a\x07\tb",
    "a\u2028b": r"a\u2028b",
    "bad\udcff": r"bad\udcff",
    "<b>x": "<b>x",
    "ü ç 細胞": "ü ç 細胞",
}
"""Names of files, and how they are shown."""


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("RLESEG_MODELS", "")


@pytest.fixture
def run(capfd):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code or 0, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("messages")
    cells = synthesize(SyntheticConfig(n_frames=2, size=(64, 64), seed=3))
    tifffile.imwrite(folder / "images.tif", cells.images, photometric="minisblack")
    tifffile.imwrite(folder / "masks.tif", cells.classes, photometric="minisblack")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    torch.manual_seed(0)
    return saved(folder / "tiny.safetensors", "tiny", ("ipsc", "dfc"))


def saved(path, name, class_names):
    info = new_model(
        path,
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(8, 8), class_names=class_names),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=16,
        card={"name": name},
    )
    return save_checkpoint(info, build_model(info).state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_output_is_named_as_it_is(run, folder, model, tmp_path, name):
    out = tmp_path / f"{name}.tif"
    code, said, err = run("predict", folder / "images.tif", "-m", model, "-o", out)
    assert (code, err) == (0, "")
    assert said.count("\n") == 2  # what was done, and how many objects there are
    assert said.splitlines()[0].endswith(f"/{NAMES[name]}.tif")
    assert out.exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", ["predict", "evaluate", "encode", "stats", "train"])
def test_missing_or_damaged_input_is_named_as_it_is(run, folder, model, tmp_path, command, name):
    path = tmp_path / f"{name}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"II*\0 this is no picture")
    masks, out = folder / "masks.tif", tmp_path / "out"
    arguments = {
        "predict": ("predict", path, "-m", model, "-o", f"{out}.tif"),
        "evaluate": ("evaluate", path, masks, "--classes", "ipsc,dfc"),
        "encode": ("tokens", "encode", path, "--classes", "ipsc,dfc"),
        "stats": ("tokens", "stats", path, "--classes", "ipsc,dfc"),
        "train": ("train", path, masks, "--classes", "ipsc,dfc", "-o", f"{out}.safetensors"),
    }
    code, said, err = run(*arguments[command])
    assert (code, said) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert f"/{NAMES[name]}.tif" in err


@pytest.mark.parametrize("name", NAMES)
def test_model_is_named_as_it_is(run, folder, tmp_path, monkeypatch, name):
    models = tmp_path / "models"
    path = saved(models / f"{name}.safetensors", name.replace("\udcff", "?"), ("cell", f"<{name}>"))
    code, said, err = run("predict", folder / "none.tif", "-m", f"{path}x", "-o", "x.tif")
    assert (code, said, err.count("\n")) == (2, "", 1)
    monkeypatch.setenv("RLESEG_MODELS", str(path.parent))
    path.with_stem(f"cut{path.stem}").write_bytes(path.read_bytes()[:-7])
    code, said, err = run("models")
    assert (code, err) == (0, "")
    shown = NAMES[name].rpartition("/")[2]
    assert f"\n{shown}: source unknown" in said
    assert f"unreadable: {models}/{NAMES[name].rpartition('/')[0]}".rstrip("/") in said
    assert f"cut{shown}.safetensors is not a model" in said


def test_class_names_are_shown_as_they_are(run, folder, tmp_path):
    masks = folder / "masks.tif"
    names = "[red]ip[/]sc,\x1b[2Jdfc"
    code, said, err = run("evaluate", masks, masks, "--classes", names)
    assert code == 0
    assert "\x1b" not in said + err
    assert "[red]ip[/]sc" in said
    assert r"\x1b[2Jdfc" in said
    code, said, err = run("evaluate", masks, masks, "--classes", names, "--json")
    assert "[red]ip[/]sc" in json.dumps(json.loads(said))


def test_options_are_named_as_they_are(run):
    code, said, err = run("predict", "--[/bold]\x1b[31m")
    assert (code, said) == (2, "")
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_errors_notes_and_logs_are_printable():
    assert str(DataError("a\nb \x1b[31m")) == r"a\nb \x1b[31m"
    assert str(DataWarning("a\u202eb")) == r"a\u202eb"
    assert printable("1\u202f000 µm", keep="") == "1\u202f000 µm"
    assert printable("a\nb\r", keep="\n") == "a\nb\\r"


def test_notes_and_logs_of_a_command_are_lines(run, monkeypatch, tmp_path):
    def speak(*_):
        warnings.warn("[red] note\nof x", DataWarning, stacklevel=1)
        logging.getLogger("rleseg_core.somewhere").warning("%s: [/bold]", "a\x1bb")

    monkeypatch.setattr("rleseg_core.cli.models.list.list_models", speak)
    code, said, err = run("models")
    assert (code, said) == (0, "")
    assert err == "note: [red] note\\nof x\nwarning: a\\x1bb: [/bold]\n"


PREDICT = (
    ("--image-size", "1"),
    ("--image-size", "-5"),
    ("--image-size", "99999999"),
    ("--batch-size", "0"),
    ("--batch-size", "-1"),
    ("--frames", ""),
    ("--frames", "1-0"),
    ("--frames", "2"),
    ("--frames", "0-99999999999999"),
    ("--frames", "-1"),
)
TRAIN = (
    ("--max-tokens", "1"),
    ("--max-tokens", "2"),
    ("--max-tokens", "-1"),
    ("--stride", "0"),
    ("--stride", "65"),
    ("--steps", "0"),
    ("--batch-size", "0"),
    ("--patch", "50"),
    ("--patch", "0"),
    ("--mask-size", "0"),
    ("--mask-size", "1"),
    ("--mask-size", "7"),
    ("--image-size", "1"),
    ("--lr", "nan"),
    ("--lr", "inf"),
    ("--lr", "0"),
    ("--lr", "-1"),
    ("--weight-decay", "nan"),
    ("--weight-decay", "-1"),
    ("--clip-norm", "nan"),
    ("--label-smoothing", "1.5"),
    ("--ema", "1"),
    ("--ema", "nan"),
    ("--lr-of", "backbone=nan"),
    ("--lr-of", "backbone=-1"),
    ("--segment-weights", "start=inf"),
    ("--warmup-steps", "-1"),
    ("--validate-every", "-1"),
    ("--patience", "-1"),
    ("--seed", "-1"),
    ("--replay-share", "1"),
    ("--replay-share", "nan"),
    ("--frames", "0"),
    ("--frames", "9"),
    ("--holdout", "7"),
    ("--augment-contrast", "nan"),
    ("--augment-affine-probability", "2"),
    ("--devices", "0"),
)
STATS = (
    ("--subsample", "7"),
    ("--subsample", "0"),
    ("--subsample", "-8"),
    ("--patch", "0"),
    ("--patch", "60"),
    ("--stride", "0"),
    ("--frames", "0"),
    ("--frames", "9"),
    ("--thresholds", "0"),
    ("--image-size", "1"),
)
OTHERS = (
    ("synth", "{out}", "--frames", "0"),
    ("synth", "{out}", "--height", "3"),
    ("synth", "{out}", "--seed", "-1"),
    ("synth", "{out}", "--frames", "999999", "--height", "9999", "--width", "9999"),
    ("demo", "--out", "{out}", "--side", "1"),
    ("tokens", "vocab", "--mask-size", "0"),
    ("tokens", "vocab", "--mask-size", "999999"),
    ("tokens", "vocab", "--classes", "-1"),
    ("tokens", "encode", "{masks}", "--classes", "ipsc,dfc", "--mask-size", "7"),
    ("tokens", "encode", "{masks}", "--classes", "ipsc,dfc", "--frame", "2"),
    ("tokens", "encode", "{masks}", "--classes", "ipsc,dfc", "--frame", "-1"),
    ("tokens", "fidelity", "{masks}", "--classes", "ipsc,dfc", "--patch", "64"),
    ("tokens", "recommend", "{masks}", "--classes", "ipsc,dfc", "--tolerated", "nan"),
    ("tokens", "recommend", "{masks}", "--classes", "ipsc,dfc", "--windows", "0"),
    ("evaluate", "{masks}", "{masks}", "--classes", "ipsc,dfc", "--tolerance", "nan"),
    ("evaluate", "{masks}", "{masks}", "--classes", "ipsc,dfc", "--tolerance", "-1"),
    ("evaluate", "{masks}", "{masks}", "--classes", "ipsc,dfc", "--frames", "5-2"),
)


def refused(run, *arguments):
    code, said, err = run(*arguments)
    assert (code, said) == (2, ""), (code, said, err)
    *earlier, last = err.splitlines(keepends=True)  # earlier ones say how numbers are read
    assert last.startswith("error: ")
    assert not any(line.startswith("error: ") for line in earlier)
    return last


@pytest.mark.parametrize("option", PREDICT, ids=" ".join)
def test_predict_refuses_numbers_that_cannot_work(run, folder, model, tmp_path, option):
    out = tmp_path / "out.tif"
    refused(run, "predict", folder / "images.tif", "-m", model, "-o", out, *option)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", TRAIN, ids=" ".join)
def test_train_refuses_numbers_that_cannot_work(run, folder, tmp_path, option):
    usual = {"--steps": "1", "--batch-size": "2", "--patch": "64", "--size": "test"}
    given = [part for item in (usual | dict([option])).items() for part in item]
    refused(
        run,
        *("train", folder / "images.tif", folder / "masks.tif", "--classes", "ipsc,dfc"),
        *("-o", tmp_path / "m.safetensors", "--device", "cpu", "-q", *given),
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", STATS, ids=" ".join)
def test_stats_refuses_numbers_that_cannot_work(run, folder, option):
    usual = {"--patch": "64", "--subsample": "8"}
    given = [part for item in (usual | dict([option])).items() for part in item]
    refused(run, "tokens", "stats", folder / "masks.tif", "--classes", "ipsc,dfc", *given)


@pytest.mark.parametrize("arguments", OTHERS, ids=" ".join)
def test_others_refuse_numbers_that_cannot_work(run, folder, tmp_path, arguments):
    places = {"{out}": str(tmp_path / "out"), "{masks}": str(folder / "masks.tif")}
    refused(run, *(places.get(argument, argument) for argument in arguments))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        (TrainConfig, {"learning_rate": float("nan")}),
        (TrainConfig, {"n_steps": 1.5}),
        (TrainConfig, {"betas": (0.9, 1.0)}),
        (TrainConfig, {"rates": {"backbone": float("inf")}}),
        (PredictOptions, {"image_size": 1}),
        (PredictOptions, {"batch_size": 0}),
        (PredictOptions, {"stitch": "sideways"}),
        (Sampling, {"temperature": float("inf")}),
        (SyntheticConfig, {"noise": float("nan")}),
        (SyntheticConfig, {"size": (64, 10**9)}),
    ],
)
def test_settings_of_the_api_refuse_the_same(settings, changes):
    (name,) = changes
    with pytest.raises(RlesegError, match=f"{name}.* must be .*, got"):
        settings(**changes)


def test_command_line_and_api_say_the_same_sentence(run, folder, tmp_path):
    with pytest.raises(RlesegError) as api:
        TrainConfig(weight_decay=-1.0)
    files = ("train", folder / "images.tif", folder / "masks.tif", "--classes", "ipsc,dfc")
    said = refused(run, *files, "-o", tmp_path / "m.safetensors", "--weight-decay", "-1")
    sentence = str(api.value).replace("weight_decay", "--weight-decay")
    assert said == f"error: {sentence}\n"
    for option, value, name in (("--steps", 0, "--steps"), ("--lr", -1, "--lr")):
        said = refused(run, *files, "-o", tmp_path / "m.safetensors", option, value)
        assert said.startswith(f"error: {name} must be ")
    said = refused(run, *files, "-o", tmp_path / "m.safetensors", "--patch", 1)
    assert "stride" not in said
    said = refused(run, *files, "-o", tmp_path / "m.safetensors", "--holdout", "0-9")
    assert "frames" in said


def test_advice_names_the_options_of_the_source(run, folder, tmp_path):
    two = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(two, ome=True) as tiff:
        for _ in range(2):
            tiff.write(np.zeros((2, 32, 32), np.uint8), photometric="minisblack")
    images, masks, out = folder / "images.tif", folder / "masks.tif", tmp_path / "m.safetensors"
    names = ("--classes", "ipsc,dfc")
    assert "with --mask-series" in refused(run, "train", images, two, *names, "-o", out)
    assert "with --series" in refused(run, "train", two, masks, *names, "-o", out)
    assert "with --truth-series" in refused(run, "evaluate", masks, two, *names)
    assert "with --series" in refused(run, "evaluate", two, masks, *names)
    ones = tmp_path / "ones.tif"
    truth = tifffile.imread(masks)
    tifffile.imwrite(ones, np.where(truth == 0, 9, truth), photometric="minisblack")
    objects = ("--classes", "cell", "--instances", "--predicted-instances")
    assert "(--predicted-background 9)" in refused(run, "evaluate", ones, masks, *objects)
    assert "(--background 9)" in refused(run, "evaluate", masks, ones, *objects)


def test_numbers_of_numpy_are_numbers():
    config = TrainConfig(n_steps=np.int64(3), learning_rate=np.float32(0.5))
    assert type(config.n_steps) is int
    assert type(config.learning_rate) is float


def test_frames_that_exceed_memory_are_refused(monkeypatch):
    monkeypatch.setattr("rleseg_core.memory.available_memory", lambda: 10**9)
    spec = WindowSpec(patch=128, patch_stride=128, image_size=2**16)
    with pytest.raises(BudgetError, match=r"51\.5 GB, and 1\.0 GB of memory are available; choose"):
        plan_windows((1, 100, 100), spec)
