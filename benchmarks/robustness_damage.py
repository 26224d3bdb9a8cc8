"""Inputs that are damaged at random, and what becomes of those who read them."""

import copy
import json
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr
from PIL import Image

from benchmarks.tf_checkpoint import write_tf_checkpoint
from rleseg_core.checkpoints import (
    build_model,
    build_tokenizer,
    installed_models,
    load_checkpoint,
    model_facts,
    new_model,
    save_checkpoint,
)
from rleseg_core.checkpoints.backbone_files import read_backbone
from rleseg_core.corrections import CorrectionLog
from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import RlesegError
from rleseg_core.published import read_leniently, unpack
from rleseg_core.published.tensorflow import read_tf_checkpoint
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import PRESETS, Scheme, Tokenizer, preset
from rleseg_core.training import TrainConfig
from rleseg_core.training.run_state import read_state, resumed_settings

_ODD = (None, True, False, -1, 0, 1.5, 1e999, float("nan"), 10**12, 2**70, "", "x", "\0", [], {})
_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_MOST_READ = 4  # frames


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Parameters
    ----------
    make : callable
        Writes an input that is whole into a folder.
    damage : callable
        Damages what lies in a folder, by a generator of random numbers.
    read : callable
        Reads what lies in a folder, as the program does.
    """

    make: Callable[[Path], None]
    damage: Callable[[Path, random.Random], None]
    read: Callable[[Path], None]


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes that were flipped, overwritten, cut, repeated or lost."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not changed:
            return b""
        # headers are at the beginning or the end more often than not
        limit = rng.choice((64, 1024, len(changed)))
        at = min(rng.randrange(limit), len(changed) - 1)
        at = rng.choice((at, len(changed) - 1 - at))
        match rng.randrange(6):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                number = struct.pack(rng.choice("<>") + "Q", rng.choice(_NUMBERS))
                size = rng.choice((1, 2, 4, 8))
                changed[at : at + size] = number[:size]
            case 2:
                del changed[at:]
            case 3:
                size = rng.choice((1, 4, 512))
                changed[at : at + size] = bytes(len(changed[at : at + size]))
            case 4:
                changed[at:at] = changed[at : at + rng.choice((1, 4, 512))]
            case 5:
                del changed[at : at + rng.choice((1, 4, 512))]
    return bytes(changed)


def damaged_values(values: object, rng: random.Random) -> object:
    """A JSON value in which one value was replaced, removed or renamed."""
    values = copy.deepcopy(values)
    places = list(_places(values))
    if not places:
        return rng.choice(_ODD)
    holder, key = rng.choice(places)
    match rng.randrange(5):
        case 0 | 1:
            holder[key] = copy.deepcopy(rng.choice(_ODD))  # type: ignore[index]
        case 2 if isinstance(holder, dict):
            holder[f"{key}_"] = holder.pop(key)
        case 3:
            deep: object = 1
            for _ in range(rng.choice((3, 100, 5000))):
                deep = [deep]
            holder[key] = deep  # type: ignore[index]
        case _:
            del holder[key]  # type: ignore[attr-defined]
    return values


def _places(value: object) -> list[tuple[object, object]]:
    """Each container inside a JSON value with each of its keys."""
    found: list[tuple[object, object]] = []
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            found += [(value, key), *_places(value[key])]
    return found


def _json(values: object) -> str:
    """JSON of any depth."""
    try:
        return json.dumps(values)
    except RecursionError:
        return "[" * 100_000 + "]" * 100_000


def damage_a_file(folder: Path, rng: random.Random) -> None:
    """Damage one of the files below a folder, or remove it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = rng.choice(files)
    if rng.random() < 0.05:
        path.unlink()
        return
    data = path.read_bytes()
    if path.suffix in (".json", ".jsonl") or path.name in ("zarr.json", ".zarray", ".zattrs"):
        lines = data.decode().splitlines() if path.suffix == ".jsonl" else [data.decode()]
        if lines and rng.random() < 0.7:
            number = rng.randrange(len(lines))
            lines[number] = _json(damaged_values(json.loads(lines[number]), rng))
            path.write_text("\n".join(lines) + "\n")
            return
    path.write_bytes(damaged_bytes(data, rng))


