import json
import sys
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from benchmarks import learn, learn_train
from benchmarks.learn_ablate import read_log
from benchmarks.learn_cellpose import CellposeContender
from benchmarks.learn_data import (
    DataName,
    Fields,
    load_fields,
    split_bacteria,
    split_dsb2018,
    split_usiigaci,
    split_yeast,
)
from benchmarks.learn_recipe import CHANGES, CellposeRecipe, our_recipe
from benchmarks.learn_score import Segmented, measure, with_pieces
from benchmarks.learn_train import Clock, Trained
from benchmarks.learn_unet import in_source, with_borders
from benchmarks.learn_watershed import Watershed, choose

from rleseg_core.data import ImageStack, LabelledStack, classes_from_instances
from rleseg_core.spec import WindowSpec

pytestmark = pytest.mark.benchmark

STACK = ImageStack.from_array(np.zeros((1, 9, 20), np.uint8))
TINY = ["--data", "synthetic", "--size", "test", "--patch", "32", "--mask-size", "8"]
TINY += ["--batch-size", "2"]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["learn.py", *words])
    monkeypatch.setattr(learn, "TIMED_STEPS", 2)
    monkeypatch.setattr(learn_train, "PROBE", 12)
    learn.main()


def rows(printed: str) -> list[list[str]]:
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
def test_both_contenders_are_trained_for_the_same_time_and_joined_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["ours", *(["unet", "unet-watershed"] if find_spec("monai") else [])]
    files = []
    for name in names:
        files.append(str(tmp_path / f"{name}.json"))
        place = ["--run-dir", str(tmp_path), "--json", files[-1]]
        run(monkeypatch, "rival", *TINY, "--minutes", "0.02", "--only", name, *place)
    capsys.readouterr()
    run(monkeypatch, "table", *files, "--json", str(tmp_path / "both.json"))
    table = rows(capsys.readouterr().out)
    assert table[0] == ["", *(learn.COLUMNS[name] for name in (*names, "truth"))]
    assert len(table) == 2 + len(learn.ROWS)
    trained = str(tmp_path / "synthetic-0" / "model.safetensors")
    run(monkeypatch, "score", *TINY, trained)
    again = rows(capsys.readouterr().out)
    assert again[0] == ["", trained]
    assert again[2] == table[2][:2]  # AP
    results = json.loads((tmp_path / "both.json").read_text())["results"]
    for name in names:
        found = results[name]
        assert 0 <= found["dice"] <= 1
        assert found["n_images"] == 16
        assert found["minutes"] > 0
        assert f"--only {name}" in found["where"]["command"]
    assert 0 < results["ours"]["encoding_share"] < 1
    assert results["truth"]["dice"] == 1


def test_an_ablation_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    words = ["ablate", *TINY, "--minutes", "0.01", "--at-steps", "1,100000", "--log", str(log)]
    run(monkeypatch, *words, "--options", "baseline", "--seeds", "0")
    first = log.read_text()
    monkeypatch.setitem(
        CHANGES, "group-norm", learn.replace(CHANGES["group-norm"], train={"no_such_setting": 1})
    )
    run(monkeypatch, *words, "--options", "baseline,group-norm", "--seeds", "0")
    assert log.read_text().startswith(first)
    assert [line["trial"]["option"] for line in read_log(log)] == ["baseline", "group-norm"]
    table = rows(capsys.readouterr().out)
    assert table[-2][0] == "baseline"
    assert float(table[-2][1]) >= 0  # after one step
    assert table[-2][2] == ""  # so many steps were never made
    assert float(table[-2][5]) >= 0  # when the time was over
    assert "no_such_setting" in table[-1][-1]


