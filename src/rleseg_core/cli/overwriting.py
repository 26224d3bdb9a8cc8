"""What a command may write over: one option, and one check, for all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from rleseg_core.cli.options import OUTPUT
from rleseg_core.outputs import Output, check_outputs


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, kw_only=True)
class Overwriting:
    """What a command may write over.

    Parameters
    ----------
    overwrite : bool
        Replace outputs that exist, each once the new one is whole. What is read, and what rleseg
        could not have written, is never replaced.
    """

    overwrite: bool = False

    def check(self, outputs: Iterable[Output], sources: Iterable[Path | None]) -> None:
        """Raise an error, before long work, unless the outputs of a command can be written.

        Parameters
        ----------
        outputs : iterable of Output
            All that the command writes.
        sources : iterable of Path or None
            All that it reads: images, masks and models; None for nothing.
        """
        from rleseg_core.data.formats.sources import source_files

        read = [file for path in sources for file in source_files(path)]
        check_outputs(outputs, read, overwrite=self.overwrite)
