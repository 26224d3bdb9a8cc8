"""What the benchmark of decoding times: a model whose sequences have begun, and how it is timed."""

from collections.abc import Callable, Mapping
from math import inf
from time import perf_counter

import torch
from torch import Tensor

from rleseg_core.model import Memory, ModelConfig, Pix2Seq, model_config
from rleseg_core.model.cache import Cache

V, IMAGE, POSITIONS = 8000, 640, 400


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
        """The cache, made once, with capacity for whole sequences."""
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
    return Memory(torch.randn(batch, POSITIONS, config.decoder.dim).to(like))


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
