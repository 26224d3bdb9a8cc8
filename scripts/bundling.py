"""What the scripts that train the bundled models share: the progress they print, and the file."""

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from rleseg_core.checkpoints import (
    ModelInfo,
    build_model,
    build_tokenizer,
    load_checkpoint,
    save_checkpoint,
)
from rleseg_core.devices import choose_device
from rleseg_core.training import StepReport
from rleseg_core.training.transfer import transfer_weights


def follow_training(run: Iterable[StepReport]) -> tuple[dict[str, float], float]:
    """Run a training to its end, and print how it goes.

    Returns
    -------
    dict, float
        The scores of its best validation, and the minutes that it took.
    """
    began = time.perf_counter()
    best = {"mean": 0.0}
    for report in run:
        if report.validation:
            best = max(best, dict(report.validation), key=lambda scores: scores["mean"])
        if report.step % 25 == 0 or report.validation:
            dice = "".join(f" {k} {v:.3f}" for k, v in report.validation.items())
            print(f"{report.step} {report.seconds:.0f}s loss {report.loss:.4f}{dice}", flush=True)
    return best, (time.perf_counter() - began) / 60


def bundle(
    trained: Path, out: Path, card: Mapping[str, object], *, image_size: int | None = None
) -> None:
    """Write a trained model and its card, weights as float16, for images of some size."""
    checkpoint = load_checkpoint(trained)
    info = checkpoint.info
    info = replace(
        info,
        path=out,
        window_spec=replace(info.window_spec, image_size=image_size),
        card={"licence": "BSD-3-Clause", **card, **circumstances()},
        training={},
    )
    print(save_checkpoint(info, halved(checkpoint.weights), overwrite=True))


def adopted(base: Path, info: ModelInfo) -> dict[str, torch.Tensor]:
    """Weights to begin with for a new model: those of another, which may have another scheme."""
    earlier = load_checkpoint(base)
    old, new = build_tokenizer(earlier.info).vocab, build_tokenizer(info).vocab
    return transfer_weights(earlier.weights, old, build_model(info).state_dict(), new)


def recipe(script: str, words: Sequence[str]) -> str:
    """The command line that repeats a training, without the folders of the machine it ran on."""
    kept = list(words)
    for place in ("--data", "--run-dir", "--out"):
        if place in kept:
            at = kept.index(place)
            del kept[at : at + 2]
    return " ".join([f"python scripts/{script}", *kept])


def halved(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as float16, as they are bundled; integers stay."""
    return {
        name: value.half() if value.is_floating_point() else value
        for name, value in weights.items()
    }


def circumstances() -> dict[str, object]:
    """Where and when a model was trained."""
    return {
        "device": f"{choose_device('auto')}, {platform.machine()}, {torch.get_num_threads()} "
        "threads",
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }
