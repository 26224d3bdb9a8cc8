"""Options from settings dataclasses, each described once, by the dataclass's docstring."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, TypedDict, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter

from rleseg_core.checks import MOST, Within
from rleseg_core.docstrings import field_descriptions
from rleseg_core.spec import ImageSide

FLAT = Parameter(name="*")
"""For a dataclass whose fields are options themselves: ``--quiet``, not ``--reporting.quiet``."""


def within(bounds: Within) -> Parameter:
    """A parameter whose number lies in a range, and is finite."""

    def validate(_: object, value: float | None) -> None:
        if value is not None and not (math.isfinite(value) and bounds.holds(value)):
            raise ValueError(f"Must be {bounds}.")

    return Parameter(validator=validate)


POSITIVE = within(Within(1, MOST))
NOT_NEGATIVE = within(Within(0, MOST))

OUTPUT = Group("Output", sort_key=90)

Device = Annotated[
    str,
    Parameter(help="What computes: auto (a GPU where there is one), cpu, cuda, cuda:1, … or mps."),
]
ImageSize = Annotated[
    int | None,
    within(get_args(ImageSide)[1]),
    Parameter(
        help="I: frames are resized so that their longer side has this many pixels.",
        show_default="as they are",
    ),
]


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, kw_only=True)
class Reporting:
    """What a command prints.

    Parameters
    ----------
    quiet : bool
        Show no progress bars and no tables.
    as_json : bool
        Print the result as JSON on stdout.
    """

    quiet: Annotated[bool, Parameter(alias="-q")] = False
    as_json: Annotated[bool, Parameter(name="--json")] = False


_OPTION_OF = {"max_tokens": "--max-tokens", "contrast": "--contrast"}
"""The options of fields that have one, as far as commands were imported."""


def with_option_names(message: str) -> str:
    """The sentence of `check_fields` on a value, about the option rather than the field."""
    return re.sub(
        r"^(?:\w+\.)*(\w+)(?= must be )", lambda found: _OPTION_OF.get(found[1], found[0]), message
    )


def given_fields(
    settings: type,
    spelled: Mapping[str, Parameter] | None = None,
    *,
    group: Group,
    prefix: str = "",
    without: Sequence[str] = (),
) -> Any:
    """A type whose values are the fields of a settings dataclass that the user gave.

    A command thus knows what was chosen and what was not: other values may fit a model better
    than the defaults of the dataclass.

    Parameters
    ----------
    settings : type
        A dataclass; each of its fields becomes an option, described by its docstring.
    spelled : mapping of str to Parameter, optional
        What differs from the rule, by name of the field: a spelling, a group, a default to show.
    group : Group
        Heading of the options in the help.
    prefix : str
        What options begin with, such as ``augment-``.
    without : sequence of str
        Fields that are no options.

    Returns
    -------
    type
        A TypedDict in which no key is required.
    """
    spelled = spelled or {}
    names = {field.name for field in fields(settings)}
    if unknown := {*spelled, *without} - names:
        raise TypeError(f"{settings.__name__} has no {', '.join(sorted(unknown))}")
    tips, hints = field_descriptions(settings), get_type_hints(settings)
    options = {}
    for field in fields(settings):
        if field.name not in without:
            hint, usual = _usual(field, hints[field.name], prefix)
            described = Parameter(group=group, help=tips.get(field.name))
            differs = spelled.get(field.name, Parameter())
            options[field.name] = Annotated[hint, usual, described, differs]
            spellings: Any = differs.name or usual.name  # a tuple, whatever its type says
            _OPTION_OF.setdefault(field.name, spellings[0])
    make_type: Any = TypedDict  # mypy wants its fields written out
    return make_type(f"Given{settings.__name__}", options, total=False)


def _usual(field: Field, hint: Any, prefix: str) -> tuple[Any, Parameter]:
    """Type, spelling and shown default of a field's option where nothing else is said."""
    name = f"{prefix}{field.name}".replace("_", "-")
    parts: dict[str, Any] = {"name": f"--{name}"}
    if field.default is not MISSING:
        parts["show_default"] = default_text(field.default) or False
    if hint is bool and field.default is True:
        parts["negative"] = f"--no-{name}"
    if get_origin(hint) is Mapping:
        hint = list[str]  # texts for `numbers_by_name`, one for each time that the option is given
        parts["metavar"] = "NAME=NUMBER"
    return hint, Parameter(**parts)


def default_text(value: object) -> str | None:
    """How the help shows a default; nothing for flags, and for what has none."""
    if value is None or value is False or value in ((), ""):
        return None
    if value is True:
        return "yes"
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
