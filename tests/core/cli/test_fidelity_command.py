import csv
import json

import numpy as np
import pytest
import tifffile

COMMAND = ("tokens", "fidelity")
CENTRE = ("--rules", "centre", "--upsample", "nearest")
BAC = ("--scheme", "bac", "--budgets", 9)


@pytest.fixture
def masks(tmp_path):
    """A folder of two masks of numbered squares."""
    ids = np.zeros((2, 64, 64), np.uint16)
    ids[:, 3:20, 5:30], ids[:, 40:59, 33:52] = 1, 300
    (tmp_path / "masks").mkdir()
    for index, frame in enumerate(ids):
        tifffile.imwrite(tmp_path / "masks" / f"mask_{index}.tif", frame)
    return tmp_path / "masks"


def test_every_rule_and_size_has_its_row(run, masks):
    code, out, err = run(masks, "--instances", "--patch", 32, "--mask-sizes", "8,16", "--json")
    assert (code, err) == (0, f"{masks}: 0 → background, 2 ids → objects of foreground\n")
    rows = json.loads(out)
    told = [(row["mask_size"], row["subsample"], row["upsample"]) for row in rows]
    rules, ways = ("corner", "centre", "max"), ("nearest", "smooth")
    assert told == [(s, rule, way) for s in (8, 16) for rule in rules for way in ways]
    assert {(row["n_masks"], row["n_changed"], row["n_lost"]) for row in rows} == {(8, 0, 0)}
    assert rows[4]["recall"] == 1  # the maximum loses nothing


def test_table_names_budgets_and_what_they_cut(run, masks):
    told = ("--patch", 32, "--mask-sizes", 16, *CENTRE, "--budgets", "9", "--instances")
    code, out, _ = run(masks, *told)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == [
        *("S", "rule", "back", "budget", "recall", "prec.", "Dice", "IoU", "edge", "tokens"),
        *("cut", "lost"),
    ]
    assert [line.split()[3] for line in lines[1:4]] == ["none", "9", "9"]
    assert all(len(line.rstrip()) <= 80 for line in lines[:4])
    assert "of 8 windows" in out
    assert "changed none of their masks" in out


def test_schemes_that_lose_only_their_tail_are_measured_with_that(run, masks):
    told = ("--patch", 32, "--mask-sizes", 16, *CENTRE, *BAC, "--instances", "--json")
    code, out, _ = run(masks, *told)
    assert code == 0
    assert [row["drop"] for row in json.loads(out)] == [None, "tail"]


def test_rows_are_written_as_csv_and_quietly(run, masks, tmp_path):
    file = tmp_path / "rows.csv"
    told = ("--patch", 64, "--mask-sizes", 32, "--scheme", "tac", "--frames", 2, "--csv", file)
    assert run(masks, "--instances", *told, "-q") == (0, "", "")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 6
    assert {row["n_masks"] for row in rows} == {"1"}
    assert {row["budget"] for row in rows} == {""}
    assert all(0.5 < float(row["boundary_f"]) <= 1 for row in rows)


def test_classes_have_rows_of_their_own_and_a_mean(run, tmp_path):
    classes = np.zeros((1, 32, 32), np.uint8)
    classes[0, 4:12, 4:12], classes[0, 16:30, 16:30] = 1, 2
    tifffile.imwrite(tmp_path / "classes.tif", classes)
    told = ("--classes", "ipsc,dfc", "--patch", 32, "--mask-sizes", 16, *CENTRE)
    code, out, _ = run(tmp_path / "classes.tif", *told)
    assert code == 0
    assert [line.split()[3] for line in out.splitlines()[:4]] == ["class", "ipsc", "dfc", "mean"]


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("--patch", 30), "does not divide"),
        (("--patch", 32, "--mask-sizes", "8,x"), "--mask-sizes takes positive numbers"),
        (("--patch", 32, "--mask-sizes", "0"), "--mask-sizes takes positive numbers"),
        (("--patch", 32, "--budgets", "many"), "--budgets takes positive numbers"),
        (("--patch", 32, "--rules", "centre,mean"), "--rules takes some of corner,centre,max"),
        (("--patch", 32, "--upsample", ""), "--upsample takes some of nearest,smooth"),
        (("--patch", 32, "--drops", "head"), "--drops takes some of tail,shortest"),
        (("--patch", 32, "--scheme", "nlp", "--mask-sizes", 8), "there is no scheme"),
        (("--patch", 32, "--scheme", "tac", "--mask-sizes", 8), "n_frames=2"),
        (("--patch", 32, "--frames", 9, "--mask-sizes", 8), "windows of 9 frames"),
        (("--patch", 32, "--mask-sizes", 8, "--drops", "shortest", *BAC), "drop='tail'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(refused, masks, arguments, about):
    refused(masks, "--instances", *arguments, about=about)


def test_what_cannot_be_read_is_one_sentence(refused, masks, tmp_path):
    refused(tmp_path / "none", "--patch", 32, about="there is no file or folder")
    refused(masks, "--patch", 32, "--mask-sizes", 8, about="read them as such (--instances)")
    refused(masks, about="--patch is missing")
