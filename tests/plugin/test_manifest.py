import importlib
from pathlib import Path

import pytest
from napari._app_model.constants import MenuId
from npe2 import PluginManifest

import napari_rleseg
from napari_rleseg.panels import PANELS
from rleseg_core.data.formats.registry import FORMATS, output_formats

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-rleseg")


def test_top_level_manifest_is_the_one_in_the_package():
    packaged = Path(napari_rleseg.__file__).with_name("napari.yaml")
    assert (ROOT / "napari.yaml").resolve() == packaged.resolve()


def test_every_command_can_be_imported(manifest):
    for command in manifest.contributions.commands:
        module, _, name = str(command.python_name).partition(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_what_is_used_is_declared(manifest):
    parts = manifest.contributions
    declared = {command.id for command in parts.commands}
    used = {item.command for item in (*parts.widgets, *parts.readers, *parts.writers)}
    used |= {sample.command for sample in parts.sample_data}
    items = [item for items in parts.menus.values() for item in items]
    used |= {item.command for item in items if hasattr(item, "command")}
    assert used <= declared
    submenus = {submenu.id for submenu in parts.submenus}
    assert {item.submenu for item in items if hasattr(item, "submenu")} <= submenus


def test_menus_take_contributions(manifest):
    own = {submenu.id for submenu in manifest.contributions.submenus}
    assert set(manifest.contributions.menus) - own <= {str(m) for m in MenuId.contributables()}


def test_reader_claims_only_our_folders(manifest):
    patterns = {p for reader in manifest.contributions.readers for p in reader.filename_patterns}
    assert patterns == {"*.rleseg"}


def test_manifest_validates_with_its_imports(manifest):
    manifest.validate_imports()


def test_writers_are_those_of_the_registry(manifest):
    declared = [
        (set(w.filename_extensions), w.display_name) for w in manifest.contributions.writers
    ]
    written = [(set(one.suffixes), f"Class masks ({one.label})") for one in output_formats()]
    assert declared == written


def test_reader_leaves_images_to_napari(manifest):
    """A reader of ours for these would make napari ask which reader to take, file by file."""
    patterns = {p for reader in manifest.contributions.readers for p in reader.filename_patterns}
    assert not patterns & {f"*{suffix}" for one in FORMATS for suffix in one.suffixes}


def test_every_panel_has_its_command_in_the_manifest(manifest):
    expected = {
        f"napari-rleseg.open_{panel.name}": (
            panel.command,
            f"napari_rleseg.commands:open_{panel.name}",
        )
        for panel in PANELS
    }
    found = {
        command.id: (command.title, str(command.python_name))
        for command in manifest.contributions.commands
        if command.id.startswith("napari-rleseg.open_")
    }
    assert found == expected
