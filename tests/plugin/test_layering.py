"""Controllers know no widgets: what the panels show is below them, not the other way round."""

import ast
from pathlib import Path

import pytest

import napari_rleseg

PACKAGE = Path(napari_rleseg.__file__).parent
CONTROLLERS = sorted(path.name for path in PACKAGE.glob("*.py"))


def imported(node: ast.AST) -> set[str]:
    """Modules that a tree imports, also inside functions, but not for types only."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return set()
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {str(node.module)}
    return {name for child in ast.iter_child_nodes(node) for name in imported(child)}


def test_type_only_imports_are_told_apart():
    source = "if TYPE_CHECKING:\n    import a\nimport b\ndef f():\n    from c import d\n"
    assert imported(ast.parse(source)) == {"b", "c"}


@pytest.mark.parametrize("module", CONTROLLERS)
def test_no_controller_imports_a_widget(module):
    names = imported(ast.parse((PACKAGE / module).read_text("utf-8")))
    assert not {name for name in names if name.startswith("napari_rleseg.widgets")}
