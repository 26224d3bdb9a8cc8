"""Units of length and time as files spell them, converted to micrometres and seconds."""

import math
import re

_LENGTHS = {  # in micrometres; the spellings are lower case, those of `_CASED` excepted
    1e-4: ("å", "angstrom", "ångström", "ångstrom"),
    1e-3: ("nm", "nanometer", "nanometre"),
    1.0: ("um", "µm", "micrometer", "micrometre", "micron", "mic", "\\u00b5m"),
    1e3: ("mm", "millimeter", "millimetre"),
    1e4: ("cm", "centimeter", "centimetre"),
    1e5: ("dm", "decimeter", "decimetre"),
    1e6: ("m", "meter", "metre"),
    25.4: ("mil", "thou"),
    25400.0: ("in", "inch", "inches", '"'),
}
_TIMES = {  # in seconds
    1e-9: ("ns", "nanosecond"),
    1e-6: ("us", "µs", "microsecond", "\\u00b5s"),
    1e-3: ("ms", "msec", "millisecond"),
    1.0: ("s", "sec", "second"),
    60.0: ("min", "minute"),
    3600.0: ("h", "hr", "hour"),
    86400.0: ("d", "day"),
}
_CASED = {"Mm": 1e12, "km": 1e9, "pm": 1e-6}  # metres whose prefix has two cases, or is rare
_MICROS = str.maketrans(
    {"μ": "µ", "\u00c2": "", "\u0000": ""}
)  # Greek mu; "Âµ" of a wrong decoding


def micrometers_per(unit: str) -> float | None:
    r"""Micrometres in a unit of length, however it is spelled; None if it is none.

    Parameters
    ----------
    unit : str
        Such as "µm" with either of its two letters, "um", "micron", "\u00B5m" as ImageJ escapes
        it, "nm", "mm", "inch".
    """
    spelled = _clean(unit)
    return _CASED[spelled] if spelled in _CASED else _find(_LENGTHS, spelled)


def seconds_per(unit: str) -> float | None:
    """Seconds in a unit of time, however it is spelled; None if it is none."""
    return _find(_TIMES, _clean(unit))


def positive(value: object) -> float | None:
    """A finite number above 0, or None: files note 0, NaN and text where nothing is known."""
    number = finite(value)
    return number if number is not None and number > 0 else None


def finite(value: object) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _clean(unit: str) -> str:
    return str(unit).translate(_MICROS).strip()


def _find(table: dict[float, tuple[str, ...]], spelled: str) -> float | None:
    lower = spelled.lower()
    singular = re.sub(r"(?<=[a-zµ]{3})s$", "", lower)
    for factor, names in table.items():
        if lower in names or singular in names:
            return factor
    return None
