import copy
import dataclasses

import numpy as np
import pytest
import tifffile
import torch
import zarr

from rleseg_core.checkpoints import build_model, new_model, save_checkpoint
from rleseg_core.data import ImageStack, SyntheticConfig, plan_windows, synthesize
from rleseg_core.data.labels import upsample_labels
from rleseg_core.decoding import Sampling
from rleseg_core.errors import (
    BudgetError,
    DataError,
    DataWarning,
    OutputError,
    RlesegError,
    SchemeError,
)
from rleseg_core.inference import PredictOptions, Segmenter, predict_to_file
from rleseg_core.inference.options import PredictKeywords
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import RunPainted, preset


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    info = new_model(
        tmp_path_factory.mktemp("model") / "tiny.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=64, patch_stride=48),
        max_tokens=64,
    )
    torch.manual_seed(1)
    return Segmenter(info, build_model(info), "cpu")


@pytest.fixture(scope="module")
def stack():
    images = synthesize(SyntheticConfig(n_frames=3, size=(100, 130), seed=2)).images
    return ImageStack.from_array(images, name="cells")


@pytest.fixture(scope="module")
def strip():
    """Three frames of two windows each."""
    images = synthesize(SyntheticConfig(n_frames=3, size=(64, 112), seed=2)).images
    return ImageStack.from_array(images, name="strip")


@pytest.fixture(scope="module")
def predicted(segmenter, stack):
    """Results and masks of the stack."""
    return product(segmenter.predict(stack))


def product(run):
    results = []
    while True:
        try:
            results.append(next(run))
        except StopIteration as end:
            return results, end.value


@pytest.mark.parametrize("stitch", ["centre", "last", "vote"])
@pytest.mark.parametrize("image_size", [None, 80, 200])
def test_results_painted_one_by_one_give_the_product(segmenter, stack, stitch, image_size):
    results, labels = product(segmenter.predict(stack, stitch=stitch, image_size=image_size))
    painted = np.zeros_like(labels)
    for result in results:
        for frame, mask in zip(result.frames, result.labels, strict=True):
            painted[frame, result.rows, result.cols] = mask
    assert labels.shape == (3, 100, 130)
    assert labels.max() <= 2
    assert np.array_equal(painted, labels)
    assert [result.n_done for result in results] == list(range(1, len(results) + 1))
    assert len(results) == results[0].n_windows


def test_masks_are_enlarged_smoothly(segmenter, stack):
    one = ImageStack.from_array(np.asarray(stack.data[:1, :64, :64, 0]))
    (result,), labels = product(segmenter.predict(one))
    mask = segmenter.tokenizer.decode(result.tokens).classes
    smooth, blocky = (upsample_labels(mask, (64, 64), rule) for rule in ("smooth", "nearest"))
    assert not np.array_equal(smooth, blocky)
    np.testing.assert_array_equal(labels, smooth)


def test_batch_size_does_not_change_the_result(segmenter, strip):
    _, one = product(segmenter.predict(strip, batch_size=1))
    _, many = product(segmenter.predict(strip, batch_size=4))
    assert np.array_equal(one, many)
    assert one.any()


def test_only_chosen_frames_are_written(segmenter, stack):
    out = np.full((3, 100, 130), 9, np.uint8)
    results, labels = product(segmenter.predict(stack, frames=[1], out=out))
    assert labels is out
    assert {result.frames for result in results} == {(1,)}
    assert (out[[0, 2]] == 9).all()
    assert (out[1] != 9).all()


def test_frame_smaller_than_the_patch(segmenter):
    images = np.random.default_rng(0).integers(0, 255, (2, 40, 50), dtype=np.uint8)
    results, labels = product(segmenter.predict(ImageStack.from_array(images)))
    assert len(results) == 2
    assert labels.shape == (2, 40, 50)


def test_full_memory_is_answered_by_halving_the_batch(segmenter, stack, predicted, monkeypatch):
    encode, n_read = segmenter.model.encode, []

    def encode_if_it_fits(images):
        n_read.append(len(images))
        if len(images) > 2 and len(n_read) > 1:  # memory runs out in the middle of the work
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(images)

    monkeypatch.setattr(segmenter.model, "encode", encode_if_it_fits)
    results, labels = product(segmenter.predict(stack, batch_size=8))
    assert np.array_equal(labels, predicted[1])
    assert {8, 2} <= {result.batch_size for result in results} or results[-1].batch_size == 2
    assert [result.n_done for result in results] == list(range(1, len(results) + 1))


def test_memory_too_small_for_one_window_is_said(segmenter, stack, monkeypatch):
    def never(images):
        raise MemoryError

    monkeypatch.setattr(segmenter.model, "encode", never)
    with pytest.raises(BudgetError, match="single window of 64 pixels"):
        product(segmenter.predict(stack, batch_size=4))


