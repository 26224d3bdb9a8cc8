"""What keeps the layout as it is: directions of imports, sizes, and words.

The directions themselves are in pyproject.toml, under ``tool.importlinter``.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "src").rglob("*.py"))

MODULE_LINES = 400
FUNCTION_LINES = 60  # without the docstring
WIDGET_LINES = 200
PARAMETERS = 8  # without self; fields of dataclasses are none

# private words of earlier versions; each has a term of the literature
RETIRED = (
    *(
        "trunk",
        "bridge",
        "ramps",
        "trail",
        "settle",
        "obituary",
        "tally",
        "film",
        "promise",
        "pace",
    ),
    *("pace", "relight", "bend", "bent", "equalise", "warped_share", "neighbour_smoothing"),
    *("earlier_share", "take_back", "fixed_shapes", "RecordedStep"),
)
TRANSLATIONS = ("old_names.py", "_OLD_")  # where files of earlier versions are read


def parsed() -> Iterator[tuple[str, ast.AST]]:
    """Each node of each module, with where it stands."""
    for path in MODULES:
        name = path.relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{name}:{getattr(node, 'lineno', 1)}", node


def n_lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def n_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = node.args
    named = [a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
    return len(named) - (named[:1] in (["self"], ["cls"]))


def test_imports_point_down_and_none_go_round(capsys: pytest.CaptureFixture[str]) -> None:
    contracts = str(ROOT / "pyproject.toml")
    status = lint_imports(config_filenames=(contracts,), no_cache=True, no_logo=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert [str(path) for path, lines in lengths.items() if lines > MODULE_LINES] == []


def test_functions_are_short_and_take_few_parameters() -> None:
    long, wide = [], []
    for where, node in parsed():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            if n_lines(node) - len(docstring.splitlines()) > FUNCTION_LINES:
                long.append(f"{where} {node.name}")
            if n_parameters(node) > PARAMETERS:
                wide.append(f"{where} {node.name}")
    assert (long, wide) == ([], [])


def test_widgets_are_short() -> None:
    widgets = [
        (f"{where} {node.name}", n_lines(node))
        for where, node in parsed()
        if isinstance(node, ast.ClassDef) and "widgets" in where
    ]
    assert len(widgets) > 10
    assert [name for name, lines in widgets if lines > WIDGET_LINES] == []


def test_retired_words_are_gone() -> None:
    word = re.compile(rf"(?<![a-z])({'|'.join(RETIRED)})(?![a-z])", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if word.search(line) and not any(name in f"{path} {line}" for name in TRANSLATIONS)
    ]
    assert found == []
