"""Spellings of earlier versions, which scripts may use: understood, but not in the help."""

from collections.abc import Mapping, Sequence

_COMMANDS = {("tokens", "choose"): "recommend"}
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "train": {"--mix": "--replay", "--mix-share": "--replay-share"},
    "stats": {"--picture": "--plot"},
}
_PARTS = {"train": ("--freeze", "--lr-of")}
"""Options whose values begin with the name of a part of the model."""


def with_present_names(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command line as this version spells them."""
    words = list(arguments)
    words[1:2] = [_COMMANDS.get((words[0], word), word) for word in words[1:2]]
    present = {old: new for word in words[:2] for old, new in _OPTIONS.get(word, {}).items()}
    of_parts = {option for word in words[:2] for option in _PARTS.get(word, ())}
    end = words.index("--") if "--" in words else len(words)
    for index in range(end):
        option, equals, value = words[index].partition("=")
        if option in of_parts and equals:
            value = _present_part(value)
        words[index] = present.get(option, option) + equals + value
        if index and words[index - 1] in of_parts:
            words[index] = _present_part(words[index])
    return words


def _present_part(text: str) -> str:
    """A part, or a part and its factor as in 'PART=0.1', by the present name of the part."""
    from rleseg_core.checkpoints.old_names import part_name  # numpy comes with it

    part, equals, factor = text.partition("=")
    return part_name(part) + equals + factor
