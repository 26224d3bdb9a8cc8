import pytest
import torch
from torch import Tensor

from rleseg_core.errors import SchemeError
from rleseg_core.model import ModelConfig, Pix2Seq, model_config
from rleseg_core.model.backbones.resnet import BatchNorm, same_max_pool
from rleseg_core.model.layers import DropPath
from rleseg_core.spec import StartGrid

from .conftest import FIRST_START, GRID, VOCAB, tiny_config


def test_shapes(model: Pix2Seq, images: Tensor, tokens: Tensor) -> None:
    memory = model.encode(images)
    assert memory.context.shape == (3, 4, 16)
    assert (memory.mask_features is None) == (model.config.pointer.starts in ("table", "codes"))
    assert memory.mask_features is None or memory.mask_features.shape == (3, GRID.size, 16)
    assert model(memory, tokens).shape == (3, 20, VOCAB)


def test_steps_give_the_logits_of_the_whole(model: Pix2Seq, images: Tensor, tokens: Tensor) -> None:
    with torch.inference_mode():
        memory = model.encode(images)
        whole = model(memory, tokens)
        cache = model.new_cache(memory, 24)
        steps = torch.stack([model.step(token, cache) for token in tokens.T], dim=1)
    assert whole.std() > 0.1
    torch.testing.assert_close(steps, whole, atol=5e-5, rtol=1e-5)


def test_a_batch_is_its_rows(model: Pix2Seq, images: Tensor, tokens: Tensor) -> None:
    with torch.inference_mode():
        together = model(model.encode(images), tokens)
        for row in range(3):
            alone = model(model.encode(images[row : row + 1]), tokens[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], atol=2e-4, rtol=1e-5)


def test_selected_rows_go_on_as_before(model: Pix2Seq, images: Tensor, tokens: Tensor) -> None:
    rows = torch.tensor([2, 0])
    with torch.inference_mode():
        memory = model.encode(images)
        cache = model.new_cache(memory, 24)
        for token in tokens[:, :7].T:
            model.step(token, cache)
        fewer = cache.select(rows)
        torch.testing.assert_close(
            model.step(tokens[rows, 7], fewer), model.step(tokens[:, 7], cache)[rows]
        )
        torch.testing.assert_close(
            model(memory.select(rows), tokens[rows]), model(memory, tokens)[rows]
        )


def test_later_tokens_do_not_matter(model: Pix2Seq, images: Tensor, tokens: Tensor) -> None:
    changed = tokens.clone()
    changed[:, 10:] = 5
    with torch.inference_mode():
        memory = model.encode(images)
        before, after = model(memory, tokens), model(memory, changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert (before[:, 10:] - after[:, 10:]).abs().max() > 1e-3


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_start_looks_at_its_own_mask_pixel(order: str) -> None:
    torch.manual_seed(0)
    grid = StartGrid(offset=FIRST_START, rows=4, cols=8, order=order)  # type: ignore[arg-type]
    model = Pix2Seq(tiny_config(grid=grid, ordinal_ranges=(), encoder_n_layers=0)).eval()
    assert model.mask_features is not None
    features = [torch.randn(1, c, s, s) for c, s in zip((8, 8, 16, 16), (16, 8, 4, 2), strict=True)]
    encoded = torch.randn(1, 4, 16)
    with torch.inference_mode():
        quiet = model.mask_features(features, encoded)
        features[model.mask_features.finest][0, :, -1, -1] += 3.0  # the last row and column
        changed = (model.mask_features(features, encoded) - quiet).abs().amax(dim=(0, 2))
        scores = changed.view(4, 8) if order == "C" else changed.view(8, 4).T
    row, col = divmod(int(scores.argmax()), 8)
    assert (row, col) >= (2, 6)
    assert scores[0, 0] < scores.max() / 5


def test_only_starts_take_up_the_image(images: Tensor) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config()).eval()
    pointer = model.decoder.pointer
    assert pointer is not None
    features = model.encode(images).mask_features
    assert features is not None
    memory = pointer.remember(features)
    tokens = torch.tensor([[1, 2, FIRST_START + 5, FIRST_START + GRID.size]] * 3)
    embedded = pointer.embed(pointer.tracker.advance(tokens, pointer.tracker.initial(3)), memory)
    torch.testing.assert_close(embedded[:, 2], pointer.input(features[:, 5]))
    assert not embedded[:, [0, 1, 3]].any()


