import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.decoding import Sampling, generate, generate_tokens, nucleus
from rleseg_core.decoding.sampling import draw_without_sync
from rleseg_core.errors import SchemeError
from rleseg_core.model import Pix2Seq
from rleseg_core.spec import MaskSpec, StartGrid
from rleseg_core.tokens import Tokenizer, preset

from ..model.conftest import COLS, FIRST_LENGTH, FIRST_START, ROWS, RunTables, tiny_config

INF = math.inf


def test_greedy_takes_the_best_allowed_token(
    model: Pix2Seq, images: Tensor, tables: RunTables
) -> None:
    with torch.inference_mode():
        memory = model.encode(images)
        for row, written in enumerate(generate_tokens(model, memory, tables, max_tokens=24)):
            given = torch.tensor([[1, *written[:-1]]])
            logits = model(memory.select(torch.tensor([row])), given)
            state = tables.start(1)
            for k, token in enumerate(written):
                allowed = tables.allowed(state)
                best = logits[0, k].masked_fill(~allowed[0], -INF)
                assert best[token] >= best.max() - 1e-4
                state = tables.advance(state, torch.tensor([token]))


@pytest.mark.parametrize("top_p", [None, 0.4, 1.0])
def test_sequences_keep_to_the_grammar_and_end(
    model: Pix2Seq, images: Tensor, tables: RunTables, top_p: float | None
) -> None:
    sampling = Sampling(top_p=top_p, seed=3)
    memory = model.encode(images)
    for tokens in generate_tokens(model, memory, tables, max_tokens=24, sampling=sampling):
        assert tokens.dtype == np.int64
        assert len(tokens) == 24 or tokens[-1] == tables.eos
        runs = tokens[: len(tokens) // 2 * 2]
        runs = runs[: len(runs) - (tokens[-1] == tables.eos and len(tokens) % 2 == 0)]
        starts, lengths = runs[::2] - FIRST_START, runs[1::2] - FIRST_LENGTH + 1
        starts = starts[: len(lengths)]
        assert (lengths >= 1).all()
        assert (starts[1:] >= (starts + lengths)[:-1]).all()
        assert (starts + lengths <= ROWS * COLS).all()


def test_compaction_changes_nothing(model: Pix2Seq, images: Tensor, tables: RunTables) -> None:
    with torch.no_grad():
        model.decoder.tokens.bias[tables.eos] += 2.0  # rows end at different times
    with torch.inference_mode():
        memory = model.encode(images.repeat(4, 1, 1, 1, 1) * torch.rand(12, 1, 1, 1, 1))
        together = generate_tokens(model, memory, tables, max_tokens=24)
        for row, tokens in enumerate(together):
            one = memory.select(torch.tensor([row]))
            alone = generate_tokens(model, one, tables, max_tokens=24)[0]
            assert tokens.tolist() == alone.tolist()


def test_ended_rows_leave_the_batch(images: Tensor, tables: RunTables) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config()).eval()
    memory = model.encode(images)
    sampling = Sampling(top_p=1.0, seed=5)
    open_rows = {0, 1, 2}
    for step in generate(model, memory, tables, max_tokens=24, sampling=sampling):
        assert set(step.rows.tolist()) == open_rows
        assert (step.logprobs <= 0).all()
        open_rows -= set(step.rows[step.tokens == tables.eos].tolist())
    assert not open_rows or len(open_rows) < 3


def test_a_seed_repeats_its_draws(images: Tensor, tables: RunTables) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config()).eval()
    memory = model.encode(images)

    def draw(seed: int) -> list[list[int]]:
        sampling = Sampling(top_p=1.0, seed=seed)
        written = generate_tokens(model, memory, tables, max_tokens=24, sampling=sampling)
        return [tokens.tolist() for tokens in written]

    assert draw(1) == draw(1) != draw(2)


def test_logprobs_are_those_of_the_allowed_tokens(images: Tensor, tables: RunTables) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config()).eval()
    with torch.inference_mode():
        memory = model.encode(images)
        step = next(iter(generate(model, memory, tables, max_tokens=24)))
        logits = model(memory, torch.ones(3, 1, dtype=torch.int64))[:, 0]
        allowed = tables.allowed(tables.start(3))
        expected = logits.masked_fill(~allowed, -INF).log_softmax(-1)
    torch.testing.assert_close(step.logprobs, expected.amax(-1), atol=1e-5, rtol=1e-5)


