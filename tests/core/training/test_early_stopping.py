from dataclasses import replace

import pytest

from rleseg_core.checkpoints import read_info
from rleseg_core.errors import TrainingError
from rleseg_core.training import LAST, TrainConfig

STILL = TrainConfig(  # learns so little that no validation is better than the first
    n_steps=8,
    batch_size=2,
    learning_rate=1e-12,
    warmup_steps=0,
    validate_every=2,
    patience=2,
)


def test_run_ends_when_validations_bring_nothing_better(small_run, tmp_path):
    reports = list(small_run(tmp_path, STILL))
    assert [report.step for report in reports] == list(range(1, 7))  # best at 2; 4 and 6 no better
    assert reports[-1].message == "stopped at step 6: 2 validations brought nothing better"
    assert read_info(tmp_path / "model.safetensors").step == 2
    assert read_info(tmp_path / LAST).training["finished"] is True


def test_run_that_ended_early_does_not_resume(small_run, tmp_path):
    list(small_run(tmp_path, STILL))
    assert list(small_run(tmp_path, STILL, resume=True)) == []


def test_patience_is_kept_over_an_interruption(small_run, tmp_path):
    first = small_run(tmp_path, STILL)
    for _ in range(5):
        next(first)
    first.close()
    assert [report.step for report in small_run(tmp_path, STILL, resume=True)] == [6]


def test_without_patience_or_held_out_frames_it_runs_to_the_end(small_run, tmp_path):
    assert len(list(small_run(tmp_path / "a", replace(STILL, patience=0)))) == 8
    assert len(list(small_run(tmp_path / "b", STILL, validation=()))) == 8


def test_patience_begins_with_the_tokens(small_run, tmp_path):
    reports = list(small_run(tmp_path, replace(STILL, n_steps=12, tokens_from=0.5)))
    assert [report.step for report in reports if report.validation] == [8, 10, 12]
    assert len(reports) == 12


def test_the_last_step_learns_tokens_at_the_latest():
    assert TrainConfig(n_steps=1, tokens_from=0.5).first_token_step == 0
    assert TrainConfig(n_steps=2, tokens_from=0.9).first_token_step == 1


def test_patience_is_not_negative():
    with pytest.raises(TrainingError, match="patience must be a whole number of 0 or more"):
        TrainConfig(patience=-1)
