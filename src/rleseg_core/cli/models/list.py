"""``rleseg models list``: the installed models."""

from rleseg_core.checkpoints import installed_models, model_folders
from rleseg_core.cli.console import LiteralTable, out, print_json, print_line
from rleseg_core.cli.models.facts import facts_of, in_millions, text_of
from rleseg_core.cli.options import Reporting


def list_models(reporting: Reporting = Reporting()) -> None:
    """List the installed models: scheme, classes, sizes, where they come from, licence.

    Parameters
    ----------
    reporting : Reporting
        What is printed.
    """
    models, unreadable = installed_models()
    rows = [facts_of(info) for info in models]
    if reporting.as_json:
        bad = [{"name": m.path.stem, "file": str(m.path), "error": m.reason} for m in unreadable]
        print_json([*rows, *bad])
        return
    if reporting.quiet:
        return
    table = LiteralTable("name", "scheme", "classes", "S", "P", "N", "V", "parameters", "steps")
    keys = ("name", "scheme_name", "classes", "mask", "patch", "frames", "vocabulary")
    for row in rows:
        table.add_row(
            *(text_of(row[key]) for key in keys),
            in_millions(row["parameters"]),
            text_of(row["steps"]),
        )
    out.print(table)
    for row in rows:
        about = f"{row['name']}: {row['source'] or 'source unknown'}"
        about += f"; licence: {row['licence'] or 'none given'}"
        print_line(about)
    for model in unreadable:
        print_line(f"unreadable: {model.reason}")
    folders = ", ".join(str(folder) for folder in model_folders())
    print_line(f"looked in: {folders}")
