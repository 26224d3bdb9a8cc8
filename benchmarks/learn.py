"""Print how well models learn: ours beside others, what helps, and where a step's time goes.

    python -m benchmarks.learn rival --data usiigaci --cpu-minutes 60 --threads 1
    python -m benchmarks.learn rival --data bacteria --only ours --json ours.json
    python -m benchmarks.learn table ours.json unet.json unet-watershed.json cellpose.json
    python -m benchmarks.learn score runs/learn/usiigaci-0/model.safetensors
    python -m benchmarks.learn drafts runs/learn/bacteria-0/model.safetensors --data bacteria
    python -m benchmarks.learn ablate --data usiigaci --options baseline,table-starts --jobs 2
    python -m benchmarks.learn step --device cuda

All contenders learn from the same images for the same time: CPU time of the process, wall time on a
GPU. Cutting patches and encoding masks count, scoring does not. See docs/learning.md.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.learn_ablate import Trial, ablate, ablation_table
from benchmarks.learn_cellpose import CellposeContender
from benchmarks.learn_data import DATA, Fields, load_fields
from benchmarks.learn_drafts import decode_in_all_ways, drafts_table
from benchmarks.learn_recipe import (
    CHANGES,
    CellposeRecipe,
    Recipe,
    RivalRecipe,
    objects_recipe,
    our_recipe,
)
from benchmarks.learn_score import measure, with_pieces
from benchmarks.learn_step import step_table, time_steps
from benchmarks.learn_train import Contender, Ours, count, segmented
from benchmarks.learn_unet import UNetContender, WatershedContender
from rleseg_core.checkpoints import build_model
from rleseg_core.data import LabelledStack
from rleseg_core.files import whole_file

CONTENDERS = ("ours", "unet", "unet-watershed", "cellpose")
PARTS = ("train", "validation", "test")
PACKAGES = ("napari-rleseg", "torch", "monai", "cellpose", "numpy")  # whose versions are told
TIMED_STEPS = 30
ROWS = {
    "ap50": ("AP of objects at IoU 0.5", "{:.3f}"),
    "ap75": ("AP of objects at IoU 0.75", "{:.3f}"),
    "ap": ("AP, mean of IoU 0.5 to 0.95", "{:.3f}"),
    "f1": ("F1 of objects at IoU 0.5", "{:.3f}"),
    "pq": ("panoptic quality", "{:.3f}"),
    "sq": ("segmentation quality", "{:.3f}"),
    "rq": ("recognition quality", "{:.3f}"),
    "outline_f": ("boundary F of outlines, 2 pixels", "{:.3f}"),
    "dice": ("Dice, all pixels", "{:.3f}"),
    "dice_per_image": ("Dice, mean over images", "{:.3f}"),
    "n_predicted": ("objects found", "{:,}"),
    "n_objects": ("true objects", "{:,}"),
    "seconds": ("seconds per image", "{:.2f}"),
    "n_parameters": ("parameters", "{:,}"),
    "n_steps": ("steps", "{:,}"),
    "minutes": ("minutes of training", "{:.1f}"),
    "encoding_share": ("encoding, share of a step", "{:.1%}"),
}
COLUMNS = {
    "ours": "ours",
    "unet": "U-Net",
    "unet-watershed": "U-Net, watershed",
    "cellpose": "Cellpose",
    "truth": "true classes",  # as connected pieces
}


def rival(arguments: argparse.Namespace) -> None:
    """Train and test ours, another, or one after the other."""
    device = torch.device(arguments.device)
    fields = load_fields(arguments.data, arguments.data_dir)
    fields = fields if arguments.images is None else fields.few(arguments.images)
    held_out: tuple[LabelledStack, ...] = getattr(fields, arguments.part)
    results: dict[str, dict[str, object]] = {}
    for name in [arguments.only] if arguments.only else CONTENDERS:
        model = contender(name, fields, arguments)
        trained = model.train(arguments.minutes)
        quality = measure(trained.predict, held_out, fields.class_names)
        results[name] = {
            **asdict(quality),
            "n_parameters": model.n_parameters,
            "n_steps": trained.n_steps,
            "minutes": trained.minutes,
            "probe_minutes": trained.probe_minutes,
            "clock": "wall" if device.type == "cuda" else "CPU",
            "losses": trained.losses,
            "chosen": trained.chosen,
            "recipe": model.to_json(),
            "where": machine(device, arguments),
        }
        if name == "ours":
            recipe = chosen_recipe(arguments)
            times = time_steps(fields, recipe, arguments.seed, device, TIMED_STEPS)
            results[name]["encoding_share"] = times["encoding"] / times["step"]
    results["truth"] = perfect(fields, held_out)
    images = {part: sum(len(stack.frames) for stack in getattr(fields, part)) for part in PARTS}
    print(f"\n{arguments.data}: {describe(images)}\n\n{rival_table(results)}")
    write_json(arguments.json, {"data": arguments.data, "images": images, "results": results})


def contender(name: str, fields: Fields, arguments: argparse.Namespace) -> Contender:
    """The contender of that name, before its training."""
    device, seed, recipe = torch.device(arguments.device), arguments.seed, chosen_recipe(arguments)
    folder = arguments.run_dir / f"{arguments.data}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    if name == "ours":
        return Ours(fields, recipe, seed, device, folder)
    if name == "cellpose":
        return CellposeContender(fields, CellposeRecipe(), seed, device, folder)
    n_ours = count(build_model(recipe.header(fields, folder / "model.safetensors")))
    unet = WatershedContender if name == "unet-watershed" else UNetContender
    return unet(fields, recipe, RivalRecipe(), seed, device, n_ours)


def perfect(fields: Fields, held_out: Sequence[LabelledStack]) -> dict[str, object]:
    """What the true classes would score: objects that touch are one component."""
    stacks = {id(stack.images): stack for stack in held_out}
    quality = asdict(
        measure(
            lambda images, frame: with_pieces(
                stacks[id(images)].class_frame(frame), fields.smallest
            ),
            held_out,
            fields.class_names,
        )
    )
    return {key: value for key, value in quality.items() if key != "seconds"}


def rescore(arguments: argparse.Namespace) -> None:
    """Test model files of ours again."""
    device = torch.device(arguments.device)
    fields, recipe = load_fields(arguments.data, arguments.data_dir), chosen_recipe(arguments)
    results = {
        str(path): asdict(
            measure(
                segmented(path, recipe.stitch, device, fields.smallest),
                fields.test,
                fields.class_names,
            )
        )
        for path in arguments.files
    }
    print(rival_table(results, {name: name for name in results}))


def drafts(arguments: argparse.Namespace) -> None:
    """Decode a model of objects with and without drafts, and score what comes out."""
    fields = load_fields(arguments.data, arguments.data_dir)
    rows = decode_in_all_ways(arguments.model, fields, arguments.part, arguments.device)
    where = machine(torch.device(arguments.device), arguments)
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    print(f"\n{drafts_table(rows)}")
    write_json(arguments.json, {"where": where, "rows": [asdict(row) for row in rows]})


def table(arguments: argparse.Namespace) -> None:
    """Join the figures of contenders, of one data set, in one table."""
    joined: dict[str, Any] = {}
    for path in arguments.files:
        found = json.loads(path.read_text())
        if joined and (found["data"], found["images"]) != (joined["data"], joined["images"]):
            raise SystemExit(f"{path} is of other data than {arguments.files[0]}")
        joined = {**found, "results": {**joined.get("results", {}), **found["results"]}}
    print(f"{joined['data']}: {describe(joined['images'])}\n\n{rival_table(joined['results'])}\n")
    for name in [name for name in CONTENDERS if name in joined["results"]]:
        where = joined["results"][name].get("where", {})
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in where.items()))
    write_json(arguments.json, joined)


def rival_table(
    results: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str] = COLUMNS
) -> str:
    """A Markdown table, a column for each contender and one for the true masks."""
    names = [name for name in columns if name in results]
    lines = [["", *(columns[name] for name in names)], ["---", *["---:"] * len(names)]]
    for key, (what, form) in ROWS.items():
        if not any(key in results[name] for name in names):
            continue
        cells = (form.format(results[name][key]) if key in results[name] else "" for name in names)
        lines.append([what, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe(images: Mapping[str, int]) -> str:
    """How many images are where."""
    return ", ".join(f"{number} {part}" for part, number in images.items())


def step(arguments: argparse.Namespace) -> None:
    """Tell where the time of a step goes."""
    device = torch.device(arguments.device)
    fields = load_fields(arguments.data, arguments.data_dir)
    times = time_steps(fields, chosen_recipe(arguments), arguments.seed, device, arguments.steps)
    where = machine(device, arguments)
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    print(f"\n{step_table(times)}")
    write_json(arguments.json, {"data": arguments.data, "milliseconds": times, "where": where})


def ablation(arguments: argparse.Namespace) -> None:
    """Train with one thing changed at a time."""
    options = arguments.options.split(",")
    if unknown := set(options) - set(CHANGES):
        raise SystemExit(f"there is no option {min(unknown)!r}; there are {', '.join(CHANGES)}")
    steps = tuple(int(number) for number in arguments.at_steps.split(","))
    minutes = tuple(share * arguments.minutes for share in (0.25, 0.5, 1.0))
    recipe = chosen_recipe(arguments)
    trials = [
        Trial(
            option=option,
            seed=int(seed),
            data=arguments.data,
            data_dir=arguments.data_dir,
            recipe=recipe,
            minutes=arguments.minutes,
            at_steps=steps,
            at_minutes=minutes,
            device=arguments.device,
            threads=arguments.threads,
        )
        for seed in arguments.seeds.split(",")
        for option in options
    ]
    results = ablate(trials, arguments.log, arguments.jobs)
    print(f"\n{ablation_table(results, steps, minutes)}")
    where = machine(torch.device(arguments.device), arguments)
    write_json(arguments.json, {"results": results, "where": where})


def chosen_recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe for the data, with what the command line changes."""
    names = {"size": "size", "patch": "patch", "mask_size": "mask", "batch_size": "batch_size"}
    names |= {"diameter": "diameter"}
    given = {own: getattr(arguments, name) for name, own in names.items()}
    given = {own: value for own, value in given.items() if value is not None}
    recipe = objects_recipe() if arguments.objects else our_recipe(arguments.data)
    if "batch_size" in given:
        recipe = replace(recipe, train={**recipe.train, "batch_size": given.pop("batch_size")})
    if "patch" in given:
        given["stride"] = given["patch"] * recipe.stride // recipe.patch
    recipe = replace(recipe, **given)
    return recipe.changed(CHANGES[arguments.change]) if arguments.change else recipe


