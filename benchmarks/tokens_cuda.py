"""How fast masks become tokens on a GPU, beside a copy of its memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.report import table
from benchmarks.tokens_setup import N_MASKS, build, ellipses


@dataclass(frozen=True, kw_only=True)
class CudaSpeed:
    """`encode_batch` on a GPU.

    Parameters
    ----------
    side, batch : int
        Of the masks.
    masks_per_s : float
        Of the fastest loop, in which the host never waited for the device.
    input_gb_per_s : float
        Bytes of masks (uint8) read.
    copy_gb_per_s : float
        Bytes that a plain copy on the same device reads, measured beside it.
    bytes_per_pixel : float
        Most device memory held on top of the input, per pixel of the masks.
    """

    side: int
    batch: int
    masks_per_s: float
    input_gb_per_s: float
    copy_gb_per_s: float
    bytes_per_pixel: float


def time_cuda(
    side: int, batch: int, *, repeats: int, seconds: float, device: torch.device
) -> CudaSpeed:
    """LAC on a GPU; raises if `encode_batch` makes the host wait for the device."""
    tokenizer = build("lac", side)
    few, _ = ellipses(side, N_MASKS, np.random.default_rng(side))
    budget = max(tokenizer.encode(mask).size for mask in few)
    masks = torch.from_numpy(few).to(device).repeat(-(-batch // N_MASKS), 1, 1, 1)[:batch]
    source = torch.zeros(2**29, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def encode() -> None:
        tokenizer.encode_batch(masks, budget=budget)

    def copy() -> None:
        target.copy_(source)

    def seconds_of(call: Callable[[], None], n_calls: int) -> float:
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.cuda.set_sync_debug_mode("error")
        begin.record()
        for _ in range(n_calls):
            call()
        end.record()
        torch.cuda.set_sync_debug_mode("default")
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / n_calls

    held = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    encode()
    peak = torch.cuda.max_memory_allocated(device) - held
    n_calls = {call: 1 + int(seconds / seconds_of(call, 3)) for call in (encode, copy)}
    best = {call: min(seconds_of(call, n) for _ in range(repeats)) for call, n in n_calls.items()}
    return CudaSpeed(
        side=side,
        batch=batch,
        masks_per_s=batch / best[encode],
        input_gb_per_s=masks.nbytes / best[encode] / 1e9,
        copy_gb_per_s=source.nbytes / best[copy] / 1e9,
        bytes_per_pixel=peak / masks.numel(),
    )


def cuda_table(speeds: Sequence[CudaSpeed]) -> str:
    """The table of a GPU."""
    head = ("encode_batch", "B", "masks/s", "input GB/s", "copy GB/s", "share", "memory: B/pixel")
    rows = [
        (
            f"{s.side} × {s.side}",
            f"{s.batch}",
            f"{s.masks_per_s:,.0f}",
            f"{s.input_gb_per_s:.1f}",
            f"{s.copy_gb_per_s:.0f}",
            f"{s.input_gb_per_s / s.copy_gb_per_s:.1%}",
            f"{s.bytes_per_pixel:.1f}",
        )
        for s in speeds
    ]
    return f"{torch.cuda.get_device_name()}, the host never waited\n\n{table(head, rows)}\n"
