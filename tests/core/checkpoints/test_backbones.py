import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from rleseg_core.checkpoints import backbones as pretrained
from rleseg_core.checkpoints import (
    build_model,
    fetch_backbone,
    find_backbone,
    load_backbone,
    load_checkpoint,
    new_model,
    save_checkpoint,
    with_backbone,
)
from rleseg_core.checkpoints.backbone_files import read_backbone
from rleseg_core.cli import main
from rleseg_core.errors import CheckpointError
from rleseg_core.model import BackboneConfig, ModelConfig, model_config
from rleseg_core.model.backbones.resnet import ResNet
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset

WIDTHS, BLOCKS = (8, 16, 16, 24), (1, 2, 1, 1)


def torchvision_resnet(
    widths: tuple[int, ...] = WIDTHS, blocks: tuple[int, ...] = BLOCKS
) -> dict[str, torch.Tensor]:
    """Random weights by torchvision's names, a classifier among them."""
    random = torch.Generator().manual_seed(0)
    weights: dict[str, torch.Tensor] = {}

    def conv(name: str, outputs: int, inputs: int, side: int) -> None:
        scale = (2 / (inputs * side * side)) ** 0.5
        values = torch.randn(outputs, inputs, side, side, generator=random)
        weights[f"{name}.weight"] = scale * values

    def norm(name: str, channels: int) -> None:
        for part, low, high in (
            ("weight", 0.5, 1.2),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 1.5),
        ):
            values = torch.rand(channels, generator=random)
            weights[f"{name}.{part}"] = low + (high - low) * values

    conv("conv1", widths[0], 3, 7)
    norm("bn1", widths[0])
    channels = widths[0]
    for k, (width, n_blocks) in enumerate(zip(widths, blocks, strict=True), 1):
        for i in range(n_blocks):
            block = f"layer{k}.{i}"
            conv(f"{block}.conv1", width, channels, 1)
            conv(f"{block}.conv2", width, width, 3)
            conv(f"{block}.conv3", 4 * width, width, 1)
            for j, n in enumerate((width, width, 4 * width), 1):
                norm(f"{block}.bn{j}", n)
            if i == 0:
                conv(f"{block}.downsample.0", 4 * width, channels, 1)
                norm(f"{block}.downsample.1", 4 * width)
            channels = 4 * width
    weights["fc.weight"], weights["fc.bias"] = torch.zeros(10, channels), torch.zeros(10)
    return weights


def torchvision_features(
    weights: dict[str, torch.Tensor], images: torch.Tensor
) -> list[torch.Tensor]:
    """Outputs of the stages as torchvision defines them (ResNet v1.5, ImageNet's statistics)."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(weights[f"{name}.{part}"] for part in parts), eps=1e-5)

    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    x = F.conv2d((images - mean) / deviation, weights["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm(x, "bn1")), kernel_size=3, stride=2, padding=1)
    features = []
    for k in range(1, 5):
        i = 0
        while f"layer{k}.{i}.conv1.weight" in weights:
            block, stride = f"layer{k}.{i}", 2 if k > 1 and i == 0 else 1
            y = F.relu(norm(F.conv2d(x, weights[f"{block}.conv1.weight"]), f"{block}.bn1"))
            y = F.conv2d(y, weights[f"{block}.conv2.weight"], stride=stride, padding=1)
            y = F.relu(norm(y, f"{block}.bn2"))
            y = norm(F.conv2d(y, weights[f"{block}.conv3.weight"]), f"{block}.bn3")
            if i == 0:
                x = F.conv2d(x, weights[f"{block}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{block}.downsample.1")
            x = F.relu(x + y)
            i += 1
        features.append(x)
    return features


def as_transformers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same by the names of transformers' ResNetForImageClassification."""
    renamed = {}
    kinds = {"conv": "convolution", "bn": "normalization"}
    for name, value in weights.items():
        parts = name.split(".")
        if parts[0] == "fc":
            renamed[f"classifier.1.{parts[1]}"] = value
        elif parts[0] in ("conv1", "bn1"):
            kind = kinds[parts[0][:-1]]
            renamed[f"resnet.embedder.embedder.{kind}.{parts[-1]}"] = value
        else:
            at = f"resnet.encoder.stages.{int(parts[0][5:]) - 1}.layers.{parts[1]}"
            if parts[2] == "downsample":
                where = f"shortcut.{('convolution', 'normalization')[int(parts[3])]}"
            else:
                where = f"layer.{int(parts[2][-1]) - 1}.{kinds[parts[2][:-1]]}"
            renamed[f"{at}.{where}.{parts[-1]}"] = value
    return renamed


