"""The commands put together, and how their errors are told."""

import os
import signal
import sys
import threading
from importlib.metadata import version
from typing import Annotated

import typer

from rleseg_core.cli import demo, evaluate, fidelity, models, predict, synth, tokens, train
from rleseg_core.cli.console import err, out
from rleseg_core.errors import RlesegError
from rleseg_core.parallel.processes import PEER_IS_GONE, says_peer_is_gone, tell_launcher

app = typer.Typer(
    name="rleseg",
    help="Segment time-lapse images with a model that writes masks as run-length tokens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("synth")(synth.synth)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
tokens.app.command("fidelity")(fidelity.fidelity)
app.add_typer(tokens.app, name="tokens")
app.add_typer(models.app, name="models")


def _tell_version(asked: bool) -> None:
    if asked:
        out.print(version("napari-rleseg"), highlight=False)
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    # torch's idle threads sleep instead of spinning: on a busy machine that is many times faster,
    # and it must be said before torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    in_main_thread = threading.current_thread() is threading.main_thread()
    # as Ctrl-C: drafts are removed, and a training run leaves its last checkpoint
    older = signal.signal(signal.SIGTERM, _interrupt) if in_main_thread else None
    try:
        app(arguments, obj=sys.argv[1:] if arguments is None else list(arguments))
    except (RlesegError, OSError) as error:
        if not tell_launcher(_text(error)):
            err.print(f"[bold red]error:[/] {_sentence(error)}", soft_wrap=True, highlight=False)
        sys.exit(2)
    except RuntimeError as error:
        if not says_peer_is_gone(error):
            raise
        sys.exit(PEER_IS_GONE)  # the launcher tells why the other one has ended
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, older)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:  # folders that cannot be written, full disks
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _sentence(error: Exception) -> str:
    """What an error says, as text in which rich sees no markup."""
    return _text(error).replace("[", r"\[")
