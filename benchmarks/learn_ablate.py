"""What helps, measured one thing at a time."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.learn_data import DataName, Fields, load_fields
from benchmarks.learn_recipe import CHANGES, Recipe
from benchmarks.learn_train import Clock, Ours, train_for
from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import SampleBatch, grid_samples
from rleseg_core.errors import RlesegError
from rleseg_core.training.validation import validate

N_BATCHES = 8  # decoding all windows at every mark would take longer than the training


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of the ablation.

    Parameters
    ----------
    option : str
        A key of `CHANGES`.
    seed : int
        Of weights and patches.
    data : str
        A name of `DATA`.
    data_dir : Path
        Where their folders are.
    recipe : Recipe
        The baseline.
    minutes : float
        Budget of CPU time, wall time on a GPU.
    at_steps : tuple of int
        Steps after which it is scored, as far as it comes.
    at_minutes : tuple of float
        The same in minutes of the budget.
    device : str
        Where it is trained.
    threads : int
        Of the CPU.
    """

    option: str
    seed: int
    data: DataName
    data_dir: Path
    recipe: Recipe
    minutes: float
    at_steps: tuple[int, ...]
    at_minutes: tuple[float, ...]
    device: str = "cpu"
    threads: int = 1

    def to_json(self) -> dict[str, Any]:
        """What its figures depend on; where the data lie is none of it."""
        values = asdict(self) | {"recipe": self.recipe.to_json()}
        del values["data_dir"]
        return dict(json.loads(json.dumps(values)))


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train, and score on the way: mean Dice of decoded masks of windows to look at.

    Returns
    -------
    dict
        The trial; Dice by step and by minute, or the error that prevented them.
    """
    result: dict[str, Any] = {"trial": trial.to_json()}
    try:
        return result | _scores(trial)
    except (RlesegError, TypeError) as error:  # TypeError: a setting that does not exist
        return result | {"error": str(error)}


def _scores(trial: Trial) -> dict[str, Any]:
    torch.set_num_threads(trial.threads)
    device = torch.device(trial.device)
    fields = load_fields(trial.data, trial.data_dir)
    recipe = trial.recipe.changed(CHANGES[trial.option])
    steps: dict[int, float] = {}
    minutes: dict[float, float] = {}
    last_minute = max(trial.at_minutes, default=0.0)
    with TemporaryDirectory() as folder:
        ours = Ours(fields, recipe, trial.seed, device, Path(folder))
        windows = held_out(fields, ours.info)

        def dice() -> float:
            trainer = ours.trainer
            return validate(trainer.kept_model, trainer.tokenizer, windows, device).mean_dice

        def watch(step: int, clock: Clock) -> None:
            spent = clock.seconds / 60
            due = [m for m in trial.at_minutes if m <= spent and m < last_minute]
            due = [m for m in due if m not in minutes]
            if step in trial.at_steps or due:
                with clock.pause():
                    score = dice()
                if step in trial.at_steps:
                    steps[step] = score
                minutes.update(dict.fromkeys(due, score))

        trained = train_for(
            trial.minutes,
            ours.begin,
            device,
            name=f"{trial.option}, seed {trial.seed}",
            watch=watch,
        )
        final = dice()
    rest = [m for m in trial.at_minutes if m not in minutes and m <= trial.minutes]
    return {
        "steps": steps,
        "minutes": minutes | dict.fromkeys(rest, final),
        "n_steps": trained.n_steps,
        "took": trained.minutes,
        "n_parameters": ours.n_parameters,
        "losses": trained.losses,
    }


def held_out(fields: Fields, info: ModelInfo) -> list[SampleBatch]:
    """Windows of the images to look at, side by side, and `N_BATCHES` of 16 of them at most."""
    spec = replace(info.window_spec, patch_stride=info.window_spec.patch)
    batches = list(grid_samples(fields.validation, spec, info.mask_spec))
    chosen = np.linspace(0, len(batches) - 1, min(N_BATCHES, len(batches))).round().astype(int)
    return [batches[index] for index in chosen]


def ablate(trials: Sequence[Trial], log: Path, n_jobs: int) -> list[dict[str, Any]]:
    """Results of all trials; those that the log has are not run again, new ones are added to it.

    Trials that failed are run again.
    """
    known = read_log(log)
    wanted = [trial.to_json() for trial in trials]
    found = [line for line in known if line["trial"] in wanted and "error" not in line]
    done = [line["trial"] for line in found]
    open_trials = [trial for trial in trials if trial.to_json() not in done]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        for result in _run(open_trials, n_jobs):
            result = json.loads(json.dumps(result))
            file.write(json.dumps(result) + "\n")
            file.flush()
            found.append(result)
    return found


def _run(trials: Sequence[Trial], n_jobs: int) -> Iterable[dict[str, Any]]:
    if n_jobs == 1 or len(trials) < 2:
        yield from map(run_trial, trials)
        return
    with ProcessPoolExecutor(n_jobs, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run_trial, trial) for trial in trials]):
            yield future.result()


def read_log(log: Path) -> list[dict[str, Any]]:
    """Lines of a log; one that was cut short is left out."""
    lines = []
    for text in log.read_text().splitlines() if log.is_file() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def ablation_table(
    results: Sequence[Mapping[str, Any]],
    at_steps: Sequence[int],
    at_minutes: Sequence[float],
) -> str:
    """A Markdown table: Dice of each option, mean ± standard deviation over the seeds."""
    head = ["option", *(f"{step} steps" for step in at_steps)]
    head += [*(f"{minute:g} min" for minute in at_minutes), "steps", "seeds", "what"]
    lines = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
    for option, change in CHANGES.items():
        own = [line for line in results if line["trial"]["option"] == option]
        good = [line for line in own if "error" not in line]
        if not own:
            continue
        if not good:
            told = f"failed: {own[-1]['error']}"
            lines.append([option, *[""] * (len(head) - 2), told.replace("|", "/")])
            continue
        cells = [_over_seeds(good, "steps", step) for step in at_steps]
        cells += [_over_seeds(good, "minutes", minute) for minute in at_minutes]
        n_steps = f"{mean(line['n_steps'] for line in good):.0f}"
        lines.append([option, *cells, n_steps, str(len(good)), change.what])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _over_seeds(results: Sequence[Mapping[str, Any]], kind: str, mark: float) -> str:
    """Mean ± standard deviation at a mark that all of the seeds came to, else nothing."""
    key = str(mark)
    scores = [line[kind].get(key) for line in results]
    if None in scores:
        return ""
    spread = f" ± {stdev(scores):.3f}" if len(scores) > 1 else ""
    return f"{mean(scores):.3f}{spread}"