def config(size: str = "resnet50", **changes: object) -> ModelConfig:
    return model_config(size, vocab_size=9, max_tokens=9, image_size=64, **changes)


def tiny_config(**changes: object) -> ModelConfig:
    return config(backbone_widths=WIDTHS, backbone_blocks=BLOCKS, **changes)


def header(path: Path, size: str = "test"):
    return new_model(
        path,
        size=size,
        scheme=preset("binary"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("cell",)),
        window_spec=WindowSpec(patch=64, patch_stride=48),
        max_tokens=64,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(torchvision_resnet(), path)
    return path


def test_torchvision_resnet_50_gives_its_features(tmp_path):
    reference = torchvision_resnet((64, 128, 256, 512), (3, 4, 6, 3))
    path = tmp_path / "resnet50.safetensors"
    save_file(reference, path)
    backbone = ResNet(config().backbone)
    loaded = load_backbone(path, config())
    backbone.load_state_dict(
        {name.removeprefix("backbone."): value for name, value in loaded.items()}
    )
    images = torch.rand(2, 3, 65, 94)
    with torch.no_grad():
        ours = backbone.eval()(images)
        for mine, theirs in zip(ours, torchvision_features(reference, images), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_names_of_all_sources_mean_the_same(tmp_path, file):
    weights = torchvision_resnet()
    first = load_backbone(file, tiny_config())
    assert set(first) == {
        f"backbone.{name}" for name in ResNet(tiny_config().backbone).state_dict()
    }
    save_file(as_transformers(weights), tmp_path / "transformers.safetensors")
    save_file(
        {f"backbone.body.{name}": value.half() for name, value in weights.items()},
        tmp_path / "half.safetensors",
    )
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": v for name, v in weights.items()}}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    for name in ("transformers.safetensors", "wrapped.pth"):
        other = load_backbone(tmp_path / name, tiny_config())
        assert all(torch.equal(first[key], other[key]) for key in first)
    half = load_backbone(tmp_path / "half.safetensors", tiny_config())
    assert half["backbone.conv1.weight"].dtype == torch.float32
    torch.testing.assert_close(
        half["backbone.conv1.weight"], first["backbone.conv1.weight"], atol=1e-2, rtol=1e-2
    )


def test_three_stages_take_the_first_three(file):
    three = config(
        "resnet-c", backbone_widths=WIDTHS[:3], backbone_blocks=BLOCKS[:3], stem="torchvision"
    )
    loaded = load_backbone(file, three)
    assert set(loaded) == {f"backbone.{name}" for name in ResNet(three.backbone).state_dict()}


def test_new_model_takes_the_backbone_of_a_file(tmp_path, file):
    info, weights = with_backbone(header(tmp_path / "model.safetensors"), file, seed=3)
    found = ModelConfig.from_json(info.model).backbone
    assert (found.kind, found.widths, found.stem) == ("bottleneck", WIDTHS, "torchvision")
    assert info.card["backbone"] == file.name
    model = build_model(info, weights)
    assert torch.equal(model.backbone.conv1.weight, torchvision_resnet()["conv1.weight"])
    again = with_backbone(header(tmp_path / "model.safetensors"), file, seed=3)[1]
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize("size", ["test", "paper"])
def test_backbone_of_our_model_keeps_its_stem(tmp_path, size):
    base = header(tmp_path / "base.safetensors", size="test")
    if size == "paper":
        config = ModelConfig.from_json(base.model)
        shape = BackboneConfig(kind="bottleneck", norm="batch", widths=WIDTHS, blocks=BLOCKS)
        base.model.update(replace(config, backbone=shape).to_json())
    model = build_model(base)
    save_checkpoint(base, model.state_dict())
    info, weights = with_backbone(header(tmp_path / "new.safetensors", size="nano"), base.path)
    found, old = ModelConfig.from_json(info.model), ModelConfig.from_json(base.model)
    assert (found.backbone, found.backbone.stem) == (old.backbone, "published")
    assert found.encoder.dim == 192
    new = build_model(info, weights).backbone.state_dict()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(new[name], value)


def test_misfitting_backbone_is_told(tmp_path, file):
    with pytest.raises(CheckpointError, match=r"widths=\(8, 16, 16, 24\), and the model has"):
        load_backbone(file, config())
    with pytest.raises(CheckpointError, match="stem='torchvision', and the model has"):
        load_backbone(file, tiny_config(stem="published"))
    with pytest.raises(CheckpointError, match="the model begins with 'vit'; choose another size"):
        with_backbone(header(tmp_path / "m.safetensors", size="vit-b"), file)


def without(weights: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if part not in name}


FOREIGN = {
    "of other names": ({"features.0.weight": torch.zeros(2)}, "its first tensor is 'features.0"),
    "empty": ({}, "it is empty"),
    "two networks": (
        {f"{part}.conv1.weight": torch.zeros(2) for part in ("query", "key")},
        "has 2 networks that could be one",
    ),
    "basic blocks": (without(torchvision_resnet(), "3."), r"two convolutions \(18 or 34\)"),
    "too few stages": (without(torchvision_resnet(), "layer3"), "2 stages, expected 3 or 4"),
    "part missing": (without(torchvision_resnet(), "layer2.1.bn2.bias"), r"bn2\.bias is not there"),
    "attention": (
        torchvision_resnet() | {"layer1.0.se.fc1.weight": torch.zeros(2)},
        r"has layer1\.0\.se\.fc1\.weight, which no ResNet-50",
    ),
    "wide": (
        torchvision_resnet() | {"layer1.0.conv3.weight": torch.zeros(16, 8, 1, 1)},
        r"conv3\.weight is \(16, 8, 1, 1\), expected \(32, 8, 1, 1\)",
    ),
    "no numbers": (
        torchvision_resnet() | {"bn1.bias": torch.full((8,), torch.nan)},
        r"is damaged: bn1\.bias",
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_weights_give_one_sentence(tmp_path, what):
    tensors, match = FOREIGN[what]
    path = tmp_path / "foreign.safetensors"
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=match) as told:
        read_backbone(path)
    assert "\n" not in str(told.value)


def test_damaged_files_give_one_sentence(tmp_path, file):
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-100])
    torch.save(torchvision_resnet(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-1000])
    torch.save({"model": Path("code")}, tmp_path / "code.pth")  # would run what it names
    (tmp_path / "text.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty.bin").write_bytes(b"")
    for name in ("cut.safetensors", "cut.pth", "code.pth", "text.pth", "empty.bin"):
        with pytest.raises(CheckpointError, match="cannot be read as weights") as told:
            read_backbone(tmp_path / name)
        assert "\n" not in str(told.value)
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list, expected tensors by name"):
        read_backbone(tmp_path / "list.pth")


@pytest.fixture
def empty_machine(tmp_path, monkeypatch) -> Path:
    """A folder of models and a cache with nothing in them; whoever goes to the web fails."""

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("nobody asked for a download")

    from huggingface_hub import file_download

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr(file_download.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "model_folders", lambda: [tmp_path / "models"])
    monkeypatch.setattr(pretrained, "user_models", lambda: tmp_path / "models")
    return tmp_path


def test_names_are_looked_for_here_alone(empty_machine, file):
    with pytest.raises(CheckpointError, match=r"allow the download of 102 MB from timm/.*--downl"):
        find_backbone("resnet50")
    with pytest.raises(CheckpointError, match="names that can be fetched are resnet50"):
        find_backbone("resnet51")
    for repository in ("timm/resnet50.tv_in1k", "someone/else"):
        cached = empty_machine / "cache" / f"models--{repository.replace('/', '--')}"
        (cached / "snapshots/abc").mkdir(parents=True)
        (cached / "refs").mkdir()
        (cached / "refs/main").write_text("abc")
        (cached / "snapshots/abc/model.safetensors").write_bytes(file.read_bytes())
    assert find_backbone("resnet50").parts[-4] == "models--timm--resnet50.tv_in1k"
    assert find_backbone("someone/else").parts[-4] == "models--someone--else"
    (empty_machine / "models").mkdir()
    (empty_machine / "models/resnet50.pth").write_bytes(b"")
    assert find_backbone("resnet50") == empty_machine / "models/resnet50.pth"


def test_download_that_is_asked_for_goes_to_the_models(empty_machine, file, monkeypatch):
    asked = []

    def download(url: str, path: Path, *, sha256: str, **_: object):
        asked.append((url, sha256))
        yield pretrained.Downloaded(n_bytes=1, n_total=2)
        path.parent.mkdir()
        path.write_bytes(file.read_bytes())
        return path

    monkeypatch.setattr(pretrained, "download", download)
    assert len(list(fetch_backbone("resnet50"))) == 1
    assert asked[0][0].startswith("https://huggingface.co/timm/resnet50.tv_in1k/resolve/78f3ecf")
    assert len(asked[0][1]) == 64
    assert list(fetch_backbone("resnet50")) == []
    assert find_backbone("resnet50") == empty_machine / "models/resnet50.safetensors"
    with pytest.raises(CheckpointError, match="there are no weights other"):
        list(fetch_backbone("other"))


@pytest.mark.parametrize(
    ("nodes", "environment"),
    [
        ((), {}),
        (("--nodes", "2", "--master", "here:1", "--node-rank", "0"), {}),
        (("--nodes", "2", "--master", "here:1", "--node-rank", "1"), {}),
        ((), {"RANK": "1", "WORLD_SIZE": "2"}),
    ],
)
def test_every_process_asks_for_the_download_before_it_begins(
    tmp_path, monkeypatch, nodes, environment
):
    asked = []

    def fetch_backbone(name: str):
        asked.append(name)
        raise CheckpointError("there is no network")

    monkeypatch.setattr(pretrained, "fetch_backbone", fetch_backbone)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = ["train", "images.tif", "classes.tif", "--classes", "ipsc", "--download", *nodes]
    with pytest.raises(SystemExit) as end:
        main([*command, "--out", str(tmp_path / "new.safetensors"), "--backbone", "resnet50"])
    assert (asked, end.value.code) == (["resnet50"], 2)


def test_frozen_backbone_of_a_file_stays_as_it_is(tmp_path, file, capfd):
    size = ("--frames", "5", "--height", "96", "--width", "96")
    command = [
        *("train", tmp_path / "images.tif", tmp_path / "classes.tif", "--classes", "ipsc,dfc"),
        *("--out", tmp_path / "new.safetensors", "--size", "test", "--patch", 64),
        *("--mask-size", 16, "--max-tokens", 64, "--steps", 2, "--batch-size", 2, "--quiet"),
        *("--device", "cpu", "--freeze", "backbone"),
    ]
    for words, code in (
        (["synth", tmp_path, *size, "--quiet"], 0),
        ([*command, "--backbone", file], 0),
        ([*command, "--overwrite", "--backbone", tmp_path / "nothing.pth"], 2),
        ([*command, "--backbone", file, "--from", file], 2),
    ):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert (end.value.code or 0) == code
    told = capfd.readouterr().err.splitlines()
    assert "there are no weights" in told[-2]
    assert told[-1] == "error: --backbone: the model of --from has its own; leave it out"
    trained = load_checkpoint(tmp_path / "new.safetensors")
    assert trained.info.card["backbone"] == file.name
    kept = load_backbone(file, ModelConfig.from_json(trained.info.model))
    assert all(torch.equal(trained.weights[name], kept[name]) for name in kept)
