"""Models on disk: one safetensors file of weights with a JSON header that says what they are."""

import errno
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rleseg_core.checkpoints.header import ModelInfo, header_text, parse_header
from rleseg_core.checkpoints.old_names import weight_name
from rleseg_core.errors import CheckpointError
from rleseg_core.files import mode_of_new_files
from rleseg_core.outputs import Output, new_output

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "rleseg"
_WEIGHTS, _STATE, _AVERAGE = "model.", "state.", "average."
_BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model file read whole: `info`, the weights, and the state of its training."""

    info: ModelInfo
    weights: dict[str, "Tensor"]
    state: dict[str, "Tensor"]


def model_output(path: str | Path, *, own: bool = False) -> Output:
    """A model file as an output, which `check_outputs` compares with the inputs of a call.

    Parameters
    ----------
    path : str or Path
        The file.
    own : bool
        Whether what exists there belongs to the call itself.
    """
    return Output(Path(path), "a model file", _has_header, own=own)


def save_checkpoint(
    info: ModelInfo,
    weights: Mapping[str, "Tensor"],
    state: Mapping[str, "Tensor"] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a model file completely, or not at all.

    Parameters
    ----------
    info : ModelInfo
        The header; `info.path` is the file to write.
    weights : mapping of str to Tensor
        The model's state dict, any dtype and device.
    state : mapping of str to Tensor, optional
        Optimizer moments and random generators, so that a run can resume.
    overwrite : bool
        Whether it may replace an older model file, which stays until the new one is whole.

    Returns
    -------
    Path
        `info.path`.

    Raises
    ------
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no model file.
    OSError
        If the file cannot be written, as on a full disk.
    """
    with new_output(model_output(info.path), overwrite=overwrite) as temporary:
        write_checkpoint(temporary, info, weights, state)
    return info.path


def write_checkpoint(
    path: Path,
    info: ModelInfo,
    weights: Mapping[str, "Tensor"],
    state: Mapping[str, "Tensor"] | None = None,
) -> None:
    """Write a model file to a temporary path; the rest is as for `save_checkpoint`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {_WEIGHTS + name: value for name, value in weights.items()}
    tensors |= {_STATE + name: value for name, value in (state or {}).items()}
    tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    try:
        save_file(tensors, path, metadata={_KEY: header_text(info)})
    except SafetensorError as error:
        raise _os_error(error, info.path) from error
    # safetensors leaves it to its owner alone; colleagues share models
    path.chmod(mode_of_new_files(path.parent))


def read_info(path: str | Path) -> ModelInfo:
    """The header of a model file, without reading its weights.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, or not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"there is no model file {path}; `rleseg models` lists the installed ones"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(_KEY)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a model of rleseg, or is cut short ({error}); choose a .safetensors "
            "file that `rleseg train` wrote"
        ) from error
    if header is None:
        raise CheckpointError(
            f"{path} holds weights of another program (it has no rleseg header); choose a "
            ".safetensors file that `rleseg train` wrote"
        )
    return parse_header(path, header)


def load_checkpoint(path: str | Path, device: str = "cpu") -> Checkpoint:
    """A model file read whole.

    Parameters
    ----------
    path : str or Path
        The file.
    device : str
        Device of the weights.

    Returns
    -------
    Checkpoint
        Weights stored as float16 become float32; names of version 0.1 become the present ones.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, or not one of ours.
    """
    from safetensors.torch import load_file

    info = read_info(path)
    tensors = load_file(info.path, device=device)
    weights = {
        weight_name(name.removeprefix(_WEIGHTS)): (
            value.float() if value.is_floating_point() else value
        )
        for name, value in tensors.items()
        if name.startswith(_WEIGHTS)
    }
    state = {
        _state_name(name.removeprefix(_STATE)): value
        for name, value in tensors.items()
        if name.startswith(_STATE)
    }
    return Checkpoint(info=info, weights=weights, state=state)


def _state_name(name: str) -> str:
    """The present name of a tensor of a run's state; a moving average has those of the weights."""
    if not name.startswith(_AVERAGE):
        return name
    return _AVERAGE + weight_name(name.removeprefix(_AVERAGE))


def count_parameters(path: Path) -> int:
    """Number of trainable values of a model file, from its table of contents."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return sum(
            math.prod(file.get_slice(name).get_shape())
            for name in file.keys()  # noqa: SIM118 not a mapping
            if name.startswith(_WEIGHTS) and not name.endswith(_BUFFERS)
        )


def _has_header(path: Path) -> bool:
    """Whether a file is a safetensors file with our header."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return _KEY in (file.metadata() or {})


def _os_error(error: Exception, path: Path) -> OSError:
    """The operating system's error that a message of safetensors contains."""
    number = re.search(r"os error (\d+)", str(error))
    if number is None:
        return OSError(errno.EIO, str(error), str(path))
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
