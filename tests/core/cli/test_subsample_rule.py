import pytest

from rleseg_core.checkpoints import read_info
from rleseg_core.cli import main


def test_training_notes_the_rule_of_its_masks(tmp_path):
    size = ("--size", "test", "--patch", 32, "--mask-size", 8, "--max-tokens", 64)
    rule = ("--subsample-rule", "max", "--steps", 2, "--batch-size", 2, "--validate-every", 0)
    synth = ("synth", tmp_path, "--frames", 2, "--height", 48, "--width", 48, "-q")
    stack = (tmp_path / "images.tif", tmp_path / "classes.tif", "--classes", "ipsc,dfc")
    out = ("--out", tmp_path / "tiny.safetensors", "--device", "cpu", "-q")
    for command in (synth, ("train", *stack, *size, *rule, *out)):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in command])
        assert not end.value.code
    for model in ("tiny.safetensors", "tiny/last.safetensors"):
        assert read_info(tmp_path / model).card["subsample_rule"] == "max"
