"""The head that corrects what dense heads say, at the resolution of the patch."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rleseg_core.checkpoints import ModelInfo, build_model, new_model
from rleseg_core.errors import SchemeError
from rleseg_core.model import Pix2Seq
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


def header(scheme: str = "iw", n_frames: int = 1, **settings: object) -> ModelInfo:
    return new_model(
        Path("model.safetensors"),
        size="test",
        scheme=preset(scheme),
        mask_spec=MaskSpec(size=(8, 8), class_names=("a", "b"), n_frames=n_frames),
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=n_frames),
        max_tokens=64,
        **{"outline_dim": 8, **settings},
    )


@pytest.mark.parametrize(
    ("scheme", "order", "n_maps"), [("iw", "C", 5), ("iw", "F", 5), ("lac", "C", 3)]
)
def test_it_begins_with_what_the_dense_heads_say(scheme: str, order: str, n_maps: int) -> None:
    torch.manual_seed(0)
    info = header(scheme)
    if order == "F":
        info = new_model(
            info.path, size="test", scheme=preset(scheme, order=order), mask_spec=info.mask_spec,
            window_spec=info.window_spec, max_tokens=64, outline_dim=8,
        )  # fmt: skip
    model = build_model(info).eval()
    with torch.inference_mode():
        memory = model.encode(torch.rand(2, 1, 3, 32, 32))
        assert memory.pixels is not None
        maps = [model.dense_logits(memory)[:, 0]]
        if scheme == "iw":
            maps.append(model.affinity_logits(memory)[:, :2])
        wanted = F.interpolate(torch.cat(maps, 1), (32, 32), mode="bilinear", align_corners=False)
    assert memory.pixels.shape == (2, n_maps, 32, 32)
    torch.testing.assert_close(memory.pixels, wanted)


def test_it_sees_every_pixel_and_little_beyond() -> None:
    torch.manual_seed(0)
    model = build_model(header()).eval()
    assert model.outline is not None
    torch.nn.init.normal_(model.outline.correct.weight)
    images = torch.rand(1, 3, 32, 32)
    changed = images.clone()
    changed[0, :, 17, 5] += 0.5
    features, classes = torch.rand(1, 16, 8, 8), torch.rand(1, 3, 8, 8)
    affinities = torch.rand(1, 10, 8, 8)
    model.outline.look[1] = model.outline.mix[1] = torch.nn.Identity()  # it mixes all pixels
    with torch.inference_mode():
        one, other = (model.outline(x, features, classes, affinities) for x in (images, changed))
    rows, cols = torch.nonzero((one != other).any(1)[0], as_tuple=True)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (15, 19, 3, 7)


def test_rows_of_a_memory_keep_theirs() -> None:
    model: Pix2Seq = build_model(header()).eval()
    with torch.inference_mode():
        memory = model.encode(torch.rand(3, 1, 3, 32, 32))
        assert memory.pixels is not None
        torch.testing.assert_close(memory.select(slice(1, 2)).pixels, memory.pixels[1:2])
        joined = type(memory).joined([memory.select(slice(2, 3)), memory.select(slice(0, 1))])
    torch.testing.assert_close(joined.pixels, memory.pixels[[2, 0]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"starts": "table", "ends": "table"}, "outline_dim=8 corrects a dense class head"),
        ({"scheme": "tac", "n_frames": 2}, "outline_dim are for windows of one frame"),
    ],
)
def test_where_it_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        header(**{"scheme": "lac", **settings})  # type: ignore[arg-type]
