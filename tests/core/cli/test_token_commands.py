import numpy as np
import pytest
import tifffile
from PIL import Image

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PRESETS, Tokenizer, preset


@pytest.fixture
def folder(tmp_path):
    """Four frames of two classes and their objects, a picture each."""
    classes = np.zeros((4, 32, 48), np.uint8)
    for t in range(4):
        classes[t, 4:20, 3 + t : 17 + t] = 1
        classes[t, 10:26, 30:44] = 2
    instances = classes.copy()
    instances[:, 12:20][instances[:, 12:20] == 1] = 3
    for name, stack in (("classes", classes), ("instances", instances)):
        (tmp_path / name).mkdir()
        for t, frame in enumerate(stack):
            Image.fromarray(frame).save(tmp_path / name / f"{t}.png")
    return tmp_path


COMMAND = ("tokens",)
COMMON = ("--classes", "a,b", "--patch", 16)


def test_statistics_of_a_folder(run, folder):
    code, out, _ = run(
        "stats", folder / "classes", *COMMON, "--scheme", "lac,multiclass", "--subsample", 1
    )
    assert code == 0
    rows = {line.split("  ")[0].strip(): line.split() for line in out.splitlines()}
    assert out.startswith("P = 16, S = 16, N = 1: 24 sequences\n")
    assert rows["max"] == ["max", "37", "55"]  # 18 runs: 12 rows of one cell, 6 of the other
    assert rows["> 128"] == [">", "128", "0.00%", "0.00%"]


def test_statistics_as_json(values, folder):
    told = values(
        *("stats", folder / "classes", *COMMON, "--scheme", "lac", "--scheme", "tac,ltac"),
        *("--frames", "1,2", "--frame-stride", 2, "--subsample", "1,2", "--thresholds", "8,40"),
    )
    keys = [(c["name"], c["window"]["n_frames"], c["mask_size"]) for c in told["columns"]]
    assert keys == [
        *(("lac", 1, side) for side in (16, 8)),
        *((name, 2, side) for side in (16, 8) for name in ("lac", "tac", "ltac")),
    ]
    assert set(told["left_out"]) == {"tac, N = 1", "ltac, N = 1"}
    for column in told["columns"]:
        assert column["sequences"] == sum(column["histogram"]) == 24 // column["window"]["n_frames"]
        assert set(column["above"]) == {"8", "40"}
        assert len(column["histogram"]) == len(told["histogram_edges"]) - 1


def test_all_schemes_of_instances_without_a_patch(values, folder):
    told = values(
        "stats", folder / "instances", "--instances", "--scheme", "all", "--subsample", "2,3"
    )
    assert {column["window"]["patch"] for column in told["columns"]} == {48}
    assert {column["name"] for column in told["columns"]} >= {"binary", "iw", "bac", "text4seg"}
    told = values(
        *("stats", folder / "classes", *COMMON, "--instance-ids", folder / "instances"),
        *("--scheme", "iw,cw"),
    )
    assert [column["name"] for column in told["columns"]] == ["iw", "cw"]


def test_wide_tables_are_cut_to_the_screen(run, folder):
    code, out, _ = run("stats", folder / "classes", *COMMON, "--scheme", "all")
    assert code == 0
    assert max(map(len, out.split("without")[0].splitlines())) <= 80
    assert out.count("mean") > 1
    for name in ("lac", "text4seg", "diff-rows"):
        assert name in out


def test_picture_is_written_whole(run, folder):
    picture = folder / "new" / "lengths.png"
    code, out, _ = run("stats", folder / "classes", *COMMON, "--picture", picture, "-q")
    assert (code, out) == (0, "")
    assert Image.open(picture).size[0] > 100
    assert [path.name for path in picture.parent.iterdir()] == ["lengths.png"]


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("--subsample", "3"), "16 cannot be subsampled by 3"),
        (("--subsample", "0"), "--subsample"),
        (("--frames", "1,x"), "--frames"),
        (("--frames", "9"), "9 frames"),
        (("--scheme", "morse"), "morse"),
        (("--scheme", "tac"), "n_frames=2"),
        (("--scheme", "iw"), "objects"),
        (("--stride", "20"), "gaps"),
        (("--picture", "lengths.jpg"), ".png"),
        (("--classes", "a"), "0.png"),
        (("--instance-ids", "missing"), "missing"),
        (("--instances", "--classes", "a", "--instance-ids", "x"), "--instance-ids"),
    ],
)
def test_what_statistics_cannot_do(refused, folder, monkeypatch, arguments, about):
    monkeypatch.chdir(folder)
    if arguments == ("--classes", "a"):
        about = "holds the ids 0, 1 and 2, but there is 1 class"
    refused("stats", folder / "classes", *COMMON, *arguments, about=about)
    assert {path.name for path in folder.iterdir()} == {"classes", "instances"}


