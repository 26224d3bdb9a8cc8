"""``rleseg models``: which models are installed, and the authors' published ones."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from rleseg_core.checkpoints import (
    ModelInfo,
    count_parameters,
    list_models,
    model_facts,
    model_folders,
    read_info,
    user_models,
)
from rleseg_core.cli.console import AsJson, Quiet, out, print_json, progress_bar
from rleseg_core.errors import CheckpointError
from rleseg_core.reports import product_of

app = typer.Typer(
    help="Which models are installed, and the authors' published ones.", invoke_without_command=True
)

BnEval = Annotated[
    Literal["auto", "moving", "batch"],
    typer.Option(
        "--bn-eval",
        help="What batch normalisation uses: moving averages, or statistics of the batch; auto: as "
        "the published code does.",
    ),
]
ClassNames = Annotated[
    str | None, typer.Option(help="Names of the foreground classes, as ipsc,dfc.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="A value of config.json, as dataset.train.subsample=8."),
]


@app.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the installed models."""
    if context.invoked_subcommand is None:
        list_installed(as_json)


@app.command("list")
def list_installed(as_json: AsJson = False) -> None:
    """List the installed models: scheme, classes, sizes, where they come from, licence."""
    rows = [_facts(info) for info in list_models()]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "scheme", "classes", "S", "P", "N", "V", "parameters", "steps")
    keys = ("name", "scheme_name", "classes", "mask", "patch", "frames", "vocabulary")
    for row in rows:
        table.add_row(
            *(_text(row[key]) for key in keys), _millions(row["parameters"]), _text(row["steps"])
        )
    out.print(table)
    for row in rows:
        about = f"{row['name']}: {row['source'] or 'source unknown'}"
        about += f"; licence: {row['licence'] or 'none given'}"
        out.print(about, soft_wrap=True, highlight=False, markup=False)
    folders = ", ".join(str(folder) for folder in model_folders())
    out.print(f"looked in: {folders}", soft_wrap=True, highlight=False, markup=False)


@app.command("import")
def import_model(
    checkpoint: Annotated[
        Path, typer.Argument(help="ckpt-N.index of TensorFlow, or the folder it is in.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The model file; by default an installed model."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Its config.json, if not beside it.")] = None,
    class_names: ClassNames = None,
    bn_eval: BnEval = "auto",
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Make a model file from a checkpoint of the published implementation."""
    from rleseg_core.published import import_checkpoint

    name = checkpoint.name if checkpoint.is_dir() else checkpoint.absolute().parent.name
    info = import_checkpoint(
        checkpoint,
        output or user_models() / f"{name}.safetensors",
        config=config,
        changes=_changes(changes),
        class_names=_names(class_names),
        bn_eval=bn_eval,
    )
    _tell(info.path, as_json)


@app.command("pull")
def pull_model(
    name: Annotated[str | None, typer.Argument(help="One of --list.")] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="The authors' published models.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The model file; by default an installed model."),
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="The zip, fetched otherwise: no network is needed.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Address of a copy of the authors' files.")
    ] = None,
    class_names: ClassNames = None,
    bn_eval: BnEval = "auto",
    changes: Changes = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fetch one of the authors' published models, and make a model file of it."""
    from rleseg_core.published import ARCHIVES, REPOSITORY, cache_folder, pull

    if show_list:
        cached = {path.name for path in cache_folder().glob("*.zip")}
        rows = [
            {"name": key, "title": each.title, "path": each.path, "cached": _zip(each.path, cached)}
            for key, each in ARCHIVES.items()
        ]
        if as_json:
            print_json(rows)
            return
        table = Table("name", "what", "in the cache")
        for row in rows:
            table.add_row(*(_text(row[key]) for key in ("name", "title", "cached")))
        out.print(table)
        out.print(f"from: {REPOSITORY}", soft_wrap=True, highlight=False)
        return
    if name is None:
        raise CheckpointError("give the name of a model; `rleseg models pull --list` has them")
    run = pull(
        name,
        output,
        source=source,
        archive=archive,
        changes=_changes(changes),
        class_names=_names(class_names),
        bn_eval=bn_eval,
    )
    with progress_bar("fetch", quiet) as bar:
        path = product_of(run, bar.fetched)
    _tell(path, as_json)


def _facts(info: ModelInfo) -> dict[str, object]:
    size = info.path.stat().st_size
    more = {"parameters": count_parameters(info.path), "megabytes": round(size / 1e6, 1)}
    return model_facts(info) | more


def _zip(path: str, cached: set[str]) -> bool:
    return path.rpartition("/")[2] in cached


def _tell(path: Path, as_json: bool) -> None:
    facts = _facts(read_info(path))
    if as_json:
        print_json(facts)
        return
    keys = ("scheme_name", "classes", "mask", "patch", "frames", "vocabulary", "steps")
    told = ", ".join(f"{key.partition('_')[0]} {_text(facts[key])}" for key in keys)
    out.print(f"written: {path} ({told})", soft_wrap=True, highlight=False, markup=False)
    card = facts["card"]
    if isinstance(card, dict) and card.get("note"):
        out.print(str(card["note"]), soft_wrap=True, highlight=False, markup=False)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _changes(given: list[str] | None) -> dict[str, object]:
    """Values by dotted name; JSON where it is that, else text."""
    changes: dict[str, object] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CheckpointError(f"--set takes NAME=VALUE, as model.vocab_size=8000; got {text!r}")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    return changes


def _millions(value: object) -> str:
    return f"{value / 1e6:.2f} M" if isinstance(value, int) else ""


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:,}" if isinstance(value, int) else str(value)
