"""``rleseg models pull``: a published model, fetched and made a model file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rleseg_core.cli.console import LiteralTable, out, print_json, print_line, progress_bar
from rleseg_core.cli.models.facts import ConversionOptions, print_written
from rleseg_core.cli.options import Reporting
from rleseg_core.errors import CheckpointError
from rleseg_core.reports import product_of


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PullOptions:
    """Where a published model comes from.

    Parameters
    ----------
    show_list : bool
        List the models that the authors published.
    archive : Path or None
        The zip of the model, where it is here already; no network is needed then.
    source : str or None
        Address of a copy of the authors' files.
    """

    show_list: Annotated[bool, Parameter(name="--list")] = False
    archive: Path | None = None
    source: Annotated[str | None, Parameter(metavar="URL", show_default="the authors' files")] = (
        None
    )


def pull_model(
    name: str | None = None,
    /,
    *,
    where: PullOptions = PullOptions(),
    options: ConversionOptions = ConversionOptions(),
    reporting: Reporting = Reporting(),
) -> None:
    """Fetch one of the authors' published models, and make a model file of it.

    Parameters
    ----------
    name : str or None
        A name that --list shows.
    where : PullOptions
        Where it comes from.
    options : ConversionOptions
        How it becomes a model file.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.published import pull

    if where.show_list:
        _print_list(reporting)
        return
    if name is None:
        raise CheckpointError("give the name of a model; `rleseg models pull --list` has them")
    run = pull(
        name,
        options.output,
        source=where.source,
        archive=where.archive,
        changes=options.config_values,
        class_names=options.names,
        bn_eval=options.bn_eval,
        overwrite=options.overwriting.overwrite,
    )
    with progress_bar("fetch", reporting.quiet) as bar:
        path = product_of(run, bar.fetched)
    print_written(path, reporting)


def _print_list(reporting: Reporting) -> None:
    from rleseg_core.published import ARCHIVES, REPOSITORY, cache_folder

    cached = {path.name for path in cache_folder().glob("*.zip")}
    rows = [
        {
            "name": name,
            "title": archive.title,
            "path": archive.path,
            "cached": archive.path.rpartition("/")[2] in cached,
        }
        for name, archive in ARCHIVES.items()
    ]
    if reporting.as_json:
        print_json(rows)
        return
    table = LiteralTable("name", "what", "in the cache")
    for row in rows:
        table.add_row(str(row["name"]), str(row["title"]), "yes" if row["cached"] else "")
    out.print(table)
    print_line(f"from: {REPOSITORY}")
