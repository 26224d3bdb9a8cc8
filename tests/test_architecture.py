"""What keeps the layout as it is: directions of imports, sizes, and words.

The directions themselves are in pyproject.toml, under ``tool.importlinter``.
"""

from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]


def test_imports_point_down_and_none_go_round(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(
        config_filenames=(str(ROOT / "pyproject.toml"),), no_cache=True, no_logo=True
    )
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out
