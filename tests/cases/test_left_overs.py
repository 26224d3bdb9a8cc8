"""Killed and crowded: of the kind D23, and two at a time; each death at a place, not at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from rleseg_core.checkpoints import build_model, load_checkpoint, new_model, save_checkpoint
from rleseg_core.cli import main
from rleseg_core.data import ImageStack, LabelledStack, LabelStack, SyntheticConfig, synthesize
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import InUseError, OutputError
from rleseg_core.files import naming, remove_leftovers, renaming, whole_file, work_folder
from rleseg_core.outputs import Output, check_outputs
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig, TrainingData, read_reports, train
from rleseg_core.training.folder import lock_run

NAMES = ("ipsc", "dfc")
KILL = "import os, signal; kill = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
CONFIG = TrainConfig(
    n_steps=3, batch_size=2, warmup_steps=1, validate_every=0, checkpoint_every=1, precision="fp32"
)


def killed(code: str, *arguments: object) -> None:
    """Run Python code that kills itself."""
    words = [sys.executable, "-c", KILL + "import sys\n" + code, *map(str, arguments)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


WRITERS = {
    "file": """
from rleseg_core.files import whole_file
with whole_file(sys.argv[1]) as temporary:
    temporary.write_text("half")
    kill()
""",
    "folder": """
from rleseg_core.files import whole_file
with whole_file(sys.argv[1]) as temporary:
    temporary.mkdir()
    (temporary / "0").write_text("half")
    kill()
""",
    "labels": """
import numpy as np
from rleseg_core.data import writers
class Deadly(np.ndarray):
    def __getitem__(self, key):
        return kill() if key == 1 else super().__getitem__(key)
writers.write_labels(sys.argv[1], np.ones((3, 8, 8), np.uint8).view(Deadly), overwrite=True)
""",
    "name": """
from rleseg_core.files import whole, whole_file
os.replace = whole.rename_if_free = whole.replace_folder = kill
with whole_file(sys.argv[1]) as temporary:
    temporary.write_text("whole, but not yet in its place")
""",
}


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize("writer", WRITERS)
def test_left_overs_of_a_killed_writer_are_removed_by_the_next(tmp_path, writer, suffix):
    target = tmp_path / f"masks{suffix}"
    older = np.full((3, 8, 8), 2, np.uint8)
    write_labels(target, older, NAMES)
    killed(WRITERS[writer], target)
    assert len(names_in(tmp_path)) == 2  # the older file, and what the killed one left
    np.testing.assert_array_equal(LabelStack.open(target).frame(1), older[1])
    with pytest.raises(OutputError, match="exists already"):  # even of a call that is refused
        write_labels(target, older, NAMES)
    assert names_in(tmp_path) == [target.name]


def test_left_overs_beside_another_output_are_removed(tmp_path):
    killed(WRITERS["folder"], tmp_path / "masks.zarr")
    with whole_file(tmp_path / "other.txt") as temporary:
        temporary.write_text("whole")
    assert names_in(tmp_path) == ["other.txt"]


@pytest.mark.skipif(os.name != "posix", reason="a process is stopped by its standard input")
def test_temporary_files_of_a_living_process_stay(tmp_path):
    code = (
        "import sys\nfrom rleseg_core.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('whole')\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.txt")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        (living,) = names_in(tmp_path)
        with pytest.raises(OutputError, match=rf"being written by process {process.pid} on"):
            check_outputs([Output(tmp_path / "a.txt", "a text", Path.is_file)])
        check_outputs([Output(tmp_path / "b.txt", "a text", Path.is_file)])
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("of another")
        assert names_in(tmp_path) == [living, "a.txt"]
        process.stdin.close()
        assert process.wait() == 0
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert names_in(tmp_path) == ["a.txt"]


def left_over(folder: Path) -> Path:
    killed(WRITERS["file"], folder / "a.txt")
    (found,) = folder.iterdir()
    return found


def test_work_folders_of_other_computers_and_locked_ones_stay(tmp_path):
    found = left_over(tmp_path)
    elsewhere = found.rename(found.with_name(found.name.partition("@")[0] + "@another-computer"))
    remove_leftovers(tmp_path)
    assert elsewhere.is_dir()
    elsewhere.rename(found)
    code = (  # a process that we cannot see, as in another container of the same name
        "import sys\nfrom filelock import FileLock\nwith FileLock(sys.argv[1]):\n"
        "    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(found / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        remove_leftovers(tmp_path)
        assert (found / "new" / "a.txt").is_file()
        process.stdin.close()
        assert process.wait() == 0
    remove_leftovers(tmp_path)
    assert not found.exists()


def test_process_of_the_same_number_is_not_taken_for_the_owner(tmp_path):
    found = left_over(tmp_path)
    pid, started = found.name.removeprefix(".rleseg-").split("-")[:2]
    same = found.name.replace(f"-{pid}-{started}-", f"-{os.getpid()}-{int(started) - 1000}-")
    found.rename(tmp_path / same)
    remove_leftovers(tmp_path)
    assert not names_in(tmp_path)


def test_files_of_the_user_with_such_names_stay(tmp_path):
    for name in (".rleseg-notes", ".rleseg-abcdefgh", ".rleseg-1-2-0123abcd@here.txt"):
        (tmp_path / name).write_text("mine")
    before = names_in(tmp_path)
    with whole_file(tmp_path / ".a"):
        (tmp_path / ".a").touch()
        work = next(path for path in tmp_path.iterdir() if "@" in path.name and path.is_dir())
        (work / "new" / ".a").touch()
    assert names_in(tmp_path) == sorted([*before, ".a"])


NO_EXCHANGE = """
from pathlib import Path
from rleseg_core.files import renaming
renaming._rename = lambda *_: False
"""
BETWEEN = (
    NO_EXCHANGE
    + """
