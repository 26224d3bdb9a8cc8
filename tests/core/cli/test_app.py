"""What all commands share: how they are found, how their options are described, how they end."""

import inspect
from importlib import import_module
from importlib.metadata import version

import pytest
from cyclopts import App

from rleseg_core.cli.app import app, models, tokens

COMMANDS = [
    *(("rleseg", app, name) for name in ("demo", "synth", "train", "predict", "evaluate")),
    *(("rleseg tokens", tokens, name) for name in tokens if not name.startswith("-")),
    *(("rleseg models", models, name) for name in models if not name.startswith("-")),
]


def test_version_is_that_of_the_package(run):
    assert run("--version") == (0, f"{version('napari-rleseg')}\n", "")


@pytest.mark.parametrize("arguments", [(), ("tokens",)])
def test_groups_without_a_command_show_their_help(run, arguments):
    code, out, _ = run(*arguments)
    assert code == 2
    assert "Commands" in out
    assert run(*arguments, "--help") == (0, out, "")


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("predict", "cells.tif"), "--out is missing; see rleseg predict --help"),
        (("predict", "cells.tif", "--model", "--out", "m.tif"), "--model needs a value"),
        (("predict", "cells.tif", "-o"), "-o needs a value"),
        (("train", "a", "b", "--replay", "c"), "--replay needs 2 values"),
    ],
)
def test_an_option_without_its_value_is_not_called_missing(run, arguments, about):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {about}")
    assert len(err.splitlines()) == 1


def test_models_lists_the_bundled_one(values):
    for command in (("models",), ("models", "list")):
        rows = {row["name"]: row for row in values(*command)}
        assert "recipe" in rows["demo"]["card"]


@pytest.mark.parametrize(("parent", "group", "name"), COMMANDS)
def test_every_option_is_described(parent: str, group: App, name: str):
    command = group[name]
    function = command.default_command
    assert function is not None
    assert command.help == inspect.getdoc(function).splitlines()[0], "the line in cli/app.py"
    arguments = [
        argument
        for argument in command.assemble_argument_collection(parse_docstring=True)
        if argument.show
    ]
    assert arguments
    for argument in arguments:
        text = argument.parameter.help or ""
        assert text[:1].isupper() or text[:1] in "'[", f"{parent} {name} {argument.name}: {text!r}"
        assert text.endswith((".", ")")), f"{parent} {name} {argument.name}: {text!r}"
    names = [option for argument in arguments for option in argument.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("parent", "group", "name"), COMMANDS)
def test_commands_are_modules_of_their_name(parent: str, group: App, name: str):
    module = inspect.getmodule(group[name].default_command).__name__
    folder = parent.removeprefix("rleseg").strip()
    expected = ".".join(["rleseg_core.cli", *folder.split(), name])
    assert module.startswith(expected) or (folder, name) == ("models", "import")
    assert import_module(module).__doc__.startswith(f"``{parent} {name}``")


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("predcit",), 'Did you mean "predict"'),
        (("predict", "--nothing"), "--nothing"),
        (("tokens", "vocab", "--mask-size"), "--mask-size"),
        (("tokens", "vocab", "--mask-size", "0"), "--mask-size"),
        (("tokens", "vocab", "--mask-size", "8.5"), '"8.5"'),
        (("models", "pull"), "rleseg models pull --list"),
    ],
)
def test_bad_input_is_one_sentence(refused, arguments, about):
    refused(*arguments, about=about)


def test_retired_names_are_understood_but_not_shown(run, tmp_path):
    _, shown, _ = run("tokens", "--help")
    assert "recommend" in shown
    assert "choose" not in shown
    _, _, err = run("tokens", "choose", tmp_path / "none")
    assert "there is no file or folder" in err
    _, _, err = run("tokens", "stats", tmp_path / "none", "--picture=lengths.jpg")
    assert "lengths.jpg" in err
