"""Whatever stops a run: one sentence, a whole checkpoint, nothing half written, and it resumes."""

import contextlib
import errno
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from rleseg_core.augment.config import AUGMENTATIONS
from rleseg_core.checkpoints import (
    build_model,
    load_checkpoint,
    new_model,
    read_info,
    save_checkpoint,
)
from rleseg_core.cli import main
from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.errors import BudgetError, CheckpointError, DataError, TrainingError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import LAST, TrainConfig, TrainingData, read_reports, train
from rleseg_core.training.reports import LOG_NAME
from rleseg_core.training.run_state import resumed_settings

NAMES = ("ipsc", "dfc")
CONFIG = TrainConfig(n_steps=5, batch_size=4, warmup_steps=1, checkpoint_every=2, validate_every=0)


def pair() -> tuple[np.ndarray, np.ndarray]:
    """Images and masks with objects of both classes, (3, 64, 64) uint8."""
    masks = np.zeros((3, 64, 64), np.uint8)
    for t in range(3):
        masks[t, 8:24, 6 + t : 26 + t], masks[t, 36:56, 30 + t : 50 + t] = 1, 2
    return masks * 100 + np.random.default_rng(0).integers(0, 40, masks.shape, np.uint8), masks


def labelled(change=None) -> LabelledStack:
    images, masks = pair()
    masks = masks if change is None else change(masks)
    return LabelledStack(images=ImageStack.from_array(images), classes=masks, class_names=NAMES)


def start(folder: Path, config: TrainConfig = CONFIG, change=None, resume=False):
    torch.set_num_threads(1)
    info = new_model(
        folder / "model.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=NAMES),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=48,
    )
    info = replace(info, model={**info.model, "dropout": 0.1})
    data = TrainingData(stacks=[labelled(change)], validation_share=0)
    return train(info, data, config, folder, device="cpu", resume=resume)


def losses(run) -> list[float]:
    return [report.loss for report in run]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[float]:
    """Losses of a run that nothing stops."""
    return losses(start(tmp_path_factory.mktemp("whole")))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("run.lock")}


def assert_whole(folder: Path, step: int) -> None:
    """There is a checkpoint of that step which is a model, and nothing beside it."""
    assert files(folder) == {LAST, LOG_NAME}
    checkpoint = load_checkpoint(folder / LAST)
    assert checkpoint.info.step == step
    build_model(checkpoint.info, checkpoint.weights)
    assert all(torch.isfinite(value).all() for value in checkpoint.weights.values())


@contextlib.contextmanager
def full_disk(n_bytes: int):
    """No file can become larger; the system says so itself."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [50_000, 1_000])
def test_full_disk_keeps_the_last_checkpoint_and_the_run_resumes(tmp_path, whole, n_bytes):
    run = start(tmp_path)
    first = [next(run).loss for _ in range(2)]
    with full_disk(n_bytes), pytest.raises(TrainingError) as told:
        losses(run)
    sentence = str(told.value)
    assert "File too large" in sentence
    assert "\n" not in sentence
    assert "step 2 is kept" in sentence or LOG_NAME in sentence
    assert_whole(tmp_path, 2)
    rest = losses(start(tmp_path, resume=True))
    assert first + rest == whole
    assert [report.loss for report in read_reports(tmp_path)] == whole


def test_disk_that_fills_up_while_the_model_is_written(tmp_path, whole, monkeypatch):
    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = start(tmp_path)
    first = [next(run).loss for _ in range(5)]
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", no_room)
        with pytest.raises(TrainingError) as told:
            losses(run)
    assert str(told.value).startswith(f"{tmp_path / 'model.safetensors'}: No space left on device")
    assert_whole(tmp_path, 5)
    assert losses(start(tmp_path, resume=True)) == []
    assert load_checkpoint(tmp_path / "model.safetensors").info.step == 5
    assert first == whole


def test_disk_that_is_full_from_the_beginning(tmp_path):
    with full_disk(1_000), pytest.raises(TrainingError, match="the training has not begun"):
        losses(start(tmp_path))
    assert files(tmp_path) == {LOG_NAME}


KILLED = """
import sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
import safetensors.torch
from test_robust_training import start
write = safetensors.torch.save_file
def slow(tensors, path, metadata):
    if n_saves.pop():
        return write(tensors, path, metadata)
    path.write_bytes(b"half a file")
    path.with_name(".tmpAbCdEf").write_bytes(b"and another")
    print("writing", flush=True)
    threading.Event().wait()  # for the end
