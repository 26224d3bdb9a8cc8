import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import length_ranges
from rleseg_core.errors import TrainingError
from rleseg_core.model import model_config
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset
from rleseg_core.training.averaging import WeightAverage
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.loss import token_loss
from rleseg_core.training.noise import corrupt, shuffle_runs
from rleseg_core.training.objective import (
    class_weights,
    dense_loss,
    token_classes,
    token_neighbours,
)
from rleseg_core.training.optim import begin_step, make_optimizer


def tokenizer_of(name: str, **changes: object) -> Tokenizer:
    spec = MaskSpec(size=(8, 8), class_names=("a", "b"))
    return Tokenizer.build(preset(name, **changes), spec)  # type: ignore[arg-type]


def masks(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    coarse = rng.choice(3, p=(0.6, 0.3, 0.1), size=(n, 1, 4, 4))
    return torch.from_numpy(coarse.repeat(2, 2).repeat(2, 3).astype(np.uint8))


@pytest.mark.parametrize("name", ["lac", "multiclass", "bac-lac", "bac", "cw"])
def test_classes_of_tokens_are_those_of_their_texts(name):
    tokenizer = tokenizer_of(name)
    said = token_classes(tokenizer)
    names = (
        {"a": 1, "b": 2} if name not in ("bac", "bac-lac") else {"background": 1, "a": 2, "b": 3}
    )
    for token, text in enumerate(tokenizer.texts(range(tokenizer.vocab.size))):
        last = text.split("·")[-1].split()[-1] if "length" in text or "class" in text else ""
        assert said[token] == names.get(last, 0), text


def test_balanced_classes_weigh_alike():
    tokenizer = tokenizer_of("lac")
    tokens = tokenizer.encode_batch(masks(6), budget=128).tokens
    said = token_classes(tokenizer)
    weights = class_weights(said, tokens, 1.0)[tokens]
    sums = [float(weights[said[tokens] == c].sum()) for c in (1, 2)]
    counts = [int((said[tokens] == c).sum()) for c in (1, 2)]
    assert counts[0] > 1.5 * counts[1] > 0
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    assert sum(sums) == pytest.approx(sum(counts), rel=1e-5)
    assert (weights[said[tokens] == 0] == 1).all()
    half = class_weights(said, tokens, 0.5)
    assert torch.equal(class_weights(said, tokens, 0.0), torch.ones_like(half))
    only_b = torch.where(said[tokens] == 1, tokenizer.vocab.eos, tokens)
    assert torch.isfinite(class_weights(said, only_b, 1.0)).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_neighbours_are_the_cells_around_and_the_next_lengths(order):
    tokenizer = tokenizer_of("lac", order=order)
    config = model_config(
        "test",
        vocab_size=tokenizer.vocab.size,
        max_tokens=64,
        image_size=32,
        grid=tokenizer.start_grid,
        ordinal_ranges=length_ranges(tokenizer),
    )
    near = token_neighbours(config)
    first = tokenizer.vocab.segment("start").offset

    def cell(row, col):
        return first + (row * 8 + col if order == "C" else row + col * 8)

    assert set(near[cell(3, 4)].tolist()) == {cell(2, 4), cell(4, 4), cell(3, 3), cell(3, 5)}
    assert set(near[cell(0, 0)].tolist()) == {-1, cell(0, 1), cell(1, 0)}
    lac = tokenizer.vocab.segment("lac").offset  # eight lengths of each class
    assert set(near[lac + 7].tolist()) == {-1, lac + 6}
    assert set(near[lac + 8].tolist()) == {-1, lac + 9}
    assert (near[tokenizer.vocab.eos] == -1).all()


def test_ordinal_label_smoothing_is_the_cross_entropy_of_a_soft_target():
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5)), torch.rand(7)
    near = torch.full((7, 4), -1)
    near[2, :2], near[3, 2] = torch.tensor([1, 3]), 4
    soft = torch.eye(7)
    soft[2] = torch.tensor([0, 0.1, 0.8, 0.1, 0, 0, 0])
    soft[3] = torch.tensor([0, 0, 0, 0.8, 0.2, 0, 0])
    losses = -(logits.log_softmax(-1) * soft[targets]).sum(-1)
    expected = (losses * weights[targets]).sum() / weights[targets].sum()
    found = token_loss(logits, targets, weights, neighbours=near, ordinal_label_smoothing=0.2)
    torch.testing.assert_close(found, expected)


