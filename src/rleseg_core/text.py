"""Names and messages as they are shown to people."""

_SPACES = "\u00a0\u2009\u202f"  # of numbers and units; harmless


def printable(text: str, keep: str = "") -> str:
    """The text with all that a terminal or a label would obey, not show, written as an escape.

    These are control characters (an escape sequence, a newline in the name of a file), marks that
    turn the direction of text, invisible characters, and bytes of a name that are no text.

    Parameters
    ----------
    text : str
        Such as a message with the name of a file in it.
    keep : str
        Characters that stay as they are, such as newlines between lines of our own.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in _SPACES or character in keep
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def counted(n: int, noun: str, plural: str = "") -> str:
    """A number of things, such as "1 frame" and "1,200 frames".

    Parameters
    ----------
    n : int
        How many there are.
    noun : str
        One of them.
    plural : str
        Several of them, if an s is not all that is added.
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"
