"""Long computations are generators: they yield small reports, and return their product."""

from collections.abc import Callable, Generator
from typing import TypeVar

Report = TypeVar("Report")
Product = TypeVar("Product")


def product_of(
    run: Generator[Report, None, Product], each: Callable[[Report], None] | None = None
) -> Product:
    """What a generator of reports returns, when it is done.

    Parameters
    ----------
    run : generator
        Such as `Segmenter.predict` or `train`.
    each : callable, optional
        Called with every report.

    Returns
    -------
    object
        The generator's return value. On an error, in it or in `each`, the generator is closed.
    """
    try:
        while True:
            try:
                report = next(run)
            except StopIteration as end:
                return end.value
            if each is not None:
                each(report)
    finally:
        run.close()
