import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from google_crc32c import value as crc32c

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
TYPES = {"float32": 1, "int64": 9, "float16": 19, "bool": 10}


def varint(number: int) -> bytes:
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(records: list[tuple[bytes, bytes]]) -> bytes:
    """As LevelDB writes it: of each key only what differs from the one before, then restarts."""
    body, restarts, before = b"", [], b""
    for k, (key, value) in enumerate(records):
        shared = 0
        if k % 16 == 0:
            restarts.append(len(body))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        rest = key[shared:]
        body += varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        before = key
    numbers = [*restarts, len(restarts)]
    body += b"".join(number.to_bytes(4, "little") for number in numbers) + b"\0"
    return body + masked(body)


def write_tf_checkpoint(
    prefix: Path, variables: Mapping[str, np.ndarray], n_shards: int = 1
) -> Path:
    """A checkpoint as TensorFlow writes it, and the text file that names it."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    shards = [b""] * n_shards
    records = [(b"", field(1, n_shards) + field(3, field(1, 1)))]
    for k, name in enumerate(sorted(variables)):
        value = np.ascontiguousarray(variables[name]).reshape(variables[name].shape)
        shard, raw = k % n_shards, value.tobytes()
        shape = b"".join(field(2, field(1, side)) for side in value.shape)
        entry = field(1, TYPES[value.dtype.name]) + field(2, shape) + field(3, shard)
        entry += field(4, len(shards[shard])) + field(5, len(raw))
        entry += varint(6 << 3 | 5) + masked(raw)
        records.append(((name + SUFFIX).encode(), entry))
        shards[shard] += raw
    index, leaves = b"", []
    for first in range(0, len(records), 50):
        part = records[first : first + 50]
        written = block(part)
        leaves.append((part[-1][0], varint(len(index)) + varint(len(written) - 5)))
        index += written
    places = b""
    for written in (block([]), block(leaves)):
        places += varint(len(index)) + varint(len(written) - 5)
        index += written
    magic = (0xDB4775248B80FB57).to_bytes(8, "little")
    Path(f"{prefix}.index").write_bytes(index + places.ljust(40, b"\0") + magic)
    for k, data in enumerate(shards):
        Path(f"{prefix}.data-{k:05d}-of-{n_shards:05d}").write_bytes(data)
    (prefix.parent / "checkpoint").write_text(f'model_checkpoint_path: "{prefix.name}"\n')
    return prefix


@pytest.fixture(name="write_tf_checkpoint")
def _write_tf_checkpoint() -> Callable[..., Path]:
    return write_tf_checkpoint


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """The arrays of a file of outputs of the published implementation."""

    def load(name: str) -> dict[str, np.ndarray]:
        path = shared_dir / "golden/model" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"{path.name} is not in the reference data")
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    return load


@pytest.fixture(scope="session")
def golden_checkpoint(shared_dir: Path) -> Callable[[str], Path]:
    """A folder that the published implementation wrote."""

    def folder(name: str) -> Path:
        path = shared_dir / "golden/model" / f"{name}_tf_ckpt"
        if not path.is_dir():
            pytest.skip(f"{path.name} is not in the reference data")
        return path

    return folder


TINY_CONFIG: dict[str, dict[str, object]] = {
    "task": {"name": "semantic_segmentation", "vocab_id": 21},
    "dataset": {
        "name": "ipsc_semantic_segmentation",
        "multi_class": 1,
        "length_as_class": 0,
        "starts_2d": 0,
        "flat_order": "C",
        "category_names_path": "/data/cells/train.json.gz",
        "train": {"resize": 256, "patch_height": 96, "patch_width": 96, "subsample": 8},
        "eval": {"max_stride": 64, "min_stride": 64},
    },
    "model": {
        "name": "encoder_ar_decoder",
        "image_size": [96, 96],
        "vocab_size": 500,
        "max_seq_len": 32,
        "coord_vocab_shift": 300,
        "len_vocab_shift": 200,
        "class_vocab_shift": 100,
        "resnet_variant": "standard",
        "resnet_depth": 50,
        "resnet_sk_ratio": 0.0,
        "resnet_width_multiplier": 0.125,
        "num_encoder_layers": 2,
        "dim_att": 48,
        "dim_mlp": 96,
        "num_heads": 4,
        "num_decoder_layers": 2,
        "dim_att_dec": 32,
        "dim_mlp_dec": 96,
        "num_heads_dec": 4,
        "use_cls_token": False,
        "dec_proj_mode": "mlp",
        "drop_path": 0.1,
        "drop_units": 0.1,
    },
    "train": {"freeze_backbone": 1, "freeze_encoder": 0, "batch_size": 8},
}


@pytest.fixture
def tiny_config() -> dict[str, dict[str, object]]:
    """The config.json of the tiny image model, as the authors' code would write it."""
    return json.loads(json.dumps(TINY_CONFIG))


@pytest.fixture
def published(golden_checkpoint, tmp_path, tiny_config) -> Path:
    """A folder as the authors publish them."""
    folder = tmp_path / "log_seg_tiny"
    shutil.copytree(golden_checkpoint("static_tiny_frozen"), folder)
    folder.chmod(0o755)
    (folder / "config.json").write_text(json.dumps(tiny_config))
    return folder
