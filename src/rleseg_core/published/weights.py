"""The variables of the published implementation, converted to the weights of our model."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rleseg_core.errors import CheckpointError
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.pix2seq import Pix2Seq
from rleseg_core.published.names import ROOT, parameter_name

_PART_ORDER = {"0": 0, "1": 1, "2": 2, "xyl": 0, "x": 0, "y": 1, "l": 2, "c": 3}
"""The order in which parts are joined; one table of ours serves all heads of theirs."""


def to_state_dict(variables: Mapping[str, np.ndarray], config: ModelConfig) -> dict[str, Tensor]:
    """The weights of our model, from variables of the published implementation.

    Parameters
    ----------
    variables : mapping of str to array
        From `read_tf_checkpoint`; keys outside ``model/`` are ignored.
    config : ModelConfig
        The model that they are for.

    Returns
    -------
    dict of str to Tensor
        Its state dict; the values are the same, bit for bit.

    Raises
    ------
    CheckpointError
        If they are not the variables of this model; the message names the first that differs.
    """
    return _checked(to_parameters(variables), config)


def to_parameters(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The same without a model to compare with; also for gradients or moments of an optimizer."""
    parts: dict[str, dict[int, Tensor]] = {}
    for key, value in variables.items():
        if not key.startswith(ROOT) or "/.OPTIMIZER_SLOT/" in key:
            continue
        name, _, rest = parameter_name(key).partition("@")
        number, _, last = rest.partition(".")
        name = f"{name}.{last}" if last else name
        parts.setdefault(name, {})[_PART_ORDER.get(number, 0)] = _transpose(key, value)
    return {
        name: torch.cat([tensors[k] for k in sorted(tensors)]).contiguous()
        for name, tensors in parts.items()
    }


def _transpose(key: str, value: np.ndarray) -> Tensor:
    """A variable with the axes of our parameter."""
    tensor = torch.from_numpy(value)
    if "_dense/bias" in key:
        return tensor.flatten()  # (heads, D / heads)
    if "vis_pos_emb" in key:
        return tensor.flatten(0, -2)  # (frames, positions, D)
    if not key.endswith("kernel"):
        return tensor
    if tensor.ndim >= 4:  # (..., in, out) of a convolution
        return tensor.permute(-1, -2, *range(tensor.ndim - 2))
    if "_output_dense" in key:
        return tensor.flatten(0, 1).T  # (heads, D / heads, D)
    return tensor.flatten(1).T  # (in, out) or (D, heads, D / heads)


def _checked(found: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The same in the order of our model, with the batch counts that theirs does not keep."""
    with torch.device("meta"):
        wanted = Pix2Seq(config).state_dict()
    for name in wanted:
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(0)
    for what, names in (("lacks", wanted.keys() - found), ("has", found.keys() - wanted)):
        if names:
            raise CheckpointError(
                f"the checkpoint {what} {min(names)}, unlike the model of its settings "
                f"({len(names)} such); it belongs to another config.json"
            )
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise CheckpointError(
                f"{name} is {tuple(found[name].shape)} in the checkpoint and {tuple(tensor.shape)} "
                "in the model of its settings; it belongs to another config.json"
            )
    return {name: found[name] for name in wanted}
