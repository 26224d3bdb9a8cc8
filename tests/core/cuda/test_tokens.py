"""Masks become the same tokens on the device as on the host, which never waits meanwhile."""

import numpy as np
import pytest
import torch

from rleseg_core.tokens import PRESETS, Tokenizer, for_classes, preset

from ..tokens.conformance import masks_of, spec_of

SIZES = [(3, 5), (32, 32)]


def frames_of(name: str) -> int:
    return 2 if "tac" in name or name.startswith("3d") else 1


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PRESETS)
def test_a_batch_is_encoded_as_on_the_host(name, size, device, no_waiting):
    n_classes = 1 if name == "binary" else 2
    spec = spec_of(n_classes, frames_of(name), size)
    tokenizer = Tokenizer.build(for_classes(preset(name), n_classes), spec, vocab_limit=10**9)
    classes, instances = map(np.stack, zip(*masks_of(spec, seed=3), strict=True))
    pair = torch.from_numpy(classes), torch.from_numpy(instances)
    longest = max(
        tokenizer.encode(*mask).shape[-1] for mask in zip(classes, instances, strict=True)
    )
    for budget in (longest + 2, longest // 2 + 1):
        host = tokenizer.encode_batch(*pair, budget=budget)
        there = [values.to(device) for values in pair]
        tokenizer.encode_batch(*there, budget=budget)  # what is loaded at first may wait
        with no_waiting():
            found = tokenizer.encode_batch(*there, budget=budget)
        assert found.tokens.device.type == device.type
        for ours, theirs in zip(
            (found.tokens, found.n_tokens, found.n_dropped_runs),
            (host.tokens, host.n_tokens, host.n_dropped_runs),
            strict=True,
        ):
            assert torch.equal(ours.cpu(), theirs)
