"""Names and messages in labels, tooltips and buttons of Qt, which would obey some of them."""

import html
import re

from rleseg_core.text import printable


def shown(text: str) -> str:
    """Text for a tooltip, a notification or a dialog, which take text with a tag for HTML.

    Parameters
    ----------
    text : str
        Such as a message with the name of a file; its lines stay lines.

    Returns
    -------
    str
        The text itself, or HTML that shows it as it is.
    """
    text = printable(text, keep="\n")
    if "<" not in text and "&" not in text:
        return text
    return f"<qt>{html.escape(text, quote=False).replace(chr(10), '<br>')}</qt>"


def without_options(text: str) -> str:
    """A message without its hints at options of the command line, such as ``(--z chooses one)``."""
    return re.sub(r"\s*\(--[^()]*\)", "", text)


def on_button(text: str) -> str:
    """Text for a button or a tab, where an ampersand would mark a key."""
    return printable(text).replace("&", "&&")
