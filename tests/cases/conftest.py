"""What the cases share: a model that is small and quick, where any masks will do."""

from pathlib import Path

import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model, save_checkpoint
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


@pytest.fixture(scope="session")
def quick_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model file of the classes ipsc and dfc, with random weights."""
    torch.manual_seed(0)
    info = new_model(
        tmp_path_factory.mktemp("models") / "quick.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=24,
    )
    save_checkpoint(info, build_model(info).state_dict())
    return info.path
