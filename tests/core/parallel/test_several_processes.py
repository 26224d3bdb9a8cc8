import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, load_checkpoint, read_info
from rleseg_core.cli import main
from rleseg_core.data import LabelledStack
from rleseg_core.errors import TrainingError
from rleseg_core.parallel.launch import (
    begin_random_step,
    join,
    launch,
    share_of_batch,
)
from rleseg_core.parallel.processes import (
    PEER_IS_GONE,
    Cluster,
    is_peer_failure,
    report_to_launcher,
)
from rleseg_core.training import BEST, LAST, TrainingData, read_reports, train
from rleseg_core.training.run_state import resumed_settings


def command(folder: Path, name: str, *more: object) -> list[str]:
    """A short training run of a tiny model, with one process unless `more` says otherwise."""
    words = [
        *("train", folder / "images.tif", folder / "classes.tif", "--classes", "ipsc,dfc"),
        *("--out", folder / f"{name}.safetensors", "--size", "test", "--patch", 64),
        *("--mask-size", 16, "--max-tokens", 96, "--batch-size", 4, "--validate-every", 0),
        *("--device", "cpu", "--no-bf16-convolutions", "--quiet", *more),
    ]
    return [str(word) for word in words]


def run_here(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert not end.value.code


def program(*arguments: str) -> str:
    """Code of a process that runs a command of `rleseg`."""
    return f"from rleseg_core.cli import main; main({list(arguments)!r})"


def losses(folder: Path) -> list[float]:
    return [report.loss for report in read_reports(folder)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with images and masks, and a backbone with batch normalisation."""
    from safetensors.torch import save_file

    from rleseg_core.model import model_config
    from rleseg_core.model.backbones.resnet import ResNet

    folder = tmp_path_factory.mktemp("data")
    size = ("--frames", "6", "--height", "96", "--width", "96", "--seed", "3")
    run_here("synth", str(folder), *size, "--quiet")
    config = model_config(
        "paper",
        vocab_size=1,
        max_tokens=1,
        image_size=64,
        backbone_widths=(8, 8, 8),
        backbone_blocks=(1, 1, 1),
        stem="torchvision",
    )
    torch.manual_seed(0)
    backbone = ResNet(config.backbone)
    for part in backbone.modules():
        if hasattr(part, "bn3"):
            torch.nn.init.ones_(part.bn3.weight)
    save_file(backbone.state_dict(), folder / "backbone.safetensors")
    return folder


def test_two_processes_of_any_launcher_come_to_the_losses_of_one(data, start_child):
    # few small steps: AdamW makes more of a rounding error with each
    more = ("--steps", 6, "--lr", 1e-4, "--seed", 2, "--backbone", data / "backbone.safetensors")
    more += ("--token-share", 0.5)  # of the same windows
    with socket.socket() as free:
        free.bind(("localhost", 0))
        where = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    code = program(*command(data, "two", *more))
    both = [start_child(code, RANK=str(rank), WORLD_SIZE="2", **where) for rank in (0, 1)]
    run_here(*command(data, "one", *more))
    for child in both:
        assert (child.wait(), child.out) == (0, ""), child.err
    assert len(losses(data / "one")) == 6
    np.testing.assert_allclose(losses(data / "two"), losses(data / "one"), rtol=0, atol=1e-5)
    assert len((data / "two/reports.jsonl").read_text().splitlines()) == 6
    first, second = (load_checkpoint(data / f"{name}.safetensors") for name in ("one", "two"))
    assert first.info.card["backbone"] == second.info.card["backbone"] == "backbone.safetensors"
    averages = [name for name in first.weights if name.endswith("running_var")]
    assert averages
    for name in averages:
        torch.testing.assert_close(first.weights[name], second.weights[name])


def child_of_rank(parent: int, rank: int) -> int:
    import psutil

    for child in psutil.Process(parent).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return child.pid
    raise AssertionError(f"there is no process {rank}")


def test_run_of_two_whose_second_is_killed_resumes_alone(data, start_child):
    steps = ("--steps", 1_000_000, "--checkpoint-every", 2)  # it does not end by itself
    run = start_child(program(*command(data, "killed", *steps, "--devices", 2)))
    folder = data / "killed"
    while len(losses(folder)) < 5:
        assert run.is_running, run.err
        time.sleep(0.02)
    os.kill(child_of_rank(run.pid, 1), signal.SIGKILL)
    assert (run.wait(), run.out) == (2, ""), run.err
    message = run.err
    assert len(message.strip().splitlines()) == 1
    expected = "error: process 1 of 2 has ended .SIGKILL, as when memory is full.*--resume"
    assert re.match(expected, message)

    checkpoint = load_checkpoint(folder / LAST)
    build_model(checkpoint.info, checkpoint.weights)
    step = checkpoint.info.step
    assert step >= 4
    assert not (data / "killed.safetensors").exists()

    info, config = resumed_settings(read_info(folder / LAST))
    stack = LabelledStack.from_paths(data / "images.tif", data / "classes.tif", ("ipsc", "dfc"))
    learned = TrainingData(stacks=[stack])
    alone = train(info, learned, config, folder, device="cpu", resume=True)
    unbroken = train(info, learned, config, data / "unbroken", device="cpu")
    whole = [next(unbroken).loss for _ in range(step + 3)]
    after = [next(alone).loss for _ in range(3)]
    np.testing.assert_allclose(after, whole[step:], rtol=0, atol=1e-5)
    alone.close()
    unbroken.close()


def of(rank: int, n: int) -> SimpleNamespace:
    return SimpleNamespace(process_index=rank, num_processes=n)


def test_batch_is_shared_evenly_or_not_at_all():
    shares = [share_of_batch(6, of(rank, 3)) for rank in range(3)]
    assert [list(range(6)[share]) for share in shares] == [[0, 3], [1, 4], [2, 5]]
    assert range(6)[share_of_batch(6, of(0, 1))] == range(6)
    with pytest.raises(TrainingError, match="4 processes cannot share the 6 windows of a step"):
        share_of_batch(6, of(0, 4))


def test_dropout_differs_between_processes_and_is_the_same_each_time():
    def draw(step: int, rank: int) -> float:
        begin_random_step(7, step, of(rank, 2))
        return float(torch.rand(()))

    with torch.random.fork_rng(devices=[]):
        assert draw(3, 0) == draw(3, 0)
        assert len({draw(step, rank) for step in (3, 4) for rank in (0, 1)}) == 4
        torch.manual_seed(1)
        begin_random_step(7, 3, of(0, 1))
        alone = float(torch.rand(()))
        torch.manual_seed(1)
        assert alone == float(torch.rand(()))


def test_a_process_that_is_alone_takes_the_device_that_was_chosen(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for name in ("cuda:1", "cuda", "cpu"):
        join("no", torch.device(name))
    assert taken == [torch.device("cuda:1")]


def test_impossible_clusters_are_told():
    assert Cluster(n_devices=4, n_nodes=2, node=1, master="node01:29500").n_processes == 8
    with pytest.raises(TrainingError, match="node 2 of 2"):
        Cluster(n_nodes=2, node=2, master="node01:29500")
    for master in ("", "node01", ":29500", "node01:port"):
        with pytest.raises(TrainingError, match="HOST:PORT of node 0, such as node01:29500, got"):
            Cluster(n_nodes=2, master=master)
    with pytest.raises(TrainingError, match="each takes its own device, got --device cuda:1"):
        launch(["train"], Cluster(n_devices=2), entry_point="a:main", device="cuda:1")


def test_nodes_find_each_other_at_the_master(monkeypatch):
    from torch.distributed.launcher import api

    launched = []

    def elastic_launch(config, entrypoint):
        return lambda *arguments: launched.append((config, entrypoint, arguments))

    monkeypatch.setattr(api, "elastic_launch", elastic_launch)
    for name in ("RLESEG_PROCESS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # what is set is taken back
    launch(
        ["train", "-q"],
        Cluster(n_devices=4, n_nodes=2, node=1, master="node01:29500"),
        entry_point="program.cli:main",
        device="cpu",
    )
    config, entrypoint, arguments = launched[0]
    assert (config.min_nodes, config.max_nodes, config.nproc_per_node) == (2, 2, 4)
    assert (config.rdzv_backend, config.rdzv_endpoint) == ("static", "node01:29500")
    assert config.rdzv_configs["rank"] == 1
    child = "from program.cli import main; main()"
    assert (entrypoint, arguments) == (sys.executable, ("-c", child, "train", "-q"))


def test_more_gpus_than_there_are_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(TrainingError, match="this machine has 1 CUDA devices, got --devices 2"):
        launch(["train"], Cluster(n_devices=2), entry_point="a:main", device="auto")


def test_process_leaves_its_error_to_the_launcher(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert not report_to_launcher("said by torchrun too")
    monkeypatch.setenv("RLESEG_PROCESS", "1")
    monkeypatch.setenv("RANK", "1")
    assert report_to_launcher("told once")
    assert json.loads((tmp_path / "error.json").read_text())["message"] == "told once"


def test_end_of_another_process_is_no_error_of_its_own(monkeypatch):
    gone = RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]")
    assert not is_peer_failure(gone)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_peer_failure(gone)
    assert not is_peer_failure(RuntimeError("something else"))
    assert PEER_IS_GONE not in (0, 1, 2)


def test_only_the_first_process_writes_the_log(tmp_path, monkeypatch):
    from rleseg_core.training.reports import logged

    def run():
        yield "report"
        return tmp_path / BEST

    monkeypatch.setenv("RANK", "1")
    assert list(logged(run(), tmp_path / "run")) == ["report"]
    assert not (tmp_path / "run").exists()
