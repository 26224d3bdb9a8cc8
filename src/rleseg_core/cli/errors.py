"""Error messages: one sentence for people, whoever raised the error."""

from collections.abc import Sequence

from cyclopts import App, ArgumentCollection, CoercionError, CycloptsError, MissingArgumentError
from cyclopts.exceptions import UnusedCliTokensError


def text_of(error: Exception) -> str:
    """One sentence that describes an error that the user can correct."""
    if isinstance(error, MissingArgumentError) and error.argument and not error.argument.tokens:
        help_of = " ".join(["rleseg", *(error.command_chain or ()), "--help"])
        if error.keyword is None:
            return f"{error.argument.name} is missing; see {help_of}"
        n_values, _ = error.argument.token_count()
        needed = f"{n_values} values" if n_values > 1 else "a value"
        return f"{error.keyword} needs {needed}; see {help_of}"
    if isinstance(error, UnusedCliTokensError):
        return f"unexpected argument: {' '.join(error.unused_tokens or ())}"
    if isinstance(error, CycloptsError):
        text = str(error).strip().removesuffix(".")
        return text[:1].lower() + text[1:]
    if isinstance(error, OSError) and error.strerror:  # folders that cannot be written, full disks
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def refuse_fractions(_app: App, _commands: Sequence[str], arguments: ArgumentCollection) -> None:
    """Refuse ``--steps 1.5``, which the parser would round."""
    for argument in arguments:
        for token in argument.tokens:
            if argument.resolved_hint is int and "." in token.value:
                raise CoercionError(argument=argument, token=token, target_type=int)
