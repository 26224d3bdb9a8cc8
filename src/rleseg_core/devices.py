"""The devices of this machine, and their memory."""

import os

import torch

from rleseg_core.errors import RlesegError


def available_devices() -> list[str]:
    """Names that `choose_device` takes on this machine, 'auto' first."""
    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; 'auto' takes CUDA if there is one, else Apple's GPU, else the CPU.

    Raises
    ------
    RlesegError
        If this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if name not in available_devices():
        raise RlesegError(
            f"this machine has no device {name!r}; choose one of {', '.join(available_devices())}"
        )
    return torch.device(name)


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device is a CPU with units for matrices in bfloat16 (AMX): many times as fast."""
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # as in torch 2.6
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def free_memory(device: torch.device) -> int:
    """Free memory of a device in bytes (that of the host for the CPU and for Apple's GPU)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # macOS and Windows do not say
        return 4 << 30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; torch raises several kinds."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    signs = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in signs)


def release_memory(device: torch.device) -> None:
    """Return the memory that torch keeps in reserve on a device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
