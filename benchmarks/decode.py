"""Print how fast a model writes tokens, beside decoding without a cache, transformers and a floor.

    python -m benchmarks.decode
    python -m benchmarks.decode --lengths 512 --batches 1 8 --json decode.json
    python -m benchmarks.decode --device cuda --steps 0

The decoder of size `paper` with random weights, V = 8000, on 400 cells of an image of 640 × 640
pixels, greedily; every path writes exactly L tokens. A step costs more the more tokens there are
already, so a few steps are timed at three lengths in between (the nodes of a Gauss quadrature,
exact up to the fifth power) and integrated; with ``--steps 0`` whole sequences are timed. The paths
take turns, and of each the fastest round counts.

Then the bundled model writes synthetic time-lapses with drafts, in passes of the decoder.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from math import inf
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.checkpoints.build import build_model, build_tokenizer
from rleseg_core.checkpoints.file import find_model, load_checkpoint
from rleseg_core.data import (
    ImageStack,
    LabelReader,
    SyntheticConfig,
    WindowReader,
    plan_windows,
    subsample_labels,
    synthesize,
)
from rleseg_core.decoding import GrammarTables, decode_sequences
from rleseg_core.files import whole_file
from rleseg_core.model import Memory, ModelConfig, Pix2Seq, model_config
from rleseg_core.model.cache import Cache
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Draft, Tokenizer, preset

V, IMAGE, CELLS = 8000, 640, 400
SEED = 2_000_000  # the bundled model was trained on others
MOVIES: dict[str, dict[str, float]] = {
    "slow": {"speed": 0.005, "division_rate": 0, "death_rate": 0},
    "usual": {},
}
DRAFT_BATCHES = (1, 8)
TEXTS = ("movement", "draft")
HOW_TO_INSTALL = "transformers is not installed: uv pip install -c constraints.txt --group bench"
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


@dataclass(frozen=True, kw_only=True)
class DraftSpeed:
    """Windows of a time-lapse with and without drafts; the tokens were the same.

    Parameters
    ----------
    movie, draft : str
        What is written, and where the guess comes from.
    batch : int
        Time-lapses that are written side by side.
    tokens : float
        Of a window, on average.
    changed : float
        Share of the cells of a mask that differ from the frame before.
    passes : float
        Passes of the decoder for a window, on average; without a draft as many as tokens.
    plain, drafted : float
        Tokens per second without and with drafts, the encoder not counted.
    """

    movie: str
    draft: str
    batch: int
    tokens: float
    changed: float
    passes: float
    plain: float
    drafted: float


class AnyToken:
    """Rules that allow every token but the end, so that sequences get as long as they may."""

    bos, eos, pad = 1, 2, 0

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._allowed = torch.ones(1, vocab_size, dtype=torch.bool, device=device)
        self._allowed[:, : self.eos + 1] = False

    def start(self, batch: int) -> Tensor:
        """Nothing is remembered."""
        return torch.zeros(batch, 1, dtype=torch.int64, device=self._allowed.device)

    def allowed(self, state: Tensor) -> Tensor:
        """(B, V) bool."""
        return self._allowed.expand(len(state), -1)

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """The same."""
        return state

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """The state of some of the sequences."""
        return state[rows]


class BegunPix2Seq(Pix2Seq):
    """A model whose sequences have begun: a new cache has `begun` tokens of random keys."""

    begun = 0
    capacity = 0
    _made: tuple[int, int, Cache] | None = None

    def new_cache(self, memory: Memory, max_tokens: int) -> Cache:
        """The cache, made once, with room for whole sequences."""
        if self.begun == 0:
            return super().new_cache(memory, max_tokens)
        key = (id(memory), self.begun)
        if self._made is None or self._made[:2] != key:
            cache = super().new_cache(memory, self.capacity)
            for own in cache.self_attention:
                for part in (own.keys, own.values):
                    part[:, :, : self.begun].normal_()
            self._made = (*key, cache)
        cache = self._made[2]
        cache.positions = torch.full_like(cache.positions, self.begun)
        cache.longest, cache.uniform = self.begun, True
        return cache


def paper_model(length: int, vocab_size: int, like: Tensor) -> BegunPix2Seq:
    """The model with random weights, on the device and of the type of `like`."""
    torch.manual_seed(0)
    config = model_config("paper", vocab_size=vocab_size, max_tokens=length, image_size=IMAGE)
    return BegunPix2Seq(config).to(like).eval()


def random_memory(batch: int, config: ModelConfig, like: Tensor) -> Memory:
    """What an encoder would leave of `batch` images."""
    return Memory(torch.randn(batch, CELLS, config.decoder_dim).to(like))


def synchronize(device: torch.device) -> None:
    """Wait for what is under way."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """How long a call takes."""
    synchronize(device)
    begin = perf_counter()
    call()
    synchronize(device)
    return perf_counter() - begin


def race(contenders: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The fewest seconds of each; they take turns, and the first round is not counted."""
    best = dict.fromkeys(contenders, inf)
    for k in range(repeats + 1):
        for name, call in contenders.items():
            taken = call()
            if k:
                best[name] = min(best[name], taken)
    return best


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
    """Weights of the decoder, keys and values of half the tokens and of all cells, each once."""
    config, decoder = model.config, model.decoder
    n_weights = sum(p.numel() for p in decoder.layers.parameters())
    for layer in decoder.layers:  # keys and values of the cells are computed once
        n_weights -= sum(p.numel() for p in layer.cross_attention.key_value.parameters())
    n_weights += sum(p.numel() for p in (*decoder.norm.parameters(), decoder.tokens.bias))
    n_weights += config.vocab_size * config.decoder_dim
    per_position = 2 * config.decoder_dim * config.decoder_layers
    n_cached = batch * per_position * ((length + 1) / 2 + CELLS)
    return (n_weights + n_cached) * decoder.positions.element_size()


