"""Print what it costs the decoder that starts and lengths look at the image.

    python -m benchmarks.starts
    python -m benchmarks.starts --mask-sizes 32 64 --batches 1 8 --device cuda

The size nano with random weights and each kind of starts writes the tokens of random masks, one a
step with a cache. The kinds take turns, and of each the fastest round counts. Encoding the windows,
with all that is computed once for them, is timed beside.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.decode import machine
from benchmarks.decode_setup import synchronize
from benchmarks.report import number, table
from rleseg_core.checkpoints import build_model, build_tokenizer, new_model
from rleseg_core.model import Pix2Seq
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset

KINDS = {
    "table": {"starts": "table", "ends": "table", "dense_classes": 0},
    "codes": {"starts": "codes", "ends": "table", "dense_classes": 0},
    "pointer": {"starts": "pointer", "ends": "table", "dense_classes": 0},
    "first_hit": {},
}


def model_of(kind: str, side: int, n_tokens: int) -> tuple[Pix2Seq, Tensor]:
    """A model with random weights, and the tokens of a mask of noisy blobs, `n_tokens` of them."""
    info = new_model(
        Path("model.safetensors"),
        size="nano",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(side, side), class_names=("a", "b")),
        window_spec=WindowSpec(patch=128, patch_stride=128),
        max_tokens=n_tokens,
        **KINDS[kind],
    )
    rng = np.random.default_rng(0)
    mask = rng.choice(3, p=(0.6, 0.2, 0.2), size=(1, side, side // 4)).repeat(4, axis=2)
    tokens = build_tokenizer(info).encode(mask.astype(np.uint8), budget=n_tokens)
    return build_model(info).eval(), torch.from_numpy(tokens)


@torch.inference_mode()
def race(
    side: int, batch: int, n_tokens: int, repeats: int, device: torch.device
) -> list[list[str]]:
    """Rows of the table: encoding and writing by each kind."""
    models = {kind: model_of(kind, side, n_tokens) for kind in KINDS}
    images = torch.rand(batch, 1, 3, 128, 128, device=device)
    best: dict[tuple[str, str], float] = {}
    n_steps = 0
    for _ in range(repeats):
        for kind, (model, tokens) in models.items():
            model.to(device)
            began = _now(device)
            memory = model.encode(images)
            cache = model.new_cache(memory, n_tokens)
            encoded = _now(device)
            n_steps = len(tokens)
            for token in tokens.to(device):
                model.step(token.expand(batch), cache)
            written = _now(device)
            for part, seconds in (("encode", encoded - began), ("write", written - encoded)):
                best[kind, part] = min(best.get((kind, part), np.inf), seconds)
    return [
        [
            f"{side} × {side}",
            str(batch),
            kind,
            number(1000 * best[kind, "encode"] / batch),
            number(batch * n_steps / best[kind, "write"]),
            number(best["table", "write"] / best[kind, "write"]),
        ]
        for kind in KINDS
    ]


def _now(device: torch.device) -> float:
    synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mask-sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    for name, value in machine(device, torch.float32).items():
        print(f"{name}: {value}")
    rows: list[list[str]] = []
    try:
        for side, batch in product(arguments.mask_sizes, arguments.batches):
            rows += race(side, batch, arguments.tokens, arguments.repeats, device)
    finally:  # interrupted, it says what it has
        head = ("mask", "batch", "starts", "encode, ms a window", "tokens/s", "of table")
        print(table(head, rows))


if __name__ == "__main__":
    main()
