"""Spellings of earlier versions, which scripts may use: understood, but not in the help."""

from collections.abc import Mapping, Sequence

_COMMANDS = {("tokens", "choose"): "recommend"}
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "train": {"--mix": "--replay", "--mix-share": "--replay-share"},
    "stats": {"--picture": "--plot"},
}


def with_present_names(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command line as this version spells them."""
    words = list(arguments)
    words[1:2] = [_COMMANDS.get((words[0], word), word) for word in words[1:2]]
    present = {old: new for word in words[:2] for old, new in _OPTIONS.get(word, {}).items()}
    end = words.index("--") if "--" in words else len(words)
    for index in range(end):
        option, equals, value = words[index].partition("=")
        words[index] = present.get(option, option) + equals + value
    return words
