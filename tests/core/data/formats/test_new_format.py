"""A newcomer's trial: a format is one file and one line of registration."""

import subprocess
import sys

import numpy as np
import pytest

from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.formats import registry
from rleseg_core.data.writers import label_output, recorded_class_names, write_labels
from rleseg_core.errors import DataError

from . import toy_format

LABELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, toy_format.TOY))


def test_new_format_is_written_and_read(tmp_path):
    path = write_labels(tmp_path / "masks.toy", LABELS, ("cell",), {"model": "demo"})
    for stack in (ImageStack.open(path), LabelStack.open(path)):
        read = np.stack([stack.frame(t) for t in range(stack.n_frames)])
        np.testing.assert_array_equal(read.reshape(LABELS.shape), LABELS)
    assert recorded_class_names(path) == ("cell",)


def test_new_format_is_a_frame_of_a_folder(tmp_path):
    for name, frame in zip(("a2.toy", "a10.toy"), LABELS, strict=False):
        write_labels(tmp_path / name, frame[None])
    stack = ImageStack.open(tmp_path)
    assert stack.shape == (2, 4, 5, 1)
    np.testing.assert_array_equal(stack.frame(1)[..., 0], LABELS[1])


def test_new_format_is_offered_and_named(tmp_path):
    assert ";;Toy array (*.toy);;" in registry.dialog_filter()
    assert "*.toy" in registry.dialog_filter().partition(";;")[0]
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"\.txt is none of .* \.toy; expected one of: .*toy array"):
        ImageStack.open(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"must end in \.tif, .* or \.toy"):
        label_output("masks.png")


def test_new_format_is_in_the_help():
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(toy_format.FOLDER)!r})\n"
        "import toy_format\n"
        "from rleseg_core.data.formats import registry\n"
        "registry.FORMATS += (toy_format.TOY,)\n"
        "from rleseg_core.cli import main\n"
        "main(['predict', '--help'])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text = " ".join(run.stdout.replace("│", " ").split())
    assert "toy array" in text
    assert " or .toy" in text
