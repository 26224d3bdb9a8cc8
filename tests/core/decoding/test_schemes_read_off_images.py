"""Models that read classes and volumes off the image write the same in all ways."""

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints.build import length_ranges, token_heads
from rleseg_core.decoding import GREEDY, decode_sequences, generate, generate_tokens
from rleseg_core.decoding.sampling import choose
from rleseg_core.model import Pix2Seq, model_config
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Draft, Tokenizer, preset

ROOM, SIDE = 30, 8
SCHEMES = (
    "bac", "bac-lac", "text4seg", "multiclass", "diff-rows", "tac", "ltac", "cw-tac", "3d-c", "3d-f"
)  # fmt: skip


def model_of(tokenizer: Tokenizer, **changes: object) -> Pix2Seq:
    """A random model, loud enough to make differences show."""
    heads = token_heads(tokenizer)
    n_frames = tokenizer.spec.n_frames
    config = model_config(
        "test",
        vocab_size=heads[-1].offset + heads[-1].size if heads else tokenizer.vocab.size,
        heads=heads,
        max_tokens=ROOM,
        image_size=32,
        grid=tokenizer.start_grid,
        symbols=tokenizer.symbol_tokens,
        ordinal_ranges=length_ranges(tokenizer),
        dense_classes=tokenizer.spec.n_classes + 1,
        **({"n_frames": n_frames} if n_frames > 1 else {}),
        **changes,
    )
    torch.manual_seed(7)
    model = Pix2Seq(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and ("decoder" in name or "dense" in name):
                parameter.mul_(3)
        assert model.dense is not None
        model.dense.bias.zero_()
    return model


def tokenizer_of(name: str, **changes: str) -> Tokenizer:
    n_frames = 2 if "tac" in name or name.startswith("3d") else 1
    spec = MaskSpec(size=(SIDE, SIDE), class_names=("a", "b"), n_frames=n_frames)
    return Tokenizer.build(preset(name, **changes), spec)


def uncached(model, memory, tokenizer):
    """Greedy tokens by reading the whole sequence anew at each step."""
    tables = tokenizer.grammar.on("cpu")
    state, tokens = tables.start(1), [tables.bos]
    while len(tokens) <= ROOM and tokens[-1] != tables.eos:
        logits = model(memory, torch.tensor([tokens]))[:, -1]
        allowed = logits.masked_fill(~tables.allowed(state), -torch.inf)
        best, _ = choose(allowed, GREEDY, None, model.stops)
        state = tables.advance(state, best)
        tokens.append(int(best))
    return tokens[1:]


@pytest.mark.parametrize("name", SCHEMES)
def test_sequences_are_the_same_however_they_are_written(name: str) -> None:
    tokenizer = tokenizer_of(name)
    model, tables = model_of(tokenizer), tokenizer.grammar.on("cpu")
    images = torch.rand(3, tokenizer.spec.n_frames, 3, 32, 32) * torch.rand(3, 1, 1, 1, 1)
    with torch.inference_mode():
        memory = model.encode(images)
        windows = [memory.select(torch.tensor([k])) for k in range(3)]
        expected = [uncached(model, window, tokenizer) for window in windows]
        together = generate_tokens(model, memory, tables, max_tokens=ROOM)
        assert [tokens.tolist() for tokens in together] == expected
        live = [
            int(step.tokens[0]) for step in generate(model, windows[0], tables, max_tokens=ROOM)
        ]
        assert live == expected[0]
        halves = [tokens[: len(tokens) // 2] + tokens[-3:] for tokens in expected]
        for drafts in (None, [Draft(tokenizer, np.array(tokens)) for tokens in halves]):
            given = None if drafts is None else drafts.__getitem__
            found = decode_sequences(
                model, iter(windows), tables, max_tokens=ROOM, n_slots=2, drafts=given
            )
            for one in found:
                assert one.tokens.tolist() == expected[one.index]
    for tokens in expected:
        tokenizer.decode(np.array(tokens), strict=tokens[-1] == tables.eos)


@pytest.mark.parametrize("changes", [{}, {"start": "flat"}, {"symbol": "length", "order": "F"}])
def test_heads_say_in_turn_what_they_say_of_a_whole(changes: dict[str, str]) -> None:
    tokenizer = tokenizer_of("multihead", **changes)
    model, tables = model_of(tokenizer), tokenizer.grammar.on("cpu")
    with torch.inference_mode():
        memory = model.encode(torch.rand(3, 1, 3, 32, 32) * torch.rand(3, 1, 1, 1, 1))
        together = generate_tokens(model, memory, tables, max_tokens=ROOM)
        for row, tokens in enumerate(together):
            window = memory.select(torch.tensor([row]))
            alone = generate_tokens(model, window, tables, max_tokens=ROOM)[0]
            np.testing.assert_array_equal(alone, tokens)
            tokenizer.decode(tokens, strict=bool((tokens[:, -1] == tables.eos).all()))
            # the logits of the whole, whose heads know the next tokens of the heads before
            given = torch.from_numpy(tokens)[None]
            first = model.first_tokens(tables.bos, 1, torch.device("cpu"))[..., None]
            whole = model(window, torch.cat((first, given), dim=2)[..., : tokens.shape[1]])
            cache, inputs = model.new_cache(window, ROOM), first[..., 0]
            for step in range(tokens.shape[1] - 1):
                turns = model.turns(inputs, cache)
                inputs = given[..., step]
                for k in range(turns.n_heads):
                    found = turns.logits(k, list(inputs[:, :k].unbind(1)))
                    torch.testing.assert_close(found, whole[:, k, step], atol=5e-5, rtol=1e-5)
