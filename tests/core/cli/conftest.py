import json
from pathlib import Path

import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model, save_checkpoint
from rleseg_core.cli import main
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


def _main(*arguments) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


@pytest.fixture
def run(capfd, request):
    """Runs a command, and gives its exit code, stdout and stderr.

    The `COMMAND` of a test module, such as ``("tokens", "stats")``, comes before its arguments.
    """
    command = getattr(request.module, "COMMAND", ())

    def run(*arguments):
        return _main(*command, *arguments), *capfd.readouterr()

    return run


@pytest.fixture
def values(run):
    """Runs a command with ``--json``, and gives what it prints."""

    def values(*arguments):
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out, parse_constant=pytest.fail)  # NaN is no JSON

    return values


@pytest.fixture
def refused(run):
    """Runs a command that cannot be done: the last line on stderr says what it is `about`.

    Before it, there is only how masks are read.
    """

    def refused(*arguments, about):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        *said, error = err.strip().splitlines()
        assert error.startswith("error: ")
        assert about in error
        assert all("→" in line for line in said)

    return refused


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory) -> Path:
    """Folder of images.tif, classes.tif and instances.tif: six frames."""
    folder = tmp_path_factory.mktemp("synthetic")
    size = ("--frames", 6, "--height", 64, "--width", 64)
    assert _main("synth", folder, *size, "--seed", 3, "-q") == 0
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A tiny model that has learned nothing."""
    torch.manual_seed(0)
    info = new_model(
        tmp_path_factory.mktemp("model") / "tiny.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(8, 8), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=16,
    )
    return save_checkpoint(info, build_model(info).state_dict())