def test_dense_loss_is_least_for_the_truth():
    classes = masks(2)
    right = 20.0 * torch.nn.functional.one_hot(classes.long(), 3).movedim(-1, 2)
    assert float(dense_loss(right, classes)) < 1e-6
    assert float(dense_loss(torch.zeros_like(right), classes)) == pytest.approx(np.log(3))


def test_shuffled_runs_are_the_same_runs():
    tokenizer = tokenizer_of("multiclass")
    batch = tokenizer.encode_batch(masks(5), budget=128)
    torch.manual_seed(0)
    shuffled = shuffle_runs(batch.tokens, batch.n_tokens, tokenizer)
    assert not torch.equal(shuffled, batch.tokens)
    for before, after, n in zip(batch.tokens, shuffled, batch.n_tokens, strict=True):
        runs, others = (row[: n - 1].view(-1, 3).tolist() for row in (before, after))
        assert sorted(runs) == sorted(others)
        assert torch.equal(before[n - 1 :], after[n - 1 :])
    with pytest.raises(TrainingError, match="runs can be shuffled where"):
        shuffle_runs(batch.tokens, batch.n_tokens, tokenizer_of("bac"))


def test_wrong_inputs_are_of_the_same_segment():
    tokenizer = tokenizer_of("multiclass")
    inputs = tokenizer.encode_batch(masks(40), budget=128).tokens.roll(1, dims=-1)
    torch.manual_seed(0)
    wrong = corrupt(inputs, tokenizer, 0.25)
    segment_of = torch.zeros(tokenizer.vocab.size, dtype=torch.int64)
    for k, segment in enumerate(tokenizer.vocab.segments):
        segment_of[segment.offset : segment.end] = k
    assert torch.equal(segment_of[wrong], segment_of[inputs])
    special = inputs < 3
    assert torch.equal(wrong[special], inputs[special])
    changed = (wrong != inputs)[~special].float().mean()
    assert 0.15 < float(changed) < 0.25  # some are replaced by themselves
    assert torch.equal(corrupt(inputs, tokenizer, 0.0), inputs)
    with pytest.raises(TrainingError, match="leave out corruption"):
        corrupt(inputs[:, None].expand(-1, 3, -1), tokenizer_of("multihead"), 0.25)


def test_weights_are_averaged_and_the_average_resumes():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = WeightAverage(layer, 0.9)
    values = []
    for _ in range(30):
        with torch.no_grad():
            layer[0].weight.add_(torch.randn(2, 2))
        average.update(layer)
        values.append(layer[0].weight.clone())
    expected = values[0]
    for n, value in enumerate(values[1:], start=1):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.model[0].weight, expected)
    other = WeightAverage(layer, 0.9)
    other.restore({name: value.clone() for name, value in average.tensors().items()})
    for each in (average, other):
        each.update(layer)
    torch.testing.assert_close(other.model.state_dict(), average.model.state_dict())


def test_parts_learn_at_their_own_rates_and_tables_do_not_decay():
    tokenizer = tokenizer_of("lac")
    from rleseg_core.model import Pix2Seq

    config = model_config(
        "test", vocab_size=tokenizer.vocab.size, max_tokens=64, image_size=32,
        grid=tokenizer.start_grid, ordinal_ranges=length_ranges(tokenizer),
    )  # fmt: skip
    model = Pix2Seq(config)
    settings = TrainConfig(
        learning_rate=0.5, warmup_steps=0, rates={"backbone": 0.1, "decoder": 2.0}
    )
    optimizer = make_optimizer(model, settings)
    begin_step(optimizer, 0, settings)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    named = {name: found[id(parameter)] for name, parameter in model.named_parameters()}
    assert named["backbone.conv1.weight"] == (pytest.approx(0.05), 0.05)
    assert named["encoder.stem.weight"] == (pytest.approx(0.5), 0.05)
    assert named["decoder.tokens.rows"] == named["decoder.positions"] == (pytest.approx(1.0), 0.0)
    assert named["decoder.tokens.project.weight"] == (pytest.approx(1.0), 0.05)
    assert named["encoder.stem.bias"] == (pytest.approx(0.5), 0.0)
    with pytest.raises(TrainingError, match="no part 'head' that could be given a rate"):
        TrainConfig(rates={"head": 1.0})
