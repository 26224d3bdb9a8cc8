"""What a person may say of masks whose numbers cannot be told: only what makes them readable."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rleseg_core.data.ids.refusals import MARKS
from rleseg_core.data.ids.rules import IdRules, decide
from rleseg_core.errors import DataError


@dataclass(frozen=True)
class IdChoice:
    """One way to read masks.

    Parameters
    ----------
    text : str
        What it says, for a button.
    rules : IdRules
        The rules with which the masks can be read.
    """

    text: str
    rules: IdRules


def choices(counts: Mapping[int, int], rules: IdRules, dtype: np.dtype) -> list[IdChoice]:
    """The ways to read masks that the rules leave open, for a person to choose from.

    Parameters
    ----------
    counts : mapping of int to int
        Pixels of each number, over the whole source.
    rules : IdRules
        Rules by which they cannot be told.
    dtype : numpy dtype
        Type of the masks.
    """
    found: list[IdChoice] = []
    for choice in _candidates(counts, rules):
        try:
            decide(counts, choice.rules, dtype)
        except DataError:
            continue
        found.append(choice)
    return found


def _candidates(counts: Mapping[int, int], rules: IdRules) -> Iterator[IdChoice]:
    options = rules.options
    for value in sorted(counts):
        if value < 0 or value in MARKS:
            ignoring = replace(options, ignore=(*(options.ignore or ()), value))
            yield IdChoice(f"Ignore {value}", replace(rules, options=ignoring))
    if 0 not in counts:
        for value in sorted({min(counts), max(counts, key=lambda value: counts[value])}):
            other = replace(options, background=value)
            yield IdChoice(f"{value} is background", replace(rules, options=other))
    every = replace(rules, options=replace(options, ignore=()))
    if rules.objects:
        yield IdChoice("All number objects", every)
    elif len(rules.class_names) == 1 and not rules.noted:
        yield IdChoice("They number objects", replace(every, objects=True))
