"""Metadata of stacks: units however they are spelled, records old and new."""

import pytest

from rleseg_core.data.metadata import StackMetadata, lengths
from rleseg_core.data.units import micrometers_per, seconds_per
from rleseg_core.errors import DataError

FULL = StackMetadata(
    pixel_size=(0.65, 0.5),
    z_spacing=2.0,
    unit="micrometer",
    origin=(-3.0, 4.5),
    frame_interval=300.0,
    start=60.0,
    acquired="2026-03-01T12:00:00+01:00",
    axes="TCYX",
    channel_names=("phase", "GFP"),
    class_names=("ipsc", "dfc"),
    class_colours=("#ff0000", "#00ff00"),
    provenance={"model": "cells", "hash": "12ab"},
)


@pytest.mark.parametrize(
    ("unit", "micrometers"),
    [
        *((name, 1.0) for name in ("um", "µm", "μm", "micron", "Microns", "micrometers", " µm ")),
        *((name, 1.0) for name in ("\\u00B5m", "Âµm", "micrometre")),
        *(("nm", 1e-3), ("nanometers", 1e-3), ("mm", 1e3), ("cm", 1e4), ("m", 1e6)),
        *(("inch", 25400.0), ("inches", 25400.0), ("pixel", None), ("", None), ("s", None)),
        *(("km", 1e9), ("Mm", 1e12), ("Å", 1e-4), ("angstrom", 1e-4)),
    ],
)
def test_lengths_are_known_in_every_spelling(unit, micrometers):
    assert micrometers_per(unit) == micrometers


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        *(("s", 1.0), ("sec", 1.0), ("Seconds", 1.0), ("ms", 1e-3), ("min", 60.0), ("h", 3600.0)),
        *(("minutes", 60.0), ("hours", 3600.0), ("µs", 1e-6), ("frames", None), ("", None)),
    ],
)
def test_times_are_known_in_every_spelling(unit, seconds):
    assert seconds_per(unit) == seconds


def test_known_lengths_become_micrometers():
    assert lengths((650, 500), "nm", z_spacing=2000) == {
        "pixel_size": pytest.approx((0.65, 0.5)),
        "z_spacing": pytest.approx(2.0),
        "unit": "micrometer",
    }


def test_unknown_units_keep_numbers_and_name():
    assert lengths((2.0, 3.0), "furlong") == {"pixel_size": (2.0, 3.0), "unit": "furlong"}


@pytest.mark.parametrize("size", [None, (0, 1), (float("nan"), 1), ("a", 1), (1,), (-1, 1)])
def test_sizes_that_say_nothing_are_left_out(size):
    assert lengths(size, "um") == {}


def test_json_round_trip():
    assert StackMetadata.from_json(FULL.to_json()) == FULL
    assert StackMetadata.from_json({}) == StackMetadata()


def test_records_of_version_0_1_are_read():
    old = {"class_names": ["ipsc"], "model": "cells", "image_size": 512}
    read = StackMetadata.from_json(old)
    assert read.class_names == ("ipsc",)
    assert read.provenance == {"model": "cells", "image_size": 512}


def test_damaged_records_give_what_is_left():
    damaged = {"pixel_size": [0, 1], "unit": 3, "class_names": "ab", "frame_interval": "x"}
    assert StackMetadata.from_json(damaged) == StackMetadata()


def test_masks_take_scale_and_times_but_no_channels():
    masks = FULL.for_masks(("cell",), {"model": "demo"})
    assert masks.scale == (300.0, 0.65, 0.5)
    assert masks.translation == (60.0, -3.0, 4.5)
    assert (masks.channel_names, masks.class_names, masks.class_colours) == ((), ("cell",), ())
    assert masks.provenance == {"model": "demo"}


def test_impossible_sizes_are_refused():
    with pytest.raises(DataError, match="above 0"):
        StackMetadata(pixel_size=(0.0, 1.0))
    with pytest.raises(DataError, match="finite"):
        StackMetadata(origin=(float("inf"), 1.0))