rename = Path.rename
def rename_and_die(self, target):
    rename(self, target)
    kill()
Path.rename = rename_and_die
from rleseg_core.data.writers import write_labels
import numpy as np
write_labels(sys.argv[1], np.ones((3, 8, 8), np.uint8), overwrite=True)
"""
)


def test_folder_that_was_being_replaced_is_put_back(tmp_path):
    target = tmp_path / "masks.zarr"
    older = np.full((3, 8, 8), 2, np.uint8)
    write_labels(target, older, NAMES)
    killed(BETWEEN, target)
    assert not target.exists()
    with pytest.raises(OutputError, match="exists already"):
        write_labels(target, older, NAMES)
    assert names_in(tmp_path) == [target.name]
    np.testing.assert_array_equal(LabelStack.open(target).frame(2), older[2])


def test_folder_that_was_being_replaced_is_found_by_readers(tmp_path):
    target = tmp_path / "masks.zarr"
    write_labels(target, np.full((3, 8, 8), 2, np.uint8), NAMES)
    killed(BETWEEN, target)
    assert LabelStack.open(target).frame(0).all()
    assert names_in(tmp_path) == [target.name]


def test_what_was_put_in_its_place_meanwhile_stays(tmp_path):
    target = tmp_path / "masks.zarr"
    write_labels(target, np.full((3, 8, 8), 2, np.uint8), NAMES)
    killed(BETWEEN, target)
    target.mkdir()
    (target / "new").touch()
    remove_leftovers(tmp_path)
    assert names_in(tmp_path) == [target.name]
    assert names_in(target) == ["new"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_two_writers_of_one_folder_never_fail(tmp_path, exchanges):
    target = tmp_path / "masks.zarr"
    code = (
        ("" if exchanges else NO_EXCHANGE)
        + """
import sys
from rleseg_core.files import whole_file
for number in range(40):
    with whole_file(sys.argv[1]) as temporary:
        temporary.mkdir()
        for name in "ab":
            (temporary / name).write_text(sys.argv[2])
"""
    )
    write_labels(target, np.ones((1, 8, 8), np.uint8))
    command = [sys.executable, "-c", code, str(target)]
    writers = [subprocess.Popen([*command, name]) for name in ("1", "2")]
    missing = 0
    while any(writer.poll() is None for writer in writers):
        missing += not target.exists()
    assert [writer.wait() for writer in writers] == [0, 0]
    assert names_in(tmp_path) == [target.name]
    assert len({(target / name).read_text() for name in "ab"}) == 1  # of one of them, whole
    if exchanges and renaming._system_call() is not None:
        assert missing == 0


def write_both(target: Path) -> None:
    """Write a file or folder, and meanwhile another of that name."""
    with whole_file(target, overwrite=False) as temporary:
        for path in (temporary, target):
            if target.suffix == ".zarr":
                path.mkdir()
            written = path / "zarr.json" if path.is_dir() else path
            written.write_text(str(written))


def test_name_that_was_taken_meanwhile_is_not_replaced(tmp_path):
    for name in ("a.txt", "a.zarr"):
        target = tmp_path / name
        with pytest.raises(FileExistsError) as caught:
            write_both(target)
        assert caught.value.filename.startswith(str(target))
        kept = target / "zarr.json" if target.is_dir() else target
        assert kept.read_text() == str(kept)


def test_disk_without_exchange_or_hard_links_still_takes_files(tmp_path, monkeypatch):
    monkeypatch.setattr(renaming, "_rename", lambda *_: False)
    for links in (True, False):
        if not links:
            monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no")))
        target = tmp_path / f"{links}.txt"
        with whole_file(target, overwrite=False) as temporary:
            temporary.write_text("whole")
        with (
            pytest.raises(FileExistsError),
            whole_file(target, overwrite=False) as temporary,
        ):
            temporary.write_text("another")
        assert target.read_text() == "whole"
    folder = tmp_path / "folder"
    for text in ("first", "second"):
        with whole_file(folder) as temporary:
            temporary.mkdir()
            (temporary / "0").write_text(text)
    assert (folder / "0").read_text() == "second"
    assert names_in(tmp_path) == ["False.txt", "True.txt", "folder"]


# what cannot be written


@pytest.mark.skipif(os.name != "posix", reason="limits of files are those of POSIX")
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_full_disk_is_reported_with_the_path(tmp_path, suffix):
    code = """
