"""The optimizer and its learning rate."""

import math

import torch
from torch import Tensor, nn

from rleseg_core.training.config import TrainConfig

_EMBEDDINGS = ("tokens.rows", "positions")  # learned vectors of tokens and positions


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, not biases, norms and embeddings.

    With ``decay='all'`` everything decays, as in the published implementation; with few training
    images that pulls the embeddings of rare tokens to zero. Frozen parameters are left out. Each
    part with its own learning rate is a group.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or name.endswith(_EMBEDDINGS)
            decay = 0.0 if plain and config.decay == "matrices" else config.weight_decay
            factor = config.rates.get(name.split(".")[0], 1.0)
            groups.setdefault((decay, factor), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "factor": factor}
            for (decay, factor), parameters in groups.items()
        ],
        lr=config.learning_rate,
        betas=config.betas,
    )


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step, counted from 0: linear warm-up, then the schedule."""
    if step < config.warmup_steps:
        n_warm = step + 1 if config.warmup_from == "first" else step
        return config.learning_rate * n_warm / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.n_steps - config.warmup_steps)
    done = min(1.0, done)
    if config.schedule == "exponential":
        return config.learning_rate * config.schedule_rate**done
    falling = {
        "constant": 1.0,
        "linear": 1.0 - done,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * config.schedule_rate * done)),
    }[config.schedule]
    return config.learning_rate * (config.final_share + (1.0 - config.final_share) * falling)


def begin_step(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> float:
    """Set the learning rate and epsilon of a step, counted from 0; the learning rate is returned.

    The epsilon of the published optimizer is not corrected for the bias of the first steps, so
    with ``epsilon='published'`` ours is raised by what PyTorch corrects.
    """
    rate, epsilon = learning_rate(step, config), 1e-8
    if config.epsilon == "published":
        epsilon /= math.sqrt(1.0 - config.betas[1] ** (step + 1))
    for group in optimizer.param_groups:
        group["lr"], group["eps"] = rate * group.get("factor", 1.0), epsilon
    return rate


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and counters of an optimizer as named tensors, for a checkpoint."""
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave.

    Raises
    ------
    ValueError
        If a moment is missing, or has another shape than its weight.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if state and state.keys() - range(len(weights)):
        raise ValueError(f"it has moments of {len(state)} weights, the model has {len(weights)}")
    for number, moments in state.items():
        shapes = {name: tuple(value.shape) for name, value in moments.items() if name != "step"}
        if "step" not in moments or set(shapes.values()) != {tuple(weights[number].shape)}:
            raise ValueError(f"the moments of weight {number} do not have its shape")
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
