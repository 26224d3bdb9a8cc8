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
from rleseg_core.data import (
    ImageStack,
    LabelledStack,
    SyntheticConfig,
    open_labels,
    plan_windows,
    synthesize,
)
from rleseg_core.errors import SchemeError, TrainingError
from rleseg_core.inference import Segmenter
from rleseg_core.model import ModelConfig
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import MaskEnded, for_classes, preset
from rleseg_core.training import TrainConfig, TrainingData, image_weights, split_frames, train

NAMES = ("ipsc", "dfc")


EARLY = {  # the smallest VideoSwin
    "fusion": "early",
    "backbone_kind": "swin",
    "backbone_norm": "batch",
    "backbone_widths": (32, 64),
    "backbone_blocks": (2, 2),
}


def labelled(n_frames: int = 9, *, numbered: bool = True) -> LabelledStack:
    sequence = synthesize(SyntheticConfig(n_frames=n_frames, size=(96, 96), seed=0))
    return LabelledStack(
        images=ImageStack.from_array(sequence.images),
        classes=sequence.classes,
        class_names=NAMES,
        instances=sequence.instances if numbered else None,
    )


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
        ("3d-f", 2, {"fusion": "late"}),
        ("tac", 3, {"dense_frames": 1}),
        ("tac", 2, EARLY),
        ("cw-tac", 2, {}),
        ("iw-tac", 3, {"fusion": "first"}),
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
    results, labels = product(segmenter.predict(stack, batch_size=3, frame_stride=1))
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
    live[live > len(NAMES)] = 0  # of a block that the budget cut, whose class is not known
    np.testing.assert_array_equal(live, segmenter.tokenizer.decode(results[0].tokens).classes)


def test_models_that_follow_objects_need_ids_that_last(tmp_path):
    info = header(tmp_path / "model.safetensors", "iw-tac", 2)
    data = TrainingData(stacks=[labelled(numbered=False)])
    with pytest.raises(TrainingError, match=r"objects over 2 frames.*`rleseg track` writes"):
        train(info, data, TrainConfig(), tmp_path, device="cpu")


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


@pytest.mark.filterwarnings("ignore:the numbers of the files:rleseg_core.errors.DataWarning")
def test_windows_of_frames_are_trained_and_used_from_the_command_line(tmp_path, capfd):
    sequence = synthesize(SyntheticConfig(n_frames=6, size=(96, 96), seed=0))
    folder, truth = tmp_path / "01", tmp_path / "01_GT" / "TRA"  # as the Cell Tracking Challenge
    folder.mkdir()
    truth.mkdir(parents=True)
    for index, (image, ids) in enumerate(zip(sequence.images, sequence.instances, strict=True)):
        number = index if index < 4 else index + 2  # two frames are missing
        tifffile.imwrite(folder / f"t{number:03}.tif", image)
        tifffile.imwrite(truth / f"man_track{number:03}.tif", ids.astype(np.uint16))
    (truth / "man_track.txt").write_text("1 0 7 0\n")

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([*map(str, words), "--device", "cpu", "--json"])
        told = capfd.readouterr()
        assert not end.value.code, told.err
        return json.loads(told.out)

    def trained(out, *options):
        common = ("--classes", "cell", "--instances", "--steps", "2")
        run("train", folder, truth, "--out", out, *common, *options)
        return load_checkpoint(out).info

    new = ("--size", "test", "--patch", "64", "--mask-size", "16", "--max-tokens", "64")
    video = tmp_path / "video.safetensors"
    info = trained(video, *new, "--frames", "2", "--scheme", "iw-tac")
    assert info.window_spec.n_frames == info.window_spec.frame_stride == 2
    assert plan_windows((6, 64, 64), info.window_spec)[-1].frames == (4, 6)
    predict = ("predict", folder, "-m", video, "--stitch", "last", "--stitch-time", "last")
    by_two, by_one, joined = (
        run(*predict, "--out", tmp_path / f"{index}.tif", *options)
        for index, options in enumerate(((), ("--frame-stride", 1), ("--join-gaps",)))
    )
    n_patches = by_two["windows"] // 3  # frames 0-1, 2-3, and 6-7 after the gap
    assert by_one["windows"] == 4 * n_patches
    assert joined["windows"] == 3 * n_patches
    assert open_labels(tmp_path / "1.tif").shape == (6, 96, 96)
    trained(tmp_path / "image.safetensors", *new)
    begun = ("--from", tmp_path / "image.safetensors", "--frames", "2", "--fusion", "late")
    info = trained(tmp_path / "begun.safetensors", *begun)
    assert info.model["frames"]["fusion"] == "late"
    assert info.card["base"] == "image"
