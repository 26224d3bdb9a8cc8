"""Print how fast masks become tokens and tokens masks, beside pycocotools in the same run.

    python -m benchmarks.tokens
    python -m benchmarks.tokens --sides 80 640 --schemes lac tac --json tokens.json
    python -m benchmarks.tokens --device cuda

Masks of 20 ellipses in two classes, one thread. The loops of all paths take turns, and of each path
the fastest loop counts, so that a busy machine slows none more than another. pycocotools writes the
two classes as two column-major run-length codes: a peer for speed, not for the codes.
"""

import argparse
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from importlib.metadata import version
from math import inf
from pathlib import Path
from timeit import Timer
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import torch
from pycocotools import mask as peer
from skimage.draw import ellipse

from rleseg_core.files import whole_file
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PRESETS, Tokenizer, for_classes, preset

CLASSES = ("ipsc", "dfc")
N_MASKS = 64
N_FRAMES = {"3d-c": 8, "3d-f": 8, "tac": 8, "ltac": 4, "cw-tac": 8, "iw-tac": 8}
SCHEME_SIDE = 160
NO_LIMIT = 10**15
# masks/s by side: the published implementation (encode_batch: its TensorFlow graph) and pycocotools
PUBLISHED = {
    "numpy encode": {80: 1_295, 160: 759, 320: 386, 640: 162},
    "torch encode_batch": {80: 272, 160: 138, 320: 65, 640: 30},
    "pycocotools encode": {80: 29_400, 160: 13_000, 320: 4_200, 640: 836},
    "pycocotools encode, arrays ready": {80: 62_500, 160: 24_000, 320: 7_750, 640: 2_155},
    "numpy decode": {80: 4_831, 160: 2_587, 320: 1_330, 640: 712},
    "pycocotools decode": {80: 34_500, 160: 13_400, 320: 4_150, 640: 1_107},
}


@dataclass(frozen=True, kw_only=True)
class PathSpeed:
    """One path at one side.

    Parameters
    ----------
    path : str
        What was timed, a key of `PUBLISHED`.
    masks_per_s, tokens_per_s : float
        Of the fastest loop; pycocotools is given the LAC tokens of the same masks.
    ratio : float
        Times the speed of pycocotools, encode or decode with preparing its arrays.
    published : int or None
        Masks per second measured once on another, busy machine, where this side was.
    bytes_per_pixel : float or None
        Most memory held on top of the input, per pixel of the masks.
    """

    path: str
    masks_per_s: float
    tokens_per_s: float
    ratio: float
    published: int | None
    bytes_per_pixel: float | None


@dataclass(frozen=True, kw_only=True)
class SideSpeeds:
    """All paths at one side."""

    side: int
    tokens_per_mask: float
    paths: tuple[PathSpeed, ...]


@dataclass(frozen=True, kw_only=True)
class SchemeSpeed:
    """One scheme at one side, in masks (windows of `n_frames`) per second."""

    scheme: str
    side: int
    n_frames: int
    vocabulary: int
    tokens_per_mask: float
    encode: float
    decode: float
    encode_batch: float


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


