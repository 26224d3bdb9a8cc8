"""Models of several frames, and those of other backbones."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rleseg_core.errors import SchemeError
from rleseg_core.model import Pix2Seq, model_config
from rleseg_core.model.backbones.resnet import same_max_pool
from rleseg_core.model.video import SparseDense, dense_frames, from_image_model
from rleseg_core.spec import StartGrid

from .conftest import tiny_config
from .golden import Golden, check_model, tiny_reference

MAPS = {"map_size": (3, 2)}
VIDEO_MODELS = {
    "video_tiny_middle_n2": {"fusion": "middle", "n_frames": 2},
    "video_tiny_middle_n3": {"fusion": "middle", "n_frames": 3},
    "video_tiny_middle_n2_batchstats": {"fusion": "middle", "n_frames": 2, "bn_eval": "batch"},
    "video_tiny_late_n2": {"fusion": "late", "n_frames": 2} | MAPS,
}


@pytest.mark.parametrize("name", list(VIDEO_MODELS))
def test_published_video_models_agree(shared_dir: Path, name: str) -> None:
    golden = Golden(shared_dir, name)
    model = golden.model(tiny_reference(**VIDEO_MODELS[name]))
    with torch.inference_mode():
        maps = model.backbone(golden.images.flatten(0, 1))[-1].unflatten(0, golden.images.shape[:2])
        golden.check(model.encoder(maps), "encoder", 5e-4)
    check_model(golden, model, prompt=22)


def clips(n_frames: int, n_windows: int = 2, side: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(n_windows, n_frames, 3, side, side, generator=generator)


def test_static_video_sees_the_first_frame_only() -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config(n_frames=3, fusion="first")).eval()
    images = clips(3)
    with torch.inference_mode():
        memory = model.encode(images)
        images[:, 1:] = 0
        torch.testing.assert_close(model.encode(images).context, memory.context)
    assert memory.context.shape == (2, 4, 16)


@pytest.mark.parametrize("fusion", ["middle", "late"])
def test_every_frame_is_seen(fusion: str) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config(n_frames=3, fusion=fusion)).eval()
    images = clips(3)
    with torch.inference_mode():
        before = model.encode(images)
        assert before.context.shape == (2, 4 if fusion == "middle" else 12, 16)
        for frame in range(3):
            changed = images.clone()
            changed[:, frame] = 1 - changed[:, frame]
            after = model.encode(changed)
            assert (after.context - before.context).abs().max() > 1e-3
            assert before.mask_features is not None
            assert after.mask_features is not None
            assert (after.mask_features - before.mask_features).abs().max() > 1e-3


@pytest.mark.parametrize("fusion", ["middle", "late", "first"])
@pytest.mark.parametrize("starts", ["pointer", "table"])
def test_a_video_model_begins_as_an_image_model(fusion: str, starts: str) -> None:
    torch.manual_seed(0)
    image_model = Pix2Seq(tiny_config(starts=starts)).eval()
    config = tiny_config(n_frames=3, fusion=fusion, starts=starts)
    model = Pix2Seq(config).eval()
    state = from_image_model(image_model.state_dict(), model.state_dict(), config)
    model.load_state_dict(state)
    images = clips(3)
    if fusion == "late":  # all cells at once: only of still videos the same as those of an image
        images = images[:, :1].expand(-1, 3, -1, -1, -1)
    with torch.inference_mode():
        expected, found = image_model.encode(images[:, :1]), model.encode(images)
    torch.testing.assert_close(found.context[:, :4], expected.context, atol=1e-5, rtol=1e-4)
    if starts == "pointer":
        assert expected.mask_features is not None
        assert found.mask_features is not None
        torch.testing.assert_close(
            found.mask_features, expected.mask_features, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("fusion", ["middle", "late"])
def test_all_frames_dense_is_the_plain_encoder(fusion: str) -> None:
    settings = {"n_frames": 4, "fusion": fusion, "map_size": (4, 4), "image_size": 64}
    torch.manual_seed(0)
    plain = Pix2Seq(tiny_config(**settings)).eval()
    dense = Pix2Seq(tiny_config(**settings, dense_frames=4)).eval()
    sparse = Pix2Seq(tiny_config(**settings, dense_frames=2)).eval()
    for model in (dense, sparse):
        model.load_state_dict(plain.state_dict())
    images = clips(4, side=64)
    with torch.inference_mode():
        expected = plain.encode(images).context
        torch.testing.assert_close(dense.encode(images).context, expected)
        found = sparse.encode(images).context
    n_cells = {"middle": 16, "late": 2 * 16 + 2 * 4}[fusion]
    assert found.shape == (2, n_cells, 16)
    assert not torch.allclose(found[:, :16], expected[:, :16])


def test_sparse_frames_are_averaged_and_stay_in_order() -> None:
    config = tiny_config(n_frames=4, fusion="late", dense_frames=2)
    assert dense_frames(config) == (0, 2)
    x = torch.arange(4 * 6.0).view(1, 4, 6, 1)  # 4 frames of 2 x 3
    joined = SparseDense(config).joined(x, (2, 3))[0, :, 0]
    assert joined.tolist() == [0, 1, 2, 3, 4, 5, 8, 9.5, 12, 13, 14, 15, 16, 17, 20, 21.5]


def test_a_spread_of_dense_frames_has_the_first() -> None:
    for n_frames in range(2, 12):
        for n_dense in range(1, n_frames + 1):
            config = tiny_config(n_frames=n_frames, fusion="middle", dense_frames=n_dense)
            frames = dense_frames(config)
            assert frames[0] == 0
            assert len(set(frames)) == n_dense
            assert max(frames) < n_frames


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_frames": 2, "fusion": None}, "n_frames=2 do not go with fusion=None"),
        ({"fusion": "late"}, "n_frames=1 do not go with fusion='late'"),
        ({"n_frames": 2, "fusion": "early"}, "fusion='early' does not go with backbone='basic'"),
        ({"n_frames": 2, "fusion": "mid"}, "fusion must be 'middle', .* got 'mid'"),
        ({"n_frames": 2, "patch_frames": 2}, "patch_frames=2 .*needs fusion='early'"),
        ({"n_frames": 2, "dense_frames": 3}, "between 1 and n_frames=2"),
        ({"n_frames": 2, "fusion": "first", "dense_frames": 1}, "needs fusion='middle' or 'late'"),
        (
            {"n_frames": 2, "sparse_pool": 0},
            "sparse_pool must be a whole number from 1 to 4,096, got 0",
        ),
    ],
)
def test_fusions_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        tiny_config(**changes)


def test_windows_of_other_lengths_are_refused() -> None:
    model = Pix2Seq(tiny_config(n_frames=2))
    assert model.config.frames.fusion == "middle"
    with pytest.raises(SchemeError, match="reads windows of 2 frames, got windows of 3"):
        model.encode(clips(3))
    late = Pix2Seq(tiny_config(n_frames=2, fusion="late"))
    with pytest.raises(SchemeError, match="learned 8 positions and got 2 feature maps of 3 x 3"):
        late.encode(clips(2, side=48))


def swin(**changes: object) -> Pix2Seq:
    settings: dict[str, object] = {
        "backbone_kind": "swin",
        "fusion": "early",
        "backbone_norm": "batch",
    }
    settings |= {"backbone_widths": (32, 64, 128), "backbone_blocks": (2, 2, 2), "starts": "table"}
    torch.manual_seed(0)
    return Pix2Seq(tiny_config(**(settings | changes))).eval()


@pytest.mark.parametrize(("n_frames", "patch_frames"), [(2, None), (4, 2), (3, 1)])
def test_video_swin_joins_frames_from_the_start(n_frames: int, patch_frames: int | None) -> None:
    model = swin(n_frames=n_frames, patch_frames=patch_frames, image_size=48)
    images = clips(n_frames, side=48)
    with torch.inference_mode():
        before = model.encode(images).context
        assert before.shape == (2, 9 * n_frames // (patch_frames or n_frames), 16)
        images[:, -1] = 1 - images[:, -1]
        assert (model.encode(images).context - before).abs().amin(dim=2).max() > 1e-4
        alone = model.encode(images[1:]).context
        torch.testing.assert_close(alone, model.encode(images).context[1:], atol=1e-5, rtol=1e-4)


def test_shifted_windows_keep_what_wraps_around_apart() -> None:
    model = swin(n_frames=2, image_size=64, backbone_widths=(32,), backbone_blocks=(2,))
    images = clips(2, n_windows=1, side=64)  # 16 x 16 cells in windows of 7
    with torch.inference_mode():
        before = model.backbone(images)[0]
        images[..., :4, :] = 1 - images[..., :4, :]  # the first row of cells
        changed = (model.backbone(images)[0] - before).abs().amax(dim=(0, 1, 2, 4))
    assert (changed[:10] > 1e-6).all()  # its own window, and the one that meets it shifted
    assert (changed[10:] == 0).all()


@pytest.mark.parametrize(
    ("size", "changes", "backbone", "everything"),
    [
        ("paper", {"n_frames": 2, "fusion": "middle"}, 23_508_032, 37_377_528),
        ("paper", {"n_frames": 8, "fusion": "middle"}, 23_508_032, 37_377_528),
        ("paper", {"n_frames": 8, "fusion": "first"}, 23_508_032, 36_587_768),
        # theirs does not train the places of the projection
        ("paper", {"n_frames": 2, "fusion": "late"}, 23_508_032, 36_792_568 + 2 * 400 * 256),
        ("resnet-c", {}, None, 84_697_592),
        ("vit-b", {}, None, 115_169_976),
        ("swin-t", {}, 27.85e6, 40.60e6),
    ],
)
def test_published_sizes_have_as_many_parameters(
    size: str, changes: dict[str, object], backbone: float | None, everything: float
) -> None:
    config = model_config(size, vocab_size=3000, max_tokens=512, image_size=640, **changes)
    with torch.device("meta"):
        model = Pix2Seq(config)
    rough = 0.005 if isinstance(everything, float) else 0
    assert model.n_parameters == pytest.approx(everything, rel=rough)
    if backbone is not None:
        found = sum(p.numel() for p in model.backbone.parameters())
        assert found == pytest.approx(backbone, rel=rough)


@pytest.mark.parametrize("size", ["vit-l", "swin-s", "swin-b"])
def test_larger_sizes_are_larger(size: str) -> None:
    def count(size: str) -> int:
        config = model_config(size, vocab_size=3000, max_tokens=512, image_size=640)
        with torch.device("meta"):
            return Pix2Seq(config).n_parameters

    smaller = {"vit-l": "vit-b", "swin-s": "swin-t", "swin-b": "swin-s"}[size]
    assert count(size) > count(smaller)


def test_patches_become_cells() -> None:
    torch.manual_seed(0)
    model = Pix2Seq(
        tiny_config(backbone_kind="vit", backbone_widths=(), backbone_blocks=(), image_size=48)
    ).eval()
    with torch.inference_mode():
        memory = model.encode(clips(1, side=48))
    assert memory.context.shape == (2, 9, 16)
    assert memory.mask_features is not None


def test_pointers_go_with_video() -> None:
    grid = StartGrid(offset=3, rows=8, cols=8)
    assert tiny_config(n_frames=2, grid=grid).pointer.starts == "first_hit"


@pytest.mark.parametrize("side", [7, 8, 9, 10])
def test_the_pool_has_as_many_cells_as_tensorflow(side: int) -> None:
    assert same_max_pool(torch.zeros(1, 1, side, side)).shape[-1] == -(-side // 2)
