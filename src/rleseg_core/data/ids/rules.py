"""How it is decided what the numbers in a mask mean, or that it cannot be told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rleseg_core.data.ids.grey import class_of_grey
from rleseg_core.data.ids.mapping import MOST_CLASSES, IdMapping
from rleseg_core.data.ids.names import ids_by_name, listed
from rleseg_core.data.ids.refusals import some, wrong_classes, wrong_objects
from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED


@dataclass(frozen=True, kw_only=True)
class IdOptions:
    """What a person says about the numbers in masks.

    Parameters
    ----------
    ignore : tuple of int or None
        Ids of pixels that do not count, such as 255; empty for none. None: not said, and an id that
        looks like such a mark is refused.
    background : int
        The id of the background. With another one than 0, the ids above it move down where they
        would not be the classes else.
    class_of_object : mapping of int to int or None
        Class id of each object, where ids number objects; by default all are of class 1.
    """

    ignore: tuple[int, ...] | None = None
    background: int = 0
    class_of_object: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        if self.ignore is not None:
            object.__setattr__(self, "ignore", tuple(int(value) for value in self.ignore))
            if self.background in self.ignore:
                raise DataError(
                    f"{self.background} cannot be both the background and to be ignored; say one"
                )


@dataclass(frozen=True, kw_only=True)
class IdRules:
    """What the numbers of a mask may mean.

    Parameters
    ----------
    class_names : tuple of str
        Names of the class ids from 1 on, as they are wanted.
    noted : tuple of str
        Names of the class ids from 1 on that the mask itself notes; empty where it notes none.
    objects : bool
        Whether numbers are ids of objects rather than of classes.
    options : IdOptions
        What a person says about them.

    Raises
    ------
    DataError
        If there are too many classes, or the noted ones are not those that are wanted.
    """

    class_names: tuple[str, ...]
    noted: tuple[str, ...] = ()
    objects: bool = False
    options: IdOptions = field(default_factory=IdOptions)

    def __post_init__(self) -> None:
        n_classes = len(self.class_names)
        if n_classes > MOST_CLASSES:
            raise DataError(
                f"masks hold up to {MOST_CLASSES} classes, got {n_classes}; if these are objects, "
                "read the mask as instances (--instances)"
            )

    def in_order(self, class_names: Sequence[str]) -> "IdRules":
        """The same rules for the same classes in another order."""
        options, by_id = self.options, self.options.class_of_object
        if self.objects and by_id is not None:
            names = self.class_names
            moved = {value: 1 + list(class_names).index(names[k - 1]) for value, k in by_id.items()}
            options = replace(options, class_of_object=moved)
        noted = self.noted if self.noted or self.objects else self.class_names
        return replace(self, class_names=tuple(class_names), noted=noted, options=options)


def decide(counts: Mapping[int, int], rules: IdRules, dtype: np.dtype) -> IdMapping:
    """What the numbers of a mask mean.

    Parameters
    ----------
    counts : mapping of int to int
        Pixels of each number, over the whole source.
    rules : IdRules
        What they may mean.
    dtype : numpy dtype
        Type of the mask.

    Raises
    ------
    DataError
        If it cannot be told; the message goes on from the name of the mask.
    """
    ignored = set(rules.options.ignore or ())
    known = {value: n for value, n in sorted(counts.items()) if value not in ignored}
    if not known:
        raise DataError(
            "holds no pixel that counts; say fewer ids to ignore, or leave this mask out"
            if counts
            else "holds no pixel; a mask needs at least one frame"
        )
    if rules.objects:
        return _objects(known, ignored & set(counts), rules, dtype)
    return _classes(known, ignored & set(counts), rules, dtype)


def _classes(
    known: Mapping[int, int], ignored: set[int], rules: IdRules, dtype: np.dtype
) -> IdMapping:
    """The mapping of ids of classes."""
    names = rules.noted or rules.class_names
    n_classes = len(names)
    table = _plain_classes(list(known), n_classes, rules.options.background)
    is_grey = False
    if table is None and rules.options.background == 0:
        table = class_of_grey(known, n_classes)
        is_grey = table is not None
    if table is None:
        raise DataError(wrong_classes(known, names, rules.options.background))
    wanted = {0: 0, **ids_by_name(rules.noted, rules.class_names, "")}
    unwanted = sorted({label for value, label in table.items() if value in known} - set(wanted))
    if unwanted:
        extra = [names[label - 1] for label in unwanted]
        raise DataError(
            f"shows the {'classes' if len(extra) > 1 else 'class'} {listed(extra)}, which "
            f"{'are' if len(extra) > 1 else 'is'} not among {listed(rules.class_names)}; name all "
            f"classes that it notes (--classes {','.join(names)})"
        )
    classes = {value: wanted[label] for value, label in table.items() if label in wanted}
    found = {classes[value] for value in known}
    is_plain = not ignored and all(value == label for value, label in classes.items())
    return _mapping(
        classes | dict.fromkeys(rules.options.ignore or (), IGNORED),
        dtype,
        text=_classes_text(classes, rules.class_names, known if is_grey else None)
        + _ignored_text(ignored),
        is_plain=is_plain,
        has_background=0 in found,
        missing=tuple(
            name for label, name in enumerate(rules.class_names, 1) if label not in found
        ),
    )


def _plain_classes(values: Sequence[int], n_classes: int, background: int) -> dict[int, int] | None:
    """Class ids of numbers that are such, 0 to C; None if they are something else."""
    plain = {label: label for label in range(n_classes + 1)}
    if background == 0:
        return plain if values[0] >= 0 and values[-1] <= n_classes else None
    others = [value for value in values if value != background]
    if all(1 <= value <= n_classes for value in others):
        return {background: 0} | {label: label for label in range(1, n_classes + 1)}
    moved = {background + label: label for label in range(n_classes + 1)}
    return moved if all(value in moved for value in others) else None


def _objects(
    known: Mapping[int, int], ignored: set[int], rules: IdRules, dtype: np.dtype
) -> IdMapping:
    """The mapping of ids of objects."""
    options = rules.options
    if rules.noted:
        ids_by_name(rules.noted, rules.class_names, "")
        if len(rules.noted) > 1 and options.class_of_object is None:
            raise DataError(
                f"notes the classes {listed(rules.noted)}, so its ids are classes and not objects; "
                "leave out --instances"
            )
    reason = wrong_objects(known, options.background, asks=options.ignore is None and not ignored)
    if reason:
        raise DataError(reason)
    objects = {value: value for value in known if value != options.background}
    shift = 1 if 0 in objects else 0  # of ids that count from 0 beside another background
    fits = max(objects, default=0) + shift <= np.iinfo(np.int32).max
    numbers = {value: value + shift if fits else number for number, value in enumerate(objects, 1)}
    by_id = options.class_of_object
    if by_id is not None and (missing := [value for value in objects if value not in by_id]):
        raise DataError(f"needs a class for each object; none is given for {some(missing)}")
    classes = {value: 1 if by_id is None else by_id[value] for value in objects}
    classes[options.background] = 0
    n_objects = f"{len(objects):,} id{'s' if len(objects) != 1 else ''}"
    kind = rules.class_names[0] if by_id is None else "their classes"
    text = f"{options.background} → background, {n_objects} → objects of {kind}"
    return _mapping(
        classes | dict.fromkeys(rules.options.ignore or (), IGNORED),
        dtype,
        objects=numbers,
        text=text + _ignored_text(ignored),
        is_plain=not ignored and options.background == 0 and fits and by_id is None,
        has_background=options.background in known,
        missing=() if objects else rules.class_names,
    )


def _mapping(
    classes: Mapping[int, int],
    dtype: np.dtype,
    *,
    objects: Mapping[int, int] | None = None,
    text: str,
    is_plain: bool,
    has_background: bool,
    missing: tuple[str, ...],
) -> IdMapping:
    limits = np.iinfo(dtype)
    values = sorted(value for value in classes if limits.min <= value <= limits.max)
    return IdMapping(
        values=np.array(values, dtype),
        classes=np.array([classes[value] for value in values], np.uint8),
        objects=None
        if objects is None
        else np.array([objects.get(value, 0) for value in values], np.int32),
        text=text,
        is_plain=is_plain,
        has_background=has_background,
        missing=missing,
    )


def _classes_text(
    classes: Mapping[int, int], names: Sequence[str], grey: Collection[int] | None
) -> str:
    """The mapping in words; of grey levels, those that occur, or ranges where they are many."""
    words = ("background", *names)
    as_grey = grey is not None and len(grey) > len(words)
    if grey is not None and not as_grey:
        classes = {value: classes[value] for value in grey}
    spans: list[tuple[int, int, int]] = []
    for value, label in sorted(classes.items()):
        if as_grey and spans and spans[-1][2] == label:
            spans[-1] = (spans[-1][0], value, label)
        else:
            spans.append((value, value, label))
    parts = [
        f"{low} → {words[label]}" if low == high else f"{low} to {high} → {words[label]}"
        for low, high, label in spans
    ]
    return ", ".join(parts)


def _ignored_text(ignored: set[int]) -> str:
    return "".join(f", {value} → ignored" for value in sorted(ignored))
