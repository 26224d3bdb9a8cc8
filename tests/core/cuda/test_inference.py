"""A stack is segmented on the device as on the CPU."""

import numpy as np
import pytest
import torch

from rleseg_core.data import ImageStack, SyntheticConfig, plan_windows, synthesize
from rleseg_core.devices import is_out_of_memory
from rleseg_core.inference import Segmenter, predict_to_file
from rleseg_core.reports import product_of
from rleseg_core.tokens import MaskEnded

MODEL, SIZE = "cells", {"image_size": 260}


@pytest.fixture(scope="module")
def stack():
    images = synthesize(SyntheticConfig(n_frames=2, size=(200, 260), seed=2_000_000)).images
    return ImageStack.from_array(images, name="cells")


@pytest.fixture(scope="module")
def segmented(stack):
    return product_of(Segmenter.from_checkpoint(MODEL, "cpu").segment(stack, **SIZE))


@pytest.fixture(scope="module")
def expected(segmented):
    return segmented.classes


@pytest.fixture
def segmenter(device):
    return Segmenter.from_checkpoint(MODEL, str(device), "fp32")


def test_labels_are_those_of_the_cpu(segmenter, stack, expected):
    labels = product_of(segmenter.predict(stack, **SIZE))
    assert expected.any()
    assert (labels == expected).mean() > 0.999
    few = product_of(segmenter.predict(stack, batch_size=3, **SIZE))
    assert (few == labels).mean() > 0.999


def test_objects_are_those_of_the_cpu(segmenter, stack, segmented):
    found = product_of(segmenter.segment(stack, **SIZE))
    assert segmenter.tokenizer.scheme.blocks == "instance"
    assert len(segmented.table) > 10
    assert abs(len(found.table) - len(segmented.table)) <= 1
    assert (found.classes == segmented.classes).mean() > 0.999
    n_alike = 0
    for number in np.unique(segmented.objects)[1:]:
        inside = segmented.objects == number
        other = found.objects == np.bincount(found.objects[inside]).argmax()
        n_alike += (inside & other).sum() > 0.95 * (inside | other).sum()
    assert n_alike >= len(segmented.table) - 1


def test_bf16_sees_the_same_cells(device, stack, expected):
    segmenter = Segmenter.from_checkpoint(MODEL, str(device), "bf16")
    labels = product_of(segmenter.predict(stack, **SIZE))
    both = np.sum((labels == expected) & (labels > 0))
    assert 2 * both / (np.sum(labels > 0) + np.sum(expected > 0)) > 0.97


@pytest.mark.parametrize("draft", ["frame", "dense"])
def test_drafts_change_no_label(segmenter, stack, draft):
    plain, drafted = (
        product_of(segmenter.predict(stack, draft=d, **SIZE)) for d in ("none", draft)
    )
    assert (plain == drafted).mean() > 0.999


def test_preview_and_live_tokens(segmenter, stack, expected):
    preview = product_of(segmenter.predict(stack, preview=True, **SIZE))
    assert (preview == expected).mean() > 0.9
    window = plan_windows(stack.shape, segmenter.window_spec(260))[0]
    *_, last = segmenter.trace(stack, window, **SIZE)
    assert isinstance(last, MaskEnded)


def test_a_file_is_written(segmenter, stack, tmp_path):
    summary = product_of(predict_to_file(segmenter, stack, tmp_path / "labels.tif"))
    assert summary.device == str(segmenter.device)


def test_memory_that_runs_out_is_recognised(device):
    with pytest.raises((RuntimeError, MemoryError)) as error:
        torch.empty(1 << 60, device=device)
    assert is_out_of_memory(error.value)
