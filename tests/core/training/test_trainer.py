import shutil
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import (
    build_model,
    build_tokenizer,
    load_checkpoint,
    new_model,
    read_info,
    save_checkpoint,
)
from rleseg_core.data import ImageStack, LabelledStack, SyntheticConfig, synthesize
from rleseg_core.errors import CheckpointError, TrainingError
from rleseg_core.model import ModelConfig
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import (
    LAST,
    TrainConfig,
    TrainingData,
    fine_tune,
    read_reports,
    split_frames,
    train,
    transfer_weights,
)
from rleseg_core.training.transfer import adapt_classes


@cache
def labelled(seed: int, n_frames: int = 4, names: tuple[str, ...] = ("ipsc", "dfc")):
    sequence = synthesize(SyntheticConfig(n_frames=n_frames, size=(96, 96), seed=seed))
    classes = np.minimum(sequence.classes, len(names))
    images = ImageStack.from_array(sequence.images)
    return LabelledStack(images=images, classes=classes, class_names=names)


def tiny(path: Path, names: tuple[str, ...] = ("ipsc", "dfc")):
    return new_model(
        path,
        size="test",
        scheme=preset("binary" if len(names) == 1 else "lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=names),
        window_spec=WindowSpec(patch=48, patch_stride=48),
        max_tokens=48,
    )


CONFIG = TrainConfig(
    n_steps=6, batch_size=2, warmup_steps=2, checkpoint_every=2, validate_every=3, seed=5
)


def start(folder: Path, config: TrainConfig = CONFIG, *, resume=False, overwrite=False, **data):
    learned = TrainingData(stacks=[labelled(0)], **data)
    info = tiny(folder / "model.safetensors")
    kept = {"resume": resume, "overwrite": overwrite}
    return train(info, learned, config, folder, device="cpu", **kept)


def tune(base: Path, stack: LabelledStack, config: TrainConfig, folder: Path):
    return fine_tune(base, TrainingData(stacks=[stack]), config, folder, device="cpu")


def product(run):
    reports = []
    while True:
        try:
            reports.append(next(run))
        except StopIteration as end:
            return reports, end.value


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and reports of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("finished")
    reports, path = product(start(folder))
    assert path == folder / "model.safetensors"
    return folder, reports


def test_run_reports_every_step_and_leaves_a_model(finished):
    folder, reports = finished
    assert [report.step for report in reports] == list(range(1, 7))
    assert all(np.isfinite(report.loss) for report in reports)
    assert set(reports[2].validation) == {"ipsc", "dfc", "mean", "selected"}
    assert not reports[1].validation
    model = load_checkpoint(folder / "model.safetensors")
    assert (model.info.training, model.state) == ({}, {})
    assert read_reports(folder) == reports


def test_stopped_run_resumes_to_the_same_losses(finished, tmp_path):
    folder, whole = finished
    run = start(tmp_path)
    first = [next(run) for _ in range(3)]
    run.close()
    rest, _ = product(start(tmp_path, resume=True))
    assert [report.step for report in rest] == [4, 5, 6]
    assert [report.loss for report in first + rest] == [report.loss for report in whole]
    ours, theirs = (load_checkpoint(where / LAST).weights for where in (tmp_path, folder))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_runs_of_one_process_may_differ_in_precision(tmp_path):
    short = replace(CONFIG, n_steps=2, validate_every=0)
    for n, precision in enumerate(("bf16", "fp32", "bf16")):
        reports, _ = product(start(tmp_path / str(n), replace(short, precision=precision)))
        assert len(reports) == 2


STOPPED_AT_5 = """
import sys, threading
sys.path.insert(0, {tests!r})
from pathlib import Path
from dataclasses import replace
from functools import cache
from test_trainer import CONFIG, start
run = start(Path({folder!r}), replace(CONFIG, n_steps=400))
for _ in range(5):
    next(run)
print("five steps", flush=True)
threading.Event().wait()  # for the end
"""


def test_killed_run_leaves_a_whole_checkpoint_and_resumes(start_child, tmp_path):
    folder = tmp_path / "killed"
    code = STOPPED_AT_5.format(tests=str(Path(__file__).parent), folder=str(folder))
    child = start_child(code)
    child.wait_for("five steps")
    assert child.kill() == -signal.SIGKILL

    checkpoint = load_checkpoint(folder / LAST)
    build_model(checkpoint.info, checkpoint.weights)
    assert checkpoint.info.step == 4

    torch.set_num_threads(1)
    config = replace(CONFIG, n_steps=400)
    resumed = start(folder, config, resume=True)
    after = [next(resumed) for _ in range(3)]
    resumed.close()
    unbroken = start(tmp_path / "unbroken", config)
    whole = [next(unbroken) for _ in range(7)]
    unbroken.close()
    assert [report.step for report in after] == [5, 6, 7]
    assert [report.loss for report in after] == [report.loss for report in whole[4:]]


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    run = start(tmp_path, replace(CONFIG, learning_rate=1e30, clip_norm=1e30, warmup_steps=0))
    with pytest.raises(TrainingError, match="last good checkpoint"):
        product(run)
    checkpoint = load_checkpoint(tmp_path / LAST)
    assert all(torch.isfinite(value).all() for value in checkpoint.weights.values())
    assert not (tmp_path / "model.safetensors").exists()


def test_gradient_that_is_no_number_stops_the_run(tmp_path, monkeypatch):
    def loss(logits, targets, weights, **options):
        flat = (logits * 0).sum()
        return logits.mean() + (flat.sqrt() if next(n_steps) == 2 else flat)

    n_steps = iter(range(9))
    monkeypatch.setattr("rleseg_core.training.objective.token_loss", loss)
    run = start(tmp_path, replace(CONFIG, checkpoint_every=1))
    with pytest.raises(TrainingError, match=r"gradient became nan at step 3.*\(step 2\)"):
        product(run)
    checkpoint = load_checkpoint(tmp_path / LAST)
    assert checkpoint.info.step == 2
    assert all(torch.isfinite(value).all() for value in checkpoint.weights.values())


def test_resumed_run_keeps_its_own_settings(finished, tmp_path):
    _, whole = finished
    run = start(tmp_path)
    first = [next(run) for _ in range(3)]
    run.close()
    other = replace(CONFIG, batch_size=1, seed=8, n_steps=9, learning_rate=1e-5)
    rest, _ = product(start(tmp_path, other, resume=True))
    assert [report.loss for report in first + rest] == [report.loss for report in whole]


def test_run_begun_anew_takes_nothing_from_an_earlier_one(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    config = replace(CONFIG, n_steps=2)
    empty = replace(labelled(0), classes=np.zeros((4, 96, 96), np.uint8))
    with pytest.raises(TrainingError, match="holds a finished run; choose"):
        start(tmp_path, config, validation=[empty])
    _, path = product(start(tmp_path, config, validation=[empty], overwrite=True))
    assert [report.step for report in read_reports(tmp_path)] == [1, 2]
    assert read_info(path).step == 2


def test_model_is_no_run_to_resume(finished, tmp_path):
    shutil.copy(finished[0] / "model.safetensors", tmp_path / LAST)
    with pytest.raises(CheckpointError, match="without the state of its training"):
        start(tmp_path, resume=True)


def test_fine_tuning_keeps_the_classes_and_names_its_base(finished, tmp_path):
    base = finished[0] / "model.safetensors"
    before = load_checkpoint(base).weights
    config = replace(CONFIG, n_steps=2, validate_every=0)
    _, path = product(tune(base, labelled(1), config, tmp_path / "tuned"))
    info = read_info(path)
    assert info.card["base"] == "model"
    assert info.mask_spec.class_names == ("ipsc", "dfc")
    after = load_checkpoint(path).weights
    assert not all(torch.equal(before[name], after[name]) for name in before)


def test_fine_tuning_for_other_classes_keeps_what_fits(finished, tmp_path):
    base = finished[0] / "model.safetensors"
    config = replace(CONFIG, n_steps=1, learning_rate=1e-9, validate_every=0)
    _, path = product(tune(base, labelled(1, names=("cell",)), config, tmp_path / "t"))
    assert read_info(path).mask_spec.class_names == ("cell",)
    before, after = load_checkpoint(base), load_checkpoint(path)
    name = next(key for key in before.weights if key.startswith("backbone"))
    assert torch.allclose(before.weights[name], after.weights[name], atol=1e-6)


def test_rows_of_a_vocabulary_move_with_their_segments(tmp_path):
    old = build_tokenizer(tiny(tmp_path / "a")).vocab
    new = build_tokenizer(tiny(tmp_path / "b", ("cell",))).vocab
    trained = {"rows": torch.arange(float(old.size))[:, None], "bias": torch.ones(3)}
    fresh = {"rows": torch.full((new.size, 1), -1.0), "bias": torch.zeros(3)}
    filled = transfer_weights(trained, old, fresh, new)
    lengths, old_lac = new.segment("length"), old.segment("lac")
    assert filled["rows"][:, 0].tolist() == list(range(old_lac.offset + lengths.size))
    assert torch.equal(filled["bias"], trained["bias"])


def test_start_tokens_keep_their_vectors_for_other_classes(tmp_path):
    old, new = tiny(tmp_path / "a"), tiny(tmp_path / "b", ("cell",))
    base, model = build_model(old), build_model(new)
    vocabs = [build_tokenizer(info).vocab for info in (old, new)]
    filled = transfer_weights(base.state_dict(), vocabs[0], model.state_dict(), vocabs[1])
    model.load_state_dict(filled)
    kept = vocabs[1].segment("length").offset
    torch.testing.assert_close(model.decoder.tokens()[:kept], base.decoder.tokens()[:kept])


def test_held_out_frames_are_a_block_at_the_end():
    kept, held_out = split_frames([labelled(0, n_frames=10), labelled(1, n_frames=2)], 0.2)
    assert [tuple(stack.frames) for stack in kept] == [tuple(range(8)), (0, 1)]
    assert [tuple(stack.frames) for stack in held_out] == [(8, 9)]


def test_nothing_to_learn_from_is_said(tmp_path):
    with pytest.raises(TrainingError, match="correct at least one"):
        train(tiny(tmp_path / "m"), TrainingData(stacks=[]), CONFIG, tmp_path)
    data = TrainingData(stacks=[labelled(0), labelled(1, names=("cell",))])
    with pytest.raises(TrainingError, match="same classes"):
        train(tiny(tmp_path / "m"), data, CONFIG, tmp_path)


def test_the_dense_head_keeps_the_classes_that_both_have(tmp_path):
    info = tiny(tmp_path / "base.safetensors")
    save_checkpoint(info, build_model(info).state_dict())
    old = load_checkpoint(info.path)
    for names in (("cell",), ("a", "b", "c")):
        adapted, weights = adapt_classes(old, names)
        dense = build_model(adapted, weights).dense
        assert dense is not None
        n = min(3, len(names) + 1)
        assert len(dense.weight) == len(names) + 1
        assert torch.equal(dense.weight[:n], old.weights["dense.weight"][:n])
        assert torch.equal(dense.bias[:n], old.weights["dense.bias"][:n])


def test_the_dense_head_of_a_volume_keeps_the_classes_that_both_have(tmp_path):
    info = new_model(
        tmp_path / "base.safetensors",
        size="test",
        scheme=preset("3d-c"),
        mask_spec=MaskSpec(size=(8, 8), class_names=("ipsc", "dfc"), n_frames=2),
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=2),
        max_tokens=64,
    )
    save_checkpoint(info, build_model(info).state_dict())
    old = load_checkpoint(info.path)
    adapted, weights = adapt_classes(old, ("a", "b", "c"))
    dense = build_model(adapted, weights).dense
    assert dense is not None
    assert len(dense.weight) == 4  # its pixels lie in one frame each
    assert torch.equal(dense.weight[:3], old.weights["dense.weight"])


def test_a_scan_does_not_learn_shuffled_runs(tmp_path):
    with pytest.raises(TrainingError, match="first-hit starts come in ascending order"):
        next(start(tmp_path, replace(CONFIG, shuffle_runs=True)))


def test_an_interrupted_step_leaves_no_trace_in_running_averages(tmp_path, monkeypatch):
    def begin(folder):
        info = tiny(folder / "model.safetensors")
        config = ModelConfig.from_json(info.model)
        info = replace(info, model=config.with_changes(backbone_norm="batch").to_json())
        settings = replace(CONFIG, checkpoint_every=0, validate_every=0)
        data = TrainingData(stacks=[labelled(0)])
        return train(info, data, settings, folder, device="cpu")

    expected = begin(tmp_path / "closed")
    for _ in range(2):
        next(expected)
    expected.close()
    run = begin(tmp_path / "interrupted")
    for _ in range(2):
        next(run)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("rleseg_core.training.objective.token_loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    found, wanted = (load_checkpoint(tmp_path / name / LAST) for name in ("interrupted", "closed"))
    assert found.info.step == wanted.info.step == 2
    assert any("running_mean" in name for name in wanted.weights)
    torch.testing.assert_close(found.weights, wanted.weights, atol=0, rtol=0)
