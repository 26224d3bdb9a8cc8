"""Print how fast masks become tokens and tokens masks, beside pycocotools in the same run.

    python -m benchmarks.tokens
    python -m benchmarks.tokens --sides 80 640 --schemes lac tac --json tokens.json
    python -m benchmarks.tokens --device cuda

Masks of 20 ellipses in two classes, one thread. The loops of all paths take turns, and of each path
the fastest loop counts, so that a busy machine slows none more than another. pycocotools writes the
two classes as two column-major run-length codes: a peer for speed, not for the codes.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from math import inf
from pathlib import Path
from timeit import Timer
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import torch
from pycocotools import mask as peer

from benchmarks import report
from benchmarks.report import table
from benchmarks.tokens_cuda import cuda_table, time_cuda
from benchmarks.tokens_setup import N_MASKS, build, ellipses
from rleseg_core.tokens import PRESETS

N_FRAMES = {"3d-c": 8, "3d-f": 8, "tac": 8, "ltac": 4, "cw-tac": 8, "iw-tac": 8}
SCHEME_SIDE = 160
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

    where = {
        **report.machine(),
        **{name: version(name) for name in ("numpy", "torch", "pycocotools")},
    }
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
        report.write_json(arguments.json, found)


if __name__ == "__main__":
    main()