import resource, signal, sys
import numpy as np
import rleseg_core.data.writers as writers, tifffile, zarr
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
labels = np.random.default_rng(0).integers(0, 255, (3, 256, 256)).astype(np.uint8)
try:
    writers.write_labels(sys.argv[1], labels)
except OSError as error:
    print(error.filename)
"""
    target = tmp_path / f"masks{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(target)
    assert not names_in(tmp_path)


def test_errors_of_other_files_keep_their_names(tmp_path):
    for name in ("images.tif", 3):
        with pytest.raises(OSError) as caught, naming(tmp_path / "masks.tif"):
            raise OSError(2, "gone", name)
        assert caught.value.filename == name


@pytest.mark.skipif(os.name != "posix", reason="Windows has no umask")
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        path = save_checkpoint(tiny(tmp_path / "m.safetensors"), {"a": torch.ones(2)})
        labels = write_labels(tmp_path / "a.tif", np.ones((1, 8, 8), np.uint8))
        folder = write_labels(tmp_path / "a.zarr", np.ones((1, 8, 8), np.uint8))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == labels.stat().st_mode & 0o777 == 0o666 & ~mask
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask


# runs


def tiny(path: Path):
    return new_model(
        path,
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(8, 8), class_names=NAMES),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=16,
    )


def begin(folder: Path, *, path: Path | None = None, **how):
    sequence = synthesize(SyntheticConfig(n_frames=2, size=(64, 64), seed=3))
    images = ImageStack.from_array(sequence.images)
    stack = LabelledStack(images=images, classes=sequence.classes, class_names=NAMES)
    data = TrainingData(stacks=[stack], validation=())
    info = tiny(path or folder / "model.safetensors")
    return train(info, data, CONFIG, folder, device="cpu", **how)


def test_second_training_in_a_folder_is_refused_and_told_by_whom(tmp_path):
    first = begin(tmp_path)
    next(first)
    for how in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(InUseError, match=rf"run folder .* in use by .*process {os.getpid()}"):
            begin(tmp_path, **how)
    first.close()
    assert [report.step for report in begin(tmp_path, resume=True)] == [2, 3]
    assert [report.step for report in read_reports(tmp_path)] == [1, 2, 3]
    assert load_checkpoint(tmp_path / "model.safetensors").info.step == 3


def test_run_that_never_began_holds_nothing(tmp_path):
    begin(tmp_path)
    run = begin(tmp_path)
    assert len(list(run)) == 3


def test_run_resumes_after_its_holder_was_killed(tmp_path):
    code = """
from rleseg_core.training.folder import lock_run
from pathlib import Path
lock = lock_run(Path(sys.argv[1]))
kill()
"""
    killed(code, tmp_path)
    lock_run(tmp_path).release()
    assert len(list(begin(tmp_path, resume=True))) == 3


def test_resumed_run_may_write_its_own_model_and_no_other(tmp_path):
    list(begin(tmp_path))
    assert not list(begin(tmp_path, resume=True))  # finished
    other = save_checkpoint(tiny(tmp_path / "other.safetensors"), {})
    with pytest.raises(OutputError, match="exists already"):
        begin(tmp_path, path=other, resume=True)


@pytest.mark.slow
def test_killed_segmentation_leaves_nothing_after_the_next_command(tmp_path):
    info = tiny(tmp_path / "tiny.safetensors")
    save_checkpoint(info, build_model(info).state_dict())
    tifffile.imwrite(tmp_path / "images.tif", np.zeros((2, 64, 64), np.uint8))
    out = tmp_path / "results" / "masks.tif"
    code = """
from rleseg_core.inference.stitch import Stitcher
from rleseg_core.cli import main
Stitcher.add = kill
main(sys.argv[1:])
"""
    command = ("predict", tmp_path / "images.tif", "-m", info.path, "-o", out, "--device", "cpu")
    killed(code, *command, "-q")
    assert len(names_in(out.parent)) == 3  # of masks, ids and table
    with pytest.raises(SystemExit) as end:
        main([*map(str, command), "-q"])
    assert not end.value.code
    names = ["masks.objects.csv", "masks.objects.tif", "masks.tif"]
    assert sorted(names_in(out.parent)) == names


def test_work_folder_is_removed_whatever_happens(tmp_path):
    for error in (ValueError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), work_folder(tmp_path) as work:
            raise error(work.new.joinpath("half").touch())
        assert not names_in(tmp_path)