def machine(device: torch.device, arguments: argparse.Namespace) -> dict[str, str]:
    """When, where and how this ran."""
    cuda = device.type == "cuda"
    return {
        "command": "python -m benchmarks.learn " + " ".join(sys.argv[1:]),
        "seed": str(getattr(arguments, "seed", getattr(arguments, "seeds", ""))),
        **report.machine(),
        "cores": str(os.cpu_count()),
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "threads": str(torch.get_num_threads()),
        **{name: installed(name) for name in PACKAGES},
    }


def installed(name: str) -> str:
    """Version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def write_json(path: Path | None, values: Mapping[str, object]) -> None:
    """Write figures, if they are wanted."""
    if path is not None:
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(values, indent=1) + "\n")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", choices=DATA, default="usiigaci")
    common.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    common.add_argument("--device", default="cpu", help="cpu, cuda, …")
    common.add_argument("--threads", type=int, default=1)
    common.add_argument(
        "--objects", action="store_true", help="tell objects apart; one recipe for all data"
    )
    common.add_argument("--size", help="of our model, if not the recipe's")
    common.add_argument("--patch", type=int, help="P, if not the recipe's")
    common.add_argument("--mask-size", type=int, help="S, if not the recipe's")
    common.add_argument("--batch-size", type=int, help="if not the recipe's")
    common.add_argument(
        "--diameter", type=float, help="resize frames so that objects have it, in pixels"
    )
    common.add_argument("--change", choices=CHANGES, help="an option of the ablation")
    common.add_argument("--json", type=Path, help="file to write the figures to")
    timed = argparse.ArgumentParser(add_help=False)
    timed.add_argument("--cpu-minutes", "--minutes", dest="minutes", type=float, required=True)
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("--seed", type=int, default=0)

    command = commands.add_parser("rival", parents=[common, timed, one], help=rival.__doc__)
    command.add_argument("--only", choices=CONTENDERS)
    command.add_argument("--images", type=int, help="that teach, if not all; evenly chosen")
    command.add_argument("--part", choices=PARTS[1:], default="test", help="that is segmented")
    command.add_argument("--run-dir", type=Path, default=Path("runs/learn"))
    command.set_defaults(call=rival)
    command = commands.add_parser("table", help=table.__doc__)
    command.add_argument("files", type=Path, nargs="+")
    command.add_argument("--json", type=Path, help="file to write the joined figures to")
    command.set_defaults(call=table)
    command = commands.add_parser("score", parents=[common], help=rescore.__doc__)
    command.add_argument("files", type=Path, nargs="+")
    command.set_defaults(call=rescore)
    command = commands.add_parser("drafts", parents=[common], help=drafts.__doc__)
    command.add_argument("model", type=Path)
    command.add_argument("--part", choices=PARTS, default="validation")
    command.set_defaults(call=drafts)
    command = commands.add_parser("ablate", parents=[common, timed], help=ablation.__doc__)
    command.add_argument("--options", default=",".join(CHANGES))
    command.add_argument("--seeds", default="0,1,2")
    command.add_argument("--at-steps", default="100,200,400")
    command.add_argument("--jobs", type=int, default=1, help="trainings at once")
    command.add_argument("--log", type=Path, default=Path("runs/learn/ablation.jsonl"))
    command.set_defaults(call=ablation)
    command = commands.add_parser("step", parents=[common, one], help=step.__doc__)
    command.add_argument("--steps", type=int, default=TIMED_STEPS)
    command.set_defaults(call=step)
    return parser.parse_args(words)


def main() -> None:
    """Measure and print."""
    arguments = parse()
    torch.set_num_threads(getattr(arguments, "threads", 1))
    arguments.call(arguments)


if __name__ == "__main__":
    main()