safetensors.torch.save_file, n_saves = slow, [False, True, True]
for report in start(Path({folder!r})):
    pass
"""


def test_run_killed_while_it_writes_a_checkpoint_resumes(start_child, tmp_path, whole):
    child = start_child(KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    child.wait_for("writing")
    assert child.kill() == -signal.SIGKILL
    assert len(files(tmp_path)) > 2
    assert load_checkpoint(tmp_path / LAST).info.step == 2
    with (tmp_path / LOG_NAME).open("a") as log:
        log.write('{"step": 4, "cut')
    run = start(tmp_path, resume=True)
    rest = [next(run).loss]
    assert files(tmp_path) == {LAST, LOG_NAME}
    assert rest + losses(run) == whole[2:]
    assert [report.loss for report in read_reports(tmp_path)] == whole


@pytest.mark.parametrize(
    "where",
    [
        "torch.Tensor.backward",
        "accelerate.Accelerator.clip_grad_norm_",
        "torch.optim.AdamW.step",
    ],
)
def test_run_interrupted_within_a_step_resumes_to_the_same_losses(
    tmp_path, whole, monkeypatch, where
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    run = start(tmp_path)
    first = [next(run).loss for _ in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(where, interrupt)
        with pytest.raises(KeyboardInterrupt):
            losses(run)
    step = 2 if where.endswith("AdamW.step") else 3  # weights of half a step are not kept
    assert_whole(tmp_path, step)
    assert first[:step] + losses(start(tmp_path, resume=True)) == whole


def test_masks_without_any_object_are_learned(tmp_path):
    reports = list(start(tmp_path, change=np.zeros_like))
    assert all(np.isfinite(report.loss) for report in reports)
    assert "show no objects" in reports[0].message
    assert not any(report.message for report in reports[1:])
    assert load_checkpoint(tmp_path / "model.safetensors").info.step == 5


def test_class_that_is_nowhere_is_named(tmp_path):
    run = start(tmp_path, change=lambda classes: np.where(classes == 2, 0, classes))
    first = next(run)
    run.close()
    assert first.message == "no training mask shows dfc; the model cannot learn what is not there"
    assert np.isfinite(first.loss)
    assert read_reports(tmp_path)[0].message == first.message


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"\(3, 64, 64\)"):
        labelled(lambda classes: classes[:, 1:])
    with pytest.raises(DataError, match=r"\(2, 64, 64\)"):
        labelled(lambda classes: classes[:2])


class TooSmall:
    """A memory into which so many windows fit."""

    def __init__(self, monkeypatch, most: int) -> None:
        from rleseg_core.model import Pix2Seq

        encode, self.sizes = Pix2Seq.encode, []

        def limited(model, images, **how):
            self.sizes.append(len(images))
            if len(images) > most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 64 bytes")
            return encode(model, images, **how)

        monkeypatch.setattr(Pix2Seq, "encode", limited)


@pytest.mark.parametrize(("share", "most"), [(1.0, 2), (0.5, 1)])
def test_batch_that_does_not_fit_is_learned_in_parts(tmp_path, monkeypatch, share, most):
    def still(folder):
        config = replace(CONFIG, n_steps=3, bf16_convolutions=False, token_share=share)
        return list(start(folder, config))

    monkeypatch.setattr("torch.nn.functional.dropout", lambda x, *_, **__: x)
    at_once = still(tmp_path / "at once")
    memory = TooSmall(monkeypatch, most)
    reports = still(tmp_path / "parts")
    n_parts = 4 // most
    assert memory.sizes[-6 * n_parts :] == 6 * n_parts * [most]
    assert f"in {n_parts} parts" in reports[0].message
    assert not reports[1].message
    assert [r.loss for r in reports] == pytest.approx([r.loss for r in at_once], rel=1e-5)
    ours, theirs = (load_checkpoint(tmp_path / name / LAST) for name in ("parts", "at once"))
    for name, weight in theirs.weights.items():
        torch.testing.assert_close(ours.weights[name], weight, atol=1e-4, rtol=1e-3)


def test_window_that_does_not_fit_is_said_and_the_run_resumes(tmp_path, whole, monkeypatch):
    run = start(tmp_path)
    first = [next(run).loss for _ in range(3)]
    with monkeypatch.context() as patch:
        TooSmall(patch, 0)
        with pytest.raises(BudgetError, match="a single window does not fit into memory"):
            losses(run)
    assert_whole(tmp_path, 3)
    assert first + losses(start(tmp_path, resume=True)) == whole


def test_memory_that_ends_elsewhere_is_said(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    run = start(tmp_path)
    next(run)
    monkeypatch.setattr("torch.optim.AdamW.step", fail)
    with pytest.raises(BudgetError, match="not enough memory to train; the checkpoint of step 0"):
        next(run)
    assert_whole(tmp_path, 0)


# the same from the command line


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, frames in zip(("images", "masks"), pair(), strict=True):
        (folder / name).mkdir()
        for index, frame in enumerate(frames):
            tifffile.imwrite(folder / name / f"{index}.tif", frame, photometric="minisblack")
    return folder


def command(capfd, images: Path, masks: Path, out: Path, *options):
    words = [
        *("train", images, masks, "--classes", ",".join(NAMES), "--out", out, "--size", "test"),
        *("--patch", 32, "--mask-size", 16, "--max-tokens", 48, "--steps", 5, "--batch-size", 2),
        *("--checkpoint-every", 2, "--device", "cpu", "--json", *options),
    ]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    told = capfd.readouterr()
    return end.value.code or 0, told.out, told.err


def assert_one_sentence(told, *, about: str) -> None:
    code, out, err = told
    assert code == 2, err
    assert out == ""
    *said, error = err.strip().splitlines()
    assert all("→" in line for line in said), err  # how masks are read
    assert error.startswith("error: "), err
    assert about in error


def test_command_whose_loss_is_no_number(capfd, pictures, tmp_path):
    told = command(
        capfd, pictures / "images", pictures / "masks", tmp_path / "m.safetensors", "--lr", 1e30
    )
    assert_one_sentence(told, about="try a lower learning rate")
    assert files(tmp_path) == {"m"}
    assert_whole(tmp_path / "m", load_checkpoint(tmp_path / "m" / LAST).info.step)


def test_command_on_a_full_disk(capfd, pictures, tmp_path, monkeypatch):
    def no_room(tensors, path, metadata):
        if n_saves.pop():
            return save(tensors, path, metadata)
        Path(path).write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: ... (os error 28)")

    import safetensors.torch
    from safetensors import SafetensorError

    save, n_saves = safetensors.torch.save_file, [False, False, True, True]
    arguments = (pictures / "images", pictures / "masks", tmp_path / "m.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", no_room)
        assert_one_sentence(command(capfd, *arguments), about="No space left on device; the check")
    assert_whole(tmp_path / "m", 2)
    code, out, _ = command(capfd, *arguments, "--resume")
    assert code == 0
    assert json.loads(out)["steps"] == 5


def test_command_without_anything_to_learn_from(capfd, pictures, tmp_path):
    (tmp_path / "nothing").mkdir()
    told = command(capfd, tmp_path / "nothing", tmp_path / "nothing", tmp_path / "m.safetensors")
    assert_one_sentence(told, about="nothing")
    everything = ("--holdout", "0-2")
    told = command(
        capfd, pictures / "images", pictures / "masks", tmp_path / "m.safetensors", *everything
    )
    assert_one_sentence(told, about="--holdout leaves no frame to learn from")
    assert files(tmp_path) == {"nothing"}


def test_command_whose_masks_do_not_match(capfd, pictures, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = tifffile.imread(pictures / "masks" / "0.tif")
    for index in range(2):
        tifffile.imwrite(masks / f"{index}.tif", mask, photometric="minisblack")
    out = tmp_path / "m.safetensors"
    assert_one_sentence(command(capfd, pictures / "images", masks, out), about="masks")
    tifffile.imwrite(masks / "2.tif", mask[:, 1:], photometric="minisblack")
    assert_one_sentence(command(capfd, pictures / "images", masks, out), about="63")
    assert files(tmp_path) == {"masks"}


def test_command_that_lacks_a_class_says_so(capfd, pictures, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in (pictures / "masks").iterdir():
        mask = tifffile.imread(path)
        tifffile.imwrite(masks / path.name, np.minimum(mask, 1), photometric="minisblack")
    code, _, err = command(capfd, pictures / "images", masks, tmp_path / "m.safetensors")
    assert code == 0, err
    assert "no training mask shows dfc" in err


def test_command_whose_windows_do_not_fit(capfd, pictures, tmp_path, monkeypatch):
    TooSmall(monkeypatch, 0)
    told = command(capfd, pictures / "images", pictures / "masks", tmp_path / "m.safetensors")
    assert_one_sentence(told, about="a single window does not fit into memory")
    assert_whole(tmp_path / "m", 0)


@pytest.mark.parametrize("strength", ["none", "standard", "strong"])
def test_command_notes_how_patches_vary(capfd, pictures, tmp_path, strength):
    arguments = (pictures / "images", pictures / "masks", tmp_path / "m.safetensors")
    code, _, err = command(capfd, *arguments, "--augment", strength, "--steps", 1)
    assert code == 0, err
    _, config = resumed_settings(read_info(tmp_path / "m" / LAST))
    assert config.augment == AUGMENTATIONS[strength]


@pytest.mark.parametrize("n_logged", [1, 2, 3, 4])
def test_log_has_each_step_once_wherever_the_run_was_killed(tmp_path, whole, n_logged):
    run = start(tmp_path / "run")
    for _ in range(3):
        next(run)
    shutil.copytree(tmp_path / "run", tmp_path / "killed")  # as a killed process leaves it
    run.close()
    log = tmp_path / "killed" / LOG_NAME
    lines = log.read_text().splitlines(keepends=True)
    step = load_checkpoint(tmp_path / "killed" / LAST).info.step
    ahead = [line.replace(f'"step": {len(lines)}', f'"step": {len(lines) + 1}') for line in lines]
    log.write_text("".join([*lines, *ahead[-1:]][: max(n_logged, step - 1)]) + '{"step": 9, "cu')
    assert losses(start(tmp_path / "killed", resume=True)) == whole[step:]
    logged = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert logged == list(range(1, len(whole) + 1))
    assert [report.loss for report in read_reports(tmp_path / "killed")] == whole


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"config": []}, "config must be"),
        ({"config": {"n_steps": "many"}}, "n_steps must be a whole number"),
        ({"config": {"augment": {"scale": 3}}}, "augment.scale must be"),
        ({"config": {"cheese": 1}}, "no setting 'cheese'"),
        ({"n_worse": -1}, "n_worse must be"),
        ({"best_score": "good"}, "best_score must be"),
        ({"scale": [1]}, "scale must be"),
        ({"path": 7}, "path must be"),
    ],
)
def test_damaged_state_of_a_run_is_refused(tmp_path, changes, told):
    run = start(tmp_path)
    next(run)
    run.close()
    saved = load_checkpoint(tmp_path / LAST)
    info = replace(saved.info, training={**saved.info.training, **changes})
    save_checkpoint(info, saved.weights, saved.state, overwrite=True)
    with pytest.raises(CheckpointError, match=f"damaged state of its run.*{told}"):
        next(start(tmp_path, resume=True))


@pytest.mark.parametrize("damage", ["missing", "renamed", "shape"])
def test_moments_that_do_not_fit_are_refused(tmp_path, damage):
    run = start(tmp_path)
    next(run)
    run.close()
    saved = load_checkpoint(tmp_path / LAST)
    name = next(name for name in saved.state if name.endswith(".exp_avg"))
    moments = dict(saved.state)
    value = moments.pop(name)
    if damage == "renamed":
        moments["optimizer.9999.exp_avg"] = value
    elif damage == "shape":
        moments[name] = torch.zeros(3, 3, 3)
    else:
        moments = {key: value for key, value in moments.items() if not key.startswith("random")}
    save_checkpoint(saved.info, saved.weights, moments, overwrite=True)
    with pytest.raises(CheckpointError, match="does not hold the state of such a run"):
        next(start(tmp_path, resume=True))
