"""Settings dataclasses that check themselves, from the types and ranges of their fields.

A range stands in the annotation of a field: ``n_steps: Annotated[int, Within(1)]``, or an alias of
this module, such as `Count`. `check_fields`, called in `__post_init__`, holds every value to it;
`from_mapping` makes the dataclass of a JSON object. The command line, the Python API and the forms
of the plugin thus refuse the same values with the same sentence.
"""

import math
import operator
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from numbers import Real
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from rleseg_core.errors import RlesegError

MOST = 2**31 - 1
_LONGEST = 80  # characters of a refused value that a message shows

Settings = TypeVar("Settings")


class Within(NamedTuple):
    """The range of a number; finite by itself.

    Parameters
    ----------
    low, high : float
        The bounds.
    above, below : bool
        Whether `low` and `high` are themselves outside.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number lies inside."""
        low = self.low < value if self.above else self.low <= value
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        at = f"{self.low:,}"
        low = "" if self.low == -math.inf else f"{'above' if self.above else 'from'} {at}"
        if self.high in (math.inf, MOST, 2**63 - 1):
            return low if self.above or not low else f"of {at} or more"
        high = f"{'below' if self.below else 'at most' if not low else 'to'} {self.high:,}"
        return f"{low} {'to ' if low and self.below else ''}{high}".strip()


Count = Annotated[int, Within(1, MOST)]
Side = Annotated[int, Within(1, 2**16)]
Index = Annotated[int, Within(0, MOST)]
NotNegative = Annotated[float, Within(0)]
Positive = Annotated[float, Within(0, above=True)]
Share = Annotated[float, Within(0, 1)]
PositiveShare = Annotated[float, Within(0, 1, above=True)]
Rate = Annotated[float, Within(0, 1, below=True)]
Seed = Annotated[int, Within(0, 2**63 - 1)]


class _Refused(Exception):
    """A value that is not what a field takes.

    Parameters
    ----------
    name : str
        Of the field, or the part of it.
    expected : str
        What it takes.
    value : object
        What it was given.
    """

    def __init__(self, name: str, expected: str, value: object) -> None:
        super().__init__(f"{name} must be {expected}, got {_shown(value)}")


def check_fields(
    settings: Any, error: type[RlesegError], part: str = "", *, only: Iterable[str] | None = None
) -> None:
    """Hold each field of a frozen dataclass to its annotation; for `__post_init__`.

    Lists become tuples, and numbers of numpy those of Python.

    Parameters
    ----------
    settings : dataclass instance
        The settings.
    error : type
        What is raised.
    part : str
        What names begin with in messages, such as ``encoder.``.
    only : iterable of str, optional
        Fields to check; all by default.

    Raises
    ------
    RlesegError
        Of that type, for the first field whose value has another type or lies outside of its
        range; a number must be finite.
    """
    hints = _hints(type(settings))
    for name in hints if only is None else only:
        value = getattr(settings, name)
        try:
            checked = _checked(value, hints[name], part + name, error)
        except _Refused as refusal:
            raise error(str(refusal)) from None
        if checked is not value:
            object.__setattr__(settings, name, checked)


def from_mapping(
    kind: type[Settings], values: object, error: type[RlesegError], part: str = ""
) -> Settings:
    """A settings dataclass, of the JSON object that `dataclasses.asdict` gave.

    Parameters
    ----------
    kind : type
        The dataclass; those in its fields are made likewise.
    values : mapping of str to object
        Its fields; those that are missing keep their defaults.
    error : type
        What is raised.
    part : str
        What names begin with in messages.

    Raises
    ------
    RlesegError
        Of that type, if a field is missing or unknown, or has a value that it cannot have.
    """
    what = part.removesuffix(".") or "the settings"
    if not isinstance(values, Mapping):
        raise error(f"{what} must be names with their values, got {_shown(values)}")
    hints = _hints(kind)
    if unknown := [name for name in values if name not in hints]:
        raise error(
            f"there is no setting {_shown(part + str(unknown[0]))}; a newer version may have "
            "written it"
        )
    for field in fields(kind):  # type: ignore[arg-type]
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and field.name not in values:
            raise error(f"{part}{field.name} is missing")
    try:
        made = {
            name: _checked(value, hints[name], part + name, error) for name, value in values.items()
        }
    except _Refused as refusal:
        raise error(str(refusal)) from None
    return kind(**made)


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(kind: type) -> dict[str, Any]:
    """Annotations of the fields of a dataclass, read once."""
    if kind not in _HINTS:
        hints = get_type_hints(kind, include_extras=True)
        _HINTS[kind] = {field.name: hints[field.name] for field in fields(kind)}
    return _HINTS[kind]


