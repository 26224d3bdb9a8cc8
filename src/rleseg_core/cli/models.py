"""``rleseg models``: which models are installed."""

from rich.table import Table

from rleseg_core.checkpoint import ModelInfo, list_models, model_folders
from rleseg_core.cli.console import AsJson, out, print_json


def models(as_json: AsJson = False) -> None:
    """List the installed models."""
    found = list_models()
    if as_json:
        print_json([_row(info) for info in found])
        return
    table = Table("name", "classes", "mask", "patch", "frames", "steps", "MB", "licence")
    for info in found:
        row = _row(info)
        table.add_row(
            *(str(row[key]) for key in ("name", "classes", "mask", "patch", "frames", "steps")),
            *(str(row[key]) for key in ("megabytes", "licence")),
        )
    out.print(table)
    folders = ", ".join(str(folder) for folder in model_folders())
    out.print(f"looked in: {folders}", soft_wrap=True, highlight=False, markup=False)


def _row(info: ModelInfo) -> dict[str, object]:
    return {
        "name": info.path.stem,
        "title": info.name,
        "classes": ", ".join(info.mask_spec.class_names),
        "mask": "x".join(map(str, info.mask_spec.size)),
        "patch": info.window_spec.patch,
        "frames": info.mask_spec.n_frames,
        "scheme": info.scheme,
        "steps": info.step,
        "megabytes": round(info.path.stat().st_size / 1e6, 1),
        "licence": str(info.card.get("licence", "")),
        "card": info.card,
        "file": str(info.path),
    }
