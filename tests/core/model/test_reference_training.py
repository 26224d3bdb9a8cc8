"""Losses, gradients and optimizer steps are those of the published implementation."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rleseg_core.model import Pix2Seq
from rleseg_core.published import to_parameters
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.loss import token_loss, token_losses
from rleseg_core.training.optim import begin_step, learning_rate, make_optimizer

from .golden import Golden, tiny_reference

STILL = {"dropout": 0.0, "drop_path": 0.0}


@pytest.fixture(params=["static_tiny_frozen", "static_tiny_batchstats"])
def golden(request: pytest.FixtureRequest, shared_dir: Path) -> Golden:
    return Golden(shared_dir, request.param)


@pytest.fixture
def model(golden: Golden) -> Pix2Seq:
    """In training mode; with a frozen backbone if the file is of one."""
    model = golden.model(tiny_reference(**STILL)).train()
    model.backbone.requires_grad_("grad:model/encoder/resnet/" in " ".join(golden.arrays))
    return model


def loss_of(model: Pix2Seq, golden: Golden) -> Tensor:
    logits = model(model.encode(golden.images), golden["in:seq"])
    weights = torch.ones(500)
    weights[0] = 0.1
    assert torch.equal(weights[golden["in:target"]], golden["in:token_weights"])
    return token_loss(logits, golden["in:target"], weights)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("xent", {}),
        ("xent@0.1", {"label_smoothing": 0.1}),
        ("focal@2", {"kind": "focal"}),
        ("logistic", {"kind": "logistic"}),
    ],
)
def test_losses_agree(golden: Golden, name: str, settings: dict[str, object]) -> None:
    logits, targets = golden["out:train_logits"], golden["in:target"]
    losses = token_losses(logits, targets, **settings)
    torch.testing.assert_close(losses, golden[f"out:loss_tok:{name}"], atol=1e-5, rtol=1e-6)
    weights = torch.ones(500)
    weights[0] = 0.1
    loss = token_loss(logits, targets, weights, **settings)
    torch.testing.assert_close(loss, golden[f"out:loss:{name}"], atol=1e-5, rtol=0)
    weights[0] = 0.0
    loss = token_loss(logits, targets, weights)
    torch.testing.assert_close(loss, golden["out:loss_notpad"], atol=1e-5, rtol=0)


def test_gradients_agree(golden: Golden, model: Pix2Seq) -> None:
    loss_of(model, golden).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    expected = to_parameters(golden.part("grad:"))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        worst = (found[name] - value).abs().max() / value.abs().max()
        assert worst < 1e-3, name


def test_three_steps_agree(golden: Golden, model: Pix2Seq) -> None:
    config = TrainConfig(
        n_steps=10,
        learning_rate=3e-3,
        warmup_steps=2,
        warmup_from="zero",
        schedule="linear",
        final_share=0.01,
        decay="all",
        epsilon="published",
    )
    rates = [learning_rate(step, config) for step in range(12)]
    torch.testing.assert_close(torch.tensor(rates), golden["out:train_lr"], atol=1e-8, rtol=1e-5)
    optimizer = make_optimizer(model, config)
    losses = []
    for step in range(3):
        begin_step(optimizer, step, config)
        loss = loss_of(model, golden)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    # the first steps are as long for the smallest gradients as for the largest, and with a free
    # backbone those are rounding: double precision is as far from the file as we are
    frozen = not model.backbone.conv1.weight.requires_grad
    golden.check(torch.stack(losses), "train_losses", 1e-5 if frozen else 2e-3)
    after = to_parameters(golden.part("adamw3:"))
    assert len(after) in (12, 21)
    for name, value in after.items():
        off = (model.state_dict()[name] - value).abs()
        assert off.max() < (2e-4 if frozen else 1e-2), name
        assert off.median() < (1e-6 if frozen else 5e-4), name


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("linear", {"schedule": "linear"}),
        ("cosine", {"schedule": "cosine"}),
        ("cosine@0.8", {"schedule": "cosine", "schedule_rate": 0.8}),
        ("none", {"schedule": "constant"}),
        ("exp@0.1", {"schedule": "exponential", "schedule_rate": 0.1}),
    ],
)
def test_learning_rates_agree(shared_dir: Path, name: str, settings: dict[str, object]) -> None:
    golden = Golden(shared_dir, "optim")
    config = TrainConfig(
        n_steps=1000,
        learning_rate=3e-5,
        warmup_steps=100,
        warmup_from="zero",
        final_share=0.01,
        **settings,
    )
    steps = [step for step in golden.arrays["lr_steps"].tolist() if step <= 1000]
    rates = torch.tensor([learning_rate(step, config) for step in steps]).double()
    expected = golden[f"lr:{name}"][: len(steps)]
    torch.testing.assert_close(rates, expected, rtol=1e-5, atol=1e-12)


def test_a_tail_with_the_lowest_rate_agrees(shared_dir: Path) -> None:
    golden = Golden(shared_dir, "optim")  # scaled by 32 / 256, 100 steps of tail
    config = TrainConfig(
        n_steps=900,
        learning_rate=1e-4 * 32 / 256,
        warmup_steps=0,
        schedule="linear",
        final_share=0.1,
    )
    steps = golden.arrays["lr_steps"].tolist()
    rates = torch.tensor([learning_rate(step, config) for step in steps]).double()
    torch.testing.assert_close(rates, golden["lr:linear_tail_scaled"], rtol=1e-5, atol=1e-12)


def test_adamw_agrees(shared_dir: Path) -> None:
    golden = Golden(shared_dir, "optim")
    trajectory = golden["adamw:traj"]
    config = TrainConfig(
        n_steps=20,
        learning_rate=3e-3,
        warmup_steps=5,
        warmup_from="zero",
        schedule="linear",
        final_share=0.01,
        decay="all",
        epsilon="published",
    )
    model = torch.nn.ParameterDict({"embedding": torch.nn.Parameter(trajectory[0].clone())})
    optimizer = make_optimizer(model, config)
    for step, gradient in enumerate(golden["adamw:grads"]):
        begin_step(optimizer, step, config)
        model["embedding"].grad = gradient
        optimizer.step()
        torch.testing.assert_close(
            model["embedding"].detach(), trajectory[step + 1], atol=1e-5, rtol=0
        )
