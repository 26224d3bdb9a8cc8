"""Classes of masks and models, matched by name rather than by position."""

from collections.abc import Sequence

from rleseg_core.errors import DataError


def ids_by_name(
    noted: Sequence[str], wanted: Sequence[str], what: str = "the mask"
) -> dict[int, int]:
    """Class ids as they are wanted, by those that a mask notes with its class names.

    Parameters
    ----------
    noted : sequence of str
        Names of the ids from 1 on, as the mask notes them; empty where it notes none.
    wanted : sequence of str
        Names of the ids from 1 on, as they are wanted.
    what : str
        Name of the mask in errors; empty where a caller puts it before them.

    Returns
    -------
    dict of int to int
        For each id from 1 on. Without notes, ids stay as they are. Noted classes that are not
        wanted are left out, which is an error once one of their pixels is found.

    Raises
    ------
    DataError
        If no name is wanted, or names differ in spelling only, or wanted classes are missing from
        the mask while it has others: they may be the same ones, renamed.
    """
    if not noted:
        return {label: label for label in range(1, len(wanted) + 1)}
    strange = [name for name in noted if name not in wanted]
    missing = [name for name in wanted if name not in noted]
    if strange and missing:
        raise DataError(
            f"{what + ' ' if what else ''}notes the classes {listed(noted)}, but {listed(wanted)} "
            f"{'is' if len(wanted) == 1 else 'are'} wanted; classes are matched by name: use the "
            f"names that it notes (--classes {','.join(noted)}), in any order"
        )
    order = {name: label for label, name in enumerate(wanted, 1)}
    return {label: order[name] for label, name in enumerate(noted, 1) if name in order}


def names_in_order(known: Sequence[str], names: Sequence[str], what: str) -> tuple[str, ...]:
    """Class names in the order in which a model knows them.

    Parameters
    ----------
    known : sequence of str
        Names of the classes of the model.
    names : sequence of str
        Names of the classes of the masks.
    what : str
        Name of the model in errors.

    Returns
    -------
    tuple of str
        The order of the model where both have the same classes; else `names` as they are, if none
        of them is a class of the model.

    Raises
    ------
    DataError
        If some classes are the same and others are not: it cannot be told which is which.
    """
    if set(known) == set(names):
        return tuple(known)
    folded = {name.strip().casefold() for name in known}
    if any(name.strip().casefold() in folded for name in names):
        raise DataError(
            f"{what} has the classes {listed(known)}, the masks {listed(names)}; name the same "
            f"classes for both (--classes {','.join(known)}), or none of them, for new ones"
        )
    return tuple(names)


def listed(names: Sequence[str]) -> str:
    """Names in words: a, b and c."""
    *head, tail = names
    return f"{', '.join(head)} and {tail}" if head else tail
