"""The files of objects beside masks: written while frames are segmented, mended after an end."""

from contextlib import suppress

import numpy as np
import pytest

from napari_rleseg.object_files import ObjectFiles, ObjectWriter, find_pieces, load_objects
from rleseg_core.data.metadata import UNKNOWN
from rleseg_core.objects import ObjectTable

from .test_objects import NAMES, grid_of_objects


class Ended(Exception):
    """What ends a job."""


def product(job):
    """What a generator returns."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


@pytest.fixture
def masks():
    return (grid_of_objects() > 0).astype(np.uint8)


@pytest.fixture
def files(tmp_path, masks):
    """Objects of four frames, six in each."""
    files = ObjectFiles.beside(tmp_path / "segmentation-2.zarr")
    files.create(masks.shape)
    with ObjectWriter(files, masks, NAMES, UNKNOWN, "predicted") as writer:
        write_frames(writer, masks, range(4))
    return files


def write_frames(writer, masks, frames, first_id=1):
    """Write frames as a segmenter does that numbers its objects from `first_id` on."""
    for frame in frames:
        ids = grid_of_objects(1)[0]
        ids[ids > 0] += np.uint32(first_id - 1 + 6 * frame)
        writer.ids[frame] = ids
        rows = ObjectTable.of(ids[None], masks[frame][None], NAMES, first_frame=frame)
        writer.add([frame], rows)


def test_names_follow_those_of_the_masks(files):
    assert (files.ids.name, files.table.name) == ("objects-2.zarr", "objects-2.csv")


def test_written_objects_are_read_again(files):
    ids, table = files.read(NAMES)
    np.testing.assert_array_equal(ids[:], grid_of_objects())
    assert table.id.tolist() == list(range(1, 25))


def test_objects_of_other_frames_stay(files, masks):
    with ObjectWriter(files, masks, NAMES, UNKNOWN, "predicted") as writer:
        write_frames(writer, masks, [2], first_id=101)
    _, table = files.read(NAMES)
    assert table.counts(4).sum(axis=1).tolist() == [6, 6, 6, 6]
    assert table.in_frames([2]).id.tolist() == [113, 114, 115, 116, 117, 118]


def test_frame_that_was_not_finished_has_rows_for_the_ids_it_has(files, masks):
    with (
        suppress(Ended),
        ObjectWriter(files, masks, NAMES, UNKNOWN, "predicted") as writer,
    ):
        writer.add([1], ObjectTable.empty(NAMES))
        half = grid_of_objects()[1]
        half[50:] = 0
        writer.ids[1] = half
        raise Ended
    _, table = files.read(NAMES)
    assert table.in_frames([1]).id.tolist() == [7, 8, 9, 10]
    assert len(table) == 22


def test_ids_are_unique_after_a_second_run_that_was_ended(files, masks):
    """It numbered its objects from 1 on, as did the first, whose last frames it did not reach."""
    with (
        suppress(Ended),
        ObjectWriter(files, masks, NAMES, UNKNOWN, "predicted") as writer,
    ):
        write_frames(writer, masks, [0, 1], first_id=8)
        raise Ended
    ids, table = files.read(NAMES)
    assert len(np.unique(table.id)) == len(table) == 24
    for frame in range(4):
        here = ids[frame]
        assert np.unique(here[here > 0]).tolist() == sorted(table.in_frames([frame]).id.tolist())


@pytest.mark.parametrize("state", ["predicted", "pieces"])
def test_table_is_made_again_after_the_end_of_the_program(files, masks, state):
    ObjectWriter(files, masks, NAMES, UNKNOWN, state)  # nobody leaves the context
    assert files.read(NAMES) is None
    table = product(load_objects(files, masks, NAMES))
    assert table.id.tolist() == list(range(1, 25))
    assert set(table.state) == {state}
    assert np.isnan(table.confidence).all()
    assert files.read(NAMES)[1].id.tolist() == table.id.tolist()


def test_damaged_table_is_made_again(files, masks):
    files.table.write_text("nonsense")
    assert files.read(NAMES) is None
    assert len(product(load_objects(files, masks, NAMES))) == 24


def test_pieces_are_numbered_through_the_stack(tmp_path, masks):
    files = ObjectFiles.beside(tmp_path / "segmentation.zarr")
    table = product(find_pieces(masks, NAMES, files))
    assert table.id.tolist() == list(range(1, 25))
    np.testing.assert_array_equal(files.open()[:], grid_of_objects())
    assert set(table.state) == {"pieces"}


def test_pieces_of_a_single_frame(tmp_path, masks):
    files = ObjectFiles.beside(tmp_path / "segmentation.zarr")
    assert len(product(find_pieces(masks[0], NAMES, files))) == 6
    assert files.open().shape == (1, *masks.shape[1:])
