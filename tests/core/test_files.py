import errno
import os
import stat

import pytest

from rleseg_core.files import check_writable, whole, whole_file


def test_file_appears_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_failed_write_keeps_the_older_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folder_replaces_an_older_folder(tmp_path):
    target = tmp_path / "masks.zarr"
    for text in ("first", "second"):
        with whole_file(target) as temporary:
            temporary.mkdir()
            (temporary / "0").write_text(text)
    assert (target / "0").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["masks.zarr"]


def test_path_that_cannot_be_written_is_named_in_the_error(tmp_path):
    (tmp_path / "taken").touch()
    for write in (check_writable, lambda path: whole_file(path).__enter__()):
        with pytest.raises(OSError, match="taken") as caught:
            write(tmp_path / "taken" / "a.txt")
        assert caught.value.filename == str(tmp_path / "taken" / "a.txt")
    check_writable(tmp_path / "new" / "file.png")
    assert not (tmp_path / "new").exists()
    with pytest.raises(OSError) as caught, whole_file(tmp_path / "a.txt") as temporary:
        raise FileNotFoundError(2, "gone", str(temporary))
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_error_without_a_name_is_given_that_of_the_file(tmp_path):
    def fill():
        with whole_file(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "a.txt")


@pytest.fixture
def disk_calls(monkeypatch):
    """The calls that make a file durable, in their order, as (what, path or inode)."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor):
        fsync(descriptor)
        status = os.fstat(descriptor)
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        calls.append((f"sync {kind}", status.st_ino))

    def recording_replace(source, target):
        replace(source, target)
        calls.append(("rename", os.stat(target).st_ino))

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    return calls


def test_content_reaches_the_disk_before_the_name(tmp_path, disk_calls):
    path = tmp_path / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    file, folder = path.stat().st_ino, tmp_path.stat().st_ino
    expected = [("sync file", file), ("rename", file)]
    if os.name == "posix":  # Windows cannot sync a folder
        expected.append(("sync folder", folder))
    assert disk_calls == expected


@pytest.mark.parametrize("had_one", [False, True])
def test_all_of_a_folder_reaches_the_disk_before_its_name(
    tmp_path, disk_calls, monkeypatch, had_one
):
    path = tmp_path / "a.zarr"
    if had_one:
        path.mkdir()
        (path / "old").write_text("older")
    for name in ("rename_if_free", "replace_folder"):
        place = getattr(whole, name)

        def placing(source, target, *others, place=place):
            disk_calls.append(("name", source.stat().st_ino))
            place(source, target, *others)

        monkeypatch.setattr(whole, name, placing)
    with whole_file(path) as temporary:
        (temporary / "0" / "c").mkdir(parents=True)
        (temporary / "0" / "c" / "0").write_text("pixels")
        (temporary / "zarr.json").write_text("{}")
    files = {each.stat().st_ino for each in path.rglob("*") if each.is_file()}
    named = disk_calls.index(("name", path.stat().st_ino))
    before = {inode for what, inode in disk_calls[:named] if what == "sync file"}
    assert before == files
    assert sorted(each.name for each in path.iterdir()) == ["0", "zarr.json"]


def test_disk_that_cannot_sync_folders_still_gets_the_file(tmp_path, monkeypatch):
    fsync = os.fsync

    def fsync_of_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_of_files)
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
