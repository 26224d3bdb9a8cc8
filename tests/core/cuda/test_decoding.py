"""Sequences on the device are those of the CPU: step by step, replayed as a graph, from drafts."""

import itertools

import numpy as np
import pytest
import torch
from torch.profiler import profile

from rleseg_core.checkpoints import build_model, build_tokenizer, new_model
from rleseg_core.decoding import Sampling, decode_sequences, generate, generate_tokens, slots
from rleseg_core.decoding.slots import Slots
from rleseg_core.model.layers import attend
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Draft, for_classes, preset

ROOM = 40
MODELS = [
    ("lac", 1, {}), ("lac", 1, {"starts": "pointer"}), ("lac", 1, {"starts": "table"}),
    ("binary", 1, {}), ("multiclass", 1, {}), ("bac", 1, {}), ("diff", 1, {}), ("cw", 1, {}),
    ("tac", 2, {}), ("3d-f", 2, {}),
]  # fmt: skip


def windows_of(model, n_windows=5):
    n_frames = model.config.frames.n_frames
    torch.manual_seed(3)
    images = torch.rand(n_windows, n_frames, 3, 32, 32, dtype=torch.float64)
    return images * torch.rand(n_windows, 1, 1, 1, 1, dtype=torch.float64)


@pytest.fixture(params=MODELS, ids=lambda one: "-".join((one[0], *one[2].values())))
def written(request, tmp_path):
    """A random model in double precision, where no rounding decides, and what the CPU writes."""
    name, n_frames, changes = request.param
    n_classes = 1 if name == "binary" else 2
    info = new_model(
        tmp_path / "model.safetensors",
        size="test",
        scheme=for_classes(preset(name), n_classes),
        mask_spec=MaskSpec(size=(8, 8), class_names=("a", "b")[:n_classes], n_frames=n_frames),
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=n_frames),
        max_tokens=ROOM,
        **changes,
    )
    torch.manual_seed(7)
    model, tokenizer = build_model(info).double().eval(), build_tokenizer(info)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "decoder" in key and value.ndim > 1:
                value.mul_(3)  # so that differences show
        model.decoder.tokens.bias[tokenizer.vocab.eos] += 0.5  # lengths differ
    with torch.inference_mode():
        memory = model.encode(windows_of(model))
        expected = generate_tokens(model, memory, tokenizer.grammar.on("cpu"), max_tokens=ROOM)
    return model, tokenizer, [tokens.tolist() for tokens in expected]


def on(device, model):
    model = model.to(device)
    with torch.inference_mode():
        return model, model.encode(windows_of(model).to(device))


def test_the_device_writes_what_the_cpu_writes(written, device, monkeypatch):
    model, tokenizer, expected = written
    monkeypatch.setattr(slots, "_MIN_KEYS", 8)  # graphs of several shapes
    model, memory = on(device, model)
    tables = tokenizer.grammar.on(device)
    together = generate_tokens(model, memory, tables, max_tokens=ROOM)
    assert [tokens.tolist() for tokens in together] == expected
    for n_slots, static in itertools.product((1, 2, 4), (False, True)):
        one_by_one = (memory.select(torch.tensor([k], device=device)) for k in range(5))
        found = decode_sequences(
            model, one_by_one, tables, max_tokens=ROOM, n_slots=n_slots, static_shapes=static
        )
        sequences = {one.index: one.tokens.tolist() for one in found}
        assert [sequences[k] for k in range(5)] == expected


def test_a_live_view_shows_the_same_tokens(written, device):
    model, tokenizer, expected = written
    model, memory = on(device, model)
    shown = [[] for _ in expected]
    steps = generate(model, memory, tokenizer.grammar.on(device), max_tokens=ROOM)
    for step in steps:
        for row, token in zip(step.rows.tolist(), step.tokens.tolist(), strict=True):
            shown[row].append(token)
    for tokens, right in zip(shown, expected, strict=True):
        assert tokens[: len(right)] == right
        assert set(tokens[len(right) :]) <= {tokenizer.vocab.pad}


def test_drafts_change_nothing(written, device):
    model, tokenizer, expected = written
    model, memory = on(device, model)
    guesses = [np.array(expected[k]) for k in (0, 2, 1, 3, 4)]
    drafts = [Draft(tokenizer, tokens) for tokens in guesses]
    found = decode_sequences(
        model, [memory], tokenizer.grammar.on(device),
        max_tokens=ROOM, n_slots=3, drafts=drafts.__getitem__,
    )  # fmt: skip
    for one in found:
        assert one.tokens.tolist() == expected[one.index]


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_no_step_waits_for_the_device(written, device, no_waiting, static, dtype):
    model, tokenizer, _ = written
    model, memory = on(device, model)
    model.decoder.to(dtype)
    with torch.inference_mode():
        open_ones = Slots(
            model,
            tokenizer.grammar.on(device),
            (list(range(5)), memory.to(dtype)),
            ROOM,
            Sampling(),
            static_shapes=static,
        )
        for _ in range(5):  # kernels are loaded, and the graph is captured
            open_ones.step()
        with no_waiting():
            for _ in range(20):
                open_ones.step()
        for one in open_ones.pop_ended():
            tokenizer.decode(one.tokens)


def test_draws_with_a_seed_are_repeated(written, device):
    model, tokenizer, _ = written
    model, memory = on(device, model)
    tables = tokenizer.grammar.on(device)
    for seed in (None, 5):
        sampling = Sampling(top_p=0.9, seed=seed)
        first, again = (
            generate_tokens(model, memory, tables, max_tokens=ROOM, sampling=sampling)
            for _ in range(2)
        )
        for tokens, same in zip(first, again, strict=True):
            tokenizer.decode(tokens)
            assert seed is None or np.array_equal(tokens, same)


@pytest.mark.parametrize("causal", [False, True])
def test_no_kernel_of_attention_prepares_a_plan_for_each_length(device, causal):
    q, k, v = torch.randn(3, 2, 6, 37, 32, device=device, dtype=torch.bfloat16)
    with profile() as seen:
        attend(q, k, v, causal=causal)
    names = {event.name for event in seen.events() if "dot_product" in event.name}
    assert names
    assert not any("cudnn" in name for name in names)
