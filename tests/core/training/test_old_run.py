"""A run folder of version 0.1 still opens, and its run resumes to the losses it would have had.

`written_by_0_1` is the folder of a run that stopped after step 3 of 4, written by commit a5a1e64
with ``train(info, [stack], config, folder, device="cpu")`` on the frames of `labelled` below:

* model: ``new_model`` of size 'test' with scheme 'lac', masks of 8 x 8, patches of 32, 32 tokens,
  and ``trunk_widths=(8, 8, 8)``, ``trunk_blocks=(1, 1, 1)``, all dims, ``encoder_ff`` and
  ``decoder_ff`` 8, one decoder layer, one decoder head, and dropout 0.1;
* settings: ``n_steps=4, batch_size=2, warmup_steps=1, validate_every=2, checkpoint_every=2,
  equalise=0.5, neighbour_smoothing=0.1, ema=0.5, frozen=('trunk', 'encoder'),
  rates={'cells': 1.5, 'bridge': 0.5}, augment=AUGMENTATIONS['none'], augment_on='host'``.

The same run without a stop ended with `LAST_STEP`.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, build_tokenizer, load_checkpoint, read_info
from rleseg_core.checkpoints.old_names import training_state
from rleseg_core.data import ImageStack, LabelledStack, grid_samples
from rleseg_core.training import BEST, LAST, TrainConfig, TrainingData, read_reports, train
from rleseg_core.training.run_state import resumed_settings
from rleseg_core.training.validation import validate

WRITTEN = Path(__file__).parent / "written_by_0_1"
LOSSES = [5.443375587463379, 4.848503589630127, 4.231014728546143]
LAST_STEP = (4, 4.298061847686768, 0.20098039215686275)  # step, loss, mean Dice


def labelled() -> LabelledStack:
    """Four frames with an object of each class that moves."""
    masks = np.zeros((4, 32, 32), np.uint8)
    for t in range(4):
        masks[t, 4:14, 4 + t : 16 + t], masks[t, 18:28, 14 + t : 26 + t] = 1, 2
    images = masks * 80 + np.arange(32, dtype=np.uint8)
    return LabelledStack(
        images=ImageStack.from_array(images), classes=masks, class_names=("ipsc", "dfc")
    )


def test_reports_are_read():
    reports = read_reports(WRITTEN)
    assert [report.step for report in reports] == [1, 2, 3]
    assert [report.loss for report in reports] == LOSSES
    assert set(reports[1].validation) == {"ipsc", "dfc", "mean", "selected"}


def test_best_model_scores_as_it_did():
    best = load_checkpoint(WRITTEN / BEST)
    held_out = LabelledStack(
        images=labelled().images,
        classes=labelled().classes,
        class_names=("ipsc", "dfc"),
        frames=(3,),
    )
    batches = grid_samples(
        [held_out],
        best.info.window_spec,
        best.info.mask_spec,
        batch_size=1,
        subsample_rule="centre",
    )
    model, tokenizer = build_model(best.info, best.weights), build_tokenizer(best.info)
    scores = validate(model, tokenizer, list(batches), torch.device("cpu"))
    assert scores.mean_dice == pytest.approx(read_reports(WRITTEN)[1].validation["mean"])


def test_run_resumes_to_the_loss_it_would_have_had(tmp_path):
    for path in WRITTEN.iterdir():
        shutil.copy(path, tmp_path)
    info, config = resumed_settings(read_info(tmp_path / LAST))
    info = replace(info, path=tmp_path / "model.safetensors")
    data = TrainingData(stacks=[labelled()])
    (report,) = train(info, data, TrainConfig(), tmp_path, device="cpu", resume=True)
    step, loss, dice = LAST_STEP
    assert (report.step, report.n_steps) == (step, config.n_steps)
    assert (config.class_balancing, config.ordinal_label_smoothing) == (0.5, 0.1)
    assert config.frozen == ("backbone", "encoder")
    assert config.rates == {"mask_features": 1.5, "projection": 0.5}
    assert report.loss == pytest.approx(loss, rel=1e-5)
    assert report.validation["mean"] == pytest.approx(dice)
    assert read_info(tmp_path / "model.safetensors").step == 2  # that of the best model
    assert [report.step for report in read_reports(tmp_path)] == [1, 2, 3, 4]


def test_score_of_the_oldest_runs_is_known():
    assert training_state({"best_dice": 0.5, "n_worse": 1}) == {"best_score": 0.5, "n_worse": 1}