def ellipses(
    side: int, n_masks: int, rng: np.random.Generator, *, n_frames: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Class ids (B, N, S, S) uint8 and instance ids int32 of 20 drifting ellipses a mask."""
    classes = np.zeros((n_masks, n_frames, side, side), np.uint8)
    instances = np.zeros(classes.shape, np.int32)
    for b in range(n_masks):
        for instance in range(1, 21):
            centre, drift = rng.uniform(0, side, 2), rng.normal(0, 0.01 * side, 2)
            radii, angle = rng.uniform(0.035, 0.1, 2) * side, rng.uniform(0, np.pi)
            for frame in range(n_frames):
                where = ellipse(*(centre + frame * drift), *radii, (side, side), angle)
                classes[b, frame][where] = 1 + instance % len(CLASSES)
                instances[b, frame][where] = instance
    return classes, instances


def each(
    call: Callable[..., object], *columns: Sequence[object] | np.ndarray
) -> Callable[[], None]:
    """A loop over the rows of some columns that keeps no results."""

    def loop() -> None:
        for row in zip(*columns, strict=True):
            call(*row)

    return loop


def race(
    contenders: Mapping[str, Callable[[], object]], *, repeats: int, seconds: float
) -> dict[str, float]:
    """Seconds a call of each takes in the fastest of its loops; the loops take turns."""
    timers = {name: Timer(call) for name, call in contenders.items()}
    n_calls = {name: 1 + int(seconds / t.timeit(1)) for name, t in timers.items()}
    best = dict.fromkeys(timers, inf)
    for _ in range(repeats):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(n_calls[name]) / n_calls[name])
    return best


def traced_peak(call: Callable[[], object]) -> int:
    """Most bytes of numpy arrays alive at once during a call, its product included.

    On the CPU, `encode_batch` of LAC makes its tokens in numpy arrays too.
    """
    start()
    call()
    peak = get_traced_memory()[1]
    stop()
    return peak


def build(name: str, side: int, n_frames: int = 1) -> Tokenizer:
    """The tokenizer of a preset for square masks of the benchmark's classes."""
    spec = MaskSpec(size=(side, side), class_names=CLASSES, n_frames=n_frames)
    return Tokenizer.build(for_classes(preset(name), len(CLASSES)), spec, vocab_limit=NO_LIMIT)


def time_side(side: int, *, repeats: int, seconds: float) -> SideSpeeds:
    """LAC and pycocotools at one side."""
    tokenizer = build("lac", side)
    masks, _ = ellipses(side, N_MASKS, np.random.default_rng(side))
    tokens = [tokenizer.encode(mask) for mask in masks]
    budget = max(row.size for row in tokens)
    batch = torch.from_numpy(masks)
    encode_batch = partial(tokenizer.encode_batch, batch, budget=budget)
    for mask, row, batched in zip(masks, tokens, encode_batch().tokens.numpy(), strict=True):
        assert np.array_equal(tokenizer.decode(row).classes, mask)
        assert np.array_equal(batched[: row.size], row)

    def prepare(mask: np.ndarray, k: int) -> np.ndarray:
        return np.asfortranarray((mask[0] == k).view(np.uint8))

    ready = [np.stack([prepare(m, 1).T, prepare(m, 2).T]).transpose(2, 1, 0) for m in masks]
    codes = [peer.encode(planes) for planes in ready]
    paths: dict[str, Callable[[], object]] = {
        "numpy encode": each(tokenizer.encode, masks),
        "torch encode_batch": encode_batch,
        "pycocotools encode": each(
            lambda mask: [peer.encode(prepare(mask, k)) for k in (1, 2)], masks
        ),
        "pycocotools encode, arrays ready": each(peer.encode, ready),
        "numpy decode": each(tokenizer.decode, tokens),
        "pycocotools decode": each(peer.decode, codes),
    }
    memory = {
        "numpy encode": traced_peak(lambda: tokenizer.encode(masks[0])) / masks[0].size,
        "torch encode_batch": traced_peak(encode_batch) / masks.size,
        "numpy decode": traced_peak(lambda: tokenizer.decode(tokens[0])) / masks[0].size,
    }
    taken = race(paths, repeats=repeats, seconds=seconds)
    n_tokens = sum(row.size for row in tokens)
    return SideSpeeds(
        side=side,
        tokens_per_mask=n_tokens / N_MASKS,
        paths=tuple(
            PathSpeed(
                path=path,
                masks_per_s=N_MASKS / s,
                tokens_per_s=n_tokens / s,
                ratio=taken[f"pycocotools {'decode' if 'decode' in path else 'encode'}"] / s,
                published=PUBLISHED[path].get(side),
                bytes_per_pixel=memory.get(path),
            )
            for path, s in taken.items()
        ),
    )


def time_scheme(name: str, *, side: int, repeats: int, seconds: float) -> SchemeSpeed:
    """One scheme in numpy and in batches of torch on the CPU."""
    n_frames, n_masks = N_FRAMES.get(name, 1), N_MASKS // 4
    tokenizer = build(name, side, n_frames)
    rng = np.random.default_rng(side)
    classes, instances = ellipses(side, n_masks, rng, n_frames=n_frames)
    tokens = [tokenizer.encode(*pair) for pair in zip(classes, instances, strict=True)]
    batch, batch_instances = torch.from_numpy(classes), torch.from_numpy(instances)
    budget = max(row.shape[-1] for row in tokens)
    taken = race(
        {
            "encode": each(tokenizer.encode, classes, instances),
            "decode": each(tokenizer.decode, tokens),
            "batch": lambda: tokenizer.encode_batch(batch, batch_instances, budget=budget),
        },
        repeats=repeats,
        seconds=seconds,
    )
    return SchemeSpeed(
        scheme=name,
        side=side,
        n_frames=n_frames,
        vocabulary=tokenizer.vocab.size,
        tokens_per_mask=sum(row.size for row in tokens) / n_masks,
        encode=n_masks / taken["encode"],
        decode=n_masks / taken["decode"],
        encode_batch=n_masks / taken["batch"],
    )


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


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column to the left and the others to the right."""
    widths = [max(len(line[k]) for line in (head, *rows)) for k in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in rows)
    header = [head[0].ljust(widths[0]), *map(str.rjust, head[1:], widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))


def side_table(speeds: SideSpeeds) -> str:
    """The table of one side."""
    head = ("", "masks/s", "tokens/s", "× pycocotools", "elsewhere: masks/s", "memory: B/pixel")
    rows = [
        (
            path.path,
            f"{path.masks_per_s:,.0f}",
            f"{path.tokens_per_s:,.0f}",
            f"{path.ratio:.2f}",
            "" if path.published is None else f"{path.published:,}",
            "" if path.bytes_per_pixel is None else f"{path.bytes_per_pixel:.1f}",
        )
        for path in speeds.paths
    ]
    title = f"{speeds.side} × {speeds.side}, {speeds.tokens_per_mask:.0f} tokens a mask"
    return f"{title}\n\n{table(head, rows)}\n"


def scheme_table(speeds: Sequence[SchemeSpeed]) -> str:
    """The table of the schemes."""
    head = ("scheme", "frames", "V", "tokens/mask", "encode", "decode", "encode_batch")
    rows = [
        (
            s.scheme,
            f"{s.n_frames}",
            f"{s.vocabulary:,}",
            f"{s.tokens_per_mask:,.0f}",
            *(f"{speed:,.0f}" for speed in (s.encode, s.decode, s.encode_batch)),
        )
        for s in speeds
    ]
    side = speeds[0].side
    return f"Schemes at {side} × {side}, masks/s\n\n{table(head, rows)}\n"


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


def machine() -> dict[str, str]:
    """When, where and with what this runs."""
    cpus = Path("/proc/cpuinfo")
    models = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.split(":")[1].strip() for line in models if line.startswith("model name")]
    return {
        "date": date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "torch", "pycocotools")},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[80, 160, 320, 640])
    parser.add_argument("--schemes", nargs="*", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--scheme-side", type=int, default=SCHEME_SIDE)
    parser.add_argument("--repeats", type=int, default=10, help="loops of each path")
    parser.add_argument("--seconds", type=float, default=0.1, help="of one loop")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # numpy and pycocotools use one here anyway
    pace = {"repeats": arguments.repeats, "seconds": arguments.seconds}

    where = machine()
    print(", ".join(f"{key} {value}" for key, value in where.items()), end="\n\n")
    sides = []
    for side in arguments.sides:
        sides.append(time_side(side, **pace))
        print(side_table(sides[-1]))
    print(
        "elsewhere: the published implementation (in numpy, and as a TensorFlow graph) and "
        "pycocotools, measured once on another, busy machine\n"
    )
    schemes = [
        time_scheme(name, side=arguments.scheme_side, **pace)
        for name in arguments.schemes
        if name != "binary"
    ]
    if schemes:
        print(scheme_table(schemes))
    cuda = []
    device = torch.device(arguments.device)
    if device.type == "cuda":
        for side in arguments.sides:
            large = min(1024, 2**27 // side**2)  # a gigabyte for each int64 of a pixel
            cuda += [time_cuda(side, n, device=device, **pace) for n in (N_MASKS, large)]
        print(cuda_table(cuda))
    if arguments.json:
        found = {
            "machine": where,
            "sides": [asdict(s) for s in sides],
            "schemes": [asdict(s) for s in schemes],
            "cuda": [asdict(s) for s in cuda],
        }
        with whole_file(arguments.json) as temporary:
            temporary.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
