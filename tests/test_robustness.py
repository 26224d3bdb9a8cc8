"""A short, seeded run of `benchmarks.robustness`, and how it judges what it sees."""

from pathlib import Path

import pytest
from benchmarks import robustness
from benchmarks.robustness import Tally, kinds, main, outcome_of, printed

from rleseg_core.errors import DataError


def test_damaged_input_is_read_or_refused_and_killed_work_goes_on(capsys, tmp_path):
    chosen = ["model headers", "sessions", "token streams", "TIFF"]
    numbers = tmp_path / "numbers.json"
    code = main(["--trials", "5", "--seed", "1", "--json", str(numbers), "--kinds", *chosen])
    said = capsys.readouterr().out
    assert code == 0, said
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()]
    assert [row[0] for row in rows[2:6]] == chosen
    assert [row[1] for row in rows[2:6]] == ["5"] * 4
    assert all(row[4:] == ["0", "0", "0"] for row in rows[2:6])
    assert '"seed": 1' in numbers.read_text()


def test_write_that_is_killed_leaves_the_old_file_or_the_new_one(capsys):
    assert main(["--trials", "2", "--seed", "1", "--kinds", "writes, .tif"]) == 0
    assert "writes, .tif" in capsys.readouterr().out


def refuse():
    raise DataError("a sentence")


def fail_without_a_file():
    raise OSError("no name of a file")


def fail():
    raise KeyError("size")


def take_forever():
    robustness._too_long()


@pytest.mark.parametrize(
    ("read", "outcome", "what"),
    [
        (lambda: None, "fine", ""),
        (refuse, "refused", ""),
        (lambda: Path("/nowhere/x").read_bytes(), "refused", ""),
        (fail_without_a_file, "undocumented", "OSError at test_robustness.py"),
        (fail, "undocumented", "KeyError at"),
        (take_forever, "undocumented", "TimeoutError at"),
    ],
)
def test_readers_are_judged_by_how_they_end(read, outcome, what):
    found, text = outcome_of(read)
    assert found == outcome
    assert text.startswith(what.partition(" at ")[0])


def test_what_went_wrong_is_printed_once_with_its_seed():
    tally = Tally()
    for seed in range(3):
        tally.note("undocumented", "KeyError at x.py:1: 'size'", seed)
    tally.note("fine")
    text = printed({"TIFF": tally})
    assert "| TIFF |     4 |    1 |               0 |            3 |" in text
    assert text.count("KeyError") == 1
    assert "(seed 0)" in text


def test_unknown_kind_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--kinds", "cheese"])
    assert "there is no kind cheese" in capsys.readouterr().err


def test_all_that_is_read_and_written_has_a_kind():
    assert {"model files", "OME-Zarr", "MP4", "npy", "trainings", "imports"} <= set(kinds())
