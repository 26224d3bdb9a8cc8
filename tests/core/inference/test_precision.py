"""The number formats in which a model segments."""

import numpy as np
import pytest
import torch

from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
from rleseg_core.inference import Segmenter, precision
from rleseg_core.model import Pix2Seq
from rleseg_core.reports import product_of

CPU = torch.device("cpu")


@pytest.fixture
def with_units(monkeypatch):
    """A processor with units for bf16."""
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: device == CPU)


@pytest.fixture(scope="module")
def stack():
    images = synthesize(SyntheticConfig(n_frames=1, size=(128, 128), seed=3)).images
    return ImageStack.from_array(np.asarray(images))


def test_cpus_without_units_compute_in_float32():
    assert precision.NumberFormats.of("auto", CPU) == (torch.float32, torch.float32)


@pytest.mark.usefixtures("with_units")
@pytest.mark.parametrize(
    ("chosen", "formats"),
    [
        ("auto", (torch.bfloat16, torch.float32)),
        ("fp32", (torch.float32, torch.float32)),
        ("bf16", (torch.bfloat16, torch.bfloat16)),
    ],
)
def test_units_for_bf16_are_for_the_encoder(chosen, formats):
    assert precision.NumberFormats.of(chosen, CPU) == formats


@pytest.mark.usefixtures("with_units")
@pytest.mark.parametrize("changes", [{"image_size": 128}, {"diameter": "auto"}, {"preview": True}])
def test_every_encoding_is_in_the_chosen_format(stack, monkeypatch, changes):
    encode, seen = Pix2Seq.encode, set()

    def watched(model, images):
        seen.add(torch.is_autocast_enabled("cpu"))
        return encode(model, images)

    monkeypatch.setattr(Pix2Seq, "encode", watched)
    for chosen, wanted in (("auto", True), ("fp32", False)):
        segmenter = Segmenter.from_checkpoint("cells", "cpu", chosen)
        product_of(segmenter.segment(stack, **changes), lambda _: None)
        assert seen == {wanted}
        seen.clear()


@pytest.mark.usefixtures("with_units")
def test_a_rounded_encoder_sees_the_same_objects(stack):
    found = [
        product_of(
            Segmenter.from_checkpoint("cells", "cpu", chosen).segment(stack, image_size=128),
            lambda _: None,
        )
        for chosen in ("auto", "fp32")
    ]
    rounded, exact = (one.objects > 0 for one in found)
    assert exact.any()
    assert 2 * np.sum(rounded & exact) / (np.sum(rounded) + np.sum(exact)) > 0.98
    assert len(found[0].table) == len(found[1].table)