def test_other_runtime_errors_are_not_swallowed(segmenter, stack, monkeypatch):
    def broken(images):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(segmenter.model, "encode", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        product(segmenter.predict(stack))


def test_half_precision_gives_nearly_the_same_masks(segmenter, stack, predicted):
    half = Segmenter(segmenter.info, segmenter.model, "cpu", "bf16")
    _, labels = product(half.predict(stack))
    assert half.model.decoder.positions.dtype == torch.bfloat16
    assert (labels == predicted[1]).mean() > 0.5  # random weights: what is likely is close
    events = half.trace(stack, plan_windows(stack.shape, segmenter.info.window_spec)[0])
    assert list(events)


@pytest.mark.parametrize("draft", ["frame", "dense"])
@pytest.mark.parametrize("size", [1, 3])
def test_drafts_change_nothing(segmenter, strip, size, draft):
    plain, expected = product(segmenter.predict(strip, batch_size=size))
    drafted, labels = product(segmenter.predict(strip, batch_size=size, draft=draft))
    assert np.array_equal(labels, expected)
    assert [r.tokens.tolist() for r in drafted] == [r.tokens.tolist() for r in plain]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_preview_shows_what_the_dense_head_sees(segmenter, stack, precision):
    model = copy.deepcopy(segmenter.model).float()
    with torch.no_grad():  # the second class everywhere
        model.dense.weight.zero_()
        model.dense.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    preview = Segmenter(segmenter.info, model, "cpu", precision)
    results, labels = product(preview.predict(stack, preview=True, batch_size=2))
    assert (labels == 2).all()
    assert all(len(r.tokens) == len(r.logprobs) > 1 for r in results)
    assert [r.n_done for r in results] == list(range(1, len(results) + 1))


def test_models_without_a_dense_head_have_no_preview(stack, tmp_path):
    info = new_model(
        tmp_path / "blind.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=64, patch_stride=48),
        max_tokens=64,
        starts="table",
    )
    blind = Segmenter(info, build_model(info), "cpu")
    for options in ({"preview": True}, {"draft": "dense"}):
        with pytest.raises(SchemeError, match="no dense class head"):
            next(blind.predict(stack, **options))


def parameters_of(model):
    return [(name, id(p), p.dtype, p._version) for name, p in model.named_parameters()]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_callers_model_stays_as_it_is(segmenter, stack, precision):
    model = build_model(segmenter.info).train()
    model.encoder.eval()  # modules may differ in their mode
    modes = [module.training for module in model.modules()]
    before, weights = parameters_of(model), copy.deepcopy(model.state_dict())
    owner = Segmenter(segmenter.info, model, "cpu", precision)
    product(owner.predict(stack, frames=[0]))
    assert [module.training for module in model.modules()] == modes
    assert parameters_of(model) == before
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])
    with torch.no_grad():  # nor does the segmenter's change with it
        model.decoder.positions.zero_()
    assert owner.model.decoder.positions.any()


def test_a_loaded_model_is_not_copied(segmenter, tmp_path, monkeypatch):
    info = dataclasses.replace(segmenter.info, path=tmp_path / "model.safetensors")
    save_checkpoint(info, segmenter.model.state_dict())
    built = []

    def build_and_note(*arguments):
        built.append(build_model(*arguments))
        return built[-1]

    monkeypatch.setattr("rleseg_core.inference.segmenter.build_model", build_and_note)
    assert Segmenter.from_checkpoint(info.path, "cpu").model is built[0]


def test_options_and_keywords_are_the_same_choices(segmenter, stack):
    names = [field.name for field in dataclasses.fields(PredictOptions)]
    assert names == list(PredictKeywords.__annotations__)
    options = PredictOptions(stitch="vote", image_size=80)
    _, by_options = product(segmenter.predict(stack, options))
    _, by_keywords = product(segmenter.predict(stack, stitch="vote", image_size=80))
    _, mixed = product(segmenter.predict(stack, PredictOptions(image_size=80), stitch="vote"))
    assert np.array_equal(by_options, by_keywords)
    assert np.array_equal(mixed, by_keywords)
    with pytest.raises(TypeError, match="stich"):
        next(segmenter.predict(stack, stich="vote"))


@pytest.mark.parametrize("frames", [[3], [-1], []])
def test_frames_out_of_range(segmenter, stack, frames):
    with pytest.raises(DataError, match="frames must be from 0 to 2"):
        next(segmenter.predict(stack, frames=frames))