def test_missing_folder(refused, tmp_path):
    refused("stats", tmp_path / "none", about="none")
    refused("recommend", tmp_path / "none", about="none")


def test_choice_with_reasons(run, values, folder):
    arguments = ("recommend", folder / "classes", *COMMON, "--subsample", "1,2", "--frames", "1,2")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "N = 2" in out.splitlines()[0]
    assert "The best of each other N and S" in out
    code, every, _ = run(*arguments, "--every")
    assert len(every.splitlines()) > len(out.splitlines())
    told = values(*arguments, "--max-vocab", 500)
    assert told["chosen"]["scheme"]["symbol"] is not None
    (chosen,) = [c for c in told["candidates"] if c["verdict"] == "chosen"]
    assert chosen["fits"]
    assert chosen["vocabulary"] <= 500
    assert all(c["verdict"] for c in told["candidates"])


def test_choice_where_nothing_fits(run, values, folder):
    arguments = ("recommend", folder / "classes", *COMMON, "--subsample", "1", "--max-tokens", 3)
    code, out, _ = run(*arguments)
    assert code == 0
    assert out.startswith("nothing fits\n")
    assert values(*arguments)["chosen"] is None


def test_choice_among_schemes_of_which_none_goes_with_the_masks(refused, folder):
    arguments = ("recommend", folder / "classes", *COMMON, "--scheme", "tac,iw")
    refused(*arguments, about="n_frames=2")
    refused(*arguments, about="objects")


def test_vocabularies_side_by_side(run, values):
    code, out, _ = run("vocab", "--scheme", "all", "--frames", 3)
    assert code == 0
    assert "ltac" in out
    assert "2,080" in out  # 26 x 80
    assert "without binary" in out
    told = values("vocab", "--scheme", "tac,3d-c,bac", "--frames", 2)
    sizes = {row["scheme"]: row["size"] for row in told["schemes"]}
    assert sizes == {
        "tac": 3 + 6400 + 80 + 8,
        "3d-c": 3 + 12800 + 80 + 2,
        "bac": 3 + 80 + 3,
    }


def test_vocabulary_over_the_usual_limit_is_noted(run, refused):
    code, out, _ = run("vocab", "--mask-size", 400)
    assert code == 0
    assert "160000" in out
    assert "over the 32,000" in out
    refused("vocab", "--mask-size", 400, "--vocab-limit", 32_000, about="32,000")


def test_vocabulary_of_what_does_not_go_together(refused):
    refused("vocab", "--scheme", "tac", about="n_frames=2")


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "binary"])
def test_tokens_of_every_scheme(values, folder, name):
    n_frames = 2 if preset(name).time == "class" else 1
    arguments = ("encode", folder / "classes", "--instance-ids", folder / "instances")
    arguments += ("--scheme", name, "--frames", n_frames, "--frame", 1, "--mask-size", 16)
    told = values(*arguments)
    spec = MaskSpec(size=(16, 16), class_names=("class1", "class2"), n_frames=n_frames)
    tokenizer = Tokenizer.build(preset(name), spec)
    tokens = np.array(told["tokens"])
    classes = tokenizer.decode(tokens, strict=True).classes
    for t, frame in enumerate(classes, start=1):
        expected = np.asarray(Image.open(folder / "classes" / f"{t}.png"))[1::2, 1::3]
        np.testing.assert_array_equal(frame, expected)
    assert told["n_tokens"] == tokens.shape[-1]


@pytest.mark.parametrize("name", ["lac", "multihead", "cw", "iw-tac"])
def test_tokens_are_printed_run_by_run(run, values, folder, name):
    arguments = ("encode", folder / "classes", "--instance-ids", folder / "instances")
    arguments += ("--scheme", name, "--frames", 2 if name == "iw-tac" else 1, "--mask-size", 16)
    told = values(*arguments)
    code, out, _ = run(*arguments)
    assert code == 0
    lines = out.splitlines()
    assert lines[-2].split() == ["2", "eos"]
    assert len(lines) == told["n_runs"] + told["n_blocks"] + 2
    assert f"{told['n_runs']} runs" in lines[-1]


def test_a_frame_is_filled_up_where_the_mask_does_not_divide_it(values, refused, folder):
    arguments = ("encode", folder / "classes", "--mask-size", 20)
    refused(*arguments, about="--image-size 40")
    assert values(*arguments, "--image-size", 40)["mask"] == [20, 20]


def test_windows_beyond_the_end_are_told(refused, folder):
    arguments = ("encode", folder / "classes", "--scheme", "tac", "--frames", 3)
    refused(*arguments, "--frame", 2, about="3 frames from frame 2")
    tifffile.imwrite(folder / "one.tif", np.eye(4, dtype=np.uint8))
    refused("encode", folder / "one.tif", "--frame", 1, about="there is no frame 1")
