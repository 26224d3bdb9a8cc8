"""Windows without any data need no model: nothing is there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from rleseg_core.data import ImageStack, Window, WindowReader, plan_windows
from rleseg_core.decoding import DecodedSequence
from rleseg_core.inference.geometry import source_rectangle
from rleseg_core.spec import WindowSpec

_PATIENCE = 16  # windows without data in a row, after which those before them are decoded first


def is_blank(reader: WindowReader, window: Window) -> bool:
    """Whether no pixel of a window has data, or none is in the region that is looked at."""
    rows, cols, _ = source_rectangle(window, reader.shape, reader.spec)
    if reader.region is not None and not _meet((rows, cols), reader.region):
        return True
    return not reader.has_data(range(*window.frames), rows, cols)


def windows_of(stack: ImageStack, spec: WindowSpec) -> list[Window]:
    """The windows of a stack that meet its region; see `plan_windows`."""
    planned = plan_windows(stack.shape, spec, stack.breaks)
    if stack.region is None:
        return planned
    return [
        window
        for window in planned
        if _meet(source_rectangle(window, stack.shape, spec)[:2], stack.region)
    ]


def _meet(one: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    """Whether two boxes have pixels in common."""
    pairs = zip(one, other, strict=True)
    return all(max(a.start, b.start) < min(a.stop, b.stop) for a, b in pairs)


def decode_between_blanks(
    windows: Sequence[Window],
    is_blank: Callable[[Window], bool],
    decode: Callable[[Iterator[Window]], Iterable[DecodedSequence]],
    nothing: DecodedSequence,
) -> Iterator[DecodedSequence]:
    """Token sequences of all windows, of which blank ones are left out of the work.

    Parameters
    ----------
    windows : sequence of Window
        The windows.
    is_blank : callable
        Whether there is nothing in a window; asked for one after another, as slots are free.
    decode : callable
        The sequences of windows that are not blank, in their order.
    nothing : DecodedSequence
        The sequence of blank ones.

    Yields
    ------
    DecodedSequence
        One for each window, in their order. After many blank windows in a row, those before them
        are decoded first, so that results keep coming.
    """
    first = 0
    while first < len(windows):
        seen: list[int] = []  # indices of windows that are not blank
        n_looked_at = 0

        def others(first: int = first, seen: list[int] = seen) -> Iterator[Window]:
            nonlocal n_looked_at
            n_blank = 0
            for index in range(first, len(windows)):
                n_looked_at = index + 1
                if not is_blank(windows[index]):
                    n_blank = 0
                    seen.append(index)
                    yield windows[index]
                    continue
                n_blank += 1
                if n_blank == _PATIENCE:
                    return

        for n_decoded, sequence in enumerate(decode(others())):
            index = seen[n_decoded]
            yield from (replace(nothing, index=blank) for blank in range(first, index))
            yield replace(sequence, index=index)
            first = index + 1
        yield from (replace(nothing, index=blank) for blank in range(first, n_looked_at))
        first = n_looked_at
