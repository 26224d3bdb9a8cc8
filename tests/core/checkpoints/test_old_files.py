"""Model files that version 0.1 wrote, with its names of weights and settings, give its outputs."""

import json
from pathlib import Path

import pytest
import torch

from rleseg_core.checkpoints import (
    build_model,
    find_model,
    load_checkpoint,
    read_info,
    save_checkpoint,
)
from rleseg_core.checkpoints.old_names import training_state

from .written_by_0_1.write import N_TOKENS, STARTS, images

FOLDER = Path(__file__).parent / "written_by_0_1"
OUTPUTS = json.loads((FOLDER / "outputs.json").read_text())


def outputs_of(path: Path) -> dict[str, list]:
    """What `written_by_0_1/write.py` noted of a model: greedy tokens, logits, dense logits."""
    checkpoint = load_checkpoint(path)
    model = build_model(checkpoint.info, checkpoint.weights).eval()
    with torch.inference_mode():
        memory = model.encode(images())
        cache = model.new_cache(memory, N_TOKENS)
        tokens, written, logits = torch.tensor([1]), [], []
        for _ in range(N_TOKENS):
            logits.append(model.step(tokens, cache)[0])
            tokens = logits[-1].argmax(-1, keepdim=True)
            written.append(int(tokens))
        found = {"tokens": written, "logits": torch.stack(logits)[:, ::9].flatten().tolist()}
        if memory.dense is not None:
            found["dense"] = model.dense_logits(memory).flatten()[::7].tolist()
    return found


def check(path: Path, starts: str) -> None:
    found, expected = outputs_of(path), OUTPUTS[starts]
    assert found.keys() == expected.keys()
    assert found["tokens"] == expected["tokens"]
    for name in expected.keys() - {"tokens"}:
        assert found[name] == pytest.approx(expected[name], abs=2e-4)


@pytest.mark.parametrize("starts", STARTS)
def test_a_model_of_version_0_1_gives_its_outputs(starts):
    check(FOLDER / f"{starts}.safetensors", starts)


@pytest.mark.parametrize("starts", STARTS)
def test_what_is_written_anew_has_the_new_names_and_the_same_outputs(tmp_path, starts):
    old = load_checkpoint(FOLDER / f"{starts}.safetensors")
    path = save_checkpoint(
        type(old.info)(**{**vars(old.info), "path": tmp_path / "new.safetensors"}), old.weights
    )
    header = path.read_bytes()[:40_000]
    assert b"backbone" in header
    assert not any(word in header for word in (b"trunk", b"bridge", b"model.cells"))
    check(path, starts)


@pytest.mark.parametrize("name", ["cells", "demo"])
def test_bundled_models_have_every_weight_and_no_other(name):
    checkpoint = load_checkpoint(find_model(name))
    expected = build_model(checkpoint.info).state_dict()
    assert checkpoint.weights.keys() == expected.keys()
    for key, value in expected.items():
        assert checkpoint.weights[key].shape == value.shape


def test_a_run_of_version_0_1_goes_on_with_its_parts_and_its_average(tmp_path):
    old = load_checkpoint(FOLDER / "scan.safetensors")
    config = {"frozen": ["trunk", "decoder"], "rates": {"bridge": 2.0, "cells": 0.5}, "seed": 3}
    info = type(old.info)(
        **{**vars(old.info), "path": tmp_path / "last.safetensors", "training": {"config": config}}
    )
    state = {
        "average.trunk.conv1.weight": torch.zeros(1),
        "average.bridge.project.bias": torch.zeros(1),
        "average.": torch.zeros(1),
        "optimizer.0.step": torch.zeros(1),
    }
    read = load_checkpoint(save_checkpoint(info, {}, state))
    assert sorted(read.state) == [
        "average.",
        "average.backbone.conv1.weight",
        "average.projection.linear.bias",
        "optimizer.0.step",
    ]
    assert read.info.training["config"] == {
        "frozen": ["backbone", "decoder"],
        "rates": {"projection": 2.0, "mask_features": 0.5},
        "seed": 3,
    }
    assert training_state({"finished": True}) == {"finished": True}
    assert read_info(FOLDER / "table.safetensors").training == {}
