"""Print how fast a model writes tokens, beside decoding without a cache, transformers and a floor.

    python -m benchmarks.decode
    python -m benchmarks.decode --lengths 512 --batches 1 8 --json decode.json
    python -m benchmarks.decode --device cuda --steps 0

The decoder of size `paper` with random weights, V = 8000, on the 400 feature positions of an image
of 640 × 640 pixels, greedily; every path writes exactly L tokens. A step costs more the more tokens
there are already, so a few steps are timed at three lengths in between (the nodes of a Gauss
quadrature, exact up to the fifth power) and integrated; with ``--steps 0`` whole sequences are
timed. The paths take turns, and of each the fastest round counts.

Then the bundled model writes synthetic time-lapses with drafts, in passes of the decoder.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import report
from benchmarks.decode_drafts import DRAFT_BATCHES, MOVIES, DraftSpeed, draft_table, time_drafts
from benchmarks.decode_peer import HOW_TO_INSTALL, Peer, has_transformers
from benchmarks.decode_setup import (
    POSITIONS,
    AnyToken,
    BegunPix2Seq,
    V,
    paper_model,
    race,
    random_memory,
    seconds_of,
)
from benchmarks.report import number, table
from rleseg_core.decoding import GrammarTables, decode_sequences
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset

POINTS, WEIGHTS = ((column / 2).tolist() for column in np.polynomial.legendre.leggauss(3))


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """Tokens per second of all sequences together, of each path.

    Parameters
    ----------
    length, batch : int
        L and B.
    ours : float
        `decode_sequences`.
    uncached : float
        The whole sequence so far is read anew for each token, as `Pix2Seq` does in training.
    last_only : float
        The same, with logits after the last token alone.
    transformers : float or None
        Its `generate`, with the faster of its caches; None if it is not installed.
    floor : float
        What the memory could give: weights and caches read once a step.
    """

    length: int
    batch: int
    ours: float
    uncached: float
    last_only: float
    transformers: float | None
    floor: float


@dataclass(frozen=True, kw_only=True)
class GrammarCost:
    """Tokens per second of `batch` whole sequences without and with the grammar of LAC 80 × 80."""

    length: int
    batch: int
    vocabulary: int
    free: float
    grammar: float


def measured_bandwidth(device: torch.device) -> float:
    """Bytes per second of the device's memory, the better of reading and of copying 1 GiB."""
    source = torch.ones(2**28, device=device)
    target = torch.empty_like(source)
    taken = race(
        {
            "read": lambda: seconds_of(source.sum, device),
            "copy": lambda: seconds_of(lambda: target.copy_(source), device),
        },
        repeats=20,
    )
    return max(source.nbytes / taken["read"], 2 * source.nbytes / taken["copy"])


def bytes_per_step(model: Pix2Seq, length: int, batch: int) -> float:
    """Weights of the decoder, keys and values of half the tokens and of the image, each once."""
    config, decoder = model.config, model.decoder
    n_weights = sum(p.numel() for p in decoder.layers.parameters())
    for layer in decoder.layers:  # keys and values of the image are computed once
        n_weights -= sum(p.numel() for p in layer.cross_attention.key_value.parameters())
    n_weights += sum(p.numel() for p in (*decoder.norm.parameters(), decoder.tokens.bias))
    n_weights += config.tokens.vocab_size * config.decoder.dim
    per_position = 2 * config.decoder.dim * config.decoder.n_layers
    n_cached = batch * per_position * ((length + 1) / 2 + POSITIONS)
    return (n_weights + n_cached) * decoder.positions.element_size()


@torch.inference_mode()
def time_ours(
    model: BegunPix2Seq, memory: Memory, rules: GrammarTables, begun: int, n_steps: int
) -> float:
    """Seconds of a step of `decode_sequences`, on average over steps behind `begun` tokens."""
    model.begun, model.capacity = begun, model.config.tokens.max_tokens
    if begun:
        model.new_cache(memory, begun)  # filling it is not timed

    def write() -> None:
        for one in decode_sequences(model, [memory], rules, max_tokens=begun + n_steps):
            assert one.tokens.size == begun + n_steps

    return seconds_of(write, memory.context.device) / n_steps


