"""docs/tokenization.md says what the code does."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rleseg_core.tokens import PRESETS
from rleseg_core.tokens.flattening import FLATTENINGS, Volume

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/tokenization.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    """scripts/make_token_pictures.py; what it imports lies beside it."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import make_token_pictures

        yield make_token_pictures
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def code_blocks():
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def what_the_page_adds_goes_again(monkeypatch):
    monkeypatch.setitem(FLATTENINGS, ("volume", "snake"), Volume)


def test_tables_and_tokens_of_the_page_are_those_of_the_code(script):
    assert PAGE.count("<!-- made: ") == PAGE.count("<!-- end -->") > 0
    assert script.filled(PAGE) == PAGE, "run scripts/make_token_pictures.py"


def test_page_tells_of_every_preset():
    for name in PRESETS:
        assert f"\n| `{name}` | " in PAGE


def test_pictures_of_the_page_are_those_of_the_script_and_small(script, tmp_path):
    shown = re.findall(r"\]\(images/tokens-(\w+)\.png\)", PAGE)
    assert sorted(shown) == sorted(script.PICTURES)
    sizes = []
    for name, draw in script.PICTURES.items():
        draw(tmp_path / "picture.png")
        assert (ROOT / f"docs/images/tokens-{name}.png").exists()
        sizes.append((tmp_path / "picture.png").stat().st_size)
    assert max(sizes) < 65_000
    assert sum(sizes) < 600_000


def test_code_of_the_page_runs(capsys):
    names: dict[str, object] = {}
    for block in code_blocks():
        exec(block, names)
    assert "lac" in capsys.readouterr().out


def test_snake_of_the_page_is_a_whole_scheme():
    names: dict[str, object] = {}
    exec(next(block for block in code_blocks() if "class Snake" in block), names)
    tokenizer = names["tokenizer"]
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (64, 1, 4, 6)).astype(np.uint8) * rng.integers(0, 2, (64, 1, 4, 6))
    batch = tokenizer.encode_batch(torch.from_numpy(masks), budget=64)
    for mask, row, n_tokens in zip(masks, batch.tokens, batch.n_tokens, strict=True):
        tokens = tokenizer.encode(mask)
        np.testing.assert_array_equal(row[:n_tokens], tokens)
        np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, mask)
        labels = np.zeros_like(mask)
        for event in tokenizer.events(tokens.tolist()):
            tokenizer.paint(labels, event)
        np.testing.assert_array_equal(labels, mask)
