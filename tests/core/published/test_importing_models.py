import gzip
import json

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, build_tokenizer, load_checkpoint, read_info
from rleseg_core.data import ImageStack
from rleseg_core.errors import CheckpointError, OutputError, RlesegError
from rleseg_core.inference import Segmenter
from rleseg_core.model import ModelConfig
from rleseg_core.model.config_parts import Head
from rleseg_core.published import Settings, import_checkpoint
from rleseg_core.published.architecture import architecture

NAMES = ("ipsc", "dfc")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "imported.safetensors"


def logits_of(path, arrays):
    checkpoint = load_checkpoint(path)
    model = build_model(checkpoint.info, checkpoint.weights).eval()
    images = torch.from_numpy(arrays["in:image"]).movedim(-1, -3)
    images = images if images.ndim == 5 else images[:, None]
    with torch.inference_mode():
        return model(model.encode(images), torch.from_numpy(arrays["in:seq"]))


def rewrite(folder, **changes):
    """Change values in config.json, named as group__name; None takes one away."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    for name, value in changes.items():
        group, last = name.split("__")
        values[group][last] = value
        if value is None:
            del values[group][last]
    path.write_text(json.dumps(values))


def test_a_published_folder_becomes_a_model_file(published, out, golden):
    info = import_checkpoint(published, out, class_names=NAMES)
    read = read_info(out)
    assert read.mask_spec == info.mask_spec
    assert read.mask_spec.size == (12, 12)
    assert read.mask_spec.class_names == NAMES
    assert read.window_spec == info.window_spec
    assert (read.window_spec.patch, read.window_spec.patch_stride) == (96, 64)
    assert read.window_spec.image_size == 256
    assert read.step == 123
    assert read.card["bn_eval"] == "moving"
    vocab = build_tokenizer(read).vocab
    assert (vocab.pad, vocab.eos, vocab.prompts, vocab.size) == (0, 0, (21,), 500)
    assert [s.offset for s in vocab.segments if s.offset > 21] == [101, 201, 301]
    arrays = golden("static_tiny_frozen")
    expected = torch.from_numpy(arrays["out:logits"])
    torch.testing.assert_close(logits_of(out, arrays), expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize("asked", ["auto", "batch"])
def test_a_free_backbone_means_statistics_of_the_batch(published, out, golden, asked):
    if asked == "auto":
        rewrite(published, train__freeze_backbone=0)
    info = import_checkpoint(published, out, class_names=NAMES, bn_eval=asked)
    assert ModelConfig.from_json(info.model).backbone.bn_eval == "batch"
    arrays = golden("static_tiny_batchstats")
    expected = torch.from_numpy(arrays["out:logits"])
    torch.testing.assert_close(logits_of(out, arrays), expected, atol=3e-4, rtol=0)


def test_an_imported_model_segments(published, out):
    import_checkpoint(published, out, class_names=NAMES)
    segmenter = Segmenter.from_checkpoint(out, "cpu")
    images = np.random.default_rng(0).integers(0, 255, (1, 128, 128), np.uint8)
    stack = ImageStack.from_array(images)
    results = list(segmenter.predict(stack, image_size=128))
    assert results[-1].n_windows == 4
    assert all(len(r.tokens) <= 32 and (r.tokens[:-1] != 0).all() for r in results)


def test_class_names_lie_beside_the_settings(published, out):
    categories = [{"id": 2, "name": "dfc"}, {"id": 1, "name": "ipsc"}]
    text = json.dumps({"categories": categories}).encode()
    (published / "train.json.gz").write_bytes(gzip.compress(text))
    assert import_checkpoint(published, out).mask_spec.class_names == ("ipsc", "dfc")
    (published / "train.json.gz").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="give the classes with --class-names"):
        import_checkpoint(published, out, overwrite=True)


def test_one_class_needs_no_name(published, out):
    rewrite(published, dataset__multi_class=0)
    info = import_checkpoint(published, out)
    assert info.mask_spec.class_names == ("class1",)
    assert build_tokenizer(info).tokens_per_run == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "does not say how many classes there are; .* --class-names a,b"),
        ({"model__vocab_size": None}, "does not say model.vocab_size; give it with --set model.v"),
        (
            {"model__num_heads": "many"},
            "is not a number; give it with --set model.num_heads",
        ),
        ({"model__image_size": [96, 64]}, "windows are square here"),
        ({"model__image_size": [48, 48], "dataset__train": {"patch_height": 96}}, "train.resize="),
        ({"model__use_cls_token": True}, "use_cls_token = True, which our model does not have"),
        ({"model__resnet_depth": 34}, "variant 'standard' and depth 34, and ours are"),
        ({"model__resnet_variant": ["c4"]}, "ours are 'standard' and 'c4'"),
        ({"model__resnet_width_multiplier": "many"}, "is not a number; give it with --set model.r"),
        ({"model__drop_path": [1]}, "is not a number; give it with --set model.drop_path"),
        ({"model__drop_units": -1}, "dropout must be a number from 0 to below 1"),
        ({"model__dim_att": 0}, "encoder.dim must be a .*from 1 to 16,384"),
        ({"model__num_heads_dec": 0}, "decoder.n_heads must be a .*from 1 to 16,384"),
        ({"model__resnet_width_multiplier": -1}, "backbone.widths must be a .*from 1 to 16,384"),
        ({"model__num_decoder_layers": 3}, "the checkpoint lacks decoder.layers.2"),
    ],
)
def test_what_is_missing_is_told_with_the_option_that_gives_it(published, out, changes, told):
    rewrite(published, **changes)
    names = None if not changes else NAMES
    with pytest.raises(RlesegError, match=told):
        import_checkpoint(published, out, class_names=names)
    assert not out.exists()


def test_settings_elsewhere_and_changed(published, out, tmp_path):
    rewrite(published, model__vocab_size=None)
    config = (published / "config.json").rename(tmp_path / "theirs.json")
    with pytest.raises(CheckpointError, match=r"there is no .*config.json, .* give it with --conf"):
        import_checkpoint(published, out, class_names=NAMES)
    changes = {"model.vocab_size": 500}
    import_checkpoint(published, out, config=config, changes=changes, class_names=NAMES)
    with pytest.raises(CheckpointError, match="not a group of them"):
        import_checkpoint(
            published, out, config=config, changes={"model.dim_att.x": 1}, overwrite=True
        )
    config.write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        import_checkpoint(published, out, config=config, class_names=NAMES, overwrite=True)
    config.write_text("{}")
    with pytest.raises(CheckpointError, match=r"is not the config.json of a Pix2Seq model"):
        import_checkpoint(published, out, config=config, class_names=NAMES, overwrite=True)


def test_files_of_the_checkpoint_and_older_models_are_not_replaced(published, out):
    before = {path: path.read_bytes() for path in published.iterdir()}
    for place in (*before, published / "new.safetensors"):
        with pytest.raises(OutputError, match=r"is the input|lies inside the input"):
            import_checkpoint(published, place, class_names=NAMES, overwrite=True)
    assert {path: path.read_bytes() for path in published.iterdir()} == before
    import_checkpoint(published, out, class_names=NAMES)
    older = out.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        import_checkpoint(published, out, class_names=NAMES)
    assert out.read_bytes() == older


def test_a_detector_becomes_a_base_to_train_from(published, out, golden):
    rewrite(published, task__name="object_detection", train__freeze_backbone=0)
    info = import_checkpoint(published, out)
    checkpoint = load_checkpoint(out)
    assert ModelConfig.from_json(info.model).backbone.bn_eval == "moving"
    assert info.layout == {}
    assert "train it" in info.card["note"]
    model, tokenizer = build_model(info, checkpoint.weights), build_tokenizer(info)
    assert len(model.decoder.tokens.bias) == tokenizer.vocab.size == 3 + 144 + 12
    positions = golden("static_tiny_frozen")["w:model/decoder/ar_decoder.Sseq_pos_embedding"]
    np.testing.assert_array_equal(model.decoder.positions.detach(), positions)


PAPER_RUNS = {
    "aris": (
        {"task": "semantic_segmentation", "length_as_class": 1},
        {"image_size": [1024, 1024], "vocab_size": 18_000, "len_vocab_shift": 100},
        {"resize": 1280, "patch_height": 1024, "subsample": 8, "max_length": 1024},
        ((1, 128, 128), 2, 21, {"start": (1001, 128**2), "lac": (101, 256)}),
    ),
    "ipsc-early": (
        {"task": "semantic_segmentation", "length_as_class": 1, "starts_2d": 1},
        {"image_size": 640, "vocab_size": 8000, "len_vocab_shift": 100},
        {"resize": 640, "patch_height": 640, "subsample": 2, "max_length": 640},
        ((1, 320, 320), 3, 21, {"coord": (1001, 320), "lac": (101, 640)}),
    ),
    "ipsc-early-video": (
        {"task": "video_segmentation", "time_as_class": 1, "length": 8},
        {"image_size": 640, "vocab_size": 15_000, "len_vocab_shift": 6700},
        {"resize": 2560, "patch_height": 640, "subsample": 8, "max_length": 640},
        ((8, 80, 80), 3, 22, {"start": (6801, 6400), "length": (6701, 80), "tac": (101, 6560)}),
    ),
    "static-video": (
        {"task": "static_video_segmentation", "time_as_class": 1, "length": 2},
        {"image_size": 640, "vocab_size": 15_000, "len_vocab_shift": 200},
        {"resize": 2560, "patch_height": 640, "subsample": 8, "max_length": 640},
        ((2, 80, 80), 3, 24, {"start": (1001, 6400), "length": (201, 80), "tac": (101, 8)}),
    ),
}


@pytest.mark.parametrize("name", PAPER_RUNS)
def test_paper_runs_have_their_tokens(tiny_config, tmp_path, name):
    dataset, model, train, expected = PAPER_RUNS[name]
    tiny_config["task"]["name"] = dataset.pop("task")
    tiny_config["dataset"] |= dataset | {"train": train, "eval": {}}
    starts = 6800 if model["len_vocab_shift"] == 6700 else 1000
    tiny_config["model"] |= model | {"coord_vocab_shift": starts}
    settings = Settings(tiny_config, tmp_path / "config.json")
    tokenizer, layout = settings.tokenizer(NAMES, vocab_size=model["vocab_size"])
    shape, tokens_per_run, prompt, segments = expected
    assert tokenizer.spec.shape == shape
    assert tokenizer.tokens_per_run == tokens_per_run
    assert (tokenizer.vocab.bos, tokenizer.vocab.size) == (prompt, model["vocab_size"])
    for segment, place in segments.items():
        found = tokenizer.vocab.segment(segment)
        assert (found.offset, found.size) == place
    window = settings.window_spec()
    assert (window.patch, window.image_size) == (train["patch_height"], train["resize"])
    assert (window.n_frames, window.frame_stride) == (shape[0], 1)
    assert layout.vocab_size == model["vocab_size"]


def test_patches_of_another_size_are_resized_with_the_image(tiny_config, tmp_path):
    train = {"resize": 1000, "patch_height": 320, "patch_width": 320, "subsample": 4}
    tiny_config["dataset"] |= {"train": train, "eval": {"max_stride": 160}}
    tiny_config["model"] |= {"image_size": 640, "vocab_size": 8000}
    settings = Settings(tiny_config, tmp_path / "config.json")
    window = settings.window_spec()
    assert (window.patch, window.patch_stride, window.image_size) == (640, 320, 2000)
    assert settings.tokenizer(NAMES, vocab_size=8000)[0].spec.size == (80, 80)


def video_folder(folder, arrays, config, write_tf_checkpoint):
    config["task"]["name"] = "video_segmentation"
    config["dataset"] |= {"time_as_class": 1, "length": 2, "eval_stride": 2}
    weights = {name[2:]: value for name, value in arrays.items() if name.startswith("w:")}
    write_tf_checkpoint(folder / "ckpt-77", weights)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_video_model_of_middle_fusion(golden, tiny_config, out, tmp_path, write_tf_checkpoint):
    arrays = golden("video_tiny_middle_n2")
    folder = video_folder(tmp_path / "video", arrays, tiny_config, write_tf_checkpoint)
    info = import_checkpoint(folder, out, class_names=NAMES)
    assert ModelConfig.from_json(info.model).frames.fusion == "middle"
    assert (info.mask_spec.n_frames, info.scheme["time"], info.step) == (2, "class", 77)
    assert (info.window_spec.n_frames, info.window_spec.frame_stride) == (2, 2)
    assert build_tokenizer(info).vocab.bos == 22
    arrays["in:image"] = arrays["in:video"]
    expected = torch.from_numpy(arrays["out:logits"])
    torch.testing.assert_close(logits_of(out, arrays), expected, atol=3e-4, rtol=0)
    images = np.random.default_rng(0).integers(0, 255, (4, 96, 96), np.uint8)
    run = Segmenter.from_checkpoint(out, "cpu").predict(
        ImageStack.from_array(images), image_size=96
    )
    assert [result.frames for result in run] == [(0, 1), (2, 3)]


def test_a_video_model_of_late_fusion(golden, tiny_config, out, tmp_path, write_tf_checkpoint):
    arrays = golden("video_tiny_late_n2")
    for name, dim in (("encoder/rest", 48), ("proj", 32)):  # of square patches
        table = np.random.default_rng(dim).normal(size=(2, 9, dim)).astype(np.float32)
        arrays[f"w:model/{name}.Svis_pos_embedding"] = table
    folder = video_folder(tmp_path / "video", arrays, tiny_config, write_tf_checkpoint)
    info = import_checkpoint(folder, out, class_names=NAMES)
    assert ModelConfig.from_json(info.model).frames.fusion == "late"
    projection = load_checkpoint(out).weights["projection.positions"]
    np.testing.assert_array_equal(projection, table.reshape(18, 32))


def test_static_video_sees_one_frame_and_writes_all(published, out):
    rewrite(published, task__name="static_video_segmentation", dataset__time_as_class=1)
    rewrite(published, dataset__length=2)
    info = import_checkpoint(published, out, class_names=NAMES)
    assert ModelConfig.from_json(info.model).frames.fusion == "first"
    assert build_tokenizer(info).vocab.bos == 24
    images = np.random.default_rng(0).integers(0, 255, (2, 96, 96), np.uint8)
    run = Segmenter.from_checkpoint(out, "cpu").predict(
        ImageStack.from_array(images), image_size=96
    )
    assert [result.labels.shape[0] for result in run] == [2]


@pytest.mark.parametrize(
    ("changes", "keys", "expected"),
    [
        (
            {"resnet_variant": "c4"},
            {},
            {"backbone_widths": (8, 16, 32), "backbone_blocks": (3, 4, 6)},
        ),
        ({"resnet_depth": 101}, {}, {"backbone_blocks": (3, 4, 23, 3)}),
        ({"resnet_variant": "c1"}, {"encoder/stem_conv/kernel": 1}, {"backbone_kind": "vit"}),
        (
            {"swin_variant": "b"},
            {"encoder/backbone/patch_embed/norm/beta": 1},
            {"backbone_kind": "swin", "fusion": "early", "backbone_widths": (128, 256, 512, 1024)},
        ),
        (
            {"vocab_size": None},
            {
                "decoder/ar_decoder.Stoken_embedding_x": 45,
                "decoder/ar_decoder.Stoken_embedding_y": 45,
                "decoder/ar_decoder.Stoken_embedding_l_deferred": 37,
                "decoder/ar_decoder.Stoken_embedding_c": 9,
            },
            {
                "vocab_size": 136,
                "heads": (
                    Head(offset=0, size=45, prompt=1),
                    Head(offset=45, size=45, prompt=2),
                    Head(offset=90, size=37, prompt=3),
                    Head(offset=127, size=9, prompt=4),
                ),
            },
        ),
        (
            {},
            {
                "decoder/ar_decoder.Stoken_embedding_x": 45,
                "decoder/ar_decoder.Stoken_embedding_c": 9,
            },
            {
                "vocab_size": 54,
                "heads": (
                    *(Head(offset=0, size=45, prompt=k) for k in (1, 2, 3)),
                    Head(offset=45, size=9, prompt=4),
                ),
            },
        ),
    ],
)
def test_architectures_are_told_by_their_variables(tiny_config, tmp_path, changes, keys, expected):
    tiny_config["model"] |= changes
    if "swin_variant" in changes:
        tiny_config["task"]["name"] = "video_segmentation"
        tiny_config["dataset"]["length"] = 8
    variables = {f"model/{key}": np.zeros(size, np.float32) for key, size in keys.items()}
    config = architecture(Settings(tiny_config, tmp_path / "config.json"), variables)
    assert config.with_changes(**expected) == config


def test_a_model_with_heads(golden, tiny_config, out, tmp_path, write_tf_checkpoint):
    arrays = golden("mhd_tiny_shared")
    weights = {name[2:]: value for name, value in arrays.items() if name.startswith("w:")}
    folder = write_tf_checkpoint(tmp_path / "heads/ckpt-5", weights).parent
    tiny_config["task"]["name"] = "mhd_semantic_segmentation"
    tiny_config["dataset"]["starts_2d"] = 1
    shifts = {"coord_vocab_shift": 5, "len_vocab_shift": 5, "class_vocab_shift": 5}
    tiny_config["model"] |= shifts | {"vocab_size": None}
    (folder / "config.json").write_text(json.dumps(tiny_config))
    info = import_checkpoint(folder, out, class_names=NAMES)
    vocab = build_tokenizer(info).vocab
    assert (vocab.per_field, vocab.prompts, vocab.size) == (True, (1, 2, 3, 4), 45)
    assert [s.offset for s in vocab.segments if s.offset > 4] == [6, 6, 6]
    checkpoint = load_checkpoint(out)
    model = build_model(info, checkpoint.weights).eval()
    images = torch.from_numpy(arrays["in:image"]).movedim(-1, -3)[:, None]
    tokens = np.stack([arrays[f"in:seq_{head}"] for head in "xylc"], axis=1)
    with torch.inference_mode():
        logits = model(model.encode(images), torch.from_numpy(tokens))
    for k, head in enumerate("xylc"):
        expected = torch.from_numpy(arrays[f"out:logits_{head}"])
        found = logits[:, k, :, : expected.shape[-1]]
        torch.testing.assert_close(found, expected, atol=3e-4, rtol=0)
    images = np.random.default_rng(0).integers(0, 255, (1, 96, 96), np.uint8)
    run = Segmenter.from_checkpoint(out, "cpu").predict(
        ImageStack.from_array(images), image_size=96
    )
    assert [result.tokens.shape[0] for result in run] == [4]