@torch.inference_mode()
def time_ours(
    model: BegunPix2Seq, memory: Memory, rules: GrammarTables, begun: int, n_steps: int
) -> float:
    """Seconds of a step of `decode_sequences`, on average over steps behind `begun` tokens."""
    model.begun, model.capacity = begun, model.config.max_tokens
    if begun:
        model.new_cache(memory, begun)  # filling it is not timed

    def write() -> None:
        for one in decode_sequences(model, [memory], rules, max_tokens=begun + n_steps):
            assert one.tokens.size == begun + n_steps

    return seconds_of(write, memory.context.device) / n_steps


@torch.inference_mode()
def time_uncached(model: Pix2Seq, memory: Memory, begun: int, *, last_only: bool) -> float:
    """Seconds of a step that reads the cells and `begun` tokens, and chooses one more."""
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


class Clock:
    """Takes the time of each token that `generate` puts out."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.times: list[float] = []

    def put(self, _tokens: Tensor) -> None:
        """A token, or first the prompt."""
        synchronize(self._device)
        self.times.append(perf_counter())

    def end(self) -> None:
        """Nothing."""


class Peer:
    """BART's decoder in transformers, of the same width, layers, heads, hidden width, V and L.

    It adds and normalises in another order; its arithmetic is the same to a percent. It is given
    the encoder's product, so that it keeps the keys and values of the cells like ours.
    """

    caches = ("dynamic", "static")

    def __init__(self, config: ModelConfig, like: Tensor) -> None:
        from transformers import BartConfig, BartForConditionalGeneration

        torch.manual_seed(0)
        model = BartForConditionalGeneration(
            BartConfig(
                vocab_size=config.vocab_size,
                max_position_embeddings=config.max_tokens + 2,
                d_model=config.decoder_dim,
                encoder_layers=1,
                encoder_attention_heads=config.decoder_heads,
                encoder_ffn_dim=1,
                decoder_layers=config.decoder_layers,
                decoder_attention_heads=config.decoder_heads,
                decoder_ffn_dim=config.decoder_ff,
                pad_token_id=0,
                bos_token_id=1,
                decoder_start_token_id=1,
                eos_token_id=None,
                forced_eos_token_id=None,
            )
        )
        self._model = model.to(like).eval()

    @torch.inference_mode()
    def time(self, memory: Memory, begun: int, n_steps: int, cache: str) -> float:
        """Seconds of a step behind a prompt of `begun` tokens, whose reading is not counted."""
        from transformers import GenerationConfig
        from transformers.modeling_outputs import BaseModelOutput

        settings = GenerationConfig(
            do_sample=False,
            use_cache=True,
            cache_implementation=cache,
            max_new_tokens=n_steps + (begun > 0),
            eos_token_id=None,
            pad_token_id=0,
            bos_token_id=1,
            decoder_start_token_id=1,
        )
        device = memory.context.device
        prompt = torch.randint(3, V, (len(memory), max(begun, 1)), device=device)
        clock = Clock(device)
        self._model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory.context),
            decoder_input_ids=prompt,
            generation_config=settings,
            streamer=clock,
        )
        times = clock.times[1:] if begun else clock.times
        assert len(times) == n_steps + 1
        return (times[-1] - times[0]) / n_steps


def has_transformers() -> bool:
    """Whether there is something to compare with."""
    with suppress(PackageNotFoundError):
        return bool(version("transformers"))
    return False


def time_batch(
    length: int, batch: int, *, steps: int, repeats: int, like: Tensor, bandwidth: float
) -> Speeds:
    """All paths at one length and batch size."""
    model = paper_model(length, V, like)
    memory, rules = random_memory(batch, model.config, like), AnyToken(V, like.device)
    peer = Peer(model.config, like) if has_transformers() else None
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

    Random weights would soon be at the last cell; runs may come in any order, which costs as much.
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


@dataclass(frozen=True)
class Movies:
    """Time-lapses side by side, frame by frame: window ``t * batch + b`` is frame t of movie b.

    Parameters
    ----------
    memories : list of Memory
        Of each window.
    truths : list of array
        Tokens of each window's true mask.
    masks : (T, B, S, S) uint8
        The true masks.
    """

    memories: list[Memory]
    truths: list[np.ndarray]
    masks: np.ndarray


@torch.inference_mode()
def read_movies(
    options: Mapping[str, float], model: Pix2Seq, tokenizer: Tokenizer, spec: WindowSpec,
    *, batch: int, n_frames: int,
) -> Movies:  # fmt: skip
    """Synthetic time-lapses of one window a frame, encoded."""
    images, masks = [], []
    for seed in range(batch):
        movie = synthesize(
            SyntheticConfig(
                n_frames=n_frames, size=(spec.patch, spec.patch), seed=SEED + seed, **options
            )
        )
        windows = plan_windows(movie.images.shape, spec)
        reader = WindowReader(ImageStack.from_array(movie.images), spec)
        labels = LabelReader(movie.classes, spec)
        images.append([reader.read(window) for window in windows])
        masks.append([subsample_labels(labels.read(w), tokenizer.spec.size) for w in windows])
    order = [(t, b) for t in range(n_frames) for b in range(batch)]
    device = model.decoder.positions.device
    return Movies(
        [model.encode(torch.from_numpy(images[b][t])[None].to(device)) for t, b in order],
        [tokenizer.encode(masks[b][t]) for t, b in order],
        np.stack([np.concatenate(frames) for frames in masks], axis=1),
    )


def time_drafts(
    options: Mapping[str, float], *, movie: str, batch: int, n_frames: int, repeats: int,
    device: torch.device,
) -> list[DraftSpeed]:  # fmt: skip
    """The bundled model on time-lapses, with the frame before and with the truth as drafts."""
    checkpoint = load_checkpoint(find_model("demo"))
    model = build_model(checkpoint.info, checkpoint.weights).to(device).eval()
    tokenizer = build_tokenizer(checkpoint.info)
    rules = tokenizer.grammar.on(device)
    movies = read_movies(
        options, model, tokenizer, checkpoint.info.window_spec, batch=batch, n_frames=n_frames
    )
    tokens: dict[str, dict[int, np.ndarray]] = {}
    n_passes: dict[str, int] = {}

    def write(source: str) -> float:
        written = tokens[source] = {}
        n_passes[source] = 0

        def guess(index: int) -> Draft | None:
            if source == "truth":
                return Draft(tokenizer, movies.truths[index])
            before = written.get(index - batch)
            return None if before is None else Draft(tokenizer, before)

        def run() -> None:
            for one in decode_sequences(
                model, movies.memories, rules, max_tokens=model.config.max_tokens,
                n_slots=batch, drafts=None if source == "none" else guess,
            ):  # fmt: skip
                written[one.index] = one.tokens
                n_passes[source] += one.n_passes

        return seconds_of(run, device)

    sources = ("none", "frame before", "truth")
    taken = race({source: partial(write, source) for source in sources}, repeats)
    plain, n_windows = tokens["none"], len(movies.memories)
    n_tokens = sum(one.size for one in plain.values())
    for source in sources[1:]:
        assert all(np.array_equal(plain[k], tokens[source][k]) for k in range(n_windows))
    return [
        DraftSpeed(
            movie=movie,
            draft=source,
            batch=batch,
            tokens=n_tokens / n_windows,
            changed=float((movies.masks[1:] != movies.masks[:-1]).mean()),
            passes=n_passes[source] / n_windows,
            plain=n_tokens / taken["none"],
            drafted=n_tokens / taken[source],
        )
        for source in sources[1:]
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, all but its texts to the right."""
    lines = [head, ["---" if name in TEXTS else "---:" for name in head], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def draft_table(speeds: Sequence[DraftSpeed]) -> str:
    """Passes and tokens per second with drafts."""
    head = (
        "movement", "cells that change", "draft", "B", "tokens", "passes", "fewer",
        "tokens/s without", "tokens/s with", "×",
    )  # fmt: skip
    rows = [
        (
            s.movie,
            f"{s.changed:.1%}",
            s.draft,
            f"{s.batch}",
            f"{s.tokens:.1f}",
            f"{s.passes:.1f}",
            f"{s.tokens / s.passes:.1f} ×",
            number(s.plain),
            number(s.drafted),
            f"{s.drafted / s.plain:.2f}",
        )
        for s in speeds
    ]
    return table(head, rows)


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def machine(device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """When, where and with what this runs."""
    cpus = Path("/proc/cpuinfo")
    models = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.split(":")[1].strip() for line in models if line.startswith("model name")]
    cuda = device.type == "cuda"
    return {
        "date": date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "type": str(dtype).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
        "waiting threads": os.environ.get("OMP_WAIT_POLICY", "default"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers") if has_transformers() else "none",
    }


def main() -> None:
    """Measure and print."""
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
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    cuda = device.type == "cuda"
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if cuda else "float32"))
    steps = (0 if cuda else 16) if arguments.steps is None else arguments.steps
    repeats, like = arguments.repeats, torch.zeros((), device=device, dtype=dtype)

    where = machine(device, dtype)
    bandwidth = measured_bandwidth(device)
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    print(f"memory: {bandwidth / 1e9:.1f} GB/s\n")
    speeds, costs, drafted = [], [], []
    for length in arguments.lengths:
        for batch in arguments.batches:
            speeds.append(
                time_batch(
                    length, batch, steps=steps, repeats=repeats, like=like, bandwidth=bandwidth
                )
            )
    if speeds:
        print(f"Tokens/s of all sequences together\n\n{speed_table(speeds)}\n")
        if not has_transformers():
            print(f"{HOW_TO_INSTALL}\n")
        costs = [
            time_grammar(min(arguments.lengths), batch, repeats=repeats, like=like)
            for batch in arguments.batches
        ]
        print(f"Whole sequences, tokens/s\n\n{grammar_table(costs)}\n")
    for movie, options in MOVIES.items() if arguments.frames else ():
        for batch in DRAFT_BATCHES:
            drafted += time_drafts(
                options,
                movie=movie,
                batch=batch,
                n_frames=arguments.frames,
                repeats=repeats,
                device=device,
            )
    if drafted:
        print(f"Time-lapses with drafts, the same tokens\n\n{draft_table(drafted)}")
    if arguments.json:
        found = {
            "machine": where,
            "bandwidth": bandwidth,
            "speeds": [asdict(s) for s in speeds],
            "grammar": [asdict(c) for c in costs],
            "drafts": [asdict(d) for d in drafted],
        }
        with whole_file(arguments.json) as temporary:
            temporary.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
