import errno

import pytest

from rleseg_core.files import check_place, remove_drafts, whole_file


def test_file_appears_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_failed_write_keeps_the_older_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with whole_file(path) as draft:
            draft.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folder_replaces_an_older_folder(tmp_path):
    target = tmp_path / "masks.zarr"
    for text in ("first", "second"):
        with whole_file(target) as draft:
            draft.mkdir()
            (draft / "0").write_text(text)
    assert (target / "0").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["masks.zarr"]


def test_place_that_cannot_be_written_is_named_by_its_own_name(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken") as caught:
        check_place(tmp_path / "taken")
    assert caught.value.filename == str(tmp_path / "taken")
    check_place(tmp_path / "new" / "file.png")
    assert not (tmp_path / "new" / "file.png").exists()
    with pytest.raises(OSError) as caught, whole_file(tmp_path / "a.txt") as draft:
        raise FileNotFoundError(2, "gone", str(draft))
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_drafts_of_killed_writers_are_removed(tmp_path):
    with whole_file(tmp_path / "a[1].txt") as draft:
        draft.write_text("whole")
        (tmp_path / (draft.stem + ".parts")).mkdir()
    (tmp_path / ".a[1]-0123abcd.txt").write_text("half")
    kept = [".a[1]-notes.txt", ".b-0123abcd.txt", ".a[1]-0123abcd.tif"]
    for name in kept:
        (tmp_path / name).write_text("of others")
    remove_drafts(tmp_path / "a[1].txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a[1].txt", *kept])


def test_error_without_a_name_is_given_that_of_the_file(tmp_path):
    def fill():
        with whole_file(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as told:
        fill()
    assert told.value.filename == str(tmp_path / "a.txt")
