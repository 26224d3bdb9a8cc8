"""Command lines of version 0.1 are understood."""

import pytest

from rleseg_core.cli.retired import with_present_names


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("tokens choose m.tif --frames 1", "tokens recommend m.tif --frames 1"),
        ("train a b --mix c d --mix-share=0.5", "train a b --replay c d --replay-share=0.5"),
        ("tokens stats m.tif --picture p.png", "tokens stats m.tif --plot p.png"),
        ("train --freeze trunk --freeze=cells", "train --freeze backbone --freeze=mask_features"),
        ("train --lr-of trunk=0.1", "train --lr-of backbone=0.1"),
        ("train --lr-of=bridge=2", "train --lr-of=projection=2"),
        ("predict --mix trunk -- --freeze trunk", "predict --mix trunk -- --freeze trunk"),
        ("train -- --freeze trunk", "train -- --freeze trunk"),
        ("", ""),
    ],
)
def test_names_of_earlier_versions_become_the_present_ones(before, now):
    assert with_present_names(before.split()) == now.split()
