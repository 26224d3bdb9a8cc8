"""What the docstring of a settings dataclass says of its fields: tooltips and help."""

from dataclasses import fields


def field_descriptions(settings: type) -> dict[str, str]:
    """Description of each field of a dataclass, in one line.

    Parameters
    ----------
    settings : type
        A dataclass whose numpydoc docstring has a section Parameters; an entry such as
        ``height, width : int`` describes several fields.

    Returns
    -------
    dict of str to str
        By name of the field; fields that the docstring leaves out are missing.
    """
    from docstring_parser import DocstringStyle, parse

    known = {field.name for field in fields(settings)}
    found: dict[str, str] = {}
    for entry in parse(settings.__doc__ or "", DocstringStyle.NUMPYDOC).params:
        text = " ".join((entry.description or "").split())
        found |= {name: text for name in entry.arg_name.split(", ") if name in known and text}
    return found
