import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rleseg_core.checkpoints import (
    find_model,
    list_models,
    load_checkpoint,
    new_model,
    read_info,
    save_checkpoint,
)
from rleseg_core.checkpoints.header import header_text, parse_header
from rleseg_core.errors import CheckpointError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


@pytest.fixture
def info(tmp_path):
    header = new_model(
        tmp_path / "models" / "mine.safetensors",
        size="test",
        scheme=preset("binary"),
        mask_spec=MaskSpec(size=(8, 8), class_names=("cell",)),
        window_spec=WindowSpec(patch=16, patch_stride=8),
        max_tokens=16,
        card={"name": "Mine"},
    )
    model = json.loads(json.dumps(header.model))  # lists for tuples, as in a file
    return replace(header, model=model, step=3, training={"seed": 1})


def test_round_trip(info):
    weights = {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(4)}
    state = {"moment": torch.ones(2), "rng": torch.get_rng_state()}
    save_checkpoint(info, weights, state)
    loaded = load_checkpoint(info.path)
    assert loaded.info == info
    assert loaded.info.name == "Mine"
    assert all(torch.equal(loaded.weights[k], weights[k]) for k in weights)
    assert all(torch.equal(loaded.state[k], state[k]) for k in state)


def test_header_knows_the_diameters_of_objects(info):
    knowing = replace(info, object_diameter=27.5, object_diameters=(12.0, 48.25))
    save_checkpoint(knowing, {"a": torch.ones(1)})
    assert read_info(info.path) == knowing
    save_checkpoint(info, {"a": torch.ones(1)}, overwrite=True)
    with safe_open(info.path, framework="pt") as opened:
        assert "object_diameter" not in json.loads(opened.metadata()["rleseg"])
    assert read_info(info.path).object_diameter is None


@pytest.mark.parametrize(
    ("median", "ends"),
    [(27.5, None), (None, (12, 48)), (50, (12, 48)), (10, (12, 48)), (0, (0, 1)), (5, (3, "x"))],
)
def test_diameters_that_do_not_go_together_are_refused(info, median, ends):
    header = json.loads(header_text(info))
    header |= {"object_diameter": median, "object_diameters": ends}
    with pytest.raises(CheckpointError, match=r"damaged header .*object_diameter"):
        parse_header(info.path, json.dumps(header))


def test_half_precision_comes_back_as_float32(info):
    save_checkpoint(info, {"a": torch.ones(2).half()})
    assert load_checkpoint(info.path).weights["a"].dtype == torch.float32


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="there is no model file"):
        read_info(tmp_path / "none.safetensors")


def test_truncated_file(info):
    save_checkpoint(info, {"a": torch.ones(100)})
    info.path.write_bytes(info.path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="cut short"):
        load_checkpoint(info.path)


def test_text_file_is_not_a_model(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_text("hello, this is no model")
    with pytest.raises(CheckpointError, match="not a model of rleseg"):
        read_info(path)


def test_foreign_weights_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="another program"):
        read_info(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("{", "damaged header"),
        ('{"format": "rleseg-2", "format": "rleseg-2"}', "says 'format' twice"),
        ('{"format": ' + "[" * 40 + "]" * 40 + "}", "nested too deeply"),
        ('{"format": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ("[]", "expected an object, found a list"),
        ('{"format": "rleseg-9"}', "update napari-rleseg"),
        ('{"format": "rleseg-1"}', "damaged header"),
        ('{"format": "rleseg-2"}', "damaged header"),
        (
            '{"format": "rleseg-1", "model": {}, "scheme": {}, "mask_spec": '
            '{"size": [0, 8], "class_names": ["cell"]}, "window_spec": {}, "step": 0}',
            "damaged header",
        ),
    ],
)
def test_headers_that_say_nothing_are_refused(tmp_path, monkeypatch, header, told):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={"rleseg": header})
    with pytest.raises(CheckpointError, match=told):
        read_info(path)
    monkeypatch.setenv("RLESEG_MODELS", str(tmp_path))
    assert path not in [info.path for info in list_models()]


def test_new_files_are_not_taken_for_those_of_version_0_1(info):
    save_checkpoint(info, {"a": torch.ones(2)})
    with safe_open(info.path, framework="numpy") as file:
        assert json.loads(file.metadata()["rleseg"])["format"] == "rleseg-2"


def test_installed_models_are_found_by_name(info, monkeypatch):
    save_checkpoint(info, {"a": torch.ones(2)})
    save_checkpoint(replace(info, path=info.path.with_name("two.safetensors"), card={}), {})
    (info.path.parent / "broken.safetensors").write_text("x")
    monkeypatch.setenv("RLESEG_MODELS", str(info.path.parent))
    names = [model.name for model in list_models()]
    assert names[-2:] == ["Mine", "two"]
    assert find_model("mine") == info.path
    assert find_model(info.path) == info.path
    with pytest.raises(CheckpointError, match=r"installed: .*mine"):
        find_model("nothing")
