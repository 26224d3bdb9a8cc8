"""Long computations are generators: they yield small reports, and return their product."""

from collections.abc import Callable, Generator
from typing import TypeVar

Report = TypeVar("Report")
Product = TypeVar("Product")


def product_of(
    run: Generator[Report, None, Product], each: Callable[[Report], None] | None = None
) -> Product:
    """Run a generator of reports to its end, and return its product.

    Parameters
    ----------
    run : generator
        Such as `Segmenter.predict` or `train`.
    each : callable, optional
        Called with every report.

    Returns
    -------
    object
        The generator's return value. The generator is closed on an error, in it or in `each`.
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
