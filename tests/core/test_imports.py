"""The core runs without a GUI, and what a viewer imports at start does not wait for torch."""

import json
import pkgutil
import subprocess
import sys

import pytest

import rleseg_core

GUI = ("qtpy", "napari", "magicgui", "superqt", "psygnal", "PyQt6", "PySide6", "npe2")
LIGHT = (
    "rleseg_core",
    "rleseg_core.data",
    "rleseg_core.checkpoints",
    "rleseg_core.corrections",
)
LIGHT += (
    "rleseg_core.cli",
    "rleseg_core.evaluation.scores",
    "rleseg_core.training",
    "rleseg_core.data.synthetic",
)


def modules_after(code: str) -> set[str]:
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(run.stdout.splitlines()[-1])}


def core_modules() -> list[str]:
    found = pkgutil.walk_packages(rleseg_core.__path__, "rleseg_core.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def test_no_core_module_imports_a_gui():
    code = "import importlib\n" + "\n".join(
        f"importlib.import_module({name!r})" for name in core_modules()
    )
    assert not modules_after(code) & set(GUI)


def test_walk_finds_every_package():
    names = set(core_modules())
    assert {"rleseg_core.tokens", "rleseg_core.model", "rleseg_core.cli", *LIGHT[1:]} <= names


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_do_not_import_torch(name):
    assert "torch" not in modules_after(f"import {name}")


def test_child_process_imports_neither_a_gui_nor_torch():
    assert not modules_after("import napari_rleseg.child") & {*GUI, "torch", "numpy"}


def test_jobs_import_no_gui():
    assert not modules_after("import napari_rleseg.tasks") & {*GUI, "torch"}
