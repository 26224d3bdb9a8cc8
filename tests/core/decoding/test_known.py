import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, build_tokenizer, new_model
from rleseg_core.decoding.known import write_block
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.tokens.known import UNKNOWN, KnownBlock


def tiny(folder, start):
    spec = MaskSpec(size=(8, 8), class_names=("cell",), n_frames=2)
    info = new_model(
        folder / "tiny.safetensors",
        size="test",
        scheme=preset("iw-tac", start=start),
        mask_spec=spec,
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=2),
        max_tokens=300,
    )
    torch.manual_seed(2)
    return build_model(info).eval(), build_tokenizer(info)


@pytest.mark.parametrize("start", ["flat", "coords"])
def test_model_writes_on_what_is_known(tmp_path, start):
    model, tokenizer = tiny(tmp_path, start)
    memory = model.encode(torch.rand(1, 2, 3, 32, 32))
    known = np.full((2, 8, 8), UNKNOWN, np.int8)
    known[0] = 0
    known[0, 3:5, 2:6] = 1
    block = KnownBlock(tokenizer, known, np.abs(np.arange(8) - 4)[None, :, None] < 2 + known * 0)
    written = write_block(model, memory, tokenizer.grammar.on("cpu"), block, max_tokens=300)
    decoded = tokenizer.decode(written.tokens, strict=True)
    np.testing.assert_array_equal(decoded.instances[0], known[0])
    assert written.logprobs.shape == written.tokens.shape
    assert (written.logprobs <= 0).all()
