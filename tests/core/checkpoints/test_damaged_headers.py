"""A model file with a damaged header is refused with a sentence, and leaves the others alone."""

import json
import random

import pytest
import torch
from safetensors.torch import save_file

from rleseg_core.checkpoints import (
    build_model,
    build_tokenizer,
    find_model,
    installed_models,
    list_models,
    load_checkpoint,
    model_facts,
    new_model,
    read_info,
    save_checkpoint,
)
from rleseg_core.errors import CheckpointError, RlesegError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset

ODD = (None, True, -1, 0, 1.5, 1e999, float("nan"), 10**12, 10**400, "", "x", [], {}, [[1]], "\x00")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    info = new_model(
        tmp_path_factory.mktemp("models") / "whole.safetensors",
        size="test",
        scheme=preset("binary"),
        mask_spec=MaskSpec(size=(8, 8), class_names=("cell",)),
        window_spec=WindowSpec(patch=16, patch_stride=8),
        max_tokens=16,
        card={"name": "Whole", "data": ["here", "there"]},
    )
    return save_checkpoint(info, build_model(info).state_dict())


@pytest.fixture(scope="module")
def parts(file):
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["rleseg"])
        return header, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def places(value, path=()):
    """Paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def edited(header, rng):
    header = json.loads(json.dumps(header))
    *path, key = rng.choice(list(places(header)))
    holder = header
    for step in path:
        holder = holder[step]
    match rng.choice(["value", "remove", "rename"]):
        case "value":
            holder[key] = rng.choice(ODD)
        case "rename" if isinstance(holder, dict):
            holder[f"{key}_"] = holder.pop(key)
        case _:
            del holder[key]
    return header


def test_edited_headers_are_read_or_refused_with_a_sentence(parts, tmp_path):
    header, tensors = parts
    rng, path, refused = random.Random(5), tmp_path / "edited.safetensors", []
    for _ in range(120):
        save_file(tensors, path, metadata={"rleseg": json.dumps(edited(header, rng))})
        try:
            checkpoint = load_checkpoint(path)
            build_model(checkpoint.info, checkpoint.weights)
            build_tokenizer(checkpoint.info)
            json.dumps(model_facts(checkpoint.info), allow_nan=False)
        except CheckpointError as error:
            refused.append(str(error))
    assert len(refused) > 60
    assert all(str(path) in sentence and "\n" not in sentence for sentence in refused)


def written(folder, name, parts, **changes):
    header, tensors = parts
    text = json.dumps({**header, **changes})
    save_file(tensors, folder / f"{name}.safetensors", metadata={"rleseg": text})
    return folder / f"{name}.safetensors"


def test_layer_of_terabytes_is_refused_before_it_is_made(parts, tmp_path):
    model = json.loads(json.dumps(parts[0]["model"]))
    model["decoder"] |= {"dim": 16384, "mlp_dim": 16384, "n_layers": 256}
    checkpoint = load_checkpoint(written(tmp_path, "huge", parts, model=model))
    with pytest.raises(CheckpointError, match="do not fit its header"):
        build_model(checkpoint.info, checkpoint.weights)
    with pytest.raises(RlesegError, match="GB of memory are free"):
        build_model(checkpoint.info)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"step": -1}, "step must be a whole number"),
        ({"step": "3"}, "step must be a whole number"),
        ({"step": float("nan")}, "step must be a whole number"),
        ({"surprise": 1}, "no setting 'surprise'"),
        ({"card": []}, "card must be"),
        ({"card": {"name": 7}}, "card.name must be text"),
        ({"mask_spec": {"size": [8, 8], "class_names": ["cell"], "n_frames": 2}}, "same n_frames"),
        ({"mask_spec": {"size": [99, 8], "class_names": ["cell"]}}, "more pixels than patches"),
        ({"mask_spec": {"size": [4, 8], "class_names": ["cell"]}}, "starts are at"),
        ({"scheme": {"symbol": "loud"}}, "symbol must be|no symbol"),
        ({"scheme": {"heads": "per_field"}}, "the model has 0 heads"),
        ({"layout": {"vocab_size": 10**12}}, "layout.vocab_size must be a whole number"),
    ],
)
def test_header_value_that_cannot_be_is_named(parts, tmp_path, changes, told):
    with pytest.raises(CheckpointError, match=told):
        read_info(written(tmp_path, "odd", parts, **changes))


def test_weights_that_are_no_numbers_are_refused(parts, tmp_path):
    header, tensors = parts
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    worse = tensors | {name: torch.full_like(tensors[name], torch.nan)}
    path = written(tmp_path, "nan", (header, worse))
    checkpoint = load_checkpoint(path)
    with pytest.raises(CheckpointError, match=f"{name.removeprefix('model.')} has values that"):
        build_model(checkpoint.info, checkpoint.weights)


def test_scores_that_are_no_numbers_stay_readable_in_a_card(parts, tmp_path):
    path = written(tmp_path, "scored", parts, card={"dice": {"cell": float("nan")}})
    assert read_info(path).card == {"dice": {"cell": None}}


def test_odd_files_in_the_folder_of_models_are_listed_and_left_out(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("RLESEG_MODELS", str(tmp_path))
    good = written(tmp_path, "good", parts)
    deep = '{"format": "rleseg-2", "card": ' + '{"a": ' * 5000 + "1" + "}" * 5001
    save_file(parts[1], tmp_path / "deep.safetensors", metadata={"rleseg": deep})
    written(tmp_path, "typed", parts, model={"tokens": 3})
    (tmp_path / "text.safetensors").write_text("no model")
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    models, unreadable = installed_models()
    names = {"deep", "typed", "text", "empty", "folder", "gone"}
    assert {file.path.stem for file in unreadable} == names
    assert all(str(file.path) in file.reason for file in unreadable)
    assert models[-1].path == good
    assert models == list_models()
    assert find_model("good") == good
    with pytest.raises(CheckpointError, match="nested too deeply"):
        find_model("deep")
