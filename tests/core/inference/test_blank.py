"""Windows without data: they take no model, and the others get what they would get alone."""

import numpy as np
import pytest
import torch
import zarr

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
from rleseg_core.inference import Segmenter
from rleseg_core.inference.blank import decode_between_blanks
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    info = new_model(
        tmp_path_factory.mktemp("model") / "tiny.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=64,
    )
    torch.manual_seed(1)
    return Segmenter(info, build_model(info), "cpu")


@pytest.fixture
def n_encoded(segmenter, monkeypatch):
    """Numbers of windows that the model sees, batch by batch."""
    seen = []
    encode = segmenter.model.encode
    monkeypatch.setattr(
        segmenter.model, "encode", lambda images: seen.append(len(images)) or encode(images)
    )
    return seen


def mosaic(n_frames=1):
    """Frames of 4 × 8 windows of which the left three quarters hold nothing."""
    images = np.zeros((n_frames, 128, 256), np.uint8)
    cells = synthesize(SyntheticConfig(n_frames=n_frames, size=(128, 64), seed=2)).images
    images[:, :, 192:] = cells.reshape(n_frames, 128, 64)
    return images


@pytest.mark.parametrize("options", [{}, {"preview": True}, {"draft": "frame"}])
@pytest.mark.parametrize("stitch", ["centre", "last", "vote"])
def test_only_windows_with_data_are_seen(segmenter, n_encoded, options, stitch):
    stack = ImageStack.from_array(mosaic(2))
    labels = np.zeros(stack.shape[:3], np.uint8)
    run = segmenter.predict(stack, batch_size=5, out=labels, stitch=stitch, **options)
    results = list(run)
    assert sum(n_encoded) == 2 * 8
    assert [result.n_done for result in results] == list(range(1, 65))
    assert not labels[:, :, :192].any()
    alone = np.zeros((2, 128, 64), np.uint8)
    right = ImageStack.from_array(mosaic(2)[:, :, 192:])
    list(segmenter.predict(right, batch_size=5, out=alone, stitch=stitch, **options))
    assert np.array_equal(labels[:, :, 192:], alone)


@pytest.mark.parametrize("value", [0, 255])
def test_frames_of_one_value_take_no_model(segmenter, n_encoded, value):
    stack = ImageStack.from_array(np.full((3, 200, 200), value, np.uint8))
    results = list(segmenter.predict(stack))
    assert not n_encoded
    assert not any(result.labels.any() for result in results)
    nothing = segmenter.tokenizer.encode(np.zeros((1, 16, 16), np.uint8))
    assert all(np.array_equal(result.tokens, nothing) for result in results)


def test_results_come_before_all_windows_are_looked_at(segmenter):
    windows = list(range(1000))
    looked_at = []

    def is_blank(window):
        looked_at.append(window)
        return True

    run = decode_between_blanks(windows, is_blank, list, segmenter._source.nothing())
    assert next(run).index == 0
    assert len(looked_at) < 50
    assert [sequence.index for sequence in run] == list(range(1, 1000))


def test_frames_are_written_whole_and_seen_on_the_way(segmenter, tmp_path):
    class Counted:
        """A zarr array that counts how often it is written."""

        def __init__(self, array):
            self.array, self.shape, self.n_written = array, array.shape, 0

        def __getitem__(self, frame):
            return self.array[frame]

        def __setitem__(self, frame, labels):
            self.n_written += 1
            self.array[frame] = labels

    images = np.concatenate([mosaic()[:, :, 192:]] * 3)
    out = Counted(
        zarr.create_array(tmp_path / "m.zarr", shape=images.shape, dtype="u1", chunks=(1, 128, 64))
    )
    run = segmenter.predict(ImageStack.from_array(images), out=out)
    last = {}
    for result in run:
        last[result.frames[0]] = result.n_done
        if result.n_done % 8 == 0:  # the last window of a frame
            frame = out[result.frames[0]]
            assert np.array_equal(frame[result.rows, result.cols], result.labels[0])
    assert out.n_written < 24 / 2
    expected = np.zeros(images.shape, np.uint8)
    list(segmenter.predict(ImageStack.from_array(images), out=expected))
    assert np.array_equal(out.array[:], expected)


def test_what_is_done_is_written_when_a_run_is_cancelled(segmenter, tmp_path):
    images = mosaic()[:, :, 192:]
    out = zarr.create_array(tmp_path / "m.zarr", shape=images.shape, dtype="u1")
    run = segmenter.predict(ImageStack.from_array(images), out=out)
    done = [next(run) for _ in range(5)]
    run.close()
    for result in done:
        assert np.array_equal(out[0, result.rows, result.cols], result.labels[0])
