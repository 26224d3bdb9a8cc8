from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rleseg_core.model import ModelConfig, Pix2Seq, model_config
from rleseg_core.spec import StartGrid

ROWS = COLS = 8
MAX_LENGTH = 8
FIRST_START = 3
FIRST_LENGTH = FIRST_START + ROWS * COLS
VOCAB = FIRST_LENGTH + MAX_LENGTH
GRID = StartGrid(offset=FIRST_START, rows=ROWS, cols=COLS)


@dataclass(frozen=True)
class RunTables:
    """Runs (start, length) in order, then eos; a state is (what comes, cursor, start)."""

    bos: int = 1
    eos: int = 2
    pad: int = 0

    def start(self, batch: int) -> Tensor:
        return torch.zeros(batch, 3, dtype=torch.int64)

    def allowed(self, state: Tensor) -> Tensor:
        expects, cursor, begin = (part[:, None] for part in state.unbind(1))
        ids = torch.arange(VOCAB)[None]
        start, length = ids - FIRST_START, ids - FIRST_LENGTH + 1
        is_start = (start >= 0) & (start < ROWS * COLS)
        starts = (is_start & (start >= cursor)) | (ids == self.eos)
        lengths = (length >= 1) & (begin + length <= ROWS * COLS)
        return torch.where(expects == 0, starts, torch.where(expects == 1, lengths, ids == 0))

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        expects, cursor, begin = state.unbind(1)
        is_length = tokens >= FIRST_LENGTH
        ended = (tokens == self.eos) | (tokens == self.pad)
        cursor = torch.where(is_length, begin + tokens - FIRST_LENGTH + 1, cursor)
        begin = torch.where(is_length | ended, begin, tokens - FIRST_START)
        expects = torch.where(ended, 2, torch.where(is_length, 0, 1))
        return torch.stack((expects, cursor, begin), dim=1)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


@pytest.fixture
def tables() -> RunTables:
    return RunTables()


@pytest.fixture(params=["first_hit", "pointer", "codes", "table"])
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return tiny_config(starts=request.param)


@pytest.fixture
def model(config: ModelConfig) -> Pix2Seq:
    """In evaluation mode, its weights loud enough to make differences show."""
    torch.manual_seed(0)
    model = Pix2Seq(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "decoder" in name and parameter.ndim > 1:
                parameter.mul_(3)
    return model


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def tiny_config(**changes: object) -> ModelConfig:
    settings: dict[str, object] = {"vocab_size": VOCAB, "max_tokens": 24, "image_size": 32}
    settings |= {"grid": GRID, "ordinal_ranges": ((FIRST_LENGTH, MAX_LENGTH),)}
    return model_config("test", **(settings | changes))  # type: ignore[arg-type]


@pytest.fixture
def tokens() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(2, VOCAB, (3, 20), generator=generator)
    tokens[:, 0] = 1
    return tokens
