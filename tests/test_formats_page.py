"""docs/formats.md says what the registry holds."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_page_is_that_of_the_registry() -> None:
    made = runpy.run_path(str(ROOT / "scripts/make_formats_page.py"))["page"]()
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    assert page == made, "run python scripts/make_formats_page.py"
