"""How much faster the bundled model decodes synthetic time-lapses with drafts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.decode_setup import race, seconds_of
from benchmarks.report import number, table
from rleseg_core.checkpoints import build_model, build_tokenizer, find_model, load_checkpoint
from rleseg_core.data import (
    ImageStack,
    LabelReader,
    SyntheticConfig,
    WindowReader,
    plan_windows,
    subsample_labels,
    synthesize,
)
from rleseg_core.decoding import decode_sequences
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import Draft, Tokenizer

SEED = 2_000_000  # the bundled model was trained on others
MOVIES: dict[str, dict[str, float]] = {
    "slow": {"speed": 0.005, "division_rate": 0, "death_rate": 0},
    "usual": {},
}
DRAFT_BATCHES = (1, 8)


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
        Share of the pixels of a mask that differ from the frame before.
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
                model, movies.memories, rules, max_tokens=model.config.tokens.max_tokens,
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


def draft_table(speeds: Sequence[DraftSpeed]) -> str:
    """Passes and tokens per second with drafts."""
    head = (
        "movement", "pixels that change", "draft", "B", "tokens", "passes", "fewer",
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
    return table(head, rows, texts=("movement", "draft"))
