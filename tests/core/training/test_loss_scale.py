import json
from dataclasses import replace

import pytest
import torch

from rleseg_core.checkpoints import load_checkpoint, read_info, save_checkpoint
from rleseg_core.training import LAST, TrainConfig, trainer

CONFIG = TrainConfig(n_steps=6, batch_size=2, warmup_steps=0, validate_every=0)


@pytest.fixture
def scalers(monkeypatch):
    """The scalers of fp16 of the runs that begin; on the CPU, and growing at every other step."""
    made = []

    def join(mixed_precision, device):
        accelerator = trainer_join(mixed_precision, device)
        made.append(torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2))
        accelerator.scaler = made[-1]
        return accelerator

    trainer_join = trainer.join
    monkeypatch.setattr(trainer, "join", join)
    return made


def stop_after(run, n_steps):
    losses = [next(run).loss for _ in range(n_steps)]
    run.close()
    return losses


def test_resumed_run_continues_with_the_scale_and_its_counter(scalers, small_run, tmp_path):
    whole = [report.loss for report in small_run(tmp_path / "whole", CONFIG)]
    losses = stop_after(small_run(tmp_path / "parts", CONFIG), 3)
    kept = read_info(tmp_path / "parts" / LAST).training["scale"]
    assert kept == json.loads(json.dumps(scalers[1].state_dict()))
    assert (kept["scale"], kept["_growth_tracker"]) == (16.0, 1)
    losses += [report.loss for report in small_run(tmp_path / "parts", CONFIG, resume=True)]
    assert losses == whole
    assert scalers[2].state_dict() == scalers[0].state_dict()
    assert scalers[2].get_scale() == 64.0


def test_run_of_a_version_that_kept_no_scale_begins_with_a_new_one(scalers, small_run, tmp_path):
    stop_after(small_run(tmp_path, CONFIG), 3)
    saved = load_checkpoint(tmp_path / LAST)
    training = {name: value for name, value in saved.info.training.items() if name != "scale"}
    save_checkpoint(
        replace(saved.info, training=training), saved.weights, saved.state, overwrite=True
    )
    assert len(list(small_run(tmp_path, CONFIG, resume=True))) == 3
    assert scalers[1].get_scale() == 16.0  # from 8, after three steps


def test_other_precisions_keep_no_scale(small_run, tmp_path):
    stop_after(small_run(tmp_path, CONFIG), 1)
    assert "scale" not in read_info(tmp_path / LAST).training
