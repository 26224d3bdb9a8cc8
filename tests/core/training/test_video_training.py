"""Models of several frames, and of several heads, are trained and segment."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from rleseg_core.checkpoints import (
    Checkpoint,
    as_video,
    build_model,
    build_tokenizer,
    load_checkpoint,
    new_model,
    with_classes,
)
from rleseg_core.cli import main
from rleseg_core.data import ImageStack, LabelledStack, SyntheticConfig, plan_windows, synthesize
from rleseg_core.errors import SchemeError
from rleseg_core.inference import Segmenter
from rleseg_core.model import ModelConfig
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import MaskEnded, for_classes, preset
from rleseg_core.training import TrainConfig, TrainingData, image_weights, split_frames, train

NAMES = ("ipsc", "dfc")


def labelled(n_frames: int = 9) -> LabelledStack:
    sequence = synthesize(SyntheticConfig(n_frames=n_frames, size=(96, 96), seed=0))
    images = ImageStack.from_array(sequence.images)
    return LabelledStack(images=images, classes=sequence.classes, class_names=NAMES)


def header(path, scheme="tac", n_frames=2, **changes):
    settings = {
        "size": "test",
        "scheme": for_classes(preset(scheme), 2),
        "mask_spec": MaskSpec(size=(16, 16), class_names=NAMES, n_frames=n_frames),
        "window_spec": WindowSpec(
            patch=64, patch_stride=48, n_frames=n_frames, frame_stride=n_frames
        ),
        "max_tokens": 48,
    }
    return new_model(path, **(settings | changes))


def product(run):
    reports = []
    while True:
        try:
            reports.append(next(run))
        except StopIteration as end:
            return reports, end.value


@pytest.mark.parametrize(
    ("scheme", "n_frames", "changes"),
    [
        ("tac", 2, {}),
        ("ltac", 3, {"fusion": "late"}),
        ("3d-c", 2, {"fusion": "first"}),
        ("tac", 3, {"dense_frames": 1}),
        ("multihead", 1, {}),
        ("multihead", 2, {}),
    ],
)
def test_what_is_trained_segments(tmp_path, scheme, n_frames, changes):
    info = header(tmp_path / "model.safetensors", scheme, n_frames, **changes)
    config = TrainConfig(
        n_steps=2,
        batch_size=2,
        warmup_steps=0,
        loss="focal",
        label_smoothing=0.1,
        frozen=("backbone",),
    )
    data = TrainingData(stacks=[labelled()])
    reports, path = product(train(info, data, config, tmp_path, device="cpu"))
    assert all(np.isfinite(report.loss) for report in reports)
    assert "mean" in reports[-1].validation  # at least one window was held out
    segmenter = Segmenter.from_checkpoint(path, "cpu")
    stack = labelled(7).images
    results, labels = product(segmenter.predict(stack, batch_size=3))
    assert labels.shape == (7, 96, 96)
    painted = np.full_like(labels, 9)
    for result in results:
        for frame, mask in zip(result.frames, result.labels, strict=True):
            painted[frame, result.rows, result.cols] = mask
    np.testing.assert_array_equal(painted, labels)
    events = list(segmenter.trace(stack, results[0].window))
    assert isinstance(events[-1], MaskEnded)
    live = np.zeros((n_frames, 16, 16), np.uint8)
    for event in events[:-1]:
        segmenter.tokenizer.paint(live, event)
    np.testing.assert_array_equal(live, segmenter.tokenizer.decode(results[0].tokens).classes)


def test_single_frames_of_a_window_can_be_segmented(tmp_path):
    info = header(tmp_path / "model.safetensors", "tac", 3)
    torch.manual_seed(0)
    segmenter = Segmenter(info, build_model(info), "cpu")
    stack = labelled(7).images
    _, everything = product(segmenter.predict(stack))
    results, labels = product(segmenter.predict(stack, frames=[1, 6]))
    assert {result.frames for result in results} == {(1,), (6,)}
    assert all(len(result.labels) == 1 for result in results)
    np.testing.assert_array_equal(labels[[1, 6]], everything[[1, 6]])
    assert not labels[[0, 2, 3, 4, 5]].any()


@pytest.mark.parametrize("scheme", ["tac", "iw-tac"])
def test_windows_of_a_stack_end_where_frames_are_missing(tmp_path, scheme):
    info = header(tmp_path / "model.safetensors", scheme, 3)
    torch.manual_seed(0)
    segmenter = Segmenter(info, build_model(info), "cpu")
    images = labelled(6).images
    parts = [images.part(frames, slice(None), slice(None)) for frames in (slice(2), slice(2, 6))]
    images.breaks = (2,)
    results, labels = product(segmenter.predict(images))
    assert sorted({result.frames for result in results}) == [(0, 1), (2, 3, 4), (3, 4, 5)]
    alone = [product(segmenter.predict(part))[1] for part in parts]  # the first has two frames
    np.testing.assert_array_equal(labels, np.concatenate(alone))


def test_a_video_model_can_begin_as_an_image_model(tmp_path):
    image_info = header(tmp_path / "image.safetensors", "lac", 1)
    torch.manual_seed(0)
    base = Checkpoint(info=image_info, weights=build_model(image_info).state_dict(), state={})
    info = as_video(
        image_info, tmp_path / "video.safetensors", scheme=preset("tac"), n_frames=2, frame_stride=2
    )
    assert info.window_spec.n_frames == info.mask_spec.n_frames == 2
    assert ModelConfig.from_json(info.model).frames.fusion == "middle"
    model = build_model(info, image_weights(base, info)).eval()
    image_model = build_model(image_info, base.weights).eval()
    images = torch.rand(1, 2, 3, 64, 64)
    with torch.inference_mode():
        expected = image_model.encode(images[:, :1])
        found = model.encode(images)
        torch.testing.assert_close(found.context, expected.context)
        old, new = build_tokenizer(image_info).vocab, build_tokenizer(info).vocab
        starts, begins = (vocab.segment("start") for vocab in (old, new))
        torch.testing.assert_close(
            model.decoder.tokens()[begins.offset : begins.end],
            image_model.decoder.tokens()[starts.offset : starts.end],
        )


def test_other_classes_keep_the_frames(tmp_path):
    info = with_classes(header(tmp_path / "model.safetensors", "multihead", 2), ("a", "b", "c"))
    config = ModelConfig.from_json(info.model)
    assert (config.frames.n_frames, config.frames.fusion, len(config.tokens.heads)) == (
        2,
        "middle",
        5,
    )
    assert build_model(info).config.tokens.vocab_size == config.tokens.vocab_size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_spec": WindowSpec(patch=64, patch_stride=48)}, "masks have 2 frames and windows"),
        ({"size": "swin-t", "fusion": "late"}, "does not go with backbone='swin'"),
        ({"fusion": "early"}, r"does not go with backbone='basic'.*swin-t"),
        ({"n_frames": 1, "scheme": preset("lac"), "fusion": "late"}, "n_frames=1 do not go with"),
        ({"n_frames": 1, "scheme": preset("lac"), "size": "swin-t"}, "n_frames=1 do not go with"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, changes, message):
    scheme = changes.pop("scheme", preset("tac"))
    with pytest.raises(SchemeError, match=message):
        header(tmp_path / "m.safetensors", **changes) if scheme == preset("tac") else header(
            tmp_path / "m.safetensors", "lac", **changes
        )


def test_at_least_a_window_is_held_out():
    kept, held_out = split_frames([labelled(12)], 0.1, 4)
    assert [tuple(stack.frames) for stack in kept] == [tuple(range(8))]
    assert [tuple(stack.frames) for stack in held_out] == [(8, 9, 10, 11)]
    kept, held_out = split_frames([replace(labelled(12), frames=tuple(range(11)))], 0.1, 4)
    assert held_out == []


def test_windows_of_frames_are_trained_from_the_command_line(tmp_path, capfd):
    sequence = synthesize(SyntheticConfig(n_frames=6, size=(96, 96), seed=0))
    images, masks = tmp_path / "images.tif", tmp_path / "masks.tif"
    tifffile.imwrite(images, sequence.images, photometric="minisblack")
    tifffile.imwrite(masks, sequence.classes, photometric="minisblack")

    def run(out, *options):
        common = ["--classes", "ipsc,dfc", "--steps", "2", "--device", "cpu", "--json"]
        words = ["train", str(images), str(masks), "--out", str(out), *common, *options]
        with pytest.raises(SystemExit) as end:
            main(words)
        told = capfd.readouterr()
        assert not end.value.code, told.err
        return json.loads(told.out), load_checkpoint(out).info

    new = ["--size", "test", "--patch", "64", "--mask-size", "16", "--max-tokens", "64"]
    _, info = run(tmp_path / "video.safetensors", *new, "--frames", "2", "--scheme", "tac")
    assert info.window_spec.n_frames == info.window_spec.frame_stride == 2
    assert plan_windows((6, 64, 64), info.window_spec)[-1].frames == (4, 6)
    run(tmp_path / "image.safetensors", *new)
    begun = ["--from", str(tmp_path / "image.safetensors"), "--frames", "2", "--fusion", "late"]
    _, info = run(tmp_path / "begun.safetensors", *begun)
    assert info.model["frames"]["fusion"] == "late"
    assert info.card["base"] == "image"
