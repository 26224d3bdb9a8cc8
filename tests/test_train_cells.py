"""The training of the bundled model of cells: held-out images, the clock, drawing processes."""

import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile

from rleseg_core.data import varied_stack
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.training import TrainConfig
from rleseg_core.training.optim import learning_rate
from rleseg_core.training.sampling import PatchSampler, SamplingOptions

ROOT = Path(__file__).parents[1]
SOURCES = ("bacteria", "yeast")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the processes are forked")


@pytest.fixture(scope="module")
def scripts():
    """cells_data.py and timed_training.py."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import cells_data
        import timed_training

        yield cells_data, timed_training
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def sampler():
    stack = varied_stack(0, n_frames=2, side=96)
    return PatchSampler(
        [stack],
        WindowSpec(patch=32, patch_stride=32),
        MaskSpec(size=(8, 8), class_names=stack.class_names),
        SamplingOptions(batch_size=3),
    )


def test_processes_draw_what_the_sampler_draws(scripts, sampler):
    with scripts[1].drawn_batches(sampler, 2) as batches:
        for step, batch in enumerate(itertools.islice(batches, 7)):
            expected = sampler.batch(step)
            np.testing.assert_array_equal(batch.crops.images, expected.crops.images)
            np.testing.assert_array_equal(batch.crops.classes, expected.crops.classes)
            assert [one.jitter for one in batch.changes] == [one.jitter for one in expected.changes]


def test_a_process_that_dies_ends_the_drawing_with_an_error(scripts, sampler, monkeypatch):
    monkeypatch.setattr(PatchSampler, "batch", fails_at(2, PatchSampler.batch))
    gone = (EOFError, ConnectionError)
    with scripts[1].drawn_batches(sampler, 1) as batches, pytest.raises(gone):
        for _ in batches:
            pass


def fails_at(step, batch):
    def run(sampler, at, *rows):
        if at == step:
            raise SystemExit(1)
        return batch(sampler, at, *rows)

    return run


@pytest.mark.parametrize("n_steps", [300, 5000])
def test_the_schedule_follows_the_clock(scripts, n_steps):
    config = TrainConfig(learning_rate=1e-3, warmup_steps=100, final_share=0.0)
    for step in (100, 150, 299, n_steps - 1):
        for done in (0.2, 0.5, 0.9):
            rate = learning_rate(step, scripts[1].scheduled(config, step, done))
            beyond = step - 100
            if beyond > 20:
                expected = 0.5e-3 * (1 + math.cos(math.pi * done))
                assert rate == pytest.approx(expected, abs=3e-5)
    assert learning_rate(49, scripts[1].scheduled(config, 49, 0.01)) == pytest.approx(5e-4)


def test_forked_processes_keep_the_order(scripts):
    assert scripts[0].forked(divmod, [(n, 7) for n in range(23)]) == [
        divmod(n, 7) for n in range(23)
    ]


def test_held_out_images_are_those_of_the_models_before(scripts):
    fields = [f"set{n:02d}" for n in range(1, 46)]
    assert scripts[0].held_out("usiigaci", fields) == ["set01", "set06", "set15", "set26", "set37"]
    assert scripts[0].held_out("dsb2018", [str(n) for n in range(248)]) == [
        str(n) for n in range(5, 248, 10)
    ]
    movie = [f"t{n:03d}" for n in range(45)]
    assert scripts[0].held_out("bacteria", movie) == movie[34:]
    assert scripts[0].held_out("yeast", movie[:7]) == movie[5:7]


def test_prepared_copies_keep_the_objects(scripts, tmp_path, monkeypatch):
    data = scripts[0]
    for source, n_frames in zip(SOURCES, (6, 7), strict=True):
        kind = data.SOURCES[source]
        for frame in range(n_frames):
            stack = varied_stack(frame, n_frames=1, side=128)
            for part, values in (
                (kind.images, stack.images.frame(0)[..., 0]),
                (kind.masks, stack.instance_frame(0).astype(np.uint16) * 300),
            ):
                (tmp_path / "all" / part).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(tmp_path / "all" / part / f"t{frame:03d}.tif", values)
    monkeypatch.setattr(
        data, "SOURCES", {name: replace(data.SOURCES[name], largest=96) for name in SOURCES}
    )
    data.prepare(tmp_path / "all", tmp_path / "small")
    for source, n_frames in zip(SOURCES, (6, 7), strict=True):
        whole, taught, out = data.split(tmp_path / "small", source)
        assert whole.images.shape[:3] == (n_frames, 96, 96)
        full, *roles = data.split(tmp_path / "all", source)
        assert [taught, out] == roles
        ids, true = whole.instance_frame(0), full.instance_frame(0)
        assert set(np.unique(ids)) <= set(np.unique(true))
        assert len(np.unique(ids)) > 1
    with dask.config.set(scheduler="synchronous"):  # forked processes have no threads
        teaching, held_out = data.load(tmp_path / "small", ["yeast"])
    assert all(stack.instances is not None for stack in [*teaching, *held_out["yeast"]])


def test_kinds_of_synthetic_cells_take_turns(scripts):
    looks = {"cell_radius": (12.0, 24.0)}
    drawn = scripts[0].synthetic(4, looks, ["rods", "cells"])
    assert [stack.class_names for stack in drawn] == [("cell",)] * 4
    for seed, kind in enumerate(["rods", "cells", "rods", "cells"]):
        expected = varied_stack(seed, class_names=("cell",), kind=kind, looks=looks)
        np.testing.assert_array_equal(
            drawn[seed].images.frame(3), np.asarray(expected.images.frame(3))
        )