def _damage_header(folder: Path, rng: random.Random) -> None:
    """Damage a value in the header of model.safetensors, whose weights stay whole."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + size])
    values = json.loads(table["__metadata__"]["rleseg"])
    part = rng.choice((values, values, values.get("training") or values))
    changed = damaged_values(part, rng)
    if part is not values and isinstance(values, dict):
        changed = values | {"training": changed}
    table["__metadata__"]["rleseg"] = _json(changed)
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def _info(path: Path):
    return new_model(
        path,
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(8, 8), class_names=("a", "b")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=16,
        card={"name": "damaged", "data": ["here", "there"], "scores": {"a": 0.5}},
    )


def _make_model(folder: Path) -> None:
    torch.manual_seed(0)
    info = _info(folder / "model.safetensors")
    training = {
        "config": TrainConfig().to_json(),
        "path": "model.safetensors",
        "best_score": 0.5,
        "n_worse": 1,
        "finished": False,
    }
    info = copy.copy(info)
    object.__setattr__(info, "training", training)
    save_checkpoint(info, build_model(info).state_dict(), {"random.cpu": torch.get_rng_state()})


def _read_model(folder: Path) -> None:
    models, unreadable = installed_models(folders=[folder])
    if len(models) + len(unreadable) != len(list(folder.iterdir())):
        raise AssertionError("a file is neither listed nor said to be unreadable")
    for info in models:
        json.dumps(model_facts(info), allow_nan=False)
    checkpoint = load_checkpoint(folder / "model.safetensors")
    build_tokenizer(checkpoint.info)
    build_model(checkpoint.info, checkpoint.weights)
    if checkpoint.info.training:
        resumed_settings(checkpoint.info)
        read_state(checkpoint)


def _make_session(folder: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (3, 24, 30)).astype(np.uint8)
    log = CorrectionLog.create(folder / "session", labels, class_names=("a", "b"))
    for frame in range(3):
        log.labels[frame, 4:12, 5:15] = 1 + frame % 2
        log.record_painted(frame)
    log.undo()
    log.close()


def _read_session(folder: Path) -> None:
    log = CorrectionLog(folder / "session")
    try:
        for frame in range(min(log.shape[0], _MOST_READ)):
            _ = log.labels[frame]
        log.undo()
        log.redo()
    finally:
        log.close()


def _frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (3, 40, 48)).astype(np.uint8)


def _make_tiff(folder: Path) -> None:
    write_labels(folder / "stack.tif", _frames(), ("a", "b", "c"))


def _make_ome_tiff(folder: Path) -> None:
    write_labels(folder / "stack.ome.tif", _frames(), ("a", "b", "c"))


def _make_zarr(folder: Path) -> None:
    write_labels(folder / "stack.zarr", _frames(), ("a", "b", "c"))


def _make_plain_zarr(folder: Path) -> None:
    array = zarr.create_array(folder / "stack.zarr", shape=(3, 40, 48), dtype="u1")
    array[:] = _frames()


def _make_npy(folder: Path) -> None:
    np.save(folder / "stack.npy", _frames())


def _make_png(folder: Path) -> None:
    Image.fromarray(60 * _frames()[0]).save(folder / "stack.png")


def _make_video(folder: Path) -> None:
    import av

    with av.open(str(folder / "stack.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 48, 40, "yuv420p"
        for frame in _frames():
            picture = np.repeat(60 * frame[..., None], 3, axis=2)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())


def _read_stack(folder: Path) -> None:
    paths = [path for path in folder.iterdir() if path.name.startswith("stack")]
    path = paths[0] if paths else folder / "stack"
    for opened in (ImageStack, LabelStack):
        if opened is LabelStack and path.suffix == ".mp4":
            continue
        stack = opened.open(path)
        for frame in range(min(stack.shape[0], _MOST_READ)):
            stack.frame(frame)


def _make_archive(folder: Path) -> None:
    write_tf_checkpoint(folder / "log" / "ckpt-1", _variables())
    shutil.make_archive(str(folder / "model"), "zip", folder, "log")
    shutil.rmtree(folder / "log")


def _read_archive(folder: Path) -> None:
    read_tf_checkpoint(unpack(folder / "model.zip", folder / "out"))


def _variables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = {f"model/part{k}/kernel": rng.normal(size=(3, 4 + k)) for k in range(60)}
    return {name: value.astype(np.float32) for name, value in values.items()}


def _make_tf(folder: Path) -> None:
    write_tf_checkpoint(folder / "ckpt-1", _variables())


def _read_tf(folder: Path) -> None:
    read_tf_checkpoint(folder / "ckpt-1")


def _make_backbone(folder: Path) -> None:
    from rleseg_core.model.backbones.resnet import ResNet
    from rleseg_core.model.config import BackboneConfig

    shape = BackboneConfig(widths=(4, 4, 4, 4), blocks=(1, 1, 1, 1), stem="torchvision")
    torch.save(ResNet(shape).state_dict(), folder / "resnet.pth")


def _read_backbone(folder: Path) -> None:
    read_backbone(folder / "resnet.pth")


FILES = {
    "model headers": Kind(_make_model, _damage_header, _read_model),
    "model files": Kind(_make_model, damage_a_file, _read_model),
    "sessions": Kind(_make_session, damage_a_file, _read_session),
    "TIFF": Kind(_make_tiff, damage_a_file, _read_stack),
    "OME-TIFF": Kind(_make_ome_tiff, damage_a_file, _read_stack),
    "OME-Zarr": Kind(_make_zarr, damage_a_file, _read_stack),
    "zarr": Kind(_make_plain_zarr, damage_a_file, _read_stack),
    "npy": Kind(_make_npy, damage_a_file, _read_stack),
    "PNG": Kind(_make_png, damage_a_file, _read_stack),
    "MP4": Kind(_make_video, damage_a_file, _read_stack),
    "archives": Kind(_make_archive, damage_a_file, _read_archive),
    "TensorFlow checkpoints": Kind(_make_tf, damage_a_file, _read_tf),
    "backbones": Kind(_make_backbone, damage_a_file, _read_backbone),
}
"""By the name that the table has."""


def read_token_stream(rng: random.Random) -> None:
    """Read random tokens with a random scheme, leniently, live, and strictly."""
    spec = MaskSpec(size=(6, 5), class_names=("a", "b"), n_frames=rng.choice((1, 2)))
    tokenizer = None
    while tokenizer is None:
        scheme: Scheme = rng.choice(list(PRESETS.values()))
        try:
            tokenizer = Tokenizer.build(scheme, spec)
        except RlesegError:
            spec = MaskSpec(size=(6, 5), class_names=("a", "b"), n_frames=rng.choice((1, 2)))
    high = tokenizer.vocab.size + rng.choice((0, 5))
    numbers = np.random.default_rng(rng.randrange(2**32))
    n_heads = tokenizer.tokens_per_run if tokenizer.vocab.per_field else 1
    tokens = numbers.integers(-2 if rng.random() < 0.1 else 0, high, (n_heads, rng.randrange(40)))
    tokens = tokens if tokenizer.vocab.per_field else tokens[0]
    decoded = tokenizer.decode(tokens)
    labels = np.zeros(spec.shape, np.uint8)
    for event in tokenizer.events(tokens):
        tokenizer.paint(labels, event)
    if not np.array_equal(labels, decoded.classes):
        raise AssertionError("events paint another mask than `decode` gives")
    if not tokenizer.vocab.per_field:
        read_leniently(tokenizer, tokens)
    tokenizer.decode(tokens, strict=True)
