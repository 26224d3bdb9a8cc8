"""Every output format gives back what was written: ids, axes, scale, times, names, provenance."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.formats.registry import output_formats
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import DataError

SUFFIXES = [suffix for one in output_formats() for suffix in one.suffixes]
NAMES = [f"masks{ome}{suffix}" for suffix in SUFFIXES for ome in ("", ".ome")]
DTYPES = ["bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "uint64"]
SIZES = st.floats(1e-3, 1e5, allow_subnormal=False)
POSITIONS = st.floats(-1e6, 1e6, allow_subnormal=False)
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), max_codepoint=0xFFFF), max_size=12
)
HASHED = st.dictionaries(TEXT.filter(bool), st.one_of(TEXT, st.integers(), st.booleans()))


@st.composite
def label_stacks(draw: st.DrawFn) -> np.ndarray:
    """Ids (T, Y, X) of any integer type; those of 64 bits stay within what TIFF can hold."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)))
    if dtype.kind == "b":
        return draw(arrays(dtype, shape))
    highest = min(int(np.iinfo(dtype).max), 2**32 - 1)
    return draw(arrays(dtype, shape, elements=st.integers(0, highest)))


@st.composite
def all_metadata(draw: st.DrawFn) -> StackMetadata:
    size = draw(st.none() | st.tuples(SIZES, SIZES))
    classes = tuple(draw(st.lists(TEXT.filter(bool), max_size=3, unique=True)))
    colours = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)
    return StackMetadata(
        pixel_size=size,
        unit="" if size is None else draw(st.sampled_from(["micrometer", "", "furlong"])),
        origin=None if size is None else draw(st.none() | st.tuples(POSITIONS, POSITIONS)),
        z_spacing=None if size is None else draw(st.none() | SIZES),
        frame_interval=draw(st.none() | SIZES),
        start=draw(st.none() | POSITIONS),
        acquired=draw(st.sampled_from(["", "2026-03-01T12:00:00", "3 May"])),
        axes="TYX",
        channel_names=draw(st.sampled_from([(), ("phase",), ("phase", "GFP")])),
        class_names=classes,
        class_colours=[draw(colours) for _ in classes] if draw(st.booleans()) else (),
        provenance=draw(HASHED),
    )


@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(labels=label_stacks(), metadata=all_metadata())
def test_what_is_written_is_read(name: str, labels: np.ndarray, metadata: StackMetadata) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_labels(Path(folder) / name, labels, metadata=metadata)
        stack = LabelStack.open(path)
        assert stack.shape == labels.shape
        np.testing.assert_array_equal(np.asarray(stack.data), labels)
        assert stack.dtype.kind == "u"
        for read in (stack.metadata, ImageStack.open(path).metadata):
            assert replace(read, axes="TYX") == metadata  # tifffile drops axes of length 1


@pytest.mark.parametrize("name", NAMES)
def test_ids_above_16_bits_stay_apart(name: str, tmp_path: Path) -> None:
    ids = np.array([[[0, 7, 70_007, 2**32 - 1]]], np.int64)
    stack = LabelStack.open(write_labels(tmp_path / name, ids))
    np.testing.assert_array_equal(np.asarray(stack.data), ids)
    assert stack.dtype == np.uint32


def test_ids_of_64_bits_are_written_where_they_can_be(tmp_path: Path) -> None:
    ids = np.array([[[0, 7, 7 + 2**32]]], np.int64)
    stack = LabelStack.open(write_labels(tmp_path / "masks.zarr", ids))
    np.testing.assert_array_equal(np.asarray(stack.data), ids)
    with pytest.raises(DataError, match="TIFF cannot hold uint64 values"):
        write_labels(tmp_path / "masks.tif", ids)
    assert not (tmp_path / "masks.tif").exists()