def test_output_of_another_shape(segmenter, stack):
    with pytest.raises(DataError, match=r"both must be \(T, Y, X\)"):
        next(segmenter.predict(stack, out=np.zeros((3, 10, 10), np.uint8)))


def test_events_of_a_window_paint_what_its_tokens_say(segmenter, stack, predicted):
    window = plan_windows(stack.shape, segmenter.info.window_spec)[2]
    result = next(r for r in predicted[0] if r.window == window)
    painted = np.zeros(segmenter.info.mask_spec.shape, np.uint8)
    events = list(segmenter.trace(stack, window))
    for event in events:
        segmenter.tokenizer.paint(painted, event)
    assert any(isinstance(event, RunPainted) for event in events)
    assert np.array_equal(painted, segmenter.tokenizer.decode(result.tokens).classes)


def test_events_leave_the_thread_as_it_was(segmenter, stack):
    window = plan_windows(stack.shape, segmenter.info.window_spec)[0]
    events = segmenter.trace(stack, window)
    next(events)
    assert not torch.is_inference_mode_enabled()
    events.close()


def test_sampling_with_a_seed_can_be_repeated(segmenter, stack):
    sampling = Sampling(top_p=0.9, seed=4)
    _, one = product(segmenter.predict(stack, frames=[0], sampling=sampling))
    _, two = product(segmenter.predict(stack, frames=[0], sampling=sampling))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_file_holds_what_was_predicted(segmenter, stack, predicted, tmp_path, suffix):
    path = tmp_path / "new" / f"masks{suffix}"
    results, summary = product(predict_to_file(segmenter, stack, path))
    read = tifffile.imread(path) if suffix == ".tif" else zarr.open_group(path, mode="r")["0"][:]
    assert np.array_equal(read, predicted[1])
    assert summary.windows == len(results)
    assert summary.tokens == sum(len(result.tokens) for result in results)
    names = {"masks.tif", "masks.objects.tif"} if suffix == ".tif" else {"masks.zarr"}
    assert {p.name for p in path.parent.iterdir()} == {*names, "masks.objects.csv"}


def test_images_are_not_overwritten_by_their_masks(segmenter, tmp_path):
    path = tmp_path / "images.tif"
    tifffile.imwrite(path, np.zeros((1, 64, 64), np.uint8))
    before = path.read_bytes()
    for kept in ({}, {"overwrite": True}, {"update": True}):
        with pytest.raises(OutputError, match="is the input"):
            next(predict_to_file(segmenter, ImageStack.open(path), path, **kept))
    assert path.read_bytes() == before


def test_masks_that_are_taken_for_images_are_told(segmenter, stack, tmp_path):
    product(predict_to_file(segmenter, stack, tmp_path / "m.tif", preview=True))
    masks = ImageStack.open(tmp_path / "m.tif")
    with pytest.warns(DataWarning, match=r"m.tif holds masks of ipsc, dfc, not images"):
        product(predict_to_file(segmenter, masks, tmp_path / "again.tif", preview=True))


def test_older_zarr_is_replaced(segmenter, stack, tmp_path):
    path = tmp_path / "masks.zarr"
    for frame in (0, 2):
        product(predict_to_file(segmenter, stack, path, frames=[frame], overwrite=frame > 0))
    written = zarr.open_group(path, mode="r")["0"][:]
    assert written[2].any()
    assert not written[0].any()
    assert {p.name for p in tmp_path.iterdir()} == {"masks.zarr", "masks.objects.csv"}


def test_cancelled_file_is_not_there_and_the_older_one_is(segmenter, stack, tmp_path):
    path = tmp_path / "masks.tif"
    tifffile.imwrite(path, np.zeros((1, 64, 64), np.uint8))
    older = path.read_bytes()
    run = predict_to_file(segmenter, stack, path, overwrite=True)
    next(run)
    run.close()
    assert path.read_bytes() == older
    assert [p.name for p in tmp_path.iterdir()] == ["masks.tif"]


def test_unknown_device_is_named(segmenter):
    with pytest.raises(RlesegError, match="no device 'abacus'"):
        Segmenter(segmenter.info, segmenter.model, "abacus")


def test_tokens_of_all_heads_are_counted(stack, tmp_path):
    info = new_model(
        tmp_path / "heads.safetensors",
        size="test",
        scheme=preset("multihead"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=64, patch_stride=64),
        max_tokens=8,
    )
    segmenter = Segmenter(info, build_model(info), "cpu")
    run = predict_to_file(segmenter, stack, tmp_path / "masks.zarr", frames=(0, 1))
    results, summary = product(run)
    assert all(result.tokens.shape[0] == 4 for result in results)
    assert all(result.tokens.shape == result.logprobs.shape for result in results)
    assert summary.tokens == sum(result.tokens.size for result in results)
