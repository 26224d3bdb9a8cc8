"""A step in parts is the step at once; what cannot fit is said."""

import pytest
import torch
from torch import Tensor, nn

from rleseg_core.errors import BudgetError
from rleseg_core.training.loss import token_loss
from rleseg_core.training.memory import FittingStep, is_out_of_memory


class Network(nn.Module):
    """Logits that depend on dropout and on neighbouring tokens, and a second output."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 9))
        self.most, self.sizes, self.logits = most, [], []

    def forward(self, images: Tensor, shift: Tensor) -> dict[str, object]:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        logits = self.body(images + shift[:, None, None])
        self.logits.append(logits.detach())
        return {"logits": logits, "others": (logits.mean((1, 2)), logits.square(), None)}


def learned(most: int, n_windows: int = 7, dropout: bool = True):
    torch.manual_seed(0)
    network = Network(most).train(dropout)
    images, shift = torch.randn(n_windows, 5, 6), torch.randn(n_windows)
    targets = torch.randint(1, 9, (n_windows, 5))
    targets[0, 1:] = 0  # padding weighs nothing: parts do not weigh the same
    weights = torch.ones(9)
    weights[0] = 0

    def loss_of(outputs):
        loss = token_loss(outputs["logits"], targets, weights)
        return loss + outputs["others"][0].std()  # of the whole batch

    step = FittingStep(network, lambda loss: loss.backward())
    loss = step((images, shift), loss_of)
    return loss, [parameter.grad for parameter in network.parameters()], network, step


@pytest.mark.parametrize("most", [1, 2, 3, 6])
def test_gradient_in_parts_is_that_of_the_whole_batch(most):
    loss, gradients, _, _ = learned(7, dropout=False)
    parted, others, network, step = learned(most, dropout=False)
    assert max(network.sizes[-2:]) <= most
    assert step.n_parts == {1: 8, 2: 4, 3: 4, 6: 2}[most]
    torch.testing.assert_close(parted, loss)
    for ours, theirs in zip(others, gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parts_forget_the_same_in_both_passes():
    _, _, network, _ = learned(2)
    first, second = network.logits[-8:-4], network.logits[-4:]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_running_averages_take_in_each_part_once():
    network = nn.Sequential(nn.BatchNorm1d(3))
    step = FittingStep(network, lambda loss: loss.backward())
    step.n_parts = 2
    windows = torch.arange(24.0).view(8, 3)
    step((windows,), lambda outputs: outputs.square().mean())
    once = nn.BatchNorm1d(3)
    for part in windows.tensor_split(2):
        once(part)
    assert network[0].num_batches_tracked == 2
    torch.testing.assert_close(network[0].running_mean, once.running_mean)


def test_running_averages_forget_what_did_not_fit():
    class TooLarge(nn.BatchNorm1d):
        def forward(self, x: Tensor) -> Tensor:
            seen = super().forward(x)
            if len(x) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return seen

    network = TooLarge(3)
    step = FittingStep(network, lambda loss: loss.backward())
    step((torch.arange(24.0).view(8, 3),), lambda outputs: outputs.square().mean())
    assert step.n_parts == 4
    assert network.num_batches_tracked == 4


def test_parts_may_leave_out_what_is_not_wanted_of_them():
    class First(nn.Linear):
        """An output of the first windows only, and another that does not learn."""

        def forward(self, x: Tensor, wanted: Tensor) -> tuple[Tensor | None, Tensor]:
            return (super().forward(x[wanted]) if wanted.any() else None), x

    network = First(3, 2)
    windows, wanted = torch.randn(5, 3), torch.arange(5) < 3
    gradients = []
    for n_parts in (1, 4):
        network.zero_grad()
        step = FittingStep(network, lambda loss: loss.backward())
        step.n_parts = n_parts
        step((windows, wanted), lambda outputs: outputs[0].square().mean() + outputs[1].mean())
        gradients.append(network.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_later_steps_begin_in_parts():
    *_, network, step = learned(4)
    network.sizes.clear()
    step((torch.randn(6, 5, 6), torch.randn(6)), lambda outputs: outputs["logits"].mean())
    assert network.sizes == [3, 3, 3, 3]


def test_what_never_fits_is_said():
    with pytest.raises(BudgetError, match="a single window does not fit into memory; choose a sma"):
        learned(0)


def test_several_processes_do_not_try_again():
    step = FittingStep(Network(3), lambda loss: loss.backward(), retries=False)
    with pytest.raises(BudgetError, match="4 windows at once do not fit"):
        step((torch.randn(4, 5, 6), torch.randn(4)), lambda outputs: outputs["logits"].mean())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_known(error, expected):
    assert is_out_of_memory(error) is expected


def test_other_errors_are_not_swallowed():
    step = FittingStep(Network(9), lambda loss: loss.backward())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        step((torch.randn(4, 5, 3), torch.randn(4)), lambda outputs: outputs["logits"].mean())