def test_a_log_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"trial": 1}\n{"trial": ')
    assert read_log(log) == [{"trial": 1}]
    assert read_log(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("option", CHANGES)
def test_every_option_makes_a_model(option: str, tmp_path: Path) -> None:
    fields = load_fields("synthetic", tmp_path)
    recipe = learn.replace(our_recipe("synthetic"), size="test", patch=32, stride=32, mask=8)
    changed = recipe.changed(CHANGES[option])
    info = changed.header(fields, tmp_path / "model.safetensors")
    assert info.mask_spec.n_frames == changed.n_frames
    changed.config(10, 0)


def test_parts_of_a_step_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backward = torch.Tensor.backward
    run(monkeypatch, "step", *TINY, "--steps", "2", "--json", str(tmp_path / "step.json"))
    assert torch.Tensor.backward is backward
    assert "| encoding |" in capsys.readouterr().out
    times = json.loads((tmp_path / "step.json").read_text())["milliseconds"]
    step, beside = times.pop("step"), times.pop("sampling")
    assert min(*times.values(), beside) > 0
    assert sum(times.values()) == pytest.approx(step)


def test_fields_that_look_alike_stay_on_one_side() -> None:
    names = [f"set{number:02}" for number in range(1, 46)]
    split = split_usiigaci(names)
    assert {part: len(chosen) for part, chosen in split.items()} == {
        "train": 30,
        "validation": 4,
        "test": 10,
    }
    assert sorted(chain(*split.values())) == names[1:]
    assert sum({"set23", "set40"} <= set(chosen) for chosen in split.values()) == 1
    assert split == split_usiigaci(names)


def test_every_fifth_nucleus_image_is_tested() -> None:
    names = [f"{number:03}" for number in range(248)]
    split = split_dsb2018(names)
    assert split["test"] == names[::5]
    assert sorted(chain(*split.values())) == names


def test_the_end_of_a_movie_is_tested() -> None:
    split = split_bacteria([f"t{frame:03}" for frame in range(45)])
    assert [int(name[1:]) for name in split["test"]] == list(range(36, 45))
    assert [int(name[1:]) for name in split["validation"]] == [5, 11, 17, 23, 29, 35]
    assert len(split["train"]) == 30
    split = split_yeast([f"t{frame}" for frame in range(7)])
    assert split == {"test": ["t5", "t6"], "validation": ["t4"], "train": ["t0", "t1", "t2", "t3"]}


@pytest.mark.parametrize(
    ("name", "expected", "n_objects"),
    [("dsb2018", [185, 13, 50], 5267), ("bacteria", [30, 6, 9], 482), ("yeast", [4, 1, 2], 446)],
)
def test_the_splits_are_there(
    name: DataName, expected: list[int], n_objects: int, shared_dir: Path
) -> None:
    fields = load_fields(name, shared_dir / "data")
    counts = [len(part[0].frames) for part in (fields.train, fields.validation, fields.test)]
    assert counts == expected
    assert fields.n_channels == 1
    assert len(fields.areas) == n_objects


def test_smaller_copies_are_read_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for frame in range(7):
        for part in ("images", "masks"):
            (tmp_path / "yeast_phase" / part).mkdir(parents=True, exist_ok=True)
            values = rng.integers(0, 9, (12, 16)).astype(
                np.uint8 if part == "images" else np.uint16
            )
            imageio.imwrite(tmp_path / "yeast_phase" / part / f"t{frame:03}.png", values)
    fields = load_fields("yeast", tmp_path)
    assert np.array_equal(fields.test[0].instance_frame(1), values)


def test_frames_are_resized_by_the_diameter_of_objects() -> None:
    ids = np.zeros((1, 60, 100), np.int32)
    for number, side in enumerate((2, 10, 20), start=1):
        ids[0, :side, 30 * number - 20 : 30 * number - 20 + side] = number
    stack = LabelledStack(
        images=ImageStack.from_array(np.zeros((1, 60, 100), np.uint8)),
        classes=classes_from_instances(ids),
        class_names=("cell",),
        instances=ids,
    )
    fields = Fields(name="one", train=(stack,), validation=(), test=(), image_size=None)
    assert fields.diameter == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert fields.smallest == 10
    assert fields.image_size_for(2 * fields.diameter) == 200
    recipe = learn.replace(our_recipe("yeast"), diameter=fields.diameter / 2)
    assert recipe.window_spec(fields).image_size == 50
    assert our_recipe("yeast").window_spec(fields).image_size is None


def test_few_images_are_chosen_evenly() -> None:
    fields = load_fields("synthetic", Path())
    assert [stack.frames for stack in fields.few(1).train] == [(2,)]
    assert [stack.frames for stack in fields.few(2).train] == [(1, 2)]
    assert fields.few(4).test == fields.test


def test_the_truth_scores_fully() -> None:
    fields = load_fields("synthetic", Path())
    stacks = fields.test[:1]
    truth = {id(stack.images): stack for stack in stacks}

    def objects(images: ImageStack, frame: int) -> Segmented:
        ids = truth[id(images)].instance_frame(frame)
        assert ids is not None
        return Segmented(truth[id(images)].class_frame(frame), ids)

    quality = measure(objects, stacks, fields.class_names)
    assert quality.dice == quality.dice_per_image == quality.outline_f == 1
    assert quality.ap == quality.f1 == quality.pq == 1
    assert quality.n_predicted == quality.n_objects > 0
    assert quality.n_images == 4
    pieces = measure(
        lambda images, frame: with_pieces(objects(images, frame).classes, 1),
        stacks,
        fields.class_names,
    )
    assert pieces.dice == 1
    assert 0.4 < pieces.ap < 1  # cells that touch are one piece
    assert pieces.outline_f < 1


def test_small_pieces_are_no_objects() -> None:
    classes = np.zeros((8, 8), np.uint8)
    classes[1:4, 1:4], classes[6, 6] = 1, 1
    assert (with_pieces(classes, 2).ids > 0).sum() == 9
    assert (with_pieces(classes, 1).ids > 0).sum() == 10


def test_borders_are_edges_and_what_lies_between_two_objects() -> None:
    ids = torch.zeros(1, 1, 9, 16, dtype=torch.int32)
    ids[..., 1:8, 1:6], ids[..., 1:8, 6:10] = 4, 9  # they touch
    ids[..., 1:8, 13:] = 7  # three columns of background before it
    found = with_borders((ids > 0).to(torch.uint8), ids, 2)[0, 0]
    assert found[4].tolist() == [0, 2, 1, 1, 2, 2, 2, 2, 1, 2, 0, 2, 0, 2, 1, 1]
    assert found[0].tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 2, 0, 0, 0, 0]
    assert found[1].tolist() == [0, *[2] * 9, 0, 2, 0, 2, 2, 2]
    assert found.dtype == torch.uint8


def probabilities(interiors: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    return np.stack([1 - foreground, interiors, foreground - interiors])


def test_interiors_grow_until_they_meet() -> None:
    foreground = np.zeros((9, 20))
    foreground[1:8, 1:17] = 1
    interiors = np.zeros((9, 20))
    interiors[2:7, 2:8], interiors[2:7, 10:16] = 0.9, 0.6
    interiors[4, 8:10] = 0.4
    frame = probabilities(interiors, foreground)
    found = Watershed(lambda _stack, _frame: frame, 10)(STACK, 0)
    assert len(np.unique(found.ids)) == 3
    assert np.array_equal(found.ids > 0, foreground > 0)
    assert np.array_equal(found.classes, foreground)
    sides = found.ids[4, [1, 8, 9, 16]].tolist()
    assert sides == [1, 1, 2, 2]
    as_one = Watershed(lambda _stack, _frame: frame, 10, interior=0.3)(STACK, 0)
    assert len(np.unique(as_one.ids)) == 2
    assert not Watershed(lambda _stack, _frame: frame, 10, interior=0.95)(STACK, 0).ids.any()
    assert not Watershed(lambda _stack, _frame: frame, 200)(STACK, 0).ids.any()


def test_objects_of_a_watershed_have_their_likeliest_class() -> None:
    first, second = np.zeros((2, 6, 12))
    first[1:5, 1:5], first[1:5, 7:11], second[1:5, 7:11] = 0.8, 0.3, 0.6
    frame = np.stack([1 - first - second, first, second, np.zeros((6, 12))])
    found = Watershed(lambda _stack, _frame: frame, 4)(STACK, 0)
    assert np.unique(found.classes[found.ids == 1]) == [1]
    assert np.unique(found.classes[found.ids == 2]) == [2]
    assert not found.classes[found.ids == 0].any()


def test_thresholds_are_chosen_on_the_validation_images() -> None:
    ids = np.zeros((1, 9, 20), np.int32)
    ids[0, 2:7, 2:9], ids[0, 2:7, 9:16] = 1, 2
    interiors = np.where(ids[0] > 0, 0.75, 0.0)
    interiors[:, 8:10] *= 0.7 / 0.75
    stack = LabelledStack(
        images=STACK, classes=classes_from_instances(ids), class_names=("cell",), instances=ids
    )
    fields = Fields(name="one", train=(stack,), validation=(stack,), test=(), image_size=None)
    plain = Watershed(lambda _stack, _frame: probabilities(interiors, interiors), 4)
    trained = Trained(predict=plain, n_steps=1, minutes=0, probe_minutes=0, losses=[])
    chosen = choose(trained, fields)
    assert chosen.chosen["interior"] == 0.7  # at less the two are one, at more there are none
    assert chosen.chosen["ap50"] == 1
    assert np.array_equal(chosen.predict(STACK, 0).ids, ids[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of its dependencies
@pytest.mark.skipif(not find_spec("cellpose"), reason="it needs an environment of its own")
def test_cellpose_learns_on_the_same_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = load_fields("synthetic", Path())
    one_class = [
        learn.replace(
            stack,
            classes=classes_from_instances(np.asarray(stack.instances)),
            class_names=("cell",),
            frames=(0, 1),
        )
        for stack in source.test
    ]
    fields = Fields(name="one", train=tuple(one_class[:2]), validation=(), test=(), image_size=None)
    cellpose = CellposeContender(
        fields, CellposeRecipe(batch_size=2), 0, torch.device("cpu"), tmp_path
    )
    trained = cellpose.train(0.01)
    assert cellpose.n_parameters > 1e6
    assert trained.minutes > 0
    assert trained.n_steps == 2  # an epoch of four images
    found = trained.predict(one_class[3].images, 0)
    assert found.ids.shape == found.classes.shape == one_class[3].images.shape[1:3]


def test_logits_come_back_to_source_pixels() -> None:
    logits = torch.zeros(1, 2, 32, 32)  # 20 rows are of the image, the others fill the patch
    logits[:, 1, :10] = 1
    logits[:, 0, 10:] = 1
    spec = WindowSpec(patch=32, patch_stride=32, image_size=32)
    labels = in_source(logits, (1, 40, 64, 1), spec)[0].argmax(0)
    assert labels.shape == (40, 64)
    assert labels[:19].all()
    assert not labels[21:].any()


def test_a_paused_clock_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr(learn_train, "time", SimpleNamespace(process_time=lambda: now))
    clock = Clock(torch.device("cpu"))
    now += 3
    with clock.pause():
        now += 100
    now += 4
    assert clock.seconds == 7


def test_the_number_of_steps_follows_the_clock() -> None:
    # the second half of a run costs twice as much as the first, and all steps come to cost half
    pace = learn_train.Pace([9.0] * 5 + [1.0] * 10 + [2.0] * 15)
    assert pace.mean(0, 1) == pytest.approx(1.5)
    assert pace.mean(0.75, 1) == pytest.approx(2)
    assert pace.cost(0, 10, 20) == pytest.approx(10)
    assert pace.steps_within(30, 10, 20) == 15


@pytest.mark.parametrize("minutes", [0.5, 1.0])
def test_a_run_becomes_longer_when_its_steps_become_cheaper(
    minutes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    lengths: list[int] = []

    def begin(n_steps: int) -> learn_train.Losses:
        step = 0
        while step < n_steps:
            now[0] += 0.1 if len(lengths) < 1 or step < 100 else 0.05
            step += 1
            n_steps = (yield 1.0) or n_steps
        lengths.append(step)
        return lambda stack, frame: Segmented(np.zeros((1, 1)), np.zeros((1, 1)))

    monkeypatch.setattr(learn_train.time, "process_time", lambda: now[0])
    trained = learn_train.train_for(minutes, begin, torch.device("cpu"), name="a run")
    assert trained.minutes == pytest.approx(minutes, rel=0.05)
    assert trained.n_steps == lengths[-1] > 1.2 * (60 * minutes / 0.1 - learn_train.PROBE)


def test_an_option_of_the_ablation_changes_the_recipe_of_a_rival():
    common = ("rival", "--objects", "--data", "bacteria", "--cpu-minutes", "1")
    plain, finer = (
        learn.chosen_recipe(learn.parse([*common, *more]))
        for more in ((), ("--change", "outlines"))
    )
    assert (plain.model, finer.model) == ({}, {"outline_dim": 24})
    assert finer.changed(CHANGES["finer-masks"]).mask == 48
