import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.tf_checkpoint import write_tf_checkpoint

from rleseg_core.inference import precision


@pytest.fixture(autouse=True, scope="module")
def float32() -> Iterator[None]:
    """A processor without units for bf16: outputs are compared with those of float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "multiplies_bf16", lambda device: False)
        yield


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
