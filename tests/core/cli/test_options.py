from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from cyclopts import App, Group, Parameter

from rleseg_core.cli.options import FLAT, given_fields

GROUP = Group("Cooking")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How something is cooked.

    Parameters
    ----------
    n_eggs : int
        Number of eggs.
    stir : bool
        Stir it.
    spices : mapping of str to float
        Grams of each spice.
    limits : (float, float)
        Lowest and highest temperature in °C.
    """

    n_eggs: int = 2
    stir: bool = True
    spices: Mapping[str, float] = field(default_factory=dict)
    limits: tuple[float, float] = (60.0, 80.0)


def given(*arguments):
    options = given_fields(Recipe, {"n_eggs": Parameter(name="--eggs")}, group=GROUP)
    app, found = App(), []

    @app.default
    def cook(recipe: Annotated[options, FLAT] = None):
        found.append(recipe)

    app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    return found[0], app.assemble_argument_collection(parse_docstring=True)


def test_a_command_gets_the_fields_that_were_given():
    assert given()[0] is None
    assert given("--eggs", "2")[0] == {"n_eggs": 2}  # the default, but given
    recipe, _ = given(
        "--no-stir", "--limits", "50", "70", "--spices", "salt=1", "--spices", "dill=2"
    )
    assert recipe == {"stir": False, "limits": (50.0, 70.0), "spices": ["salt=1", "dill=2"]}


def test_options_are_described_as_the_fields_are():
    eggs, _, spices, limits = (one for one in given()[1] if not one.children)
    assert (eggs.name, eggs.parameter.help, eggs.show_default) == ("--eggs", "Number of eggs.", "2")
    assert spices.parameter.metavar == "NAME=NUMBER"
    assert limits.show_default == "60.0 80.0"


def test_a_field_that_is_gone_is_noticed():
    with pytest.raises(TypeError, match="Recipe has no milk"):
        given_fields(Recipe, {"milk": Parameter()}, group=GROUP)
    with pytest.raises(TypeError, match="Recipe has no milk"):
        given_fields(Recipe, group=GROUP, without=("milk",))