def _checked(value: Any, hint: Any, name: str, error: type[RlesegError]) -> Any:
    """The value in the form that its annotation has."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _in_range(_checked(value, arguments[0], name, error), hint, name)
    if origin in (Union, types.UnionType):
        return _one_of(value, hint, name, error)
    if origin is Literal:
        if not any(value == each and type(value) is type(each) for each in arguments):
            raise _Refused(name, _expected(hint), value)
        return value
    if origin is tuple:
        return _tuple(value, hint, name, error)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(value, hint, name, error)
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, Mapping):
        return from_mapping(hint, value, error, f"{name}.")
    return _plain(value, hint, name)


def _plain(value: Any, hint: Any, name: str) -> Any:
    """A value of a type that holds no others."""
    found = value.item() if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 else value
    if hint is int and not isinstance(found, bool):
        try:
            return operator.index(found)
        except TypeError:
            raise _Refused(name, _expected(hint), value) from None
    if hint is float:
        if isinstance(found, bool) or not isinstance(found, Real):
            raise _Refused(name, _expected(hint), value)
        if not _is_finite(found):
            raise _Refused(name, "a finite number", value)
        return found
    kinds = (str, Path) if hint is Path else hint
    misfit = isinstance(hint, type) and not isinstance(found, kinds)
    if misfit or (hint is int and isinstance(found, bool)):
        raise _Refused(name, _expected(hint), value)
    return Path(found) if hint is Path else found


def _is_finite(number: Real) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _in_range(value: Any, hint: Any, name: str) -> Any:
    for bounds in hint.__metadata__:
        if isinstance(bounds, Within) and not bounds.holds(value):
            raise _Refused(name, _expected(hint), value)
    return value


def _one_of(value: Any, hint: Any, name: str, error: type[RlesegError]) -> Any:
    arguments = get_args(hint)
    if value is None and type(None) in arguments:
        return None
    kinds = [each for each in arguments if each is not type(None)]
    if len(kinds) == 1:
        try:
            return _checked(value, kinds[0], name, error)
        except _Refused:
            if isinstance(value, Mapping | tuple | list):
                raise  # says which part of it
            raise _Refused(name, _expected(hint), value) from None
    for each in kinds:
        try:
            return _checked(value, each, name, error)
        except _Refused:
            continue
    raise _Refused(name, _expected(hint), value)


def _tuple(value: Any, hint: Any, name: str, error: type[RlesegError]) -> tuple[Any, ...]:
    kinds = get_args(hint)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _Refused(name, _expected(hint), value)
    parts = tuple(value)
    if kinds[-1] is ...:
        kinds = (kinds[0],) * len(parts)
    if len(parts) != len(kinds):
        raise _Refused(name, _expected(hint), parts)
    try:
        return tuple(
            _checked(part, kind, name, error) for part, kind in zip(parts, kinds, strict=True)
        )
    except _Refused:
        raise _Refused(name, _expected(hint), parts) from None


def _mapping(value: Any, hint: Any, name: str, error: type[RlesegError]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _Refused(name, _expected(hint), value)
    kind = (get_args(hint) or (str, object))[1]
    checked = {key: _checked(each, kind, f"{name}[{key!r}]", error) for key, each in value.items()}
    return value if checked == value else checked


def _expected(hint: Any) -> str:
    """What a field takes, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = " ".join(str(each) for each in hint.__metadata__ if isinstance(each, Within))
        return f"{_expected(arguments[0])} {bounds}".rstrip()
    if origin in (Union, types.UnionType):
        return " or ".join(map(_expected, arguments))
    if origin is Literal:
        *first, last = map(repr, arguments)
        return f"{', '.join(first)} or {last}" if first else last
    if origin is tuple:
        if arguments[-1] is ...:
            return f"a list, each {_expected(arguments[0])}"
        return f"{len(arguments)} values, each {_expected(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "names with their values"
    if isinstance(hint, type) and is_dataclass(hint):
        return "names with their values"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(hint, "none" if hint is type(None) else str(getattr(hint, "__name__", hint)))


def _shown(value: object) -> str:
    """A refused value, shortened where it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_LONGEST:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, Mapping | list | tuple) and len(value) > _LONGEST:
        return f"{len(value)} values"
    try:
        text = ascii(value) if isinstance(value, bytes) else repr(value)
    except (RecursionError, ValueError):  # nested too deeply
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
