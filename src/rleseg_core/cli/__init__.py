"""The command line: ``rleseg demo | synth | train | predict | evaluate | tokens | models``.

Each command is a module of its name. Exit codes: 0 done, 2 the user can mend it (one sentence on
stderr), 130 interrupted, 1 anything else.
"""

from rleseg_core.cli.app import main

__all__ = ["main"]