def test_leaving_early_leaves_inference_mode(images: Tensor, tables: RunTables) -> None:
    model = Pix2Seq(tiny_config()).eval()
    with torch.no_grad():
        memory = model.encode(images)
    steps = generate(model, memory, tables, max_tokens=24)
    next(steps)
    assert not torch.is_inference_mode_enabled()
    steps.close()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.0, [1]),
        (0.4, [1]),  # 0.5 alone is over the limit, but the first stays
        (0.5, [1]),
        (0.79, [1]),  # 0.5 + 0.3 would be over
        (0.81, [1, 3]),
        (0.96, [0, 1, 3]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_nucleus_keeps_what_adds_up_to_at_most_p(top_p: float, kept: list[int]) -> None:
    logits = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).double().log()
    left = nucleus(logits, top_p)
    assert left.isfinite()[0].nonzero()[:, 0].tolist() == kept
    assert (left[left.isfinite()] == logits[left.isfinite()]).all()


def test_nucleus_keeps_ties_of_the_last() -> None:
    logits = torch.tensor([[0.4, 0.2, 0.2, 0.2]]).double().log()
    assert nucleus(logits, 0.65).isfinite().all()


def test_nucleus_leaves_forbidden_tokens_out() -> None:
    left = nucleus(torch.tensor([[1.0, -INF, 0.5]]), 1.0)
    assert left.isfinite().tolist() == [[True, False, True]]


def test_draws_follow_the_probabilities() -> None:
    chances = torch.tensor([0.1, 0.0, 0.6, 0.3])
    logits = chances.log().expand(20_000, 4)
    tokens = draw_without_sync(logits, torch.Generator().manual_seed(0))
    shares = tokens.bincount(minlength=4) / len(tokens)
    torch.testing.assert_close(shares, chances, atol=0.015, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_p": 1.5}, "top_p must be a number from 0 to 1 or none, got 1.5"),
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
    ],
)
def test_sampling_out_of_range_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        Sampling(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("scheme", "order"), [("binary", "C"), ("lac", "F"), ("multiclass", "C")])
def test_tokenizers_read_what_is_written(images: Tensor, scheme: str, order: str) -> None:
    names = ("cell",) if scheme == "binary" else ("ipsc", "dfc")
    spec = MaskSpec(size=(8, 8), class_names=names)
    tokenizer = Tokenizer.build(preset(scheme, order=order), spec)
    grid = StartGrid(offset=3, rows=8, cols=8, order=order)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = Pix2Seq(
        tiny_config(vocab_size=tokenizer.vocab.size, grid=grid, ordinal_ranges=())
    ).eval()
    memory, tables = model.encode(images), tokenizer.grammar.on("cpu")
    for tokens in generate_tokens(
        model, memory, tables, max_tokens=24, sampling=Sampling(top_p=1.0, seed=0)
    ):
        whole = tokens[: len(tokens) // tokenizer.tokens_per_run * tokenizer.tokens_per_run]
        tokenizer.decode([*whole[whole != tables.eos], tables.eos], strict=True)


@pytest.mark.parametrize("starts", ["pointer", "table"])
def test_a_tiny_model_learns_fixed_sequences_by_heart(starts: str, tables: RunTables) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config(starts=starts))
    images = torch.zeros(4, 1, 3, 32, 32)
    masks = torch.zeros(4, ROWS, COLS, dtype=torch.bool)
    masks[0, 1:4, 2:6] = masks[1, 4:7, 1:3] = masks[2, 0:2] = masks[2, 5, 7] = True
    images[:, 0] = masks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None].float()
    targets = torch.full((4, 12), tables.pad)
    for row, mask in enumerate(masks):
        written = _encode(mask.flatten().tolist())
        targets[row, : len(written) + 1] = torch.tensor([*written, tables.eos])
    inputs = torch.cat((torch.ones(4, 1, dtype=torch.int64), targets[:, :-1]), dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        logits = model(model.encode(images), inputs)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=tables.pad
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    written = generate_tokens(model, model.encode(images), tables, max_tokens=24)
    assert [t.tolist() for t in written] == [t[t > 0].tolist() for t in targets]


def _encode(flat: list[bool]) -> list[int]:
    tokens, k = [], 0
    while k < len(flat):
        if not flat[k]:
            k += 1
            continue
        length = 1
        while length < COLS and k + length < len(flat) and flat[k + length]:
            length += 1
        tokens += [FIRST_START + k, FIRST_LENGTH + length - 1]
        k += length
    return tokens