def test_images_of_other_sides_are_read(images: Tensor) -> None:
    model = Pix2Seq(tiny_config()).eval()
    memory = model.encode(images[..., :27, :])
    assert memory.context.shape == (3, 4, 16)
    assert memory.mask_features is not None
    assert memory.mask_features.shape == (3, GRID.size, 16)


def test_windows_of_several_frames_are_refused(model: Pix2Seq, images: Tensor) -> None:
    with pytest.raises(SchemeError, match="one frame at a time, got windows of 2"):
        model.encode(images.expand(-1, 2, -1, -1, -1))
    with pytest.raises(
        SchemeError, match=r"images must be \(B, N, 3, P, P\), got \(3, 3, 32, 32\)"
    ):
        model.encode(images[:, 0])


def test_sequences_over_the_positions_are_refused(model: Pix2Seq, images: Tensor) -> None:
    memory = model.encode(images)
    with pytest.raises(SchemeError, match="25 tokens do not fit this model, which has 24"):
        model(memory, torch.ones(3, 25, dtype=torch.int64))
    with pytest.raises(SchemeError, match="25 tokens do not fit"):
        model.new_cache(memory, 25)


@pytest.mark.parametrize(
    ("vocab_size", "max_tokens", "trainable", "everything"),
    [
        (3000, 512, 36_587_768, 36_640_888),
        (8000, 512, 37_872_768, 37_925_888),
        (18000, 3072, 41_098_128, 41_151_248),
    ],
)
def test_the_papers_model_has_as_many_parameters_as_the_published_one(
    vocab_size: int, max_tokens: int, trainable: int, everything: int
) -> None:
    config = model_config("paper", vocab_size=vocab_size, max_tokens=max_tokens, image_size=640)
    with torch.device("meta"):
        model = Pix2Seq(config)
    assert model.n_parameters == trainable
    statistics = sum(value.numel() for name, value in model.named_buffers() if "running_" in name)
    assert trainable + statistics == everything


def test_the_demos_model_is_small() -> None:
    grid = StartGrid(offset=3, rows=32, cols=32)
    config = model_config("nano", vocab_size=1091, max_tokens=256, image_size=128, grid=grid)
    assert Pix2Seq(config).n_parameters < 5_000_000


def test_dropped_paths_keep_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    x = torch.ones(4000, 2, 3)
    dropped = drop(x)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped == dropped[:, :1, :1]).all()
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    assert drop.eval()(x) is x


def test_the_pool_pads_below_and_right_first() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert same_max_pool(x)[0, 0].tolist() == [[10, 11], [14, 15]]
    odd = torch.arange(9.0).view(1, 1, 3, 3)
    assert same_max_pool(odd)[0, 0].tolist() == [[4, 5], [7, 8]]


def test_gradients_reach_every_parameter(images: Tensor, tokens: Tensor) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(tiny_config())
    for _ in range(2):  # a block's last norm begins at 0 and hides what is before it
        loss = model(model.encode(images), tokens).logsumexp(-1).mean()
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.1 * parameter.grad)
    unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


def test_half_precision_models_run(images: Tensor, tokens: Tensor, config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = Pix2Seq(config).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        memory = model.encode(images)
        logits = model(memory, tokens)
        cache = model.new_cache(memory, 24)
        first = model.step(tokens[:, 0], cache)
    torch.testing.assert_close(first.float(), logits[:, 0].float(), atol=0.05, rtol=0.05)


def test_batch_statistics_are_the_same_in_half_precision() -> None:
    x = torch.randn(3, 5, 4, 4)
    plain, fused = BatchNorm(5), BatchNorm(5)
    expected, found = plain(x), fused(x.bfloat16())  # not of the weights' type: the fused kernel
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(
            fused.get_buffer(name), plain.get_buffer(name), atol=0.01, rtol=0
        )
    biased = x.var(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(plain.running_var, 0.9 + 0.1 * biased)