@torch.inference_mode()
def time_uncached(model: Pix2Seq, memory: Memory, begun: int, *, last_only: bool) -> float:
    """Seconds of a step that reads the image and `begun` tokens, and chooses one more."""
    decoder, context = model.decoder, memory.context
    tokens = torch.randint(3, V, (len(memory), max(begun, 1)), device=context.device)

    def step() -> None:
        if not last_only:
            model(memory, tokens)[:, -1].argmax(-1)
            return
        table = decoder.tokens()
        x = F.embedding(tokens, table) + decoder.positions[: tokens.shape[1]]
        for layer in decoder.layers:
            x = layer(x, *layer.cross_attention.context(context))
        F.linear(decoder.norm(x[:, -1]), table, decoder.tokens.bias).argmax(-1)

    return seconds_of(step, context.device)


def time_batch(
    length: int,
    batch: int,
    *,
    steps: int,
    repeats: int,
    like: Tensor,
    bandwidth: float,
    beside: bool,
) -> Speeds:
    """All paths at one length and batch size, with that of transformers if it shall be beside."""
    model = paper_model(length, V, like)
    memory, rules = random_memory(batch, model.config, like), AnyToken(V, like.device)
    peer = Peer(model.config, like) if beside and has_transformers() else None
    totals: dict[str, float] = {}

    def add(contenders: dict[str, Callable[[], float]], n_tokens: float) -> None:
        for name, seconds in race(contenders, repeats).items():
            totals[name] = totals.get(name, 0) + seconds * n_tokens

    for point, weight in zip(POINTS, WEIGHTS, strict=True):
        middle = (0.5 + point) * length
        read = partial(time_uncached, model, memory, round(middle))
        paths: dict[str, Callable[[], float]] = {
            "uncached": partial(read, last_only=False),
            "last_only": partial(read, last_only=True),
        }
        if steps:
            n_steps = min(steps, length // 5)
            begun = round(middle - n_steps / 2)
            paths |= _cached_paths(model, peer, memory, rules, begun, n_steps)
        add(paths, weight * length)
    if not steps:
        add(_cached_paths(model, peer, memory, rules, 0, length), length)
    n_tokens = batch * length
    peers = [n_tokens / seconds for name, seconds in totals.items() if name in Peer.caches]
    return Speeds(
        length=length,
        batch=batch,
        ours=n_tokens / totals["ours"],
        uncached=n_tokens / totals["uncached"],
        last_only=n_tokens / totals["last_only"],
        transformers=max(peers, default=None),
        floor=batch * bandwidth / bytes_per_step(model, length, batch),
    )


def _cached_paths(
    model: BegunPix2Seq,
    peer: Peer | None,
    memory: Memory,
    rules: GrammarTables,
    begun: int,
    n_steps: int,
) -> dict[str, Callable[[], float]]:
    paths: dict[str, Callable[[], float]] = {
        "ours": partial(time_ours, model, memory, rules, begun, n_steps)
    }
    if peer is not None:
        paths |= {c: partial(peer.time, memory, begun, n_steps, c) for c in Peer.caches}
    return paths


def time_grammar(length: int, batch: int, *, repeats: int, like: Tensor) -> GrammarCost:
    """Whole sequences with the grammar of LAC 80 × 80, and with rules that cost nothing.

    Random weights would soon reach the last mask pixel, so runs may come in any order, which costs
    as much.
    """
    spec = MaskSpec(size=(80, 80), class_names=("a", "b"))
    tokenizer = Tokenizer.build(preset("lac"), spec)
    rules = tokenizer.grammar.unordered().on(like.device)
    model = paper_model(length, tokenizer.vocab.size, like)
    with torch.no_grad():
        model.decoder.tokens.bias[tokenizer.vocab.eos] = -1e9
    memory = random_memory(batch, model.config, like)
    free = AnyToken(tokenizer.vocab.size, like.device)
    taken = race(
        {
            "free": lambda: time_ours(model, memory, free, 0, length),
            "grammar": lambda: time_ours(model, memory, rules, 0, length),
        },
        repeats,
    )
    return GrammarCost(
        length=length,
        batch=batch,
        vocabulary=tokenizer.vocab.size,
        free=batch / taken["free"],
        grammar=batch / taken["grammar"],
    )


def speed_table(speeds: Sequence[Speeds]) -> str:
    """Tokens per second of each path."""
    head = (
        "L", "B", "ours", "no cache", "×", "no cache, last logits", "×", "transformers", "×",
        "floor", "share",
    )  # fmt: skip
    rows = []
    for s in speeds:
        peer = ("", "")
        if s.transformers is not None:
            peer = (number(s.transformers), f"{s.ours / s.transformers:.2f}")
        rows.append(
            (
                f"{s.length}",
                f"{s.batch}",
                number(s.ours),
                number(s.uncached),
                f"{s.ours / s.uncached:.1f}",
                number(s.last_only),
                f"{s.ours / s.last_only:.1f}",
                *peer,
                number(s.floor),
                f"{s.ours / s.floor:.0%}",
            )
        )
    return table(head, rows)


def grammar_table(costs: Sequence[GrammarCost]) -> str:
    """Tokens per second without and with a grammar."""
    head = ("L", "B", "V", "any token", "grammar of LAC 80 × 80", "costs")
    rows = [
        (
            f"{c.length}",
            f"{c.batch}",
            f"{c.vocabulary}",
            number(c.free),
            number(c.grammar),
            f"{1 - c.grammar / c.free:.0%}",
        )
        for c in costs
    ]
    return table(head, rows)


def machine(device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """When, where and with what this runs."""
    cuda = device.type == "cuda"
    return {
        **report.machine(),
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "type": str(dtype).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
        "waiting threads": os.environ.get("OMP_WAIT_POLICY", "default"),
        "torch": torch.__version__,
        "transformers": version("transformers") if has_transformers() else "none",
    }


def parse_arguments() -> argparse.Namespace:
    """The options of the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, nargs="*", default=[512, 3072])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="at each of three lengths; 0: whole sequences")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the fastest counts")
    parser.add_argument("--frames", type=int, default=16, help="of each time-lapse; 0: no drafts")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="bfloat16 on a GPU")
    parser.add_argument(
        "--alone", action="store_true", help="without transformers, which compiles on a GPU"
    )
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    return parser.parse_args()


def time_all_drafts(n_frames: int, repeats: int, device: torch.device) -> Iterator[DraftSpeed]:
    """Every kind of time-lapse in every batch size."""
    for movie, options in MOVIES.items():
        for batch in DRAFT_BATCHES:
            yield from time_drafts(
                options, movie=movie, batch=batch, n_frames=n_frames, repeats=repeats, device=device
            )


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    cuda = device.type == "cuda"
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if cuda else "float32"))
    steps = (0 if cuda else 16) if arguments.steps is None else arguments.steps
    repeats, like = arguments.repeats, torch.zeros((), device=device, dtype=dtype)

    where = machine(device, dtype)
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    bandwidth = measured_bandwidth(device) if arguments.lengths else 0.0
    if bandwidth:
        print(f"memory: {bandwidth / 1e9:.1f} GB/s\n", flush=True)
    speeds: list[Speeds] = []
    costs: list[GrammarCost] = []
    drafted: list[DraftSpeed] = []
    try:
        for length, batch in product(arguments.lengths, arguments.batches):
            speeds.append(
                time_batch(
                    length,
                    batch,
                    steps=steps,
                    repeats=repeats,
                    like=like,
                    bandwidth=bandwidth,
                    beside=not arguments.alone,
                )
            )
        for batch in arguments.batches if speeds else ():
            costs.append(time_grammar(min(arguments.lengths), batch, repeats=repeats, like=like))
        if arguments.frames:
            drafted.extend(time_all_drafts(arguments.frames, repeats, device))
    finally:  # interrupted, it says what it has
        show(speeds, costs, drafted)
        if arguments.json:
            report.write_json(
                arguments.json,
                {
                    "machine": where,
                    "bandwidth": bandwidth or None,
                    "speeds": [asdict(s) for s in speeds],
                    "grammar": [asdict(c) for c in costs],
                    "drafts": [asdict(d) for d in drafted],
                },
            )


def show(
    speeds: Sequence[Speeds], costs: Sequence[GrammarCost], drafted: Sequence[DraftSpeed]
) -> None:
    """Print the tables that have lines."""
    if speeds:
        print(f"Tokens/s of all sequences together\n\n{speed_table(speeds)}\n")
        if not has_transformers():
            print(f"{HOW_TO_INSTALL}\n")
    if costs:
        print(f"Whole sequences, tokens/s\n\n{grammar_table(costs)}\n")
    if drafted:
        print(f"Time-lapses with drafts, the same tokens\n\n{draft_table(drafted)}")


if __name__ == "__main__":
    main()
