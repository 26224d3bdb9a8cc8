"""Ignored pixels teach nothing: neither what is written there, nor what a model says of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.checkpoints import build_model, build_tokenizer, new_model
from rleseg_core.data import IGNORED, ImageStack, LabelledStack, SampleBatch, WindowSource
from rleseg_core.model import Pix2Seq
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import for_classes, preset
from rleseg_core.training import TrainConfig, TrainingData, train
from rleseg_core.training.batch import TrainingBatch, tokenize
from rleseg_core.training.ignoring import is_exact
from rleseg_core.training.objective import Objective, Outputs, dense_loss
from rleseg_core.training.validation import validate

EXACT = ("binary", "lac", "multiclass", "3d-c", "3d-f", "tac", "ltac")
WHOLE = ("bac", "bac-lac", "diff", "cw", "iw", "multihead", "text4seg")
SIDE = 16
CPU = torch.device("cpu")


def model_of(scheme: str, **changes: object):
    n_frames = 2 if scheme in ("3d-c", "3d-f", "tac", "ltac") else 1
    names = ("a",) if scheme == "binary" else ("a", "b")
    info = new_model(
        Path("model.safetensors"),
        size="nano" if scheme in EXACT else "test",
        scheme=for_classes(preset(scheme, **changes), len(names)),
        mask_spec=MaskSpec(size=(SIDE, SIDE), class_names=names, n_frames=n_frames),
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=n_frames, frame_stride=n_frames),
        max_tokens=256,
    )
    torch.manual_seed(0)
    model = build_model(info)
    for value in model.parameters():  # an untrained pointer hardly looks at the image
        value.data += 0.05 * torch.randn_like(value)
    return model.eval(), build_tokenizer(info)


def masks_of(model: Pix2Seq, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Class ids (3, N, S, S), and ignored pixels of the first two windows."""
    rng = np.random.default_rng(seed)
    shape = (3, model.config.frames.n_frames, SIDE // 2, SIDE // 4)
    coarse = rng.integers(0, n_classes + 1, shape).astype(np.uint8)
    ignored = np.zeros((*shape[:2], SIDE, SIDE), bool)
    ignored[0, :, 3:9, 2:11] = True
    ignored[1, 0, :, 10:] = True
    ignored[1, 0, 0, 0] = True
    return coarse.repeat(2, axis=2).repeat(4, axis=3), ignored


def batch_of(classes: np.ndarray, tokenizer) -> TrainingBatch:
    shape = (*classes.shape[:2], 3, 32, 32)
    images = np.full(shape, 90, np.uint8)
    ids = (classes > 0).astype(np.int32) * (classes != IGNORED)
    samples = SampleBatch(images, classes, ids)
    return tokenize(samples, tokenizer, 256, CPU)


def loss_of(model, tokenizer, batch: TrainingBatch, **settings: object) -> Tensor:
    memory = model.encode(batch.images)
    return loss_from(model, tokenizer, batch, memory, **settings)


def loss_from(model, tokenizer, batch, memory, **settings: object) -> Tensor:
    if batch.known is not None and is_exact(tokenizer):
        memory = replace(memory, ignored=batch.known.plane)
    dense = model.dense_logits(memory) if model.dense is not None else None
    objective = Objective(tokenizer, model.config, TrainConfig(**settings), CPU)
    return objective(Outputs(model(memory, batch.inputs), dense), batch)


@pytest.mark.parametrize("scheme", [*EXACT, *WHOLE])
def test_loss_and_gradients_do_not_depend_on_what_lies_under_ignored_pixels(scheme):
    model, tokenizer = model_of(scheme)
    n_classes = tokenizer.spec.n_classes
    truth, ignored = masks_of(model, n_classes)
    found = []
    for seed in (1, 2):
        other, _ = masks_of(model, n_classes, seed)
        stack = LabelledStack(
            images=ImageStack.from_array(np.zeros((truth[:, 0].size // SIDE**2, SIDE, SIDE))),
            classes=np.where(ignored, other, truth)[:, 0],
            class_names=tokenizer.spec.class_names,
            ignored=ignored[:, 0],
        )
        classes = np.where(ignored, np.uint8(IGNORED), truth)
        classes[:, 0] = np.stack([stack.class_frame(t) for t in stack.frames])
        model.zero_grad()
        loss = loss_of(model, tokenizer, batch_of(classes, tokenizer))
        loss.backward()
        found.append((loss, [p.grad for p in model.parameters() if p.grad is not None]))
    assert torch.isfinite(found[0][0])
    assert found[0][0] == found[1][0]
    assert all(torch.equal(*pair) for pair in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize("loss", ["xent", "focal"])
@pytest.mark.parametrize("scheme", ["binary", "lac", "multiclass", "tac", "ltac"])
def test_the_loss_does_not_depend_on_what_a_model_says_of_ignored_pixels(scheme, loss):
    """The features and dense logits of ignored mask pixels are changed: the loss stays the same."""
    model, tokenizer = model_of(scheme)
    truth, ignored = masks_of(model, tokenizer.spec.n_classes)
    batch = batch_of(np.where(ignored, np.uint8(IGNORED), truth), tokenizer)
    assert batch.known is not None
    with torch.no_grad():
        memory = model.encode(batch.images)
        before = loss_from(model, tokenizer, batch, memory, loss=loss, dense_weight=0.0)
        plane = batch.known.plane
        assert memory.mask_features is not None
        assert plane.shape == memory.mask_features.shape[:2]
        strange = memory.mask_features + plane[..., None] * torch.randn(()) * 40
        dense = memory.dense
        if dense is not None:
            dense = dense + plane[..., None, None] * 8 * torch.randn(dense.shape)
        changed = replace(memory, mask_features=strange, dense=dense)
        after = loss_from(model, tokenizer, batch, changed, loss=loss, dense_weight=0.0)
        # the same change elsewhere does matter
        elsewhere = replace(memory, mask_features=memory.mask_features + 40 * ~plane[..., None])
        other = loss_from(model, tokenizer, batch, elsewhere, loss=loss, dense_weight=0.0)
    assert after == pytest.approx(float(before), rel=1e-5)
    assert other != pytest.approx(float(before), rel=1e-3)


@pytest.mark.parametrize("scheme", EXACT)
def test_no_logit_of_an_ignored_start_has_a_gradient(scheme):
    model, tokenizer = model_of(scheme)
    truth, ignored = masks_of(model, tokenizer.spec.n_classes)
    batch = batch_of(np.where(ignored, np.uint8(IGNORED), truth), tokenizer)
    logits = torch.randn((*batch.targets.shape, tokenizer.vocab.size), requires_grad=True)
    objective = Objective(tokenizer, model.config, TrainConfig(label_smoothing=0.1), CPU)
    objective(Outputs(logits), batch).backward()
    (offset,) = [at for field, at in tokenizer.columns if field.segment == "start"]
    plane = batch.known.plane
    of_starts = logits.grad[:, :, offset : offset + plane.shape[1]].abs().amax(dim=1)
    assert (of_starts[plane] == 0).all()
    assert (of_starts[2] > 0).any()  # the window in which nothing is ignored


def test_starts_and_lengths_beside_ignored_pixels_do_not_count():
    _, tokenizer = model_of("binary")
    classes = np.zeros((1, 1, SIDE, SIDE), np.uint8)
    classes[0, 0, 0, 2:6] = 1  # known on both sides
    classes[0, 0, 2, 4:8] = 1
    classes[0, 0, 2, 8:10] = IGNORED  # it may go on there
    classes[0, 0, 4, 5:7] = IGNORED
    classes[0, 0, 4, 7:9] = 1  # it may have begun there
    batch = batch_of(classes, tokenizer)
    assert batch.n_tokens.tolist() == [7]
    assert batch.known.weights[0].tolist() == [1, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("scheme", WHOLE)
def test_other_schemes_leave_whole_windows_out(scheme):
    model, tokenizer = model_of(scheme)
    truth, ignored = masks_of(model, tokenizer.spec.n_classes)
    batch = batch_of(np.where(ignored, np.uint8(IGNORED), truth), tokenizer)
    assert batch.known.weights.flatten(1).amax(dim=1).tolist() == [0, 0, 1]
    alone = batch_of(truth[2:], tokenizer)
    assert alone.known is None
    with torch.no_grad():
        found, wanted = (
            float(loss_of(model, tokenizer, one, dense_weight=0.0)) for one in (batch, alone)
        )
    assert found == pytest.approx(wanted, rel=1e-4)


def test_nothing_changes_where_nothing_is_ignored():
    model, tokenizer = model_of("lac")
    truth, _ = masks_of(model, 2)
    assert batch_of(truth, tokenizer).known is None


def test_the_dense_loss_is_that_of_known_pixels():
    logits = torch.randn(2, 1, 3, 4, 4, requires_grad=True)
    classes = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    classes[0, 0, 0] = IGNORED
    dense_loss(logits, classes).backward()
    assert (logits.grad[0, 0, :, 0] == 0).all()
    assert (logits.grad[0, 0, :, 1:] != 0).all()
    nothing = dense_loss(logits, torch.full_like(classes, IGNORED))
    assert nothing.item() == 0


def test_a_batch_of_which_nothing_is_known_teaches_nothing():
    model, tokenizer = model_of("lac")
    batch = batch_of(np.full((2, 1, SIDE, SIDE), IGNORED, np.uint8), tokenizer)
    # the end of an empty sequence is all that is said, and it has no rival
    loss = loss_of(model, tokenizer, batch)
    assert torch.isfinite(loss)


def labelled(ignored: np.ndarray) -> LabelledStack:
    classes = np.zeros(ignored.shape, np.uint8)
    classes[:, ::8] = 1
    pixels = np.random.default_rng(0).integers(0, 256, ignored.shape, dtype=np.uint8)
    images = ImageStack.from_array(pixels)
    return LabelledStack(images=images, classes=classes, class_names=("a",), ignored=ignored)


def test_windows_that_are_mostly_ignored_are_not_drawn():
    ignored = np.ones((1, 128, 128), bool)
    ignored[:, 20:58, 60:98] = False
    spec = WindowSpec(patch=32, patch_stride=32)
    source = WindowSource([labelled(ignored)], spec)
    rng = np.random.default_rng(0)
    for _ in range(100):
        frames = source.draw_frames(rng)
        row, col = source.draw_start(frames, rng)
        assert ignored[0, row : row + 32, col : col + 32].mean() <= 0.5


def test_draws_are_as_before_where_nothing_is_ignored():
    spec, none = WindowSpec(patch=32, patch_stride=32), np.zeros((1, 128, 128), bool)
    with_array, without = labelled(none), replace(labelled(none), ignored=None)
    drawn = []
    for stack in (with_array, without):
        source, rng = WindowSource([stack], spec), np.random.default_rng(3)
        drawn.append([source.draw_start(source.draw_frames(rng), rng) for _ in range(10)])
    assert drawn[0] == drawn[1]


def test_validation_counts_known_pixels_only():
    model, tokenizer = model_of("lac")
    truth, ignored = masks_of(model, 2)
    images = np.zeros((3, 1, 3, 32, 32), np.uint8)
    found = []
    for seed in (1, 2):
        other, _ = masks_of(model, 2, seed)
        marked = np.where(ignored, np.uint8(IGNORED), np.where(ignored, other, truth))
        found.append(validate(model, tokenizer, [SampleBatch(images, marked)], CPU).to_json())
    assert found[0] == found[1]
    n_pixels = sum(row["n_pixels"] for row in found[0]["classes"].values())
    assert n_pixels == np.count_nonzero((truth > 0) & ~ignored)


def test_partly_known_frames_can_be_trained_on(tmp_path, sequence):
    config = TrainConfig(n_steps=2, batch_size=2, validate_every=0, warmup_steps=0)
    ignored = np.zeros(sequence.classes.shape, bool)
    ignored[:, :, 40:] = True
    stack = LabelledStack(
        images=ImageStack.from_array(sequence.images),
        classes=sequence.classes,
        class_names=sequence.class_names,
        ignored=ignored,
    )
    data = TrainingData(stacks=[stack])
    data.check()
    info = new_model(
        tmp_path / "model.safetensors",
        size="nano",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=sequence.class_names),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=64,
    )
    reports = list(train(info, data, config, tmp_path / "run", device="cpu"))
    assert len(reports) == 2
    assert all(np.isfinite(report.loss) for report in reports)
