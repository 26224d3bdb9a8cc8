"""What the commands share that count tokens."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from rleseg_core.cli.console import progress_bar
from rleseg_core.errors import DataError
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Scheme

if TYPE_CHECKING:
    from rleseg_core.analysis.lengths import TokenStatistics, WindowCounted
    from rleseg_core.data import MaskStack


def usable_schemes(
    stacks: Sequence["MaskStack"],
    names: Sequence[str],
    n_frames: int,
    *,
    order: str | None = None,
    start: str | None = None,
) -> tuple[dict[str, Scheme], dict[str, str]]:
    """Schemes for windows of so many frames, and why others are left out; see `schemes_for`."""
    from rleseg_core.analysis.lengths import schemes_for

    spec = MaskSpec(size=(1, 1), class_names=stacks[0].class_names, n_frames=n_frames)
    known = stacks[0].instances is not None
    return schemes_for(names, spec, instances=known, order=order, start=start)


def watch(
    run: Generator["WindowCounted", None, list["TokenStatistics"]], what: str, quiet: bool
) -> list["TokenStatistics"]:
    """Final statistics of a count, which runs under a progress bar."""
    with progress_bar(what, quiet) as bar:
        return product_of(run, lambda report: bar.update(report.n_done, report.n_windows))


def mask_sizes(patch: int, factors: Sequence[int]) -> list[int]:
    """S for each subsampling, the finest first.

    Raises
    ------
    DataError
        If a factor does not divide the patch.
    """
    for factor in factors:
        if patch % factor:
            raise DataError(
                f"a patch of {patch} cannot be subsampled by {factor}; choose a factor that "
                "divides it"
            )
    return [patch // factor for factor in factors]
