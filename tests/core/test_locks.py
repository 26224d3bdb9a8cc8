import errno
import os
import signal
import subprocess
import sys

import filelock
import pytest

from rleseg_core.errors import DataError, InUseError
from rleseg_core.locks import WriterLock, lock_beside

HOLDER = """
import sys
from rleseg_core.locks import WriterLock, lock_beside
lock = WriterLock(sys.argv[1], "the folder")
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "x.lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_second_program_is_told_who_holds_the_lock(tmp_path, holder):
    with pytest.raises(InUseError, match=f"the folder is in use by .*process {holder.pid} on "):
        WriterLock(tmp_path / "x.lock", "the folder").acquire()


def test_lock_of_a_killed_program_is_free(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with WriterLock(tmp_path / "x.lock", "the folder") as lock:
        assert lock.held
        assert lock.holder().pid == os.getpid()


def test_same_process_is_refused_as_well(tmp_path):
    first = WriterLock(tmp_path / "x.lock", "the folder")
    with first, pytest.raises(DataError, match="in use by this program already"):
        WriterLock(tmp_path / "x.lock", "the folder").acquire()
    with WriterLock(tmp_path / "x.lock", "the folder") as again:
        again.acquire()  # it has it
        assert again.held


def test_dropped_lock_is_free(tmp_path):
    WriterLock(tmp_path / "x.lock", "the folder").acquire()
    WriterLock(tmp_path / "x.lock", "the folder").acquire()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_disk_without_locks_is_locked_by_a_file(tmp_path, monkeypatch, code):
    def refuse(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("filelock._unix.lock_fd_nonblocking", refuse)
    lock = WriterLock(tmp_path / "x.lock", "the folder")
    with lock, pytest.raises(InUseError, match="in use by this program"):
        WriterLock(tmp_path / "x.lock", "the folder").acquire()
    with lock:
        pass


def test_file_of_a_crashed_computer_is_named(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock._unix.lock_fd_nonblocking", refuse)
    monkeypatch.setattr("filelock._soft.host_name", lambda: "elsewhere", raising=True)
    soft = filelock.SoftFileLock(tmp_path / "x.lock.soft")
    soft.acquire()
    monkeypatch.undo()
    monkeypatch.setattr("filelock._unix.lock_fd_nonblocking", refuse)
    with pytest.raises(InUseError, match=r"no longer runs, remove .*x\.lock\.soft"):
        WriterLock(tmp_path / "x.lock", "the folder").acquire()
    soft.release()


def test_unreadable_note_of_the_holder_is_no_obstacle(tmp_path, holder):
    (tmp_path / "x.lock.json").write_text("[" * 10_000)
    with pytest.raises(InUseError, match="in use by another program"):
        WriterLock(tmp_path / "x.lock", "the folder").acquire()


def test_folder_that_cannot_be_written_to_is_an_oserror(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        WriterLock(tmp_path / "file" / "x.lock", "the folder").acquire()


def test_use_is_seen_without_writing(tmp_path, holder):
    before = sorted(tmp_path.iterdir())
    assert WriterLock(tmp_path / "x.lock", "the folder").in_use()
    assert not WriterLock(tmp_path / "other.lock", "the folder").in_use()
    assert sorted(tmp_path.iterdir()) == before
    holder.kill()
    holder.wait()
    assert not WriterLock(tmp_path / "x.lock", "the folder").in_use()
    with lock_beside(tmp_path / "x", "the folder") as lock:
        assert not lock.in_use()
        assert WriterLock(tmp_path / "x.lock", "the folder").in_use()
