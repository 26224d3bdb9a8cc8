import json

import pytest

from rleseg_core.checkpoints import read_info
from rleseg_core.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cached"))
    monkeypatch.setenv("RLESEG_MODELS", str(tmp_path / "more"))


def run(capfd, *arguments):
    """Exit code, stdout and stderr of ``rleseg models``."""
    with pytest.raises(SystemExit) as end:
        main(["models", *(str(argument) for argument in arguments)])
    told = capfd.readouterr()
    return end.value.code or 0, told.out, told.err


def assert_one_sentence(code, out, err, *, about):
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert about in err


def test_an_imported_model_is_listed(capfd, published, tmp_path):
    out = tmp_path / "more" / "theirs.safetensors"
    code, told, _ = run(capfd, "import", published, "--out", out, "--class-names", "ipsc, dfc")
    assert code == 0
    assert "scheme multiclass, classes ipsc, dfc, mask 12x12, patch 96, frames 1" in told
    code, told, _ = run(capfd, "list", "--json")
    rows = {row["name"]: row for row in json.loads(told)}
    assert list(rows) == ["cells", "demo", "demo-objects", "theirs"]
    theirs = rows["theirs"]
    assert (theirs["scheme_name"], theirs["ids"], theirs["vocabulary"]) == (
        *("multiclass", "published", 500),
    )
    assert theirs["steps"] == 123
    assert theirs["parameters"] > 400_000
    assert theirs["source"].endswith("ckpt-123.index")
    assert run(capfd, "--json")[1] == told
    code, told, _ = run(capfd)
    assert code == 0
    assert "theirs" in told
    assert "demo: synthetic time-lapses" in told


def test_options_of_import(capfd, published, tmp_path):
    config = (published / "config.json").rename(tmp_path / "theirs.json")
    code, told, _ = run(
        capfd,
        *("import", published / "ckpt-123.index", "--config", config, "--class-names", "a,b"),
        *("--bn-eval", "batch", "--set", "dataset.length_as_class=1", "--json"),
        *("--set", "model.coord_vocab_shift=200", "--set", "dataset.flat_order=F"),
    )
    facts = json.loads(told)
    assert code == 0
    assert facts["scheme_name"] == "lac, order=F"
    info = read_info(tmp_path / "data/rleseg/models/log_seg_tiny.safetensors")
    assert info.model["backbone"]["bn_eval"] == facts["card"]["bn_eval"] == "batch"
    assert facts["file"] == str(info.path)


def test_what_is_wrong_is_one_sentence(capfd, published, tmp_path):
    told = run(capfd, "import", tmp_path / "nothing")
    assert_one_sentence(*told, about="nothing.index is missing")
    told = run(capfd, "import", published)
    assert_one_sentence(*told, about="--class-names a,b")
    told = run(capfd, "import", published, "--set", "model")
    assert_one_sentence(*told, about="--set takes NAME=VALUE")
    told = run(capfd, "import", published, "--class-names", "a,b", "--set", "model.vocab_size=300")
    assert_one_sentence(*told, about="(500, 32) in the checkpoint and (300, 32)")
    told = run(capfd, "import", published, "--class-names", "a,a")
    assert_one_sentence(*told, about="class names must differ")


def test_pull(capfd, published, tmp_path):
    code, told, _ = run(capfd, "pull", "--list")
    assert code == 0
    assert "ipsc-late-video" in told
    rows = json.loads(run(capfd, "pull", "--list", "--json")[1])
    assert len(rows) == 11
    assert_one_sentence(*run(capfd, "pull"), about="pull --list")
    told = run(capfd, "pull", "aris-4", "--source", "http://127.0.0.1:9", "-q")
    assert_one_sentence(*told, about="127.0.0.1:9 cannot be reached")
    (tmp_path / "not.zip").write_text("no zip")
    told = run(capfd, "pull", "aris-4", "--archive", tmp_path / "not.zip")
    assert_one_sentence(*told, about="not a zip archive")
